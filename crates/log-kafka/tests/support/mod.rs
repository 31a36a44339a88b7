//! A real broker for tests, and names of their own on it.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test binary uses a part of it; a step that fails is a test that fails"
)]

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use tidefold_log::contract::Subject;
use tidefold_log::{Appended, Bounds, Log, LogError, ReadLimit, SharedLog, Topic, TopicSpec};
use tidefold_log_kafka::{KafkaLog, Settings};
use tidefold_record::{BatchBuilder, Offset, Partition, RecordBatch, TopicName};
use tokio::sync::watch;

/// The broker to test on, or none with a word about it.
pub fn broker() -> Option<String> {
    let broker = std::env::var("TIDEFOLD_TEST_KAFKA").ok();
    if broker.is_none() {
        eprintln!("skipped: TIDEFOLD_TEST_KAFKA is not set (make servers-up)");
    }
    broker
}

pub fn settings(broker: &str) -> Settings {
    Settings { bootstrap: vec![broker.to_owned()], ..Settings::default() }
}

pub fn connect(broker: &str) -> KafkaLog {
    KafkaLog::connect(settings(broker)).expect("the settings are right")
}

/// A name that no other run uses.
pub fn unique(name: &str) -> TopicName {
    TopicName::new(format!("t{:016x}.{name}", RandomState::new().build_hasher().finish()))
}

/// A log whose topics all have a prefix in the cluster.
pub struct Prefixed {
    log: KafkaLog,
    prefix: String,
}

/// A prefix is a place where a log is kept.
pub struct Place {
    broker: String,
    prefix: String,
}

// === impl Place ===

impl Place {
    pub fn new(broker: &str) -> Place {
        Place { broker: broker.to_owned(), prefix: unique("").as_str().to_owned() }
    }
}

impl Subject for Place {
    fn open(&self) -> BoxFuture<'_, SharedLog> {
        let log: SharedLog = Arc::new(Prefixed { log: connect(&self.broker), prefix: self.prefix.clone() });
        Box::pin(std::future::ready(log))
    }
}

// === impl Prefixed ===

impl Prefixed {
    fn there(&self, topic: &TopicName) -> TopicName {
        TopicName::new(format!("{}{topic}", self.prefix))
    }

    fn here(&self, topic: &TopicName) -> TopicName {
        TopicName::new(topic.as_str().strip_prefix(&self.prefix).unwrap_or(topic.as_str()))
    }

    fn error(&self, mut error: LogError) -> LogError {
        match &mut error {
            LogError::NoSuchPartition { topic, .. } | LogError::Mismatch { topic, .. } => {
                *topic = self.here(topic);
            }
            LogError::OutOfRange { position, .. } | LogError::Damaged { position, .. } => {
                position.topic = self.here(&position.topic);
            }
            _ => {}
        }
        error
    }
}

impl Log for Prefixed {
    fn open<'a>(&'a self, spec: &'a TopicSpec) -> BoxFuture<'a, Result<Topic, LogError>> {
        Box::pin(async move {
            let spec = TopicSpec { name: self.there(&spec.name), ..spec.clone() };
            let topic = self.log.open(&spec).await.map_err(|error| self.error(error))?;
            Ok(Topic { name: self.here(&topic.name), ..topic })
        })
    }

    fn append<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        batch: BatchBuilder,
    ) -> BoxFuture<'a, Result<Appended, LogError>> {
        Box::pin(async move {
            let topic = self.there(topic);
            self.log.append(&topic, partition, batch).map(|r| r.map_err(|error| self.error(error))).await
        })
    }

    fn read<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> BoxFuture<'a, Result<RecordBatch, LogError>> {
        Box::pin(async move {
            let topic = self.there(topic);
            self.log.read(&topic, partition, from, limit).await.map_err(|error| self.error(error))
        })
    }

    fn bounds<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
    ) -> BoxFuture<'a, Result<Bounds, LogError>> {
        Box::pin(async move {
            let topic = self.there(topic);
            self.log.bounds(&topic, partition).await.map_err(|error| self.error(error))
        })
    }

    fn watch_end(
        &self,
        topic: &TopicName,
        partition: Partition,
    ) -> Result<watch::Receiver<Offset>, LogError> {
        self.log.watch_end(&self.there(topic), partition).map_err(|error| self.error(error))
    }
}
