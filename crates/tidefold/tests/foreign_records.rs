//! Records that Tidefold's own ingest would never write, in the log of a real node.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

#[macro_use]
mod support;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use support::backends::Backends;
use support::tally::Tally;
use support::{Client, Node, tidefold, verify};
use tidefold_log::{Log, ReadLimit};
use tidefold_log_embedded::EmbeddedLog;
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
    /// The last record of each partition.
    last: Vec<String>,
}

fn topic() -> TopicName {
    TopicName::new("orders").in_app("storefront")
}

/// Orders placed at a node.
async fn place_orders(node: &Node, prefix: &str, count: usize) {
    let client = Client::new();
    for n in 0..count {
        let order = json!({ "order_id": format!("{prefix}-{n}"), "customer_id": "c-1", "currency": "EUR",
                            "total_cents": 5, "items": [] });
        let url = format!("{}/v1/storefront/PlaceOrder", node.http);
        let placed = client.post(&url, &[("prefer", "wait=10")], &order).await.unwrap();
        assert_eq!(placed.body["outcome"], "applied");
    }
}

/// Good records: those of another node, which is gone.
async fn records(data: &Path) -> Vec<Good> {
    let log = EmbeddedLog::open(data.join("storefront/log"), Default::default()).unwrap();
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
async fn append(log: &dyn Log, good: &[Good]) -> Appends {
    let mut appends = Appends::default();
    for (n, record) in good.iter().enumerate() {
        let headers = Headers::parse(&record.headers).unwrap();
        let (code, partition, key, value) = bad(n % 8, record);
        let end = log.bounds(&topic(), partition).await.unwrap().end;
        let batch = appends.batches.entry(partition.0).or_default();
        appends.dead.insert(format!("orders:{}:{}", partition.0, end.0 + batch.len() as u64), code);
        // Other producers need not give any.
        let given = if code == "bad_frame" { Headers::default() } else { headers };
        batch.push(key.as_deref(), value.as_deref(), given);
        let home = partition_of(record.key.as_bytes(), PARTITIONS);
        let batch = appends.batches.entry(home.0).or_default();
        batch.push(Some(record.key.as_bytes()), Some(&record.value), headers);
    }
    for (partition, batch) in &appends.batches {
        let appended = log.append(&topic(), Partition(*partition), batch.clone()).await.unwrap();
        let last = appended.offset(batch.len() - 1).unwrap();
        appends.last.push(format!("orders:{partition}:{last}"));
    }
    appends
}

fn printed(args: &[&str]) -> Value {
    let (code, out, err) = tidefold(args);
    assert_eq!(code, 0, "{args:?}: {err}");
    serde_json::from_str(&out).unwrap()
}

on_every_log_and_store!(foreign_records_are_dead_letters_and_keep_nobody_else_back);

async fn foreign_records_are_dead_letters_and_keep_nobody_else_back(backends: &Backends) {
    let (folder, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let other = Node::start("storefront", source.path());
    place_orders(&other, "new", 16).await;
    assert_eq!(other.terminate(), Some(0));
    let good = records(source.path()).await;
    assert_eq!(good.len(), 16);
    let mut node = Node::start_with("storefront", folder.path(), &backends.flags());
    place_orders(&node, "old", 3).await;
    // A folder belongs to one process; into a topic, others write while it is folded.
    if backends.log_is_embedded() {
        assert_eq!(node.terminate(), Some(0));
        let log = backends.open_log(folder.path(), "storefront");
        let appends = append(&*log, &good).await;
        drop(log);
        node = Node::start_with("storefront", folder.path(), &backends.flags());
        judged(&node, &good, &appends, 0).await;
    } else {
        let appends = append(&*backends.open_log(folder.path(), "storefront"), &good).await;
        judged(&node, &good, &appends, 3).await;
    }
    assert_eq!(node.terminate(), Some(0));
}

/// All good records are folded, and every bad one is a dead letter with its coordinates; `placed` orders came
/// through the node itself.
async fn judged(node: &Node, good: &[Good], appends: &Appends, placed: u64) {
    for position in &appends.last {
        visible(node, position).await;
    }
    let status = printed(&["status", "--wait", "-q", "-o", "json", "--node", &node.admin]);
    let verdicts = &status["generations"][0]["verdicts"];
    let number = |verdict: &str| verdicts[verdict].as_u64().unwrap();
    let (applied, dead) = (number("applied"), number("dead"));
    assert_eq!((applied, dead), (placed + 16, 16), "{verdicts}");
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
        for (member, value) in letter.as_object().unwrap() {
            assert_eq!(&shown[member], value, "{member} of {position}");
        }
    }
    for kind in listed.iter().filter_map(|letter| letter["type"].as_str()) {
        let of_kind = |more: &[&str]| {
            let list =
                ["dead-letters", "list", "storefront", "-o", "json", "--node", &node.admin, "--type", kind];
            printed(&[&list[..], more].concat()).as_array().unwrap().len()
        };
        let all = listed.iter().filter(|letter| letter["type"] == kind).count();
        // Whether the app has the type or not; and where other filters leave nothing, that is no mistake.
        assert_eq!((of_kind(&[]), of_kind(&["--until", "24h"])), (all, 0), "{kind}");
    }
    let (code, out, _) = tidefold(&["dead-letters", "list", "storefront", "--node", &node.admin]);
    assert_eq!((code, out.lines().count()), (0, 17), "{out}");
    let timed = listed.iter().filter(|letter| letter["time"].is_string()).count();
    assert_eq!(timed, 14, "a record of another producer has a time only if that gave it one");
    for (flag, time) in [("--since", "1970-01-01T00:00:00Z"), ("--until", "2999-01-01T00:00:00Z")] {
        let call = ["dead-letters", "list", "storefront", flag, time, "--node", &node.admin];
        let (code, out, _) = tidefold(&call);
        let note = format!("\n\n{} more have no time to choose by", 16 - timed);
        assert_eq!(code, 0, "{out}");
        assert!(out.contains(&note), "{out}");
        assert_eq!(printed(&[&call[..], &["-o", "json"]].concat()).as_array().unwrap().len(), timed);
    }
    verify(node, "storefront");
    let tally = Tally { acknowledged: placed + 32, applied, dead, ..Tally::default() };
    tally.report("garbage, no key, wrong partition, unknown schema … in the topic");
}

/// Until a position is folded: a node hears of other producers' records a moment later.
async fn visible(node: &Node, position: &str) {
    let headers = [("tidefold-min-position", position), ("prefer", "wait=30")];
    let url = format!("{}/v1/storefront/orders_by_customer?customer_id=c-1", node.http);
    let answer = Client::new().get(&url, &headers).await;
    assert_eq!(answer.status, 200, "{position}: {answer:?}");
}
