//! Damage of a stored row, of every kind, as every reader of it tells it: table, key, what was found, what to do. Who reads
//! the row stops there; who does not goes on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use support::{Client, Node, tidefold};
use tidefold_record::Offset;
use tidefold_store::{Lane, Scan, Store, Table, TableWrites};
use tidefold_store_embedded::EmbeddedStore;
use tidefold_table::{GenerationTable, GenerationTables, RowWrite, Stamp, TableKind};
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);

/// A kind of row, what its key is called, and who reads it.
const CASES: &[(TableKind, &str, &[&str])] = &[
    (TableKind::Entity, "key o-1", &["row", "app", "verify", "fold"]),
    (TableKind::Index, "customer_id=c-1, order_id=o-1", &["list", "app", "verify"]),
    (TableKind::Rollup, "customer_id=c-1, shard 0", &["group", "groups", "app", "verify", "fold"]),
    (TableKind::Verdicts, "partition 0, offset 1", &["outcome", "dead letters", "verify", "fold"]),
    (TableKind::Checkpoints, "partition 0", &["row", "list", "group", "groups", "outcome", "verify", "fold"]),
];

type Change = fn(&[u8]) -> Vec<u8>;

/// What is done to a row's value, and what is found then.
const DAMAGES: &[(&str, Change)] =
    &[("format", |value| [&[value[0] | 0x90], &value[1..]].concat()), (" of 1", |value| vec![value[0]])];

/// The app of `data_folders/` in one partition.
fn app(folder: &Path) -> PathBuf {
    let (from, to) =
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data_folders/shop"), folder.join("shop"));
    std::fs::create_dir(&to).unwrap();
    let toml = std::fs::read_to_string(from.join("app.toml")).unwrap();
    std::fs::write(to.join("app.toml"), toml.replace("partitions = 2", "partitions = 1")).unwrap();
    std::fs::copy(from.join("PlaceOrder.avsc"), to.join("PlaceOrder.avsc")).unwrap();
    to
}

async fn place(client: &Client, node: &Node, id: &str, order: &str) -> u16 {
    let body = json!({ "order_id": order, "customer_id": "c-1", "cents": 5 });
    let headers = [("prefer", "wait=10"), ("idempotency-key", id)];
    client.post(&format!("{}/v1/shop/PlaceOrder", node.http), &headers, &body).await.unwrap().status
}

/// A data folder with an order and a command that was rejected.
async fn used(app: &Path, data: &Path) {
    let (node, client) = (Node::try_start(app, data, &[]).unwrap(), Client::new());
    assert_eq!(place(&client, &node, "m-1", "o-1").await, 200);
    assert_eq!(place(&client, &node, "m-2", "o-1").await, 409);
    assert_eq!(node.terminate(), Some(0));
}

fn of_kind(tables: &GenerationTables, kind: TableKind) -> &GenerationTable {
    tables.all().find(|table| table.layout.kind == kind).unwrap()
}

/// Damages the row of this kind, as nothing but a mistake of ours could.
async fn damage(app: &Path, data: &Path, kind: TableKind, change: fn(&[u8]) -> Vec<u8>) -> String {
    let store = EmbeddedStore::open(data.join("shop/store"), Default::default()).unwrap();
    let app = tidefold_app::load(tidefold::folder::read(app, false).unwrap().0).unwrap();
    let tables = app.projection("orders").unwrap().tables(1);
    let table = of_kind(&tables, kind);
    let opened = Table { id: table.id.clone(), layout: table.layout.clone() };
    store.open(&[opened]).await.unwrap();
    let rows = store.scan(&table.id, &Scan::All { after: None, limit: 10 }).await.unwrap();
    let row = &rows[0];
    let value = Some(Bytes::from(change(&row.value)));
    let row = RowWrite { key: row.key.clone(), value, stamp: Stamp::put(Offset(9)) };
    let lane = Lane { checkpoints: tables.checkpoints.id.clone(), partition: 0 };
    store.write(&lane, &[TableWrites { table: table.id.clone(), rows: vec![row] }]).await.unwrap();
    table.id.to_string()
}

/// What each reader says: nothing where all is well.
async fn said(node: &Node, client: &Client) -> BTreeMap<&'static str, String> {
    let mut said = BTreeMap::new();
    for (reader, path) in [
        ("row", "/orders/o-1"),
        ("list", "/by_customer?customer_id=c-1"),
        ("group", "/cents_by_customer/c-1"),
        ("groups", "/cents_by_customer?customer_id=c-1"),
        ("outcome", "/outcomes/orders:0:1"),
        ("app", ""),
    ] {
        let answer = client.get(&format!("{}/v1/shop{path}", node.http), &[]).await;
        if answer.status != 200 {
            assert_eq!((answer.status, &answer.body["code"]), (500, &json!("damaged")), "{answer:?}");
            said.insert(reader, answer.body["detail"].to_string());
        }
    }
    for (reader, command) in
        [("dead letters", &["dead-letters", "list", "shop"][..]), ("verify", &["verify", "shop"])]
    {
        let (code, out, err) = tidefold(&[command, &["--node", &node.admin]].concat());
        if code != 0 {
            said.insert(reader, format!("{out}{err}"));
        }
    }
    if let Some(halt) = halt(node, client).await {
        said.insert("fold", halt);
    }
    said
}

