//! A real broker for tests, and names of their own on it.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test binary uses a part of it; a step that fails is a test that fails"
)]

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tidefold_log::SharedLog;
use tidefold_log::contract::Subject;
use tidefold_log_kafka::{KafkaLog, Settings};
use tidefold_record::TopicName;

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
        let settings = Settings { topic_prefix: self.prefix.clone(), ..settings(&self.broker) };
        let log: SharedLog = Arc::new(KafkaLog::connect(settings).expect("the settings are right"));
        Box::pin(std::future::ready(log))
    }
}
