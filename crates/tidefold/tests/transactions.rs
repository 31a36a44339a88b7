//! Transactions of other producers: their markers take offsets, aborted records count for nothing, and what stands behind
//! an open one is acknowledged though nobody can read it yet. `verify` and `replay` say no more and no less than is so.

#![cfg(feature = "kafka")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

#[macro_use]
mod support;

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};
use support::backends::Backends;
use support::{Client, Node, tidefold, verify};
use tidefold_record::{Partition, partition_of};

const PARTITIONS: u32 = 12;
const PATIENCE: Duration = Duration::from_secs(30);
/// What becomes of a partition's transactions, one after the other: committed or aborted.
const ENDS: [&str; 6] = ["a", "aaa", "ca", "ac", "caca", "cccccccccc"];
/// The partition of the open transaction, and that of the breaker.
const OPEN: u32 = 7;
const HELD: u32 = 5;

/// A producer that has nothing to do with Tidefold.
fn stranger(backends: &Backends, transactional: bool) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", std::env::var("TIDEFOLD_TEST_KAFKA").unwrap());
    if transactional {
        config.set("transactional.id", format!("{}writer", backends.prefix()));
    }
    let producer: BaseProducer = config.create().unwrap();
    if transactional {
        producer.init_transactions(PATIENCE).unwrap();
    }
    producer
}

/// Sends what no schema can read, for another source each time.
fn send(producer: &BaseProducer, topic: &str, partition: u32, number: usize) {
    let (key, source) = (format!("{partition}-{number}"), format!("source-{}", number % 50));
    let header = rdkafka::message::Header { key: "ce_source", value: Some(&source) };
    let headers = rdkafka::message::OwnedHeaders::new().insert(header);
    let record = BaseRecord::to(topic).partition(partition as i32).key(&key).payload("junk").headers(headers);
    producer.send(record).map_err(|(error, _)| error).unwrap();
}

/// What a command says as JSON, and its exit code.
fn told(node: &Node, args: &[&str]) -> (i32, Value) {
    let (code, out, err) = tidefold(&[args, &["--node", &node.admin, "-o", "json", "-q"]].concat());
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{args:?}: {out}\n{err}")))
}

/// Places an order in a partition; its position.
async fn place_order(node: &Node, partition: u32) -> String {
    let key = (0..)
        .map(|n| format!("o-{n}"))
        .find(|key| partition_of(key.as_bytes(), PARTITIONS) == Partition(partition));
    let order = json!({ "order_id": key.unwrap(), "customer_id": "c-1", "currency": "EUR", "total_cents": 5,
                        "items": [] });
    let placed = Client::new().post(&format!("{}/v1/storefront/PlaceOrder", node.http), &[], &order).await;
    placed.unwrap().body["position"].as_str().unwrap().to_owned()
}

fn caught_up(node: &Node) {
    let (code, _, err) = tidefold(&["status", "--wait", "--timeout", "30s", "--node", &node.admin]);
    assert_eq!(code, 0, "{err}");
}

#[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_and_replay_say_what_is_so_whatever_transactions_others_ran() {
    let backends = Backends::of("kafka", "embedded");
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with("storefront", folder.path(), &backends.flags());
    let topic = format!("{}storefront.orders", backends.prefix());
    let writer = stranger(&backends, true);
    for (partition, ends) in (0..).zip(ENDS) {
        for (number, end) in ends.chars().enumerate() {
            writer.begin_transaction().unwrap();
            send(&writer, &topic, partition, number);
            writer.flush(PATIENCE).unwrap();
            match end {
                'c' => writer.commit_transaction(PATIENCE).unwrap(),
                _ => writer.abort_transaction(PATIENCE).unwrap(),
            }
        }
    }
    place_order(&node, OPEN).await;
    caught_up(&node);
    let report = verify(&node, "storefront");
    assert_eq!((&report["records"], &report["complete"]), (&json!(15), &json!(true)), "{report}");

    // What is acknowledged behind an open transaction is not folded, and both say so.
    writer.begin_transaction().unwrap();
    send(&writer, &topic, OPEN, 0);
    writer.flush(PATIENCE).unwrap();
    assert_eq!(place_order(&node, OPEN).await, format!("orders:{OPEN}:2"));
    let waiting = ["status", "--wait", "--timeout", "500ms", "--node", &node.admin];
    let (code, _, err) = tidefold(&waiting);
    assert_eq!(code, 7, "{err}");
    assert!(err.contains(&format!("orders:{OPEN}:1: waits, 2 records are not folded")), "{err}");
    let (code, report) = told(&node, &["verify", "storefront"]);
    assert_eq!((code, &report["complete"], &report["equal"]), (6, &json!(false), &json!(true)), "{report}");
    waits(&report["unfolded"]);
    let (code, report) = told(&node, &["replay", "storefront", "orders"]);
    assert_eq!((code, &report[0]["phase"]), (6, &json!("unfinished")), "{report}");
    waits(&report[0]["unfolded"]);
    writer.commit_transaction(PATIENCE).unwrap();
    caught_up(&node);
    assert_eq!(verify(&node, "storefront")["records"], 17);

    // Where a partition is held, its tables are compared up to there, past all markers and no further.
    let other = stranger(&backends, false);
    (100..3_100).for_each(|number| send(&other, &topic, HELD, number));
    other.flush(PATIENCE).unwrap();
    let held = |status: &Value| status.to_string().contains("held by the breaker");
    while !held(&told(&node, &["status"]).1) {
        tokio::task::yield_now().await;
    }
    let (code, report) = told(&node, &["verify", "storefront"]);
    assert_eq!((code, &report["complete"], &report["equal"]), (6, &json!(false), &json!(true)), "{report}");
}

/// One partition is named, with the first position that is not folded and what it waits for.
fn waits(unfolded: &Value) {
    let all = unfolded.as_array().unwrap();
    assert_eq!(all.len(), 1, "{unfolded}");
    assert_eq!((&all[0]["position"], &all[0]["records"]), (&json!(format!("orders:{OPEN}:1")), &json!(2)));
    assert!(all[0]["waits"].as_str().unwrap().contains("transaction is open from 1 on"), "{unfolded}");
}
