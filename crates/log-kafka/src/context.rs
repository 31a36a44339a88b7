//! What librdkafka says beside its answers goes to the log of the process.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode as Code;

/// Passes on what librdkafka logs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs;

/// What a client has done since it was made: one of librdkafka's, or our own connections.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientCounts {
    /// What it is for: `direct` (our own connections: appends of few records, and all reads), `producer`, `batches` (appends
    /// that are compressed) or `group`.
    pub client: &'static str,
    /// Which client it is; another one of the same purpose begins at 0.
    pub name: String,
    /// Requests sent.
    pub requests: u64,
    /// Requests that failed or got no answer in time.
    pub errors: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Records that were appended this way.
    pub appended: u64,
    /// Messages that wait in it.
    pub waiting: u64,
    /// The 99th percentile of the slowest broker's round trips, in seconds, in the last interval, where that is known.
    pub round_trip_seconds: Option<f64>,
}

/// Who is told what librdkafka's clients count.
#[derive(Clone, Default)]
pub struct Counts(Option<Arc<Tell>>);

type Tell = dyn Fn(ClientCounts) + Send + Sync;

/// Why brokers turned us away, as long as none has let us in since. Calls only time out then; librdkafka tells the reason
/// beside them.
#[derive(Debug, Default)]
pub(crate) struct Trouble(Mutex<Option<String>>);

const CERTIFICATES: &str = "kafka.ssl.ca.location has to hold the authority of the brokers' certificates, which have to \
                            name the brokers' addresses; a broker that asks for ours wants \
                            kafka.ssl.certificate.location and kafka.ssl.key.location";
const LOGIN: &str = "look at kafka.sasl.mechanism, kafka.sasl.username and kafka.sasl.password";

// === impl Counts ===

impl Counts {
    /// Tells this.
    pub fn new(told: impl Fn(ClientCounts) + Send + Sync + 'static) -> Counts {
        Counts(Some(Arc::new(told)))
    }

    pub(crate) fn are_wanted(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn report(&self, counted: ClientCounts) {
        if let Some(report) = &self.0 {
            report(counted);
        }
    }

    pub(crate) fn of(&self, client: &'static str, told: &Statistics) {
        if !self.are_wanted() {
            return;
        }
        let number = |count: i64| u64::try_from(count).unwrap_or(0);
        let brokers = || told.brokers.values();
        let failed = brokers().map(|broker| broker.txerrs + broker.rxerrs + broker.req_timeouts).sum();
        let trips = brokers().filter_map(|broker| broker.rtt.as_ref()).map(|rtt| rtt.p99);
        self.report(ClientCounts {
            client,
            name: told.name.clone(),
            requests: number(told.tx),
            errors: failed,
            sent_bytes: number(told.tx_bytes),
            received_bytes: number(told.rx_bytes),
            appended: number(told.txmsgs),
            waiting: told.msg_cnt,
            round_trip_seconds: trips.max().map(|micros| micros as f64 / 1e6),
        });
    }
}

impl std::fmt::Debug for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counts")
    }
}

impl PartialEq for Counts {
    fn eq(&self, other: &Counts) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(another)) => Arc::ptr_eq(one, another),
            (None, None) => true,
            _ => false,
        }
    }
}

impl Eq for Counts {}

// === impl Trouble ===

impl Trouble {
    pub(crate) fn note(&self, error: &KafkaError, reason: &str) {
        let look_at = match error.rdkafka_error_code() {
            Some(Code::SSL) => CERTIFICATES,
            // A broker that wants a certificate says so after the handshake.
            Some(Code::BrokerTransportFailure) if reason.contains(" alert ") => CERTIFICATES,
            Some(Code::Authentication | Code::SaslAuthenticationFailed) => LOGIN,
            _ => return,
        };
        self.put(Some(format!("{reason}; {look_at}")));
    }

    pub(crate) fn over(&self) {
        self.put(None);
    }

    pub(crate) fn told(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, told: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = told;
    }
}

// === impl Logs ===

impl ClientContext for Logs {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", "{error}: {reason}");
    }
}

/// Connections come and go; only what librdkafka calls an error is worth a warning of ours.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(target: "librdkafka", "{facility} {line}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
            tracing::warn!(target: "librdkafka", "{facility} {line}");
        }
        _ => tracing::debug!(target: "librdkafka", "{facility} {line}"),
    }
}
