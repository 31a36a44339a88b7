//! Which log and store a test runs on: embedded, or the real servers that the environment names.
//!
//! `TIDEFOLD_TEST_KAFKA` and `TIDEFOLD_TEST_CQL` are `host:port`; `make test` starts servers and sets both. A test that needs
//! one that is not there when the tests are built is ignored, and says so.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tidefold_control::CONTROL_TOPIC;
use tidefold_log::{LogError, SharedLog, TopicSpec};
use tidefold_log_embedded::EmbeddedLog;
use tidefold_record::TopicName;

use super::tables::Tables;

/// A log and a store, under names that no other test uses.
pub struct Backends {
    own: String,
    log: Option<String>,
    store_is_embedded: bool,
    flags: Vec<String>,
}

impl Backends {
    /// `embedded` or `kafka`, and `embedded` or `scylla`.
    pub fn of(log: &str, store: &str) -> Backends {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let own = format!("t{}_{}_", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let (mut flags, mut kafka) = (Vec::new(), None);
        if log == "kafka" {
            let brokers = server("TIDEFOLD_TEST_KAFKA");
            flags.extend(["--log".into(), format!("kafka://{brokers}")]);
            kafka = Some(brokers);
            flags.extend(["--set".into(), format!("log.topic_prefix={own}")]);
            // A process that dies is missed soon, and the next one does not wait long for its partitions.
            flags.extend(["--set".into(), "log.session_timeout=3s".into()]);
            flags.extend(["--set".into(), "log.statistics=500ms".into()]);
        }
        if store == "scylla" {
            flags.extend(["--store".into(), format!("scylla://{}", server("TIDEFOLD_TEST_CQL"))]);
            flags.extend(["--set".into(), format!("store.keyspace_prefix={own}")]);
        }
        Backends { own, log: kafka, store_is_embedded: store == "embedded", flags }
    }

    /// Whether everything is in one process.
    pub fn are_embedded(&self) -> bool {
        self.flags.is_empty()
    }

    /// What stands before every name on the servers.
    pub fn prefix(&self) -> &str {
        &self.own
    }

    /// Whether the log has to be let go of by its node before another can open it.
    pub fn log_is_embedded(&self) -> bool {
        self.log.is_none()
    }

    /// The log beside the nodes, as another producer has it.
    pub fn open_log(&self, data: &Path, app: &str) -> SharedLog {
        match &self.log {
            None => Arc::new(EmbeddedLog::open(data.join(app).join("log"), Default::default()).unwrap()),
            Some(brokers) => kafka(brokers, &self.own),
        }
    }

    /// Whether no node has made anything of an app's: no data folder, no topic, no keyspace.
    pub async fn hold_nothing(&self, data: &Path, app: &str) -> bool {
        if data.exists() {
            return false;
        }
        if !self.log_is_embedded() {
            let name = TopicName::new(CONTROL_TOPIC).in_app(app);
            let opened =
                self.open_log(data, app).open(&TopicSpec { name, partitions: 1, create: false }).await;
            if !matches!(opened, Err(LogError::NoSuchPartition { .. })) {
                return false;
            }
        }
        self.store_is_embedded || !Tables::of(self, app).await.are_there().await
    }

    /// What a node is started with.
    pub fn flags(&self) -> Vec<&str> {
        self.flags.iter().map(String::as_str).collect()
    }
}

#[cfg(feature = "kafka")]
fn kafka(brokers: &str, prefix: &str) -> SharedLog {
    let settings = tidefold_log_kafka::Settings {
        bootstrap: brokers.split(',').map(str::to_owned).collect(),
        topic_prefix: prefix.to_owned(),
        ..Default::default()
    };
    Arc::new(tidefold_log_kafka::KafkaLog::connect(settings).unwrap())
}

#[cfg(not(feature = "kafka"))]
fn kafka(_: &str, _: &str) -> SharedLog {
    unreachable!("the test is ignored")
}

fn server(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} was set when the tests were built, and is not now"))
}

/// Makes a test of each function on each log and store.
#[macro_export]
macro_rules! on_every_log_and_store {
    ($($test:ident),+ $(,)?) => {
        on_every_log_and_store!(@ embedded, "embedded", "embedded", []; $($test),+);
        on_every_log_and_store!(@ kafka, "kafka", "embedded", [
            #[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]
        ]; $($test),+);
        on_every_log_and_store!(@ scylla, "embedded", "scylla", [
            #[cfg_attr(not(cql_is_there), ignore = "needs a CQL server: TIDEFOLD_TEST_CQL (make servers-up)")]
        ]; $($test),+);
        on_every_log_and_store!(@ kafka_and_scylla, "kafka", "scylla", [
            #[cfg_attr(not(servers_are_there), ignore = "needs Kafka and a CQL server (make servers-up)")]
        ]; $($test),+);
    };
    (@ $pair:ident, $log:literal, $store:literal, $attributes:tt; $($test:ident),+) => {
        mod $pair {
            $(on_every_log_and_store!(@one $log, $store, $attributes; $test);)+
        }
    };
    (@one $log:literal, $store:literal, [$($attribute:tt)*]; $test:ident) => {
        $($attribute)*
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            super::$test(&$crate::support::backends::Backends::of($log, $store)).await;
        }
    };
}
