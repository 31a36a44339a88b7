//! A real broker for tests, and names of their own on it.
//!
//! `TIDEFOLD_TEST_KAFKA` names it; `TIDEFOLD_TEST_KAFKA_PROPERTIES` has the librdkafka properties it takes besides, such as
//! TLS and a login, one `name=value` a line.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test binary uses a part of it; a step that fails is a test that fails"
)]

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use rdkafka::ClientConfig;
use tidefold_log::SharedLog;
use tidefold_log::contract::Subject;
use tidefold_log_kafka::{KafkaLog, Settings};
use tidefold_record::TopicName;

/// The broker to test on. Tests are ignored where there is none.
pub fn broker() -> String {
    std::env::var("TIDEFOLD_TEST_KAFKA").expect("TIDEFOLD_TEST_KAFKA was set when the tests were built")
}

fn properties() -> BTreeMap<String, String> {
    let text = std::env::var("TIDEFOLD_TEST_KAFKA_PROPERTIES").unwrap_or_default();
    let property = |line: &str| {
        let (name, value) =
            line.split_once('=').expect("TIDEFOLD_TEST_KAFKA_PROPERTIES has name=value in each line");
        (name.to_owned(), value.to_owned())
    };
    text.lines().filter(|line| !line.is_empty()).map(property).collect()
}

pub fn settings(broker: &str) -> Settings {
    Settings { bootstrap: vec![broker.to_owned()], properties: properties(), ..Settings::default() }
}

/// Another program's client.
pub fn stranger(broker: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.extend(properties());
    config.set("bootstrap.servers", broker);
    config
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
