//! kill -9 under load: every message answered 202 has its effect exactly once.
//!
//! `TIDEFOLD_KILL_ROUNDS` sets the number of rounds (8 without it; `make soak` runs 200), `TIDEFOLD_KILL_SEED` the seed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

#[macro_use]
mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use support::backends::Backends;
use support::ledger::{Expected, Ledger, acknowledged, client, order};
use support::{Client, Draw, Node, tidefold, verify};

const CLIENTS: usize = 8;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

async fn units(client: &Client, node: &Node, sku: &str) -> i64 {
    let answer = client.get(&format!("{}/v1/storefront/units_by_sku/{sku}", node.http), &[]).await;
    answer.body["units"].as_i64().unwrap_or(0)
}

on_every_log_and_store!(kill_9_under_load_loses_nothing_and_doubles_nothing);

async fn kill_9_under_load_loses_nothing_and_doubles_nothing(backends: &Backends) {
    let rounds = setting("TIDEFOLD_KILL_ROUNDS", 8);
    let seed = setting("TIDEFOLD_KILL_SEED", 1);
    println!("seed {seed}, {rounds} rounds");
    let folder = tempfile::tempdir().unwrap();
    let mut draw = Draw(seed);
    let mut expected = Expected::default();
    let ledger = Arc::new(Ledger::default());
    let mut number = 0;
    for round in 0..rounds {
        let node = Node::start_with("storefront", folder.path(), &backends.flags());
        let target = ledger.acknowledged.load(Ordering::SeqCst) + draw.between(20, 600);
        // Enough to outlast the round; what is left over is sent in the next.
        while ledger.queue.lock().unwrap().len() < 400 {
            number += 1;
            let messages = order(&mut draw, number, &mut expected);
            ledger.queue.lock().unwrap().push_back(messages);
        }
        let mut clients = tokio::task::JoinSet::new();
        let shared = Client::new();
        for _ in 0..CLIENTS {
            clients.spawn(client(Arc::clone(&ledger), shared.clone(), node.http.clone()));
        }
        if round % 3 == 1 {
            let replay = format!("{}/admin/v1/storefront/replay", node.admin);
            let asker = shared.clone();
            clients.spawn(async move {
                let _ = asker.send("POST", &replay, &[], String::new()).await;
            });
        }
        acknowledged(&ledger, target).await;
        node.kill();
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
    }
    let node = Node::start_with("storefront", folder.path(), &backends.flags());
    let shared = Client::new();
    client(Arc::clone(&ledger), shared.clone(), node.http.clone()).await;
    settle(&node).await;
    check(&node, &shared, &expected).await;
    println!(
        "{} acknowledged, {} orders: lost 0, doubled 0",
        ledger.acknowledged.load(Ordering::SeqCst),
        expected.orders
    );
    assert_eq!(node.terminate(), Some(0));
}

/// Until everything is folded and no build is under way any more.
async fn settle(node: &Node) {
    let (code, _, err) = tidefold(&["status", "--wait", "-q", "--node", &node.admin]);
    assert_eq!(code, 0, "{err}");
    let admin = Client::new();
    loop {
        let status = admin.get(&format!("{}/admin/v1/status", node.admin), &[]).await;
        let generations = status.body["generations"].as_array().unwrap().clone();
        if !generations.iter().any(|generation| generation["state"] == "building") {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn check(node: &Node, client: &Client, expected: &Expected) {
    for (sku, wanted) in &expected.units {
        assert_eq!(units(client, node, sku).await, *wanted, "units of {sku}");
    }
    let report = verify(node, "storefront");
    let orders =
        report["tables"].as_array().unwrap().iter().find(|table| table["table"] == "orders").unwrap();
    assert_eq!(orders["rows"], expected.orders);
    for (currency, paid) in &expected.paid {
        let url = format!(
            "{}/v1/storefront/revenue_by_minute?currency={currency}&day=2026-03-01T00:00:00Z",
            node.http
        );
        let answer = client.get(&url, &[]).await;
        let items = answer.body["items"].as_array().unwrap();
        let sum: i64 = items.iter().map(|item| item["revenue_cents"].as_i64().unwrap()).sum();
        assert_eq!(sum, *paid, "revenue in {currency}");
    }
}
