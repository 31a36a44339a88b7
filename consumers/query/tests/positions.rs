//! Tags, one's own writes, generations, and a store that does not answer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use serde_json::json;
use support::{Reader, impatient};
use tidefold_record::{Offset, Partition, TopicName};

const ORDER: &str = "/v1/storefront/orders/o-1";

async fn place(reader: &Reader, order: &str) -> String {
    let json =
        json!({"order_id": order, "customer_id": "c-1", "currency": "EUR", "total_cents": 5, "items": []});
    reader.send("PlaceOrder", &json).await
}

fn place_of(position: &str) -> (u32, u64) {
    let mut parts = position.split(':').skip(1);
    (parts.next().unwrap().parse().unwrap(), parts.next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn an_unchanged_row_is_not_sent_again() {
    let reader = Reader::open("storefront").await;
    place(&reader, "o-1").await;
    reader.fold().await;
    let tag = reader.get(ORDER).await.header("etag").unwrap().to_owned();
    for known in [tag.clone(), format!("W/{tag}"), "*".to_owned(), format!("\"9.g9\", {tag}")] {
        let answer = reader.get_with(ORDER, &[("if-none-match", &known)]).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0), "{known}");
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
        assert!(answer.header("tidefold-position").is_some());
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
    }
    let lines = [("if-none-match", "\"9.g9\""), ("if-none-match", tag.as_str())];
    assert_eq!(reader.get_with(ORDER, &lines).await.status, 304);
    for other in ["\"1.g2\"", "\"1\"", "1.g1"] {
        assert_eq!(reader.get_with(ORDER, &[("if-none-match", other)]).await.status, 200, "{other}");
    }
    let absent = reader.get_with("/v1/storefront/orders/o-2", &[("if-none-match", "*")]).await;
    absent.problem(404, "row_not_found");

    reader.send("PayOrder", &json!({"order_id": "o-1"})).await;
    reader.fold().await;
    let changed = reader.get_with(ORDER, &[("if-none-match", &tag)]).await;
    assert_eq!(changed.ok()["status"], "paid");
    let tag = changed.header("etag").unwrap().to_owned();
    assert_eq!(tag, "\"2.g1\"");

    reader.build("orders", 2).await;
    reader.fold_into("orders", 2).await;
    reader.activate("orders", 2);
    let swapped = reader.get_with(ORDER, &[("if-none-match", &tag)]).await;
    assert_eq!((swapped.status.as_u16(), swapped.header("etag")), (200, Some("\"2.g2\"")));
}

#[tokio::test]
async fn a_write_that_is_visible_is_answered_at_once() {
    let reader = Reader::open("storefront").await;
    let first = place(&reader, "o-1").await;
    let second = place(&reader, "o-2").await;
    reader.fold().await;
    for path in
        [ORDER, "/v1/storefront/orders_by_customer?customer_id=c-1", "/v1/storefront/orders?order_id=o-1"]
    {
        let both = format!("{first}, {second}");
        for wanted in [first.as_str(), both.as_str()] {
            let headers = [("tidefold-min-position", wanted), ("prefer", "wait=0")];
            reader.get_with(path, &headers).await.ok();
        }
    }
}

#[tokio::test]
async fn a_reader_waits_until_its_write_is_visible() {
    let reader = Reader::open("storefront").await;
    let position = place(&reader, "o-1").await;
    let headers = [("tidefold-min-position", position.as_str()), ("prefer", "wait=30")];
    let (answer, ()) = tokio::join!(biased; reader.get_with(ORDER, &headers), reader.fold());
    assert_eq!(answer.ok()["order_id"], "o-1");
    assert_eq!(answer.header("tidefold-position"), Some(position.as_str()));
}

