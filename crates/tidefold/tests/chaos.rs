//! A fleet on real Kafka and Cassandra under load, while processes are killed, stopped and overtaken, and servers go away.
//! After each fault every message answered 202 has its effect exactly once, `verify` is clean, and the rollups equal the
//! ledger that the clients keep.
//!
//! `make chaos` runs the whole list (`TIDEFOLD_CHAOS_KILLS=200 TIDEFOLD_CHAOS_PAUSES=50`); the tests run a short form.

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

use serde_json::Value;
use support::fleet::{Fleet, KINDS, Kind, owns_servers, server};
use support::ledger::{Expected, Ledger, acknowledged, fleet_client, order};
use support::{Client, Draw, verify};
use tokio::task::JoinSet;

const CLIENTS: usize = 8;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The fleet, its clients, and what they know.
struct Chaos {
    fleet: Fleet,
    client: Client,
    draw: Draw,
    expected: Expected,
    ledger: Arc<Ledger>,
    number: u64,
}

impl Chaos {
    /// Queues orders and has them sent to whichever ingest answers, until all are acknowledged or `stop` is set.
    fn load(&mut self, orders: u64) -> Load {
        for _ in 0..orders {
            self.number += 1;
            let messages = order(&mut self.draw, self.number, &mut self.expected);
            self.ledger.queue.lock().unwrap().push_back(messages);
        }
        let (mut tasks, stop) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
        for _ in 0..CLIENTS {
            let urls = self.fleet.ingest_urls();
            tasks.spawn(fleet_client(Arc::clone(&self.ledger), Client::new(), urls, Arc::clone(&stop)));
        }
        Load { tasks, stop }
    }

    /// A third of the load is acknowledged: the fault comes in the middle.
    async fn in_the_middle(&self, orders: u64) {
        acknowledged(&self.ledger, self.ledger.acknowledged.load(Ordering::SeqCst) + orders / 3).await;
    }

    /// All is sent, folded, and right.
    async fn check(&mut self, fault: &str, load: Load) {
        load.done().await;
        self.fleet.settle(&self.client, &self.ledger).await;
        let query = self.fleet.query[0].http.clone();
        for (sku, wanted) in &self.expected.units {
            let answer = self.client.get(&format!("{query}/v1/storefront/units_by_sku/{sku}"), &[]).await;
            assert_eq!(answer.body["units"].as_i64(), Some(*wanted), "{fault}: units of {sku}: {answer:?}");
        }
        let report = verify(&self.fleet.project[0], "storefront");
        let tables = report["tables"].as_array().unwrap();
        let rows = &tables.iter().find(|table| table["table"] == "orders").unwrap()["rows"];
        assert_eq!(*rows, self.expected.orders, "{fault}");
        assert_eq!(self.dead_letters().await, 0, "{fault}: dead letters");
        println!(
            "{fault:<60} acknowledged {:>7}  orders {:>6}  lost 0  doubled 0",
            self.ledger.acknowledged.load(Ordering::SeqCst),
            self.expected.orders
        );
    }

    async fn dead_letters(&self) -> usize {
        let url = format!("{}/admin/v1/storefront/dead-letters", self.fleet.project[0].admin);
        let answer = self.client.get(&url, &[]).await;
        answer.body["items"].as_array().map_or(0, Vec::len)
    }

    /// kill -9 of a process of any kind, and a new one in its place.
    async fn kills(&mut self, rounds: u64) {
        for round in 0..rounds {
            let kind = KINDS[self.draw.between(0, 3) as usize];
            let load = self.load(60);
            self.in_the_middle(60).await;
            let place = self.draw.between(0, 2) as usize;
            self.fleet.of(kind).remove(place).kill();
            self.fleet.add(kind);
            load.done().await;
            if round % 10 == 9 || round + 1 == rounds {
                let load = self.load(10);
                self.check(&format!("kill -9, {} rounds, last of {kind:?}", round + 1), load).await;
            }
        }
    }

    /// A projector that stands still past its session: another takes over, then the first wakes up as a stale owner.
    async fn pauses(&mut self, rounds: u64) {
        for round in 0..rounds {
            let load = self.load(60);
            self.in_the_middle(60).await;
            let paused = &self.fleet.project[1];
            paused.signal("-STOP");
            // Taken over: what was sent is folded although its owner does not move.
            load.done().await;
            self.fleet.settle(&self.client, &self.ledger).await;
            self.fleet.project[1].signal("-CONT");
            let load = self.load(30);
            self.check(&format!("SIGSTOP past the session and SIGCONT, round {}", round + 1), load).await;
        }
    }

    /// The broker goes away and comes back: what is sent meanwhile is refused or unknown, and sent again.
    async fn broker_away(&mut self) {
        let load = self.load(300);
        self.in_the_middle(300).await;
        server("down", "kafka-1");
        self.refused(503).await;
        server("up", "kafka-1");
        self.check("broker stopped and started", load).await;
    }

    /// The store goes away: ingest goes on answering 202, nothing becomes a dead letter.
    async fn store_away(&mut self) {
        let load = self.load(300);
        self.in_the_middle(300).await;
        server("down", "cassandra-1");
        load.done().await;
        server("up", "cassandra-1");
        let load = self.load(10);
        self.check("store stopped; ingest answered 202 all the while", load).await;
    }

    /// Until ingest refuses: the log is away.
    async fn refused(&self, status: u16) {
        let url = format!("{}/v1/storefront/PayOrder", self.fleet.ingest[0].http);
        loop {
            let body = Value::from_iter([("order_id", "o-none")]);
            let answer = self.client.post(&url, &[("idempotency-key", "probe")], &body).await;
            match answer {
                Ok(answer) if answer.status == status || answer.status == 504 => return,
                _ => tokio::task::yield_now().await,
            }
        }
    }
}

/// Clients at work.
struct Load {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Until everything in the queue is acknowledged.
    async fn done(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_under_faults_loses_nothing_and_doubles_nothing() {
    let Some(fleet) = Fleet::start() else { return };
    let mut chaos = Chaos {
        fleet,
        client: Client::new(),
        draw: Draw(setting("TIDEFOLD_CHAOS_SEED", 1)),
        expected: Expected::default(),
        ledger: Arc::default(),
        number: 0,
    };
    let load = chaos.load(100);
    chaos.check("no fault", load).await;
    chaos.kills(setting("TIDEFOLD_CHAOS_KILLS", 6)).await;
    chaos.pauses(setting("TIDEFOLD_CHAOS_PAUSES", 1)).await;
    if owns_servers() {
        chaos.broker_away().await;
        chaos.store_away().await;
    } else {
        println!("skipped: faults of the servers, which SERVERS_DIR does not name");
    }
    for kind in [Kind::Ingest, Kind::Query, Kind::Project] {
        for node in std::mem::take(chaos.fleet.of(kind)) {
            assert_eq!(node.terminate(), Some(0), "{kind:?} ends in good order");
        }
    }
}
