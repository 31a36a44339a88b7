//! What ingest does when requests hold all the room there is, and when the log does not answer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use serde_json::json;
use support::Shop;
use tidefold_ingest::Settings;

const ORDER: &str = "/v1/shop/PayOrder";

fn pay(order: &str) -> String {
    json!({ "order_id": order }).to_string()
}

async fn until_held(shop: &Shop, appends: usize) {
    while shop.log.faults().held() < appends {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_request_without_room_is_refused_before_its_body_is_read() {
    let body = pay("o-1");
    let shop = Shop::with(Settings { memory_bytes: body.len() + 1, ..Settings::default() }).await;
    shop.log.faults().hold();
    let first = shop.post(ORDER, &[], body);
    let others = async {
        until_held(&shop, 1).await;
        let refused = shop.post(ORDER, &[], pay("o-2")).await;
        assert_eq!(refused.problem(503, "overloaded")["retryable"], true);
        assert_eq!(refused.header("retry-after"), Some("1"));
        let refused = shop.stream("/v1/shop/PayOrder", &[], pay("o-3")).await;
        refused.problem(503, "overloaded");
        // A body that never comes is not waited for.
        let endless =
            Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
        let headers = [("content-type", "application/x-ndjson")];
        let refused = shop.send(Method::POST, "/v1/shop", &headers, endless).await;
        refused.problem(503, "overloaded");
        shop.log.faults().release();
    };
    let (first, ()) = tokio::join!(first, others);
    assert_eq!(first.status, 202);
    assert_eq!(shop.post(ORDER, &[], pay("o-2")).await.status, 202, "there is room again");
    assert_eq!(shop.all_records("orders").await.len(), 2);
}

#[tokio::test]
async fn a_stream_goes_on_by_itself_where_there_is_no_more_room() {
    let settings = Settings { chunk_lines: 1, chunk_bytes: 64, memory_bytes: 128, ..Settings::default() };
    let shop = Shop::with(settings).await;
    let lines: Vec<String> = (0..40).map(|n| pay(&format!("o-{n}"))).collect();
    let answers = shop.stream(ORDER, &[], lines.join("\n")).await.lines();
    assert_eq!(answers.len(), 40);
    assert!(answers.iter().all(|answer| answer["status"] == 202), "{answers:?}");
    assert_eq!(shop.all_records("orders").await.len(), 40);
}

#[tokio::test]
async fn an_append_that_takes_too_long_is_of_unknown_fate_and_says_the_id() {
    let settings = Settings { append_timeout: Duration::from_millis(20), ..Settings::default() };
    let shop = Shop::with(settings).await;
    shop.log.faults().hold();
    let late = shop.post(ORDER, &[("idempotency-key", "pay-1")], pay("o-1")).await;
    let problem = late.problem(504, "append_unknown");
    assert_eq!((&problem["id"], &problem["retryable"]), (&json!("pay-1"), &json!(true)));
    let unnamed = shop.post(ORDER, &[], pay("o-1")).await.problem(504, "append_unknown");
    assert!(unnamed["id"].as_str().unwrap().len() >= 36, "{unnamed}");
    let lines = shop.stream(ORDER, &[("idempotency-key", "batch")], pay("o-2")).await.lines();
    assert_eq!((&lines[0]["status"], &lines[0]["id"]), (&json!(504), &json!("batch:0")), "{lines:?}");
    // What was of unknown fate may still come to stand.
    shop.log.faults().release();
    assert_eq!(shop.all_records("orders").await.len(), 3);
}

#[tokio::test]
async fn bodies_that_were_announced_and_do_not_come_take_nothing_from_others() {
    let shop = Shop::open().await;
    let mut idle = Vec::new();
    for _ in 0..80 {
        let mut stream = tokio::net::TcpStream::connect(shop.address).await.unwrap();
        let head = b"POST /v1/shop/PayOrder HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                     Content-Length: 1048576\r\n\r\n{";
        tokio::io::AsyncWriteExt::write_all(&mut stream, head).await.unwrap();
        idle.push(stream);
    }
    while shop.telemetry.http("test").in_flight.get() < 80 {
        tokio::task::yield_now().await;
    }
    assert_eq!(shop.post(ORDER, &[], pay("o-1")).await.status, 202);
    let answers = shop.stream(ORDER, &[], pay("o-2")).await.lines();
    assert_eq!(answers[0]["status"], 202, "{answers:?}");
}
