//! What may be set, and what librdkafka is told.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use tidefold_log::LogError;
use tidefold_log::observer::SharedObserver;

use crate::context::Counts;

/// How to reach the cluster, and how much this process may use.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Brokers to ask first, each `host:port`.
    pub bootstrap: Vec<String>,
    /// What stands before every topic's and group's name in the cluster, so that environments can share one.
    pub topic_prefix: String,
    /// How this process calls itself in the brokers' logs and quotas.
    pub client_id: String,
    /// Replicas of topics that are created; none: as the broker is set.
    pub replication: Option<i32>,
    /// How long an append may take before its fate is called unknown.
    pub message_timeout: Duration,
    /// How long a record waits for others to share a request with, where librdkafka sends it.
    pub linger: Duration,
    /// Bytes of appends that may wait; more are refused with [`LogError::Full`].
    pub queue_bytes: usize,
    /// The largest record, in its encoding; the topics' `max.message.bytes` has to allow it.
    pub record_bytes: usize,
    /// Memory for records that were just read at the ends of partitions; each keeps a sixty-fourth part, 1 MiB at most.
    pub fetch_bytes: usize,
    /// After how long without a sign of life the group gives a member's partitions to others.
    pub session_timeout: Duration,
    /// librdkafka's `partition.assignment.strategy`; in a group of protocol `consumer`, its `group.remote.assignor`.
    pub assignor: String,
    /// The group's protocol: `classic`, or `consumer` (brokers from 4.0 on), where the brokers' settings say after how long
    /// a member is given up.
    pub group_protocol: String,
    /// A name of this process that it keeps when it starts again: then its partitions wait for it, for as long as a session
    /// lasts. No two processes may have the same.
    pub instance_id: Option<String>,
    /// Who is told what librdkafka counts, and how often.
    pub counts: Counts,
    /// How often.
    pub counts_every: Duration,
    /// Who is told of appends that are sent again.
    pub observer: SharedObserver,
    /// Further librdkafka properties: TLS, SASL, compression. Those this crate sets itself are refused.
    pub properties: BTreeMap<String, String>,
}

/// Set here and nowhere else: promises of the log rest on them.
const OURS: &[&str] = &[
    "acks",
    "allow.auto.create.topics",
    "auto.offset.reset",
    "bootstrap.servers",
    "check.crcs",
    "client.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "isolation.level",
    "linger.ms",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "metadata.broker.list",
    "group.remote.assignor",
    "partition.assignment.strategy",
    "partitioner",
    "request.required.acks",
    "session.timeout.ms",
    "statistics.interval.ms",
    "transactional.id",
];

// === impl Settings ===

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            bootstrap: vec!["127.0.0.1:9092".to_owned()],
            topic_prefix: String::new(),
            client_id: "tidefold".to_owned(),
            replication: None,
            message_timeout: Duration::from_secs(8),
            linger: Duration::from_millis(1),
            queue_bytes: 64 << 20,
            record_bytes: 1_000_000,
            fetch_bytes: 64 << 20,
            session_timeout: Duration::from_millis(2_500),
            assignor: "range".to_owned(),
            group_protocol: "classic".to_owned(),
            instance_id: None,
            counts: Counts::default(),
            counts_every: Duration::from_secs(10),
            observer: SharedObserver::default(),
            properties: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = |name: &str| {
            ["password", "secret", "sasl.oauthbearer.config", ".pem", "token", "username", "jaas"]
                .iter()
                .any(|part| name.contains(part))
        };
        let shown: BTreeMap<&str, &str> = self
            .properties
            .iter()
            .map(|(name, value)| (name.as_str(), if secret(name) { "…" } else { value.as_str() }))
            .collect();
        f.debug_struct("Settings")
            .field("bootstrap", &self.bootstrap)
            .field("topic_prefix", &self.topic_prefix)
            .field("client_id", &self.client_id)
            .field("replication", &self.replication)
            .field("message_timeout", &self.message_timeout)
            .field("linger", &self.linger)
            .field("queue_bytes", &self.queue_bytes)
            .field("record_bytes", &self.record_bytes)
            .field("fetch_bytes", &self.fetch_bytes)
            .field("session_timeout", &self.session_timeout)
            .field("assignor", &self.assignor)
            .field("group_protocol", &self.group_protocol)
            .field("instance_id", &self.instance_id)
            .field("counts_every", &self.counts_every)
            .field("properties", &shown)
            .finish()
    }
}

