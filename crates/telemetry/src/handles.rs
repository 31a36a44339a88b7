//! Sets of handles that a component takes once and keeps: counting is then one atomic addition, without a look-up.
//!
//! The single metrics are methods of [`Telemetry`]; here are those that always go together.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::Telemetry;

/// What a server counts.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    /// Open connections.
    pub connections: Gauge,
    /// Requests being answered.
    pub in_flight: Gauge,
    /// Requests turned away because too many were being answered.
    pub refused_requests: Counter,
    /// Connections turned away because too many were open.
    pub refused_connections: Counter,
    classes: [Histogram; 5],
}

/// What ingest counts, for one app.
#[derive(Clone, Debug)]
pub struct IngestMetrics {
    /// Messages acknowledged.
    pub accepted: Counter,
    /// Messages refused as they are.
    pub invalid: Counter,
    /// Messages and lines over a limit.
    pub too_large: Counter,
    /// Messages turned away because the log was full.
    pub full: Counter,
    /// Messages turned away because the log was not there.
    pub unavailable: Counter,
    /// Messages of unknown fate.
    pub unknown: Counter,
    /// Bodies that stalled.
    pub timeout: Counter,
    /// Bytes of bodies read.
    pub body_bytes: Counter,
    /// Time of an append.
    pub append_seconds: Histogram,
    /// Records of an append.
    pub append_records: Histogram,
    /// Time waited for verdicts.
    pub wait_seconds: Histogram,
    /// Bytes handed to the log and not acknowledged.
    pub inflight_bytes: Gauge,
}

// === impl HttpMetrics ===

impl HttpMetrics {
    /// The time of answers with this status.
    #[must_use]
    pub fn seconds(&self, status: u16) -> &Histogram {
        let [first, second, third, fourth, fifth] = &self.classes;
        match status {
            0..200 => first,
            200..300 => second,
            300..400 => third,
            400..500 => fourth,
            _ => fifth,
        }
    }
}

// === impl Telemetry ===

impl Telemetry {
    /// The handles of a server.
    #[must_use]
    pub fn http(&self, api: &str) -> HttpMetrics {
        HttpMetrics {
            connections: self.http_connections(api),
            in_flight: self.http_requests_in_flight(api),
            refused_requests: self.http_refused(api, "requests"),
            refused_connections: self.http_refused(api, "connections"),
            classes: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(|class| self.http_request_seconds(api, class)),
        }
    }

    /// The handles of ingest for one app.
    #[must_use]
    pub fn ingest(&self, app: &str) -> IngestMetrics {
        let records = |outcome| self.ingest_records(app, outcome);
        IngestMetrics {
            accepted: records("accepted"),
            invalid: records("invalid"),
            too_large: records("too_large"),
            full: records("full"),
            unavailable: records("unavailable"),
            unknown: records("unknown"),
            timeout: records("timeout"),
            body_bytes: self.ingest_body_bytes(app),
            append_seconds: self.ingest_append_seconds(app),
            append_records: self.ingest_append_records(app),
            wait_seconds: self.ingest_wait_seconds(app),
            inflight_bytes: self.inflight_bytes(app),
        }
    }
}
