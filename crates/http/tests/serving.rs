//! The server over real sockets: problems, limits, draining.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::{get, post};
use serde_json::{Value, json};
use tidefold_http::paths::Port;
use tidefold_http::{Admission, Drained, Limits, Problem, Readiness, Routes, Server, admin, body, serve};
use tidefold_telemetry::Telemetry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    served: JoinHandle<Drained>,
    telemetry: Telemetry,
}

#[expect(clippy::disallowed_methods, reason = "a test's server ends with its runtime")]
async fn start(routes: impl Into<Routes>, limits: Limits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let telemetry = Telemetry::new();
    let server =
        Server { name: "test", limits, admission: Admission::default(), telemetry: telemetry.clone() };
    let served = tokio::spawn(serve(listener, routes.into(), shutdown.clone(), server));
    Running { address, shutdown, served, telemetry }
}

async fn send(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // A server may reset a connection whose body it did not read; what it said before counts.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn ask(address: SocketAddr, request: &str) -> String {
    rest(send(address, request).await).await
}

fn get_of(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{headers}\r\n")
}

fn problem_of(answer: &str) -> Value {
    assert!(answer.to_lowercase().contains("content-type: application/problem+json"), "{answer}");
    serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
}

fn reading(limit: usize, stall: Duration) -> Router {
    let read = async move |request: Request| -> Result<String, Problem> {
        let pace = body::Pace::whole(&Limits { body_stall: stall, ..Limits::default() });
        let whole = body::read_whole(request.into_body(), limit, pace, |_| Ok(())).await?;
        Ok(format!("{} bytes", whole.len()))
    };
    Router::new().route("/read", post(read))
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_are_problems() {
    let running = start(Router::new().route("/here", get(async || "here")), Limits::default()).await;
    let answer = ask(running.address, &get_of("/there", "")).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let problem = problem_of(&answer);
    assert_eq!(problem["type"], "https://tidefold.dev/problems/not-found");
    assert_eq!(problem["status"], 404);
    assert_eq!(problem["code"], "not_found");
    assert_eq!(problem["retryable"], false);
    assert_eq!(problem["instance"], format!("/problems/{}", problem["request_id"].as_str().unwrap()));
    let answer = ask(running.address, "DELETE /here HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(answer.to_lowercase().contains("allow: get"), "{answer}");
    assert_eq!(problem_of(&answer)["code"], "method_not_allowed");
}

#[tokio::test]
async fn the_callers_request_id_stands_on_the_answer_and_in_the_problem() {
    let running = start(Router::new().route("/here", get(async || "here")), Limits::default()).await;
    let answer = ask(running.address, &get_of("/there", "X-Request-Id: r-77\r\n")).await;
    assert!(answer.contains("x-request-id: r-77"), "{answer}");
    assert_eq!(problem_of(&answer)["request_id"], "r-77");
    assert_eq!(answer.to_lowercase().matches("content-length").count(), 1, "{answer}");
    let answer = ask(running.address, &get_of("/here", "X-Request-Id: r-78\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("x-request-id: r-78"), "{answer}");
    let answer = ask(running.address, &get_of("/there", "X-Request-Id: <script>\r\n")).await;
    assert!(!answer.contains("script"), "{answer}");
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_refused_unread() {
    let running = start(reading(1 << 20, Duration::from_secs(5)), Limits::default()).await;
    let head = "POST /read HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 104857600\r\n\r\n";
    let answer = ask(running.address, head).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let problem = problem_of(&answer);
    assert_eq!(problem["limit_bytes"], 1 << 20);
    assert_eq!(problem["actual_bytes"], 104_857_600);
}

#[tokio::test]
async fn a_body_is_read_up_to_the_limit_however_it_is_cut() {
    let running = start(reading(8, Duration::from_secs(5)), Limits::default()).await;
    let head = "POST /read HTTP/1.1\r\nHost: t\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = ask(running.address, &format!("{head}3\r\nabc\r\n3\r\nabc\r\n2\r\nab\r\n0\r\n\r\n")).await;
    assert!(answer.ends_with("8 bytes"), "{answer}");
    let answer = ask(running.address, &format!("{head}3\r\nabc\r\n3\r\nabc\r\n3\r\nabc\r\n0\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_body_that_stalls_or_breaks_off_ends_its_request() {
    let running = start(reading(100, Duration::from_millis(30)), Limits::default()).await;
    let head = "POST /read HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 10\r\n\r\n";
    let answer = ask(running.address, &format!("{head}abc")).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(problem_of(&answer)["retryable"], true);
    let mut stream = send(running.address, &format!("{head}abc")).await;
    stream.shutdown().await.unwrap();
    assert!(!rest(stream).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_head_that_never_ends_loses_its_connection() {
    let limits = Limits { head_timeout: Duration::from_millis(30), ..Limits::default() };
    let running = start(Router::new(), limits).await;
    let answer = ask(running.address, "GET /slow HTTP/1.1\r\nHost: t\r\nX-Slow: ").await;
    assert!(!answer.contains("200"), "{answer}");
}

#[tokio::test]
async fn a_caller_who_does_not_read_loses_its_connection() {
    let endless = async || {
        let parts = futures_util::stream::repeat(bytes::Bytes::from_static(&[b'x'; 65_536]));
        axum::body::Body::from_stream(futures_util::StreamExt::map(parts, Ok::<_, std::convert::Infallible>))
    };
    let limits = Limits { answer_stall: Duration::from_millis(30), ..Limits::default() };
    let running = start(Router::new().route("/endless", get(endless)), limits).await;
    let unread = send(running.address, &get_of("/endless", "")).await;
    let metrics = running.telemetry.http("test");
    while metrics.connections.get() < 1 {
        tokio::task::yield_now().await;
    }
    while metrics.connections.get() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(metrics.in_flight.get(), 0);
    drop(unread);
}

#[tokio::test]
async fn requests_over_the_limit_are_told_to_come_back() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let wait = async move || {
        let _ = held.acquire().await.unwrap();
        "done"
    };
    let limits = Limits { requests: 1, ..Limits::default() };
    let running = start(Router::new().route("/wait", get(wait)), limits).await;
    let first = send(running.address, &get_of("/wait", "")).await;
    let in_flight = running.telemetry.http("test").in_flight;
    while in_flight.get() < 1 {
        tokio::task::yield_now().await;
    }
    let second = ask(running.address, &get_of("/wait", "")).await;
    assert!(second.starts_with("HTTP/1.1 503 "), "{second}");
    assert!(second.contains("retry-after: 1"), "{second}");
    assert_eq!(problem_of(&second)["retry_after_ms"], 1000);
    gate.add_permits(1);
    assert!(rest(first).await.ends_with("done"));
    assert_eq!(running.telemetry.http_refused("test", "requests").get(), 1);
}

#[tokio::test]
async fn shutdown_answers_what_is_open_and_then_ends() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let wait = async move || {
        let _ = held.acquire().await.unwrap();
        "done"
    };
    let running = start(Router::new().route("/wait", get(wait)), Limits::default()).await;
    let open = send(running.address, "GET /wait HTTP/1.1\r\nHost: t\r\n\r\n").await;
    let in_flight = running.telemetry.http("test").in_flight;
    while in_flight.get() < 1 {
        tokio::task::yield_now().await;
    }
    running.shutdown.cancel();
    while TcpStream::connect(running.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    gate.add_permits(1);
    assert!(rest(open).await.ends_with("done"));
    assert_eq!(running.served.await.unwrap(), Drained::Whole);
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_cut() {
    let limits = Limits { drain: Duration::from_millis(20), ..Limits::default() };
    let running = start(Router::new().route("/wait", get(std::future::pending::<()>)), limits).await;
    let open = send(running.address, &get_of("/wait", "")).await;
    let in_flight = running.telemetry.http("test").in_flight;
    while in_flight.get() < 1 {
        tokio::task::yield_now().await;
    }
    running.shutdown.cancel();
    assert_eq!(running.served.await.unwrap(), Drained::Cut(1));
    assert_eq!(rest(open).await, "");
    assert_eq!(in_flight.get(), 0);
}

#[tokio::test]
async fn the_status_and_what_is_said_are_of_one_moment() {
    let readiness = Readiness::new();
    let asked = AtomicUsize::new(0);
    // It ends and is there again, each time that it is asked.
    let ends = move || (asked.fetch_add(1, Ordering::Relaxed) % 2 == 1).then(|| "it ended".to_owned());
    readiness.gate("log").open_until(ends);
    let running = start(admin(readiness, Telemetry::new()), Limits::default()).await;
    for accept in ["", "accept: application/json\r\n"] {
        for round in 0..4 {
            let answer = ask(running.address, &get_of("/readyz", accept)).await;
            let is_ready = answer.starts_with("HTTP/1.1 200 ");
            let says_so = answer.ends_with("\"ready\":true}") || answer.ends_with("\r\n\r\nok\n");
            assert_eq!(is_ready, says_so, "{round}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_node_is_ready_when_all_its_gates_are_open() {
    let readiness = Readiness::new();
    let (log, store) = (readiness.gate("log"), readiness.gate("store"));
    let telemetry = Telemetry::new();
    telemetry.build_info("0.1.0", "abc").set(1);
    let running = start(admin(readiness.clone(), telemetry), Limits::default()).await;
    log.open();
    store.close("disk full");
    let answer = ask(running.address, &get_of("/readyz", "")).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let told: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let checks =
        json!([{ "name": "log", "ready": true }, { "name": "store", "ready": false, "reason": "disk full" }]);
    assert_eq!(told, json!({ "ready": false, "checks": checks, "notes": [] }));
    let answer = ask(running.address, &get_of("/readyz?verbose", "")).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("[+]log ok\n[-]store failed: disk full\n"), "{answer}");
    let answer = ask(running.address, &get_of("/readyz?exclude=store", "accept: application/json\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"ready\":true"), "{answer}");
    assert!(ask(running.address, &get_of("/readyz?exclude=store", "")).await.starts_with("HTTP/1.1 200 "));
    assert!(ask(running.address, &get_of("/readyz/store", "")).await.starts_with("HTTP/1.1 503 "));
    assert!(ask(running.address, &get_of("/livez", "")).await.ends_with("\r\n\r\nok\n"));
    store.open();
    assert!(readiness.is_ready());
    let answer = ask(running.address, &get_of("/healthz?verbose", "")).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("[+]log ok\n[+]store ok\nok\n"),
        "{answer}"
    );
    let metrics = ask(running.address, &get_of("/metrics", "")).await;
    assert!(metrics.contains(r#"tidefold_build_info{version="0.1.0",revision="abc"} 1"#), "{metrics}");
}

#[tokio::test]
async fn routes_that_come_later_are_answered_with_what_is_waited_for() {
    let readiness = Readiness::new();
    let gate = readiness.gate("log");
    gate.close("waiting for the log: nobody is there");
    let routes = Routes::later(admin(readiness.clone(), Telemetry::new()), &readiness);
    let running = start(routes.clone(), Limits::default()).await;
    assert!(ask(running.address, &get_of("/livez", "")).await.starts_with("HTTP/1.1 200 "));
    for path in ["/", "/v1/shop/orders"] {
        let problem = problem_of(&ask(running.address, &get_of(path, "")).await);
        assert_eq!((&problem["status"], &problem["code"]), (&503.into(), &"not_ready".into()));
        assert!(problem["detail"].as_str().unwrap().contains("waiting for the log: nobody"), "{problem}");
        assert_eq!(problem["retry_after_ms"], 1000);
    }
    routes.set(Router::new().route("/", get(async || "here")), Port::EVERYTHING);
    assert!(ask(running.address, &get_of("/", "")).await.ends_with("here"));
    assert!(ask(running.address, &get_of("/else", "")).await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn a_part_that_ended_takes_the_node_away_and_says_why() {
    let readiness = Readiness::new();
    let end = Arc::new(std::sync::OnceLock::new());
    let told = Arc::clone(&end);
    readiness.gate("log").open_until(move || told.get().cloned());
    let running = start(admin(readiness, Telemetry::new()), Limits::default()).await;
    assert!(ask(running.address, &get_of("/readyz", "")).await.starts_with("HTTP/1.1 200 "));
    assert!(ask(running.address, &get_of("/metrics", "")).await.contains("tidefold_ready{check=\"log\"} 1"));
    end.set("the disk is full".to_owned()).unwrap();
    let answer = ask(running.address, &get_of("/readyz", "")).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("\"reason\":\"the disk is full\""), "{answer}");
    assert!(ask(running.address, &get_of("/metrics", "")).await.contains("tidefold_ready{check=\"log\"} 0"));
}