impl Settings {
    /// Tells all that is wrong at once.
    pub(crate) fn check(&self) -> Result<(), LogError> {
        let mut wrong = Vec::new();
        if self.bootstrap.iter().all(|broker| broker.trim().is_empty()) {
            wrong.push("no broker is named; give at least one as host:port".to_owned());
        }
        if self.replication.is_some_and(|replicas| replicas < 1) {
            wrong.push("replication is below 1; leave it out for the broker's default".to_owned());
        }
        if self.message_timeout <= self.linger {
            wrong.push("message_timeout has to be longer than linger".to_owned());
        }
        if self.record_bytes == 0 || self.record_bytes > 900_000_000 {
            wrong.push("record_bytes has to be between 1 and 900,000,000".to_owned());
        }
        if !["classic", "consumer"].contains(&self.group_protocol.as_str()) {
            wrong.push(format!("group_protocol is {:?}; it is classic or consumer", self.group_protocol));
        }
        for name in self.properties.keys().filter(|name| OURS.contains(&name.as_str())) {
            wrong.push(format!("property {name} is set by the log itself; remove it"));
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(LogError::Unavailable { detail: format!("its settings are wrong: {}", wrong.join("; ")) })
    }

    /// The brokers, for messages.
    pub(crate) fn brokers(&self) -> String {
        self.bootstrap.join(",")
    }

    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.keepalive.enable", "true")
            .set("topic.metadata.propagation.max.ms", "5000");
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config.set("bootstrap.servers", self.brokers()).set("client.id", &self.client_id);
        config
    }

    /// For a client that tells what it counts.
    fn counted(&self) -> ClientConfig {
        let mut config = self.base();
        if self.counts.are_wanted() && !self.counts_every.is_zero() {
            config.set("statistics.interval.ms", self.counts_every.as_millis().to_string());
        }
        config
    }

    /// For questions about topics.
    pub(crate) fn admin(&self) -> ClientConfig {
        self.base()
    }

    /// Whether the operator says how records are compressed; else it is for us to say.
    pub(crate) fn says_compression(&self) -> bool {
        ["compression.codec", "compression.type"].iter().any(|name| self.properties.contains_key(*name))
    }

    /// For appends that are compressed, unless the operator says otherwise.
    pub(crate) fn compressing_producer(&self) -> ClientConfig {
        let mut config = self.producer();
        if !self.says_compression() {
            config.set("compression.codec", "lz4");
        }
        config
    }

    pub(crate) fn producer(&self) -> ClientConfig {
        let mut config = self.counted();
        // Our own admission bounds the queue before anything is enqueued; librdkafka's bound is the second line.
        let queue_kbytes = (self.queue_bytes / 1024 * 2 + self.record_bytes / 1024 + 4096).min(2_000_000_000);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", self.linger.as_millis().to_string())
            .set("message.timeout.ms", self.message_timeout.as_millis().to_string())
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", queue_kbytes.to_string())
            .set("message.max.bytes", (self.record_bytes + 40_000).max(1_000_000).to_string());
        config
    }

    /// For a member of a group, given up after `session` without a sign of life.
    pub(crate) fn member(&self, group: &str, session: Duration) -> ClientConfig {
        let mut config = committed(self.counted());
        config
            .set("group.id", group)
            .set("group.protocol", &self.group_protocol)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "latest")
            .set("queued.min.messages", "1")
            .set("queued.max.messages.kbytes", "64");
        if let Some(id) = &self.instance_id {
            config.set("group.instance.id", id);
        }
        if self.group_protocol == "consumer" {
            config.set("group.remote.assignor", &self.assignor);
            return config;
        }
        let session = session.as_millis().max(1);
        config
            .set("partition.assignment.strategy", &self.assignor)
            .set("session.timeout.ms", session.to_string())
            // How soon the others hear that one is gone.
            .set("heartbeat.interval.ms", (session / 5).clamp(1, 3_000).to_string());
        config
    }
}

/// A consumer's way of reading: what no transaction has settled is not there.
fn committed(mut config: ClientConfig) -> ClientConfig {
    config.set("isolation.level", "read_committed").set("allow.auto.create.topics", "false");
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let mut settings = Settings::default();
        settings.properties.insert("sasl.password".to_owned(), "hunter2".to_owned());
        settings.properties.insert("ssl.ca.location".to_owned(), "/etc/ca.pem".to_owned());
        let shown = format!("{settings:?}");
        assert!(!shown.contains("hunter2") && shown.contains("/etc/ca.pem"), "{shown}");
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let mut settings = Settings { bootstrap: vec![], replication: Some(0), ..Settings::default() };
        settings.properties.insert("acks".to_owned(), "1".to_owned());
        let error = settings.check().unwrap_err().to_string();
        assert!(
            error.contains("broker") && error.contains("replication") && error.contains("acks"),
            "{error}"
        );
    }
}
