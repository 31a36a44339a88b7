//! Damage of stored rows stops the partitions whose rows they are, and no other: also after a roll back, with several rows
//! damaged at once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use support::{Client, Node, tidefold};
use tidefold_record::{Offset, Partition, partition_of};
use tidefold_store::{Lane, Store, Table, TableWrites};
use tidefold_store_embedded::EmbeddedStore;
use tidefold_table::{RowWrite, Stamp, TableId, checkpoint};
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);
const PARTITIONS: u32 = 4;
const ORDERS: u32 = 40;

/// The app of `data_folders/` in four partitions.
fn app(folder: &Path) -> PathBuf {
    let (from, to) =
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data_folders/shop"), folder.join("shop"));
    std::fs::create_dir(&to).unwrap();
    let toml = std::fs::read_to_string(from.join("app.toml")).unwrap();
    std::fs::write(to.join("app.toml"), toml.replace("partitions = 2", "partitions = 4")).unwrap();
    std::fs::copy(from.join("PlaceOrder.avsc"), to.join("PlaceOrder.avsc")).unwrap();
    to
}

/// Sends a command for each order: with a new id each, so that all but the first are rejected.
async fn place(client: &Client, node: &Node, round: u32) {
    for order in 0..ORDERS {
        let body = json!({ "order_id": format!("o-{order}"), "customer_id": "c-1", "cents": 5 });
        let id = format!("m-{round}-{order}");
        let url = format!("{}/v1/shop/PlaceOrder", node.http);
        let answer = client.post(&url, &[("idempotency-key", &id)], &body).await.unwrap();
        assert_eq!(answer.status, 202, "{answer:?}");
    }
}

/// The partitions of the active generation, once each is folded or halted.
async fn settled(client: &Client, node: &Node) -> Vec<Value> {
    let since = Instant::now();
    loop {
        let status = client.get(&format!("{}/admin/v1/status", node.admin), &[]).await.body;
        let generations = status["generations"].as_array().unwrap();
        let active = generations.iter().find(|generation| generation["state"] == "active").unwrap();
        let partitions = active["partitions"].as_array().unwrap().clone();
        let is_settled = |partition: &Value| {
            partition["lag_records"] == 0 || partition["state"].as_str().unwrap().contains("halted")
        };
        if partitions.len() == PARTITIONS as usize && partitions.iter().all(is_settled) {
            assert_eq!(active["halted"], Value::Null);
            return partitions;
        }
        assert!(since.elapsed() < PATIENCE, "{status}");
        tokio::task::yield_now().await;
    }
}

fn run(node: &Node, command: &[&str]) {
    let (code, out, err) = tidefold(&[command, &["--node", &node.admin]].concat());
    assert_eq!(code, 0, "{command:?}: {out}{err}");
}

async fn overwrite(store: &EmbeddedStore, lane: &Lane, table: &TableId, key: Bytes) {
    let row = RowWrite { key, value: Some(Bytes::from_static(&[0x90])), stamp: Stamp::put(Offset(1 << 30)) };
    store.write(lane, &[TableWrites { table: table.clone(), rows: vec![row] }]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_roll_back_only_the_partitions_of_damaged_rows_halt() {
    let folder = tempfile::tempdir().unwrap();
    let (app, data, client) = (app(folder.path()), folder.path().join("data"), Client::new());
    let node = Node::try_start(&app, &data, &[]).unwrap();
    place(&client, &node, 0).await;
    settled(&client, &node).await;
    run(&node, &["replay", "shop"]);
    run(&node, &["rollback", "shop", "orders"]);
    assert_eq!(node.terminate(), Some(0));

    let of_row = partition_of(b"o-0", PARTITIONS);
    let of_checkpoint = Partition((of_row.0 + 1) % PARTITIONS);
    let store = EmbeddedStore::open(data.join("shop/store"), Default::default()).unwrap();
    let loaded = tidefold_app::load(tidefold::folder::read(&app, false).unwrap().0).unwrap();
    let mut damaged = Vec::new();
    for generation in [1, 2] {
        let tables = loaded.projection("orders").unwrap().tables(generation);
        let all: Vec<_> =
            tables.all().map(|t| Table { id: t.id.clone(), layout: t.layout.clone() }).collect();
        store.open(&all).await.unwrap();
        let lane = |partition: Partition| Lane {
            checkpoints: tables.checkpoints.id.clone(),
            partition: partition.0,
        };
        let entity = tables.entity.as_ref().unwrap().id.clone();
        overwrite(&store, &lane(of_row), &entity, Bytes::from_static(b"o-0")).await;
        let checkpoints = tables.checkpoints.id.clone();
        overwrite(&store, &lane(of_checkpoint), &checkpoints, checkpoint::key(of_checkpoint)).await;
        damaged.push((entity.to_string(), checkpoints.to_string()));
    }
    drop(store);

    let node = Node::try_start(&app, &data, &[]).unwrap();
    place(&client, &node, 1).await;
    let (entity, checkpoints) = &damaged[0];
    for partition in settled(&client, &node).await {
        let (number, state) =
            (partition["partition"].as_u64().unwrap(), partition["state"].as_str().unwrap());
        let parts = if number == u64::from(of_row.0) {
            vec!["halted", entity, "key o-0", "format", "tidefold replay"]
        } else if number == u64::from(of_checkpoint.0) {
            assert_eq!(partition["lag_records"], partition["end"], "{partition}");
            vec!["halted", checkpoints, "partition", "format", "tidefold replay", "from the log's start"]
        } else {
            assert!(!state.contains("halted") && !state.contains("damaged"), "{partition}");
            vec![]
        };
        assert!(parts.iter().all(|part| state.contains(part)), "{parts:?}: {partition}");
    }
}
