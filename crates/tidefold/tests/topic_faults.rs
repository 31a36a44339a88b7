//! What operators do to topics by mistake, while a fleet folds them: each halts the projection with a message that says
//! what to do, and changes no row.

#![cfg(feature = "kafka")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

#[macro_use]
mod support;

use std::time::Duration;

use serde_json::Value;
use support::backends::Backends;
use support::chaos::Chaos;
use support::fleet::{Fleet, Kind};
use support::tables::{Rows, Tables};
use support::topics::Topics;
use support::{Client, Node, tidefold, verify};
use tidefold_log::{ReadLimit, SharedLog};
use tidefold_record::{BatchBuilder, Offset, Partition, TopicName};
use tokio::time::Instant;

const TOPIC: &str = "storefront.orders";
const PARTITIONS: u32 = 12;
/// It is said within seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A fleet that has folded everything, and what stood in its tables then.
struct Folded {
    chaos: Chaos,
    topics: Topics,
    tables: Tables,
    before: Rows,
    /// All records of the topic, by partition.
    history: Vec<BatchBuilder>,
}

fn topic() -> TopicName {
    TopicName::new(TOPIC)
}

async fn folded() -> Folded {
    let fleet = Fleet::of_kinds(&[Kind::Project, Kind::Project, Kind::Ingest, Kind::Query]);
    let mut chaos = Chaos::over(fleet);
    chaos.load(60).done().await;
    chaos.settle().await;
    let backends = &chaos.fleet.backends;
    let (topics, tables) = (Topics::of(backends), Tables::of(backends, "storefront").await);
    let log = backends.open_log(chaos.fleet.folder(), "storefront");
    let mut history = Vec::new();
    for partition in (0..PARTITIONS).map(Partition) {
        let limit = ReadLimit { records: 10_000, bytes: 64 << 20 };
        let (mut batch, mut next) = (BatchBuilder::new(), Offset::ZERO);
        while next < log.bounds(&topic(), partition).await.unwrap().end {
            let read = log.read(&topic(), partition, next, limit).await.unwrap();
            read.iter().for_each(|record| batch.push(record.key, record.value, record.headers));
            next = read.next_offset();
        }
        assert!(!batch.is_empty(), "every partition has records");
        history.push(batch);
    }
    chaos.look().await;
    let before = tables.rows().await;
    Folded { chaos, topics, tables, before, history }
}

/// Every projector's status, until each says all of these words.
async fn says(nodes: &[Node], told: &[&str]) {
    for node in nodes {
        let since = Instant::now();
        loop {
            let (code, out, err) = tidefold(&["status", "--node", &node.admin]);
            assert_eq!(code, 0, "{err}");
            if out.contains("halted: ") && told.iter().all(|word| out.contains(word)) {
                break;
            }
            assert!(since.elapsed() < PATIENCE, "it does not say {told:?}: {out}");
        }
    }
}

impl Folded {
    /// Both projectors say it, alert, and go on serving; nobody has changed a row; readers read on.
    async fn halts(&mut self, fault: &str, told: &[&str]) {
        says(&self.chaos.fleet.project, told).await;
        for node in &self.chaos.fleet.project {
            let metrics = self.chaos.client.get(&format!("{}/metrics", node.admin), &[]).await;
            let Value::String(metrics) = metrics.body else { panic!("{metrics:?}") };
            let mut lines = metrics.lines().filter(|line| line.starts_with("tidefold_projection_halted{"));
            assert!(lines.any(|line| line.ends_with(" 1")), "{metrics}");
            let ready = self.chaos.client.get(&format!("{}/readyz", node.admin), &[]).await;
            assert_eq!(ready.status, 200, "one projection's trouble does not take the node away: {ready:?}");
        }
        assert_eq!(self.tables.rows().await, self.before, "{fault}: no row changes");
        self.chaos.count(fault).await;
    }

    /// Whatever comes up now halts as well, or does not come up, and says what to do; nobody changes a row.
    async fn stays_halted(&mut self, fault: &str, told: &[&str]) {
        for node in std::mem::take(&mut self.chaos.fleet.project) {
            assert_eq!(node.terminate(), Some(0));
        }
        match self.chaos.fleet.try_add(Kind::Project) {
            Ok(node) => {
                says(std::slice::from_ref(&node), told).await;
                self.chaos.fleet.project.push(node);
            }
            Err(printed) => assert!(told.iter().all(|word| printed.contains(word)), "{fault}: {printed}"),
        }
        assert_eq!(self.tables.rows().await, self.before, "{fault}, started again: no row changes");
    }

