//! The fleet over three brokers and three store nodes, of which one is away: everything goes on.
//!
//! Runs where the servers of the environment are three of each (`SERVERS=3 infra/local/servers.sh up`) and this test may
//! stop them; `make chaos` starts such servers.

#![cfg(feature = "kafka")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

#[macro_use]
mod support;

use support::chaos::{Chaos, outage};
use support::fleet::{Fleet, server};
use support::setting;
use support::tables::Tables;
use support::topics::{Spread, Topics};
use tokio::time::Instant;

const TOPIC: &str = "storefront.orders";
const CONTROL: &str = "storefront.control";

/// Until all copies of all partitions are there and in sync.
fn in_sync(topics: &Topics) -> Spread {
    loop {
        let spread = topics.spread(TOPIC);
        if spread.in_sync == 3 && topics.spread(CONTROL).in_sync == 3 {
            return spread;
        }
    }
}

/// Everything has three copies, of which two have to have a record or row before it is acknowledged.
async fn is_replicated(chaos: &Chaos, topics: &Topics) {
    for topic in [TOPIC, CONTROL] {
        let spread = topics.spread(topic);
        assert_eq!(spread.replicas, 3, "{topic}: {spread:?}");
        assert_eq!(topics.setting(topic, "min.insync.replicas").await, "2", "{topic}");
        assert_eq!(topics.setting(topic, "unclean.leader.election.enable").await, "false", "{topic}");
    }
    let tables = Tables::of(&chaos.fleet.backends, "storefront").await;
    let replication = tables.replication().await;
    assert!(replication.contains("3"), "{replication}");
}

/// The broker that leads the most partitions goes away under load: others lead, nothing is refused for long.
async fn leader_restarted(chaos: &mut Chaos, topics: &Topics) {
    let before = in_sync(topics);
    let (leader, leads) = before.leads.iter().max_by_key(|(_, leads)| **leads).unwrap();
    let (leader, node) = (*leader, format!("kafka-{leader}"));
    let load = chaos.load(300);
    chaos.in_the_middle(300).await;
    server("down", &node);
    load.done().await;
    let now = topics.spread(TOPIC);
    assert!(!now.leads.contains_key(&leader) && now.in_sync == 2, "{before:?}, then {now:?}");
    let load = chaos.load(60);
    let fault = format!("{node}, leader of {leads} of 12 partitions, stopped; others lead");
    chaos.check(&fault, load).await;
    let load = chaos.load(100);
    server("up", &node);
    in_sync(topics);
    chaos.check(&format!("{node} started again and in sync"), load).await;
}

/// One of the store's nodes goes away under load: two of three copies are a quorum.
async fn store_node_stopped(chaos: &mut Chaos, number: u64) {
    let node = format!("cassandra-{number}");
    let load = chaos.load(300);
    chaos.in_the_middle(300).await;
    server("down", &node);
    let since = Instant::now();
    load.done().await;
    while since.elapsed() < outage() {
        chaos.load(60).done().await;
        chaos.settle().await;
    }
    let load = chaos.load(60);
    chaos.check(&format!("{node} of three stopped for {:?}; all goes on", outage()), load).await;
    let load = chaos.load(100);
    server("up", &node);
    chaos.check(&format!("{node} started again"), load).await;
}

#[cfg_attr(
    not(all(servers_are_there, servers_are_three)),
    ignore = "needs three of each server, this test's own: SERVERS=3, SERVERS_DIR (make chaos SERVERS=3)"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_goes_on_while_one_of_three_servers_is_away() {
    let fleet = Fleet::start();
    let mut chaos = Chaos::over(fleet);
    let topics = Topics::of(&chaos.fleet.backends);
    is_replicated(&chaos, &topics).await;
    let load = chaos.load(100);
    chaos.check("no fault, on three brokers and three store nodes", load).await;
    for round in 0..setting("TIDEFOLD_CHAOS_NODES", 3) {
        leader_restarted(&mut chaos, &topics).await;
        store_node_stopped(&mut chaos, 1 + round % 3).await;
    }
    chaos.fleet.end();
}
