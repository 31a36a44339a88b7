//! Statements that somebody runs by hand on the tables of a running fleet, without our timestamps.

#![cfg(feature = "kafka")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

#[macro_use]
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use support::chaos::Chaos;
use support::fleet::{Fleet, Kind};
use support::tables::Tables;
use support::{Answer, tidefold};
use tidefold_record::partition_of;
use tokio::time::Instant;

const ORDER: &str = "o-3";
const PATIENCE: Duration = Duration::from_secs(60);

/// What everybody says of a row that somebody else wrote.
const SAID: &str = "a statement without our timestamp wrote its column";

/// Overwrites an order, and all that another partition has added to a rollup; which two, and a row of the latter.
async fn overwrite(tables: &Tables) -> (u32, String, u32) {
    let home = partition_of(ORDER.as_bytes(), 12).0;
    let rows = tables.texts(r#"SELECT JSON sku, "_shard" FROM KS.units_by_sku_g1"#).await;
    let rows = rows.iter().map(|row| serde_json::from_str::<Value>(row).unwrap());
    let place =
        |row: Value| (row["sku"].as_str().unwrap().to_owned(), row["_shard"].as_u64().unwrap() as u32);
    let rows: Vec<_> = rows.map(place).filter(|(_, shard)| *shard != home).collect();
    let (sku, shard) = rows[0].clone();
    let order = format!(r#""_key" = textAsBlob('{ORDER}')"#);
    tables.run(&format!(r#"UPDATE KS.orders_g1 SET "_value" = 0x42 WHERE {order}"#)).await;
    for (sku, _) in rows.iter().filter(|row| row.1 == shard) {
        let row = format!(r#"sku = '{sku}' AND "_shard" = {shard}"#);
        tables.run(&format!(r#"UPDATE KS.units_by_sku_g1 SET "_value" = 0x42 WHERE {row}"#)).await;
    }
    (home, sku, shard)
}

/// The partitions that are halted, whoever has them, and what is said of them.
async fn halted(chaos: &Chaos) -> BTreeMap<u32, String> {
    let mut halted = BTreeMap::new();
    for node in &chaos.fleet.project {
        let status = chaos.client.get(&format!("{}/admin/v1/status", node.admin), &[]).await.body;
        for generation in status["generations"].as_array().unwrap() {
            for partition in generation["partitions"].as_array().unwrap() {
                let state = partition["state"].as_str().unwrap();
                if state.starts_with("halted") {
                    halted.insert(partition["partition"].as_u64().unwrap() as u32, state.to_owned());
                }
            }
        }
    }
    halted
}

async fn get(chaos: &Chaos, path: &str) -> Answer {
    chaos.client.get(&format!("{}/v1/storefront/{path}", chaos.fleet.query[0].http), &[]).await
}

#[cfg_attr(
    not(servers_are_there),
    ignore = "needs Kafka and a CQL server: TIDEFOLD_TEST_KAFKA, TIDEFOLD_TEST_CQL (make servers-up)"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_written_by_hand_are_found_quarantined_and_mended_by_a_replay() {
    let kinds = [Kind::Project, Kind::Project, Kind::Ingest, Kind::Query];
    let fleet = Fleet::of_kinds(&kinds);
    let mut chaos = Chaos::over(fleet);
    chaos.load(60).done().await;
    chaos.settle().await;
    let tables = Tables::of(&chaos.fleet.backends, "storefront").await;
    let (home, sku, shard) = overwrite(&tables).await;

    // Readers are told, and nobody is shown what somebody else wrote.
    for path in [format!("orders/{ORDER}"), format!("units_by_sku/{sku}")] {
        let answer = get(&chaos, &path).await;
        assert_eq!(answer.status, 500, "{path}: {answer:?}");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(SAID) && detail.contains("tidefold replay"), "{detail}");
    }
    assert_eq!(get(&chaos, "orders/o-4").await.status, 200);
    let (code, out, err) = tidefold(&["verify", "storefront", "--node", &chaos.fleet.project[0].admin]);
    assert!(code != 0 && out.contains(SAID), "{code}: {out}{err}");

    // Whoever folds on from such a row stops, with its partition; all others go on.
    for _ in 0..2 {
        chaos.fleet.project.remove(0).kill();
        chaos.fleet.add(Kind::Project);
    }
    let load = chaos.load(100);
    let again =
        json!({ "order_id": ORDER, "customer_id": "c-3", "currency": "EUR", "total_cents": 1, "items": [] });
    let url = format!("{}/v1/storefront/PlaceOrder", chaos.fleet.ingest[0].http);
    assert_eq!(chaos.client.post(&url, &[], &again).await.unwrap().status, 202);
    load.done().await;
    let (mut lanes, since) = (halted(&chaos).await, Instant::now());
    while lanes.len() < 2 {
        assert!(since.elapsed() < PATIENCE, "only {lanes:?}");
        lanes = halted(&chaos).await;
    }
    let partitions: Vec<u32> = lanes.keys().copied().collect();
    assert_eq!(partitions, [home.min(shard), home.max(shard)], "{lanes:?}");
    for said in lanes.values() {
        assert!(
            said.contains(SAID) && said.contains("damaged at ") && said.contains("tidefold replay"),
            "{said}"
        );
    }
    chaos.settle_but(&partitions).await;

    // What it says to do helps: a replay that is told to accept that the active tables differ.
    let admin = chaos.fleet.project[0].admin.clone();
    let (code, out, err) = tidefold(&["replay", "storefront", "-q", "--node", &admin]);
    assert!(code != 0 && format!("{out}{err}").contains(SAID), "{code}: {out}{err}");
    let replay = ["replay", "storefront", "--accept-differences", "-q", "--node", &admin];
    let (code, out, err) = tidefold(&replay);
    assert_eq!(code, 0, "{out}{err}");
    let load = chaos.load(10);
    chaos.check("rows overwritten by hand, quarantined, replayed", load).await;
    chaos.fleet.end();
}

#[cfg_attr(
    not(servers_are_there),
    ignore = "needs Kafka and a CQL server: TIDEFOLD_TEST_KAFKA, TIDEFOLD_TEST_CQL (make servers-up)"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_only_tools_read_is_looked_at_by_verify() {
    let fleet = Fleet::of_kinds(&[Kind::Project, Kind::Ingest, Kind::Query]);
    let mut chaos = Chaos::over(fleet);
    chaos.load(30).done().await;
    chaos.settle().await;
    let tables = Tables::of(&chaos.fleet.backends, "storefront").await;
    let placed = "2026-03-01T12:00:00Z";
    tables
        .run(&format!(
            "UPDATE KS.orders_by_customer_g1 SET status = 'shipped' \
             WHERE customer_id = 'c-3' AND placed_at = '{placed}' AND order_id = '{ORDER}'"
        ))
        .await;
    chaos.count("a column of an index overwritten by hand: readers do not see it").await;
    let (code, out, err) = tidefold(&["verify", "storefront", "--node", &chaos.fleet.project[0].admin]);
    assert!(code != 0 && out.contains(SAID) && out.contains("orders_by_customer"), "{code}: {out}{err}");
    chaos.fleet.end();
}