/// The active generation, as the status tells it.
async fn active(node: &Node, client: &Client) -> serde_json::Value {
    let status = client.get(&format!("{}/admin/v1/status", node.admin), &[]).await.body;
    let generations = status["generations"].as_array().unwrap();
    generations.iter().find(|generation| generation["state"] == "active").unwrap_or(&status).clone()
}

/// Folds on from the rows that are there: how the lane halts, if it does.
async fn halt(node: &Node, client: &Client) -> Option<String> {
    let url = format!("{}/v1/shop/PlaceOrder", node.http);
    for (id, order) in [("m-3", "o-1"), ("m-4", "o-2")] {
        let body = json!({ "order_id": order, "customer_id": "c-1", "cents": 5 });
        let _ = client.post(&url, &[("idempotency-key", id)], &body).await;
    }
    let since = Instant::now();
    loop {
        let generation = active(node, client).await;
        let partition = &generation["partitions"][0];
        let state = partition["state"].as_str().unwrap_or_default();
        if state.contains("halted") {
            return Some(generation.to_string());
        }
        // Both that were sent, behind the two that were there.
        if partition["next"].as_u64() >= Some(4) && partition["lag_records"] == 0 {
            return None;
        }
        assert!(since.elapsed() < PATIENCE, "{generation}");
        tokio::task::yield_now().await;
    }
}

/// Does what the damage's message says: builds the tables anew. What is wrong with them then, if anything.
async fn replaced(node: &Node, client: &Client) -> Option<String> {
    for command in [&["replay", "shop", "--accept-differences"][..], &["retire", "shop"]] {
        let (code, out, err) = tidefold(&[command, &["--node", &node.admin]].concat());
        if code != 0 {
            return Some(format!("{command:?}: {code}: {out}{err}"));
        }
    }
    let said = said(node, client).await;
    (!said.is_empty()).then(|| format!("{said:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_named_by_everybody_who_reads_the_row_and_is_gone_after_the_replay_it_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let (app, whole, client) = (app(folder.path()), folder.path().join("whole"), Client::new());
    used(&app, &whole).await;
    let mut wrong = Vec::new();
    for (kind, key, readers) in CASES {
        for (at, (found, change)) in DAMAGES.iter().enumerate() {
            let data = folder.path().join(format!("{kind:?}_{at}"));
            let copied = Command::new("cp").arg("-r").arg("--sparse=always").args([&whole, &data]).status();
            assert!(copied.unwrap().success());
            let table = damage(&app, &data, *kind, *change).await;
            let node = Node::try_start(&app, &data, &[]).unwrap_or_else(|said| panic!("{kind:?}: {said}"));
            let said = said(&node, &client).await;
            let who: Vec<&str> = said.keys().copied().collect();
            let mut wanted = readers.to_vec();
            wanted.sort_unstable();
            if who != wanted {
                wrong.push(format!("{kind:?}: {who:?} tell of it, not {wanted:?}: {said:#?}"));
            }
            for (reader, said) in said {
                let name = table.rsplit_once("_g").map_or("", |(name, _)| name.trim_start_matches("shop."));
                // It folds anew and compares bytes: to it a damaged row is one that is another.
                let compares = matches!(kind, TableKind::Entity | TableKind::Index | TableKind::Rollup);
                let parts = match reader {
                    "verify" if compares => {
                        vec![name, "is another than the log's", "tables differ from the log"]
                    }
                    _ => vec![&*table, key, found, "tidefold replay"],
                };
                let missing = parts.into_iter().filter(|part| !said.contains(part));
                wrong.extend(missing.map(|part| format!("{reader} of {kind:?} does not say {part}: {said}")));
            }
            if matches!(kind, TableKind::Verdicts | TableKind::Checkpoints) {
                let (code, out, err) = tidefold(&["replay", "shop", "--node", &node.admin]);
                let is_refused = code != 0 && [&*table, key, found].iter().all(|part| err.contains(part));
                wrong
                    .extend((!is_refused).then(|| format!("{kind:?}: replay ended with {code}: {out}{err}")));
            }
            wrong.extend(replaced(&node, &client).await.map(|said| format!("{kind:?}, replaced: {said}")));
            drop(node);
            std::fs::remove_dir_all(&data).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_kind_of_row_of_a_generation_is_here() {
    let kinds: Vec<TableKind> = CASES.iter().map(|(kind, ..)| *kind).collect();
    // The copy of control has its own: see `crates/control-log`.
    assert!(TableKind::ALL.iter().all(|kind| kinds.contains(kind) || *kind == TableKind::ControlCopy));
}
