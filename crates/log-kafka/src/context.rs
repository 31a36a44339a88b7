//! What librdkafka says beside its answers goes to the log of the process.

use std::sync::{Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

/// Passes on what librdkafka logs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Logs;

/// Why brokers turned us away, as long as none has let us in since. Calls only time out then; librdkafka tells the reason
/// beside them.
#[derive(Debug, Default)]
pub(crate) struct Trouble(Mutex<Option<String>>);

const CERTIFICATES: &str = "kafka.ssl.ca.location has to hold the authority of the brokers' certificates, which have to \
                            name the brokers' addresses; a broker that asks for ours wants \
                            kafka.ssl.certificate.location and kafka.ssl.key.location";
const LOGIN: &str = "look at kafka.sasl.mechanism, kafka.sasl.username and kafka.sasl.password";

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

impl ConsumerContext for Logs {}

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
