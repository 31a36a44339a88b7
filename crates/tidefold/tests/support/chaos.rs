//! A fleet, its clients, and what they know: load it, let something happen, count.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::fleet::Fleet;
use super::ledger::{Expected, Ledger, client, order};
use super::tally::{Asked, Tally};
use super::{Client, Draw, setting};

const CLIENTS: usize = 8;

/// The fleet, its clients, and what they know.
pub struct Chaos {
    pub fleet: Fleet,
    pub client: Client,
    pub draw: Draw,
    expected: Expected,
    ledger: Arc<Ledger>,
    tally: Tally,
    number: u64,
}

/// Clients at work.
pub struct Load {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
}

/// How long a server stays away: `TIDEFOLD_CHAOS_OUTAGE` in seconds.
pub fn outage() -> Duration {
    Duration::from_secs(setting("TIDEFOLD_CHAOS_OUTAGE", 3))
}

impl Chaos {
    pub fn over(fleet: Fleet) -> Chaos {
        Chaos {
            fleet,
            client: Client::new(),
            draw: Draw(setting("TIDEFOLD_CHAOS_SEED", 1)),
            expected: Expected::default(),
            ledger: Arc::default(),
            tally: Tally::default(),
            number: 0,
        }
    }

    /// Queues orders and has them sent to whichever ingest answers, until all are acknowledged or `stop` is set.
    pub fn load(&mut self, orders: u64) -> Load {
        for _ in 0..orders {
            self.number += 1;
            let messages = order(&mut self.draw, self.number, &mut self.expected);
            self.ledger.queue.lock().unwrap().push_back(messages);
        }
        let (mut tasks, stop) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
        for _ in 0..CLIENTS {
            let urls = self.fleet.ingest_urls();
            tasks.spawn(client(Arc::clone(&self.ledger), Client::new(), urls, Arc::clone(&stop)));
        }
        Load { tasks, stop }
    }

    /// A third of the load is acknowledged: the fault comes in the middle.
    pub async fn in_the_middle(&self, orders: u64) {
        self.ledger.acknowledged(self.acknowledged() + orders / 3).await;
    }

    /// How many messages were answered 202.
    pub fn acknowledged(&self) -> u64 {
        self.ledger.acknowledged.load(Ordering::SeqCst)
    }

    /// Until everything acknowledged is visible to a reader.
    pub async fn settle(&self) {
        self.settle_but(&[]).await;
    }

    /// The same, but for partitions that stand.
    pub async fn settle_but(&self, standing: &[u32]) {
        self.fleet.settle(&self.client, &self.ledger, standing).await;
    }

    /// All is sent, folded, and right; and a line of the ledger.
    pub async fn check(&mut self, fault: &str, load: Load) {
        load.done().await;
        self.settle().await;
        self.count(fault).await;
        self.tally.verified(&self.fleet.project[0], &self.expected);
        assert_eq!(self.dead_letters().await, 0, "{fault}: dead letters");
    }

    /// A line of the ledger, as far as readers can tell.
    pub async fn count(&mut self, fault: &str) {
        self.look().await;
        self.tally.report(fault);
    }

    /// Compares what readers are told with what clients know.
    pub async fn look(&mut self) {
        let (ingest, query) = (&self.fleet.ingest[0].http, &self.fleet.query[0].http);
        let asked = Asked { client: &self.client, ingest, query };
        self.tally.count(&asked, &self.ledger, &self.expected).await;
    }

    async fn dead_letters(&self) -> usize {
        let url = format!("{}/admin/v1/storefront/dead-letters", self.fleet.project[0].admin);
        let answer = self.client.get(&url, &[]).await;
        answer.body["items"].as_array().expect("dead letters are listed").len()
    }

    /// Until ingest refuses, and then for as long as the outage: the log is away.
    pub async fn refused(&self, length: Duration) {
        let url = format!("{}/v1/storefront/PayOrder", self.fleet.ingest[0].http);
        let mut since = None;
        while since.is_none_or(|since: Instant| since.elapsed() < length) {
            let body = Value::from_iter([("order_id", "o-none")]);
            let answer = self.client.post(&url, &[("idempotency-key", "probe")], &body).await;
            let Ok(answer) = answer else { continue };
            match answer.status {
                503 | 504 => _ = since.get_or_insert_with(Instant::now),
                202 => assert!(since.is_none(), "acknowledged while the log is away: {answer:?}"),
                _ => panic!("{answer:?}"),
            }
        }
    }
}

impl Load {
    /// Until everything in the queue is acknowledged.
    pub async fn done(mut self) {
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
