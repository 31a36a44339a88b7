//! A fleet on real Kafka and Cassandra under load, while processes are killed, stopped and overtaken, and servers go away.
//! After each fault every message answered 202 has its effect exactly once, `verify` is clean, and the rollups equal the
//! ledger that the clients keep.
//!
//! `make chaos` runs the whole list (`TIDEFOLD_CHAOS_KILLS=200 TIDEFOLD_CHAOS_PAUSES=50 TIDEFOLD_CHAOS_OUTAGE=60`); the
//! tests run a short form.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

#[macro_use]
mod support;

use support::chaos::{Chaos, outage};
use support::fleet::{Fleet, KINDS, owns_servers, server};
use support::setting;
use tokio::time::Instant;

/// kill -9 of a process of any kind, and a new one in its place.
async fn kills(chaos: &mut Chaos, rounds: u64) {
    for round in 0..rounds {
        let kind = KINDS[chaos.draw.between(0, 3) as usize];
        let load = chaos.load(60);
        chaos.in_the_middle(60).await;
        let place = chaos.draw.between(0, 2) as usize;
        chaos.fleet.of(kind).remove(place).kill();
        chaos.fleet.add(kind);
        load.done().await;
        if round % 10 == 9 || round + 1 == rounds {
            let load = chaos.load(10);
            chaos.check(&format!("kill -9, {} rounds, last of {kind:?}", round + 1), load).await;
        }
    }
}

/// A projector that stands still past its session: another takes over, then the first wakes up as a stale owner.
async fn pauses(chaos: &mut Chaos, rounds: u64) {
    for round in 0..rounds {
        let load = chaos.load(60);
        chaos.in_the_middle(60).await;
        chaos.fleet.project[1].signal("-STOP");
        // Taken over: what was sent is folded although its owner does not move.
        load.done().await;
        chaos.settle().await;
        chaos.fleet.project[1].signal("-CONT");
        let load = chaos.load(30);
        chaos.check(&format!("SIGSTOP past the session and SIGCONT, round {}", round + 1), load).await;
    }
}

/// The broker goes away and comes back: what is sent meanwhile is refused or unknown, and sent again. Readers go on.
async fn broker_away(chaos: &mut Chaos) {
    let load = chaos.load(300);
    chaos.in_the_middle(300).await;
    server("down", "kafka-1");
    chaos.refused(outage()).await;
    let url = format!("{}/v1/storefront/units_by_sku/sku-0", chaos.fleet.query[0].http);
    let answer = chaos.client.get(&url, &[]).await;
    assert_eq!(answer.status, 200, "the store answers though the log is away: {answer:?}");
    server("up", "kafka-1");
    chaos.check(&format!("broker stopped for {:?}", outage()), load).await;
}

/// The store goes away: ingest goes on answering 202, nothing becomes a dead letter, and readers are told how old it is
/// what they read.
async fn store_away(chaos: &mut Chaos) {
    let load = chaos.load(60);
    chaos.in_the_middle(60).await;
    server("down", "cassandra-1");
    let (since, before) = (Instant::now(), chaos.acknowledged());
    load.done().await;
    while since.elapsed() < outage() {
        chaos.load(60).done().await;
    }
    assert!(chaos.acknowledged() > before, "ingest answered 202 while the store was away");
    let url = format!("{}/v1/storefront/units_by_sku/sku-0", chaos.fleet.query[0].http);
    let answer = chaos.client.get(&url, &[]).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
    // Nobody folds while the store comes back, so that readers find it as it was.
    chaos.fleet.project.iter().for_each(|node| node.signal("-STOP"));
    server("up", "cassandra-1");
    let old = loop {
        let answer = chaos.client.get(&url, &[]).await;
        if answer.status != 503 {
            break answer;
        }
    };
    assert_eq!(old.status, 200, "{old:?}");
    let age: u128 = old.headers["tidefold-age-ms"].to_str().unwrap().parse().unwrap();
    assert!(age >= outage().as_millis(), "rows from before the outage are {age} ms old: {old:?}");
    assert!(old.headers.contains_key("tidefold-position"), "{old:?}");
    chaos.fleet.project.iter().for_each(|node| node.signal("-CONT"));
    let load = chaos.load(10);
    let said = chaos.acknowledged() - before;
    chaos.check(&format!("store stopped for {:?}; {said} times 202 meanwhile", outage()), load).await;
}

#[cfg_attr(
    not(servers_are_there),
    ignore = "needs Kafka and a CQL server: TIDEFOLD_TEST_KAFKA, TIDEFOLD_TEST_CQL (make servers-up)"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_under_faults_loses_nothing_and_doubles_nothing() {
    let fleet = Fleet::start();
    let mut chaos = Chaos::over(fleet);
    let load = chaos.load(100);
    chaos.check("no fault", load).await;
    kills(&mut chaos, setting("TIDEFOLD_CHAOS_KILLS", 6)).await;
    pauses(&mut chaos, setting("TIDEFOLD_CHAOS_PAUSES", 1)).await;
    if owns_servers() {
        broker_away(&mut chaos).await;
        store_away(&mut chaos).await;
    } else {
        println!("skipped: faults of the servers, which SERVERS_DIR does not name");
    }
    chaos.fleet.end();
}
