//! Records that Tidefold's own ingest would never write, in the log of a real node.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use support::{Client, Node, tidefold, verify};
use tidefold_log::{Log, ReadLimit};
use tidefold_log_embedded::{EmbeddedLog, Settings};
use tidefold_record::{BatchBuilder, Headers, Offset, Partition, TopicName, partition_of};

const PARTITIONS: u32 = 12;

/// A good record, as ingest wrote it.
struct Good {
    key: String,
    value: Vec<u8>,
    headers: Vec<u8>,
}

/// What is appended, and which of it has to be dead.
#[derive(Default)]
struct Appends {
    batches: BTreeMap<u32, BatchBuilder>,
    dead: BTreeMap<String, &'static str>,
}

fn topic() -> TopicName {
    TopicName::new("orders").in_app("storefront")
}

fn open(data: &Path) -> EmbeddedLog {
    EmbeddedLog::open(data.join("storefront/log"), Settings::default()).unwrap()
}

/// A data folder with orders in it, and its node stopped.
async fn with_orders(data: &Path, prefix: &str, count: usize) {
    let node = Node::start("storefront", data);
    let client = Client::new();
    for n in 0..count {
        let order = json!({ "order_id": format!("{prefix}-{n}"), "customer_id": "c-1", "currency": "EUR",
                            "total_cents": 5, "items": [] });
        let url = format!("{}/v1/storefront/PlaceOrder", node.http);
        let placed = client.post(&url, &[("prefer", "wait=10")], &order).await.unwrap();
        assert_eq!(placed.body["outcome"], "applied");
    }
    assert_eq!(node.terminate(), Some(0));
}

/// Every record of a stopped node's log.
async fn records(data: &Path) -> Vec<Good> {
    let log = open(data);
    let mut all = Vec::new();
    for partition in 0..PARTITIONS {
        let limit = ReadLimit { records: 100, bytes: 1 << 20 };
        let batch = log.read(&topic(), Partition(partition), Offset::ZERO, limit).await.unwrap();
        all.extend(batch.iter().map(|record| Good {
            key: String::from_utf8(record.key.unwrap().to_vec()).unwrap(),
            value: record.value.unwrap().to_vec(),
            headers: record.headers.as_bytes().to_vec(),
        }));
    }
    all
}

/// Another key of a partition.
fn neighbor(partition: Partition) -> String {
    let mut names = (0..).map(|n| format!("neighbor-{n}"));
    names.find(|name| partition_of(name.as_bytes(), PARTITIONS) == partition).unwrap()
}

/// A bad record made of a good one: its code, partition, key and value.
type Bad = (&'static str, Partition, Option<Vec<u8>>, Option<Vec<u8>>);

fn bad(kind: usize, good: &Good) -> Bad {
    let (key, value) = (good.key.clone().into_bytes(), good.value.clone());
    let home = partition_of(&key, PARTITIONS);
    let elsewhere = Partition((home.0 + 1) % PARTITIONS);
    match kind {
        0 => ("undecodable", home, Some(key), Some([&value[..5], &[0xff; 3]].concat())),
        1 => ("no_value", home, Some(key), None),
        2 => ("no_key", home, None, Some(value)),
        3 => ("no_key", home, Some(vec![]), Some(value)),
        4 => ("wrong_partition", elsewhere, Some(key), Some(value)),
        5 => ("key_mismatch", home, Some(neighbor(home).into_bytes()), Some(value)),
        6 => ("unknown_schema", home, Some(key), Some([&[0, 0, 1, 0x86, 0x9f], &value[5..]].concat())),
        _ => ("bad_frame", home, Some(key), Some([&[7], &value[1..]].concat())),
    }
}

/// A bad record before every good one.
async fn append(data: &Path, good: &[Good]) -> Appends {
    let log = open(data);
    let mut appends = Appends::default();
    for (n, record) in good.iter().enumerate() {
        let headers = Headers::parse(&record.headers).unwrap();
        let (code, partition, key, value) = bad(n % 8, record);
        let end = log.bounds(&topic(), partition).await.unwrap().end;
        let batch = appends.batches.entry(partition.0).or_default();
        appends.dead.insert(format!("orders:{}:{}", partition.0, end.0 + batch.len() as u64), code);
        batch.push(key.as_deref(), value.as_deref(), headers);
        let home = partition_of(record.key.as_bytes(), PARTITIONS);
        let batch = appends.batches.entry(home.0).or_default();
        batch.push(Some(record.key.as_bytes()), Some(&record.value), headers);
    }
    for (partition, batch) in &appends.batches {
        log.append(&topic(), Partition(*partition), batch.clone()).await.unwrap();
    }
    appends
}

fn printed(args: &[&str]) -> Value {
    let (code, out, err) = tidefold(args);
    assert_eq!(code, 0, "{args:?}: {err}");
    serde_json::from_str(&out).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_records_are_dead_letters_and_keep_nobody_else_back() {
    let (folder, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_orders(folder.path(), "old", 3).await;
    with_orders(source.path(), "new", 16).await;
    let good = records(source.path()).await;
    assert_eq!(good.len(), 16);
    let appends = append(folder.path(), &good).await;
    let node = Node::start("storefront", folder.path());
    let status = printed(&["status", "--wait", "-q", "-o", "json", "--node", &node.admin]);
    let verdicts = &status["generations"][0]["verdicts"];
    assert_eq!((&verdicts["applied"], &verdicts["dead"]), (&json!(16), &json!(16)), "{verdicts}");
    let client = Client::new();
    for key in good.iter().map(|record| record.key.as_str()).chain(["old-0", "old-1", "old-2"]) {
        let order = client.get(&format!("{}/v1/storefront/orders/{key}", node.http), &[]).await;
        assert_eq!((order.status, order.body["status"].as_str()), (200, Some("placed")), "{key}");
    }
    let listed = printed(&["dead-letters", "list", "storefront", "-o", "json", "--node", &node.admin]);
    let listed = listed.as_array().unwrap();
    let found: BTreeMap<_, _> = listed
        .iter()
        .map(|letter| (letter["position"].as_str().unwrap().to_owned(), letter["code"].as_str().unwrap()))
        .collect();
    assert_eq!(found, appends.dead);
    for letter in listed {
        assert_ne!(letter["detail"], "", "{letter}");
        let position = letter["position"].as_str().unwrap();
        let shown = printed(&["dead-letters", "show", position, "-o", "json", "--node", &node.admin]);
        assert_eq!(&shown, letter);
    }
    let (code, out, _) = tidefold(&["dead-letters", "list", "storefront", "--node", &node.admin]);
    assert_eq!((code, out.lines().count()), (0, 17), "{out}");
    verify(&node, "storefront");
    assert_eq!(node.terminate(), Some(0));
}