#[tokio::test]
async fn time_that_runs_out_is_told_with_when_to_retry() {
    let reader = Reader::with("storefront", impatient(), true).await;
    let first = place(&reader, "o-1").await;
    reader.fold().await;
    let missing = place(&reader, "o-2").await;
    let both = format!("{first},{missing}");
    for (wanted, prefer) in
        [(missing.as_str(), "wait=0"), (both.as_str(), "wait=0"), (missing.as_str(), "respond-async")]
    {
        let headers = [("tidefold-min-position", wanted), ("prefer", prefer)];
        let answer = reader.get_with(ORDER, &headers).await;
        let problem = answer.problem(503, "position_not_reached");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(problem["retryable"], true);
        assert!(problem["detail"].as_str().unwrap().contains(&missing), "{problem}");
    }
}

#[tokio::test]
async fn positions_that_cannot_be_waited_for_are_all_named() {
    let reader = Reader::open("storefront").await;
    for (wanted, mistakes) in [
        ("refunds:0:1", 1),
        ("orders:12:0", 1),
        ("orders", 1),
        ("", 1),
        ("orders:1:x, orders:0:0, refunds:0:1", 2),
    ] {
        let answer = reader.get_with(ORDER, &[("tidefold-min-position", wanted)]).await;
        answer.problem(400, "invalid_position");
        assert_eq!(answer.mistakes().len(), mistakes, "{wanted}");
    }
    let lines = [("tidefold-min-position", "orders:0:0"), ("tidefold-min-position", "nonsense")];
    reader.get_with(ORDER, &lines).await.problem(400, "invalid_position");
}

#[tokio::test]
async fn an_answer_says_how_far_and_how_old_it_is() {
    let reader = Reader::open("storefront").await;
    let first = place(&reader, "o-1").await;
    reader.fold().await;
    let caught_up = reader.get(ORDER).await;
    assert_eq!(caught_up.header("tidefold-position"), Some(first.as_str()));
    assert_eq!(caught_up.header("tidefold-age-ms"), Some("0"));
    reader.send("PayOrder", &json!({"order_id": "o-1"})).await;
    let behind = reader.get(ORDER).await;
    assert_eq!(behind.header("tidefold-position"), Some(first.as_str()));
    assert!(behind.header("tidefold-age-ms").unwrap().parse::<u64>().unwrap() > 0);
    let list = reader.get("/v1/storefront/orders_by_customer?customer_id=c-1").await;
    assert_eq!(list.header("tidefold-position"), Some(first.as_str()));
}

