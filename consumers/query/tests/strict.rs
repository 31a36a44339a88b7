//! What is refused, what is counted, and what a halted projection answers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use bytes::Bytes;
use serde_json::json;
use support::{Reader, impatient};

const ORDER: &str = "/v1/storefront/orders/o-1";

async fn place(reader: &Reader, order: &str) -> String {
    let json =
        json!({"order_id": order, "customer_id": "c-1", "currency": "EUR", "total_cents": 5, "items": []});
    reader.send("PlaceOrder", &json).await
}

#[tokio::test]
async fn bytes_that_are_no_text_and_parameters_of_a_row_are_refused() {
    let reader = Reader::open("storefront").await;
    let answer = reader.get("/v1/storefront/orders_by_customer?customer_id=%FF").await;
    answer.problem(400, "invalid_query");
    assert_eq!(answer.mistakes(), [("customer_id".to_owned(), "bad_format".to_owned())]);
    let answer = reader.get(&format!("{ORDER}?limit=1&colour=red")).await;
    let problem = answer.problem(400, "invalid_query");
    assert_eq!(answer.mistakes().len(), 2);
    assert!(problem["detail"].as_str().unwrap().contains("orders takes order_id="), "{problem}");
}

#[tokio::test]
async fn a_halted_partition_is_not_waited_for_and_still_read() {
    let reader = Reader::open("storefront").await;
    place(&reader, "o-1").await;
    reader.fold().await;
    let position = place(&reader, "o-1").await;
    let partition = position.split(':').nth(1).unwrap().parse().unwrap();
    reader
        .halted
        .lock()
        .unwrap()
        .insert(("orders".to_owned(), partition), "its log was truncated".to_owned());
    let answer = reader.get_with(ORDER, &[("tidefold-min-position", &position)]).await;
    let problem = answer.problem(503, "projection_halted");
    assert!(problem["detail"].as_str().unwrap().ends_with("its log was truncated"), "{problem}");
    assert_eq!(answer.header("retry-after"), Some("30"));
    let plain = reader.get(ORDER).await;
    assert_eq!(plain.ok()["status"], "placed");
    assert!(plain.header("tidefold-age-ms").unwrap().parse::<u64>().unwrap() > 0);
}

#[tokio::test]
async fn an_age_that_nobody_knows_is_left_out() {
    let reader = Reader::open("storefront").await;
    let path = "/v1/storefront/orders_by_customer?customer_id=c-1";
    assert_eq!(reader.get(path).await.header("tidefold-age-ms"), Some("0"), "nothing is newer than nothing");
    place(&reader, "o-1").await;
    assert_eq!(reader.get(path).await.header("tidefold-age-ms"), None);
    reader.fold().await;
    assert_eq!(reader.get(path).await.header("tidefold-age-ms"), Some("0"));
}

#[tokio::test]
async fn reads_are_counted_by_what_came() {
    let reader = Reader::with("storefront", impatient(), true).await;
    place(&reader, "o-1").await;
    reader.fold().await;
    let tag = reader.get(ORDER).await.header("etag").unwrap().to_owned();
    reader.get_with(ORDER, &[("if-none-match", &tag)]).await;
    reader.get("/v1/storefront/orders/o-2").await;
    reader.get("/v1/storefront/orders_by_customer?customer_id=c-1").await.ok();
    reader.get("/v1/storefront/orders_by_customer").await;
    let late = place(&reader, "o-1").await;
    reader.get_with(ORDER, &[("tidefold-min-position", &late)]).await.problem(503, "position_not_reached");
    reader.get("/").await.ok();
    let text = reader.telemetry.encode(tidefold_telemetry::Exposition::Text).unwrap();
    let count = |read: &str, outcome: &str| {
        let line = format!(
            "tidefold_query_requests_total{{app=\"storefront\",read=\"{read}\",outcome=\"{outcome}\"}} "
        );
        text.lines().find_map(|found| found.strip_prefix(&line)).map(str::to_owned)
    };
    for (read, outcome) in [
        ("key", "ok"),
        ("key", "not_modified"),
        ("key", "not_found"),
        ("key", "timeout"),
        ("range", "ok"),
        ("range", "invalid"),
        ("index", "ok"),
    ] {
        assert_eq!(count(read, outcome).as_deref(), Some("1"), "{read} {outcome}\n{text}");
    }
    assert!(text.contains("tidefold_query_rows_total{app=\"storefront\"} 2\n"), "{text}");
    assert!(text.contains("tidefold_query_position_wait_seconds_count{app=\"storefront\"} 1\n"), "{text}");
    assert!(text.contains("tidefold_query_store_seconds_count{app=\"storefront\"} 4\n"), "{text}");
}

#[tokio::test]
async fn the_listing_tells_of_a_row_that_the_store_calls_damaged() {
    let reader = Reader::open("storefront").await;
    place(&reader, "o-1").await;
    reader.fold().await;
    reader.get("/v1/storefront").await.ok();
    let table = reader.tables("orders", 1).entity.unwrap().id;
    reader.store.faults().damage(&table, Bytes::from_static(b"o-1"));
    let told = reader.get("/v1/storefront").await.problem(500, "damaged");
    assert!(told["detail"].as_str().unwrap().contains(table.as_str()), "{told}");
}
