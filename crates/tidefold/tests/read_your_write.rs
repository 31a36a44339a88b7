//! A caller sees its own write in every table of the projection, once it passes on the position it got.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

#[macro_use]
mod support;

use serde_json::json;
use support::backends::Backends;
use support::{Client, Node};

/// Orders in all, and how many callers place them at a time.
/// On the embedded pair; on servers each wait is a look every few milliseconds.
const ORDERS: usize = 10_000;
const ORDERS_ON_SERVERS: usize = 500;
const CALLERS: usize = 16;

async fn caller(client: Client, node: String, caller: usize, orders: usize) -> usize {
    let mut seen = 0;
    for n in (caller..orders).step_by(CALLERS) {
        let order = json!({ "order_id": format!("o-{n}"), "customer_id": format!("c-{n}"), "currency": "EUR", "total_cents": 5,
                            "items": [{ "sku": format!("s-{n}"), "qty": 3, "price_cents": 5 }] });
        let placed = client.post(&format!("{node}/v1/storefront/PlaceOrder"), &[], &order).await.unwrap();
        assert_eq!(placed.status, 202, "{placed:?}");
        let position = placed.body["position"].as_str().unwrap().to_owned();
        let headers = [("tidefold-min-position", position.as_str())];
        let index =
            client.get(&format!("{node}/v1/storefront/orders_by_customer?customer_id=c-{n}"), &headers).await;
        assert_eq!(index.body["items"][0]["order_id"], format!("o-{n}"), "index at {position}: {index:?}");
        let rollup = client.get(&format!("{node}/v1/storefront/units_by_sku/s-{n}"), &headers).await;
        assert_eq!(rollup.body["units"], 3, "rollup at {position}: {rollup:?}");
        seen += 1;
    }
    seen
}

on_every_log_and_store!(ten_thousand_writes_are_each_seen_in_an_index_and_a_rollup);

async fn ten_thousand_writes_are_each_seen_in_an_index_and_a_rollup(backends: &Backends) {
    let orders = if backends.are_embedded() { ORDERS } else { ORDERS_ON_SERVERS };
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with("storefront", folder.path(), &backends.flags());
    let client = Client::new();
    let mut callers = tokio::task::JoinSet::new();
    for n in 0..CALLERS {
        callers.spawn(caller(client.clone(), node.http.clone(), n, orders));
    }
    let mut seen = 0;
    while let Some(count) = callers.join_next().await {
        seen += count.unwrap();
    }
    assert_eq!(seen, orders);
}
