//! What is refused before it reaches a route is a problem too, and says that the connection ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::{get, post};
use serde_json::Value;
use tidefold_http::{Admission, Limits, Problem, Server, body, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

#[expect(clippy::disallowed_methods, reason = "a test's server ends with its runtime")]
async fn start(limits: Limits) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let read = async move |request: Request| -> Result<String, Problem> {
        let whole =
            body::read_whole(request.into_body(), 1 << 20, body::Pace::whole(&limits), |_| Ok(())).await?;
        Ok(format!("{} bytes", whole.len()))
    };
    let routes = Router::new().route("/", get(async || "here")).route("/read", post(read));
    let admission = Admission::default();
    let server = Server { name: "test", limits, admission, telemetry: Default::default() };
    tokio::spawn(serve(listener, routes, CancellationToken::new(), server));
    address
}

async fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may be refused before all of it was sent.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

fn problem(answer: &str, status: u16, code: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer}"));
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    let head = head.to_ascii_lowercase();
    assert!(head.contains("content-type: application/problem+json"), "{answer}");
    assert!(head.contains("connection: close"), "{answer}");
    let json: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (json["code"].as_str(), json["status"].as_u64()),
        (Some(code), Some(status.into())),
        "{answer}"
    );
}

#[tokio::test]
async fn what_is_no_request_is_told_so_and_the_connection_ends() {
    let address = start(Limits::default()).await;
    let many: String = (0..200).map(|n| format!("X-{n}: x\r\n")).collect();
    let table = [
        ("GET\r\n\r\n".to_owned(), 400, "bad_request"),
        ("nonsense and more of it\r\n\r\n".to_owned(), 400, "bad_request"),
        ("GET / HTTP/1.1\r\nHost: a\r\nbroken line\r\n\r\n".to_owned(), 400, "bad_request"),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n".to_owned(), 400, "bad_request"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(),
            400,
            "bad_request",
        ),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400, "bad_request"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 400, "bad_request"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_owned(), 400, "bad_request"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), 400, "bad_request"),
        ("GET / HTTP/9.9\r\nHost: a\r\n\r\n".to_owned(), 400, "bad_request"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), 400, "bad_request"),
        ("POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(), 400, "bad_request"),
        ("POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n".to_owned(), 400, "bad_request"),
        ("POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(), 400, "bad_request"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), 431, "head_too_large"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(70_000)), 431, "head_too_large"),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(60_000), "x".repeat(20_000)), 431, "head_too_large"),
    ];
    for (request, status, code) in table {
        problem(&ask(address, request.as_bytes()).await, status, code);
    }
}

#[tokio::test]
async fn an_address_that_is_too_long_is_told_so_however_long_it_is() {
    let address = start(Limits::default()).await;
    for length in [65_535, 65_536, 66_000, 70_000, 75_000, 200_000, 1_000_000] {
        for before in ["", "\r\n"] {
            for headers in ["", "Host: a\r\n", "Host: a\r\nX: y\r\n"] {
                let long = "x".repeat(length - 1);
                let request = format!("{before}GET /{long} HTTP/1.1\r\n{headers}\r\n");
                problem(&ask(address, request.as_bytes()).await, 414, "uri_too_long");
            }
        }
    }
    // The head behind it never comes.
    let open = format!("POST /{}", "x".repeat(80_000));
    problem(&ask(address, open.as_bytes()).await, 414, "uri_too_long");
}

#[tokio::test]
async fn who_begins_with_http2_is_told_what_is_spoken_here_however_the_preface_comes() {
    let address = start(Limits { head_timeout: Duration::from_millis(30), ..Limits::default() }).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let mut cuts: Vec<Vec<&[u8]>> =
        (1..preface.len()).map(|at| preface.split_at(at)).map(|(a, b)| vec![a, b]).collect();
    cuts.push(preface.chunks(1).collect());
    // The rest never comes.
    cuts.extend((6..preface.len()).map(|at| vec![&preface[..at]]));
    for pieces in cuts {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in &pieces {
            // It may be refused before all of it was sent.
            let _ = stream.write_all(piece).await;
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        problem(&answer, 400, "bad_request");
        assert!(answer.contains("HTTP/1.1 only"), "{pieces:?}: {answer}");
    }
}

#[tokio::test]
async fn a_head_that_stops_coming_is_told_so() {
    let address = start(Limits { head_timeout: Duration::from_millis(30), ..Limits::default() }).await;
    problem(&ask(address, b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ").await, 408, "head_timeout");
    assert_eq!(ask(address, b"").await, "", "an idle connection ends in silence");
}

#[tokio::test]
async fn an_answer_to_a_body_that_was_not_read_says_that_the_connection_ends() {
    let address = start(Limits::default()).await;
    let head = b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 104857600\r\n\r\n";
    problem(&ask(address, head).await, 413, "body_too_large");
    let head = b"POST /nothing HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab";
    problem(&ask(address, head).await, 404, "not_found");
}

#[tokio::test]
async fn an_idle_connection_makes_room_and_a_newcomer_is_answered() {
    let address = start(Limits { connections: 4, address_share: 1, ..Limits::default() }).await;
    let mut idle = Vec::new();
    for _ in 0..40 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let answer = ask(address, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.ends_with("here"), "{answer}");
}
