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
use std::sync::atomic::{AtomicBool, Ordering};

use support::backends::Backends;
use support::ledger::{Expected, Ledger, client, order};
use support::tally::{Asked, Tally};
use support::{Client, Draw, Node, setting, tidefold};

const CLIENTS: usize = 8;

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
        let (mut clients, stop) = (tokio::task::JoinSet::new(), Arc::new(AtomicBool::new(false)));
        let shared = Client::new();
        for _ in 0..CLIENTS {
            let urls = vec![node.http.clone()];
            clients.spawn(client(Arc::clone(&ledger), shared.clone(), urls, Arc::clone(&stop)));
        }
        if round % 3 == 1 {
            let replay = format!("{}/admin/v1/storefront/replay", node.admin);
            let asker = shared.clone();
            clients.spawn(async move {
                let _ = asker.send("POST", &replay, &[("tidefold-operator", "test")], String::new()).await;
            });
        }
        ledger.acknowledged(target).await;
        node.kill();
        stop.store(true, Ordering::SeqCst);
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
    }
    let node = Node::start_with("storefront", folder.path(), &backends.flags());
    let (shared, urls) = (Client::new(), vec![node.http.clone()]);
    client(Arc::clone(&ledger), shared.clone(), urls, Arc::default()).await;
    settle(&node).await;
    let (mut tally, asked) =
        (Tally::default(), Asked { client: &shared, ingest: &node.http, query: &node.http });
    tally.count(&asked, &ledger, &expected).await;
    tally.verified(&node, &expected);
    tally.report(&format!("kill -9 of a node that is everything, {rounds} rounds"));
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