    /// Another producer's records, so many times the history of every partition, the last first.
    async fn refill(&self, times: usize) {
        let log: SharedLog = self.chaos.fleet.backends.open_log(self.chaos.fleet.folder(), "storefront");
        for (partition, batch) in (0..).map(Partition).zip(&self.history) {
            let history = batch.clone().build(partition, Offset::ZERO);
            let mut refilled = BatchBuilder::new();
            for record in (0..times).flat_map(|_| history.iter().rev()) {
                refilled.push(record.key, record.value, record.headers);
            }
            log.append(&topic(), partition, refilled).await.unwrap();
        }
    }
}

#[cfg_attr(
    not(servers_are_there),
    ignore = "needs Kafka and a CQL server: TIDEFOLD_TEST_KAFKA, TIDEFOLD_TEST_CQL (make servers-up)"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_again_halts_its_projection_though_it_is_longer_than_before() {
    let mut folded = folded().await;
    folded.topics.recreate(TOPIC, PARTITIONS as i32).await;
    folded.refill(3).await;
    // Whoever looks between the two sees a topic that is gone.
    let told = [TOPIC, "deleted", "start again", "tidefold replay"];
    folded.halts("topic deleted, created again and filled past its old end", &told).await;
    folded.stays_halted("topic created again", &["the topic's incarnation was", "tidefold replay"]).await;
    folded.chaos.fleet.end();
}

#[cfg_attr(
    not(servers_are_there),
    ignore = "needs Kafka and a CQL server: TIDEFOLD_TEST_KAFKA, TIDEFOLD_TEST_CQL (make servers-up)"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_topic_halts_its_projection() {
    let mut folded = folded().await;
    folded.topics.truncate(TOPIC, PARTITIONS as i32).await;
    let told = ["storefront.orders has lost records", "partition 11 starts at", "from a backup", "unlimited"];
    folded.halts("topic truncated", &told).await;
    folded.refill(1).await;
    folded.stays_halted("topic truncated", &["but the log starts at", "Put back the log's start"]).await;
    folded.chaos.fleet.end();
}

#[cfg_attr(
    not(servers_are_there),
    ignore = "needs Kafka and a CQL server: TIDEFOLD_TEST_KAFKA, TIDEFOLD_TEST_CQL (make servers-up)"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_with_more_partitions_halts_its_projection() {
    let mut folded = folded().await;
    folded.topics.grow(TOPIC, 15).await;
    let told = [TOPIC, "15 partitions", "12", "fixed for ever"];
    folded.halts("topic given more partitions", &told).await;
    folded.stays_halted("topic given more partitions", &told).await;
    folded.chaos.fleet.end();
}

#[cfg_attr(
    not(servers_are_there),
    ignore = "needs Kafka and a CQL server: TIDEFOLD_TEST_KAFKA, TIDEFOLD_TEST_CQL (make servers-up)"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compacted_topic_halts_its_projection_until_it_is_set_right() {
    let mut folded = folded().await;
    folded.topics.clean_up_by(TOPIC, "compact").await;
    let told = [TOPIC, "cleanup.policy is compact", "set cleanup.policy=delete"];
    folded.halts("topic set to compact", &told).await;
    folded.stays_halted("topic set to compact", &told).await;
    folded.topics.clean_up_by(TOPIC, "delete").await;
    folded.chaos.fleet.add(Kind::Project);
    let load = folded.chaos.load(20);
    folded.chaos.check("topic set to compact, set right, projector started again", load).await;
    folded.chaos.fleet.end();
}

#[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_takes_and_folds_messages_again_once_the_settings_of_its_topic_are_right() {
    let backends = Backends::of("kafka", "embedded");
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with("storefront", folder.path(), &backends.flags());
    let (topics, client) = (Topics::of(&backends), Client::new());
    let mut orders = 0;
    for (policy, retention_ms) in [("delete", "86400000"), ("compact", "-1"), ("compact,delete", "-1")] {
        topics.keep_by(TOPIC, policy, retention_ms).await;
        for status in [503, 202] {
            let since = Instant::now();
            loop {
                orders += 1;
                let order = serde_json::json!({ "order_id": format!("o-{orders}"), "customer_id": "c-1",
                                                "currency": "EUR", "total_cents": 5, "items": [] });
                let url = format!("{}/v1/storefront/PlaceOrder", node.http);
                let answer = client.post(&url, &[], &order).await.unwrap();
                if answer.status == status {
                    break;
                }
                assert!(since.elapsed() < PATIENCE, "{policy} {retention_ms}: {answer:?}");
            }
            if status == 503 {
                says(std::slice::from_ref(&node), &[TOPIC, "stand until it is right"]).await;
                topics.clean_up_by(TOPIC, "delete").await;
            }
        }
        let (code, out, err) = tidefold(&["status", "--wait", "--timeout", "30s", "--node", &node.admin]);
        assert_eq!(code, 0, "{policy} {retention_ms}: {out}{err}");
        verify(&node, "storefront");
    }
}