#[tokio::test]
async fn a_generation_is_read_once_it_reached_what_was_served() {
    let reader = Reader::with("storefront", impatient(), false).await;
    let early = reader.get(ORDER).await;
    early.problem(503, "not_ready");
    assert!(early.header("retry-after").is_some());

    reader.build("orders", 1).await;
    reader.activate("orders", 1);
    let (partition, _) = place_of(&place(&reader, "o-1").await);
    reader.build("orders", 2).await;
    reader.fold_into("orders", 2).await;
    reader.send("PayOrder", &json!({"order_id": "o-1"})).await;
    reader.fold_into("orders", 1).await;
    let generation = async || reader.get(ORDER).await.header("tidefold-generation").unwrap().to_owned();
    assert_eq!(generation().await, "1");
    reader.activate("orders", 2);
    assert_eq!(generation().await, "1", "the new one lacks the payment that was served");
    reader.fold_into("orders", 2).await;
    assert_eq!(generation().await, "2");

    // The old one goes on; rolled back to, it is read only when it is not behind either.
    reader.checkpoint("orders", 2, partition, 9).await;
    assert_eq!(generation().await, "2");
    reader.activate("orders", 1);
    assert_eq!(generation().await, "2");
    reader.checkpoint("orders", 1, partition, 9).await;
    assert_eq!(generation().await, "1");
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_told_and_forgotten_once_it_does() {
    let reader = Reader::open("storefront").await;
    place(&reader, "o-1").await;
    reader.fold().await;
    reader.get(ORDER).await.ok();
    for path in
        [ORDER, "/v1/storefront/orders_by_customer?customer_id=c-1", "/v1/storefront/units_by_sku/s-1"]
    {
        reader.store.faults().fail_loads(1);
        let answer = reader.get(path).await;
        answer.problem(503, "store_unavailable");
        assert!(answer.header("retry-after").is_some());
    }
    reader.get(ORDER).await.ok();
}

/// What is done to the log after everything was folded; what is said of a position, and with which code.
type Damage = fn(&Reader, &TopicName, Partition);

/// Asks for the row of an order, once its position is visible.
async fn asked(reader: &Reader, position: &str) -> (u16, String) {
    let headers = [("tidefold-min-position", position), ("prefer", "wait=0")];
    let answer = reader.get_with(ORDER, &headers).await;
    let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
    (answer.status.as_u16(), code)
}

#[tokio::test]
async fn a_position_is_visible_only_where_the_checkpoint_is_of_the_log_that_is_there() {
    let cases: [(&str, Damage, u16, &str); 6] = [
        ("as it was", |_, _, _| (), 200, ""),
        ("records nobody folded", |reader, topic, at| reader.log.faults().skip(topic, at, 2), 200, ""),
        (
            "cut",
            |reader, topic, at| assert!(reader.log.faults().truncate(topic, at, Offset(2))),
            503,
            "projection_halted",
        ),
        ("begun anew", |reader, topic, _| reader.log.faults().recreate(topic), 503, "projection_halted"),
        (
            "begun anew and grown",
            |reader, topic, at| {
                reader.log.faults().recreate(topic);
                reader.log.faults().skip(topic, at, 9);
            },
            503,
            "projection_halted",
        ),
        (
            "without its start",
            |reader, topic, at| reader.log.faults().trim(topic, at, Offset(1)),
            503,
            "projection_halted",
        ),
    ];
    for (what, damage, status, code) in cases {
        let reader = Reader::open("storefront").await;
        let first = place(&reader, "o-1").await;
        let (partition, offset) = place_of(&first);
        reader.send("PayOrder", &json!({"order_id": "o-1"})).await;
        reader.send("ShipOrder", &json!({"order_id": "o-1"})).await;
        reader.fold().await;
        damage(&reader, &TopicName::new("orders").in_app("storefront"), Partition(partition));
        let expected = (status, code.to_owned());
        for behind in 0..3 {
            let position = format!("orders:{partition}:{}", offset + behind);
            assert_eq!(asked(&reader, &position).await, expected, "{what}: {position}");
        }
        let far = asked(&reader, &format!("orders:{partition}:999999")).await;
        assert_eq!(far, (404, "unknown_position".to_owned()), "{what}: far past the end");
        let plain = reader.get(ORDER).await;
        assert_eq!(plain.status, 200, "{what}: without a position the tables are read as they are");
    }
}

#[tokio::test]
async fn a_position_past_the_end_of_the_log_is_refused_at_once() {
    let reader = Reader::open("storefront").await;
    let (partition, offset) = place_of(&place(&reader, "o-1").await);
    reader.fold().await;
    for beyond in [offset + 1, offset + 1_000, 1 << 40] {
        let headers =
            [("tidefold-min-position", &*format!("orders:{partition}:{beyond}")), ("prefer", "wait=30")];
        let answer = reader.get_with(ORDER, &headers).await;
        let problem = answer.problem(404, "unknown_position");
        assert!(problem["detail"].as_str().unwrap().contains("ends at"), "{problem}");
    }
    let other = (0..12).find(|other| *other != partition).unwrap();
    assert_eq!(asked(&reader, &format!("orders:{other}:0")).await.0, 404);
}

#[tokio::test]
async fn a_position_behind_an_open_transaction_is_not_reached_yet_rather_than_unknown() {
    let reader = Reader::open("storefront").await;
    let (partition, offset) = place_of(&place(&reader, "o-1").await);
    reader.fold().await;
    let topic = reader.app.projections[0].log_topic();
    reader.log.faults().open_transaction(&topic, Partition(partition), 3);
    for (beyond, told) in [
        (0, (200, String::new())),
        (1, (503, "position_not_reached".to_owned())),
        (3, (503, "position_not_reached".to_owned())),
        (4, (404, "unknown_position".to_owned())),
    ] {
        let position = format!("orders:{partition}:{}", offset + beyond);
        let (status, code) = asked(&reader, &position).await;
        assert_eq!((status, if status == 200 { String::new() } else { code }), told, "{position}");
    }
}
