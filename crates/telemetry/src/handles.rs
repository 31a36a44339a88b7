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

/// What was asked of the read API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadKind {
    /// One row.
    Key,
    /// A page.
    Range,
    /// What there is.
    Index,
}

/// Reads of one kind, by what came.
#[derive(Clone, Debug)]
pub struct ReadOutcomes {
    /// An answer.
    pub ok: Counter,
    /// 304.
    pub not_modified: Counter,
    /// No such row, table or app.
    pub not_found: Counter,
    /// A question that cannot be asked.
    pub invalid: Counter,
    /// A position that did not become visible in time.
    pub timeout: Counter,
    /// The store, or what should fill it, was not there.
    pub unavailable: Counter,
}

/// What the read API counts, for one app.
#[derive(Clone, Debug)]
pub struct QueryMetrics {
    /// Rows returned.
    pub rows: Counter,
    /// Time of reading the store for an answer.
    pub store_seconds: Histogram,
    /// Time waited for positions.
    pub position_wait_seconds: Histogram,
    key: ReadOutcomes,
    range: ReadOutcomes,
    index: ReadOutcomes,
}

// === impl QueryMetrics ===

impl QueryMetrics {
    /// The outcomes of a kind of read.
    #[must_use]
    pub fn requests(&self, read: ReadKind) -> &ReadOutcomes {
        match read {
            ReadKind::Key => &self.key,
            ReadKind::Range => &self.range,
            ReadKind::Index => &self.index,
        }
    }
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

    /// The handles of the read API for one app.
    #[must_use]
    pub fn query(&self, app: &str) -> QueryMetrics {
        let outcomes = |read| ReadOutcomes {
            ok: self.query_requests(app, read, "ok"),
            not_modified: self.query_requests(app, read, "not_modified"),
            not_found: self.query_requests(app, read, "not_found"),
            invalid: self.query_requests(app, read, "invalid"),
            timeout: self.query_requests(app, read, "timeout"),
            unavailable: self.query_requests(app, read, "unavailable"),
        };
        QueryMetrics {
            rows: self.query_rows(app),
            store_seconds: self.query_store_seconds(app),
            position_wait_seconds: self.query_position_wait_seconds(app),
            key: outcomes("key"),
            range: outcomes("range"),
            index: outcomes("index"),
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
