//! Every metric there is, in one list, and the registry that holds them.
//!
//! A metric's name, kind, labels and help stand once, in the list below; [`CATALOG`] is the same list as data, for the
//! documentation and for the test that makes a rename a visible difference. The list says when to alert, because whoever
//! adds a metric knows that best.
//!
//! Nothing on a hot path looks a metric up: a component takes its handles once, from [`crate::handles`].

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::exposition::Exposition;
use crate::troubles::Troubles;

/// A gauge whose unit is not a whole number: seconds, ratios.
pub type FloatGauge = Gauge<f64, std::sync::atomic::AtomicU64>;

type Labels = Vec<(&'static str, String)>;
type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// A whole number that rises and falls.
    Gauge,
    /// A number that rises and falls.
    FloatGauge,
    /// Counts by size, for requests that people wait for: 5 ms to 10 s.
    RequestSeconds,
    /// Counts by size, for steps inside: 0.1 ms to 10 s.
    StepSeconds,
    /// Counts by size: 1 to 65,536.
    Amount,
}

/// A metric as the documentation lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name with the prefix and, for a counter, the suffix it is exposed with.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels. Their values come from closed sets: never a key, an id or a raw path.
    pub labels: &'static [&'static str],
    /// What it says and when to worry.
    pub help: &'static str,
}

/// Everything that is counted; cheap to clone. Made once by the composition and passed to whoever counts.
#[derive(Clone)]
pub struct Telemetry {
    shared: Arc<Shared>,
}

struct Shared {
    registry: Registry,
    families: Families,
    troubles: Troubles,
}

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $field:ident: $kind:ident = $name:literal $suffix:literal [$($label:ident),*];)*) => {
        /// Every metric, in the order of the list.
        pub const CATALOG: &[Metric] = &[$(Metric {
            name: concat!("tidefold_", $name, $suffix),
            kind: Kind::$kind,
            labels: &[$(stringify!($label)),*],
            help: concat!($($help),+).trim_ascii(),
        }),*];

        #[derive(Clone)]
        struct Families { $($field: kind_type!($kind)),* }

        impl Families {
            fn register(registry: &mut Registry) -> Families {
                let families = Families { $($field: kind_new!($kind)),* };
                $(registry.register($name, concat!($($help),+).trim_ascii().trim_end_matches('.'), families.$field.clone());)*
                families
            }
        }

        impl Telemetry {
            $($(#[doc = $help])+
            #[must_use]
            pub fn $field(&self, $($label: &str),*) -> kind_handle!($kind) {
                self.shared.families.$field.get_or_create_owned(&vec![$((stringify!($label), $label.to_owned())),*])
            })*
        }
    };
}

macro_rules! kind_type {
    (Counter) => { Family<Labels, Counter> };
    (Gauge) => { Family<Labels, Gauge> };
    (FloatGauge) => { Family<Labels, FloatGauge> };
    ($histogram:ident) => { Histograms };
}

macro_rules! kind_handle {
    (Counter) => {
        Counter
    };
    (Gauge) => {
        Gauge
    };
    (FloatGauge) => {
        FloatGauge
    };
    ($histogram:ident) => {
        Histogram
    };
}

macro_rules! kind_new {
    (RequestSeconds) => {
        Family::new_with_constructor(request_seconds)
    };
    (StepSeconds) => {
        Family::new_with_constructor(step_seconds)
    };
    (Amount) => {
        Family::new_with_constructor(amount)
    };
    ($plain:ident) => {
        Family::default()
    };
}

impl Telemetry {
    /// Takes a topic's `dlq_oldest_age_seconds` away: nobody knows how old its dead letters are.
    pub fn forget_dlq_oldest_age_seconds(&self, app: &str, topic: &str) {
        let labels = vec![("app", app.to_owned()), ("topic", topic.to_owned())];
        self.shared.families.dlq_oldest_age_seconds.remove(&labels);
    }
}

metrics! {
    /// 1, with the version and revision of the running binary. Alert: more than one version for longer than a roll-out.
    build_info: Gauge = "build_info" "" [version, revision];

    /// 1 while a part of the node is ready, 0 while it starts and once it has ended (`check`: the names of
    /// `/readyz?verbose`). Alert: 0 for longer than a start takes.
    ready: Gauge = "ready" "" [check];

    /// Open connections of a server (`api` is the server's name). Alert: near the configured limit.
    http_connections: Gauge = "http_connections" "" [api];
    /// Requests being answered, bodies included. Alert: near the configured limit; then callers get 503.
    http_requests_in_flight: Gauge = "http_requests_in_flight" "" [api];
    /// Time from the request's head to the end of the answer's body, by status class (`2xx` ...).
    /// Alert: share of `5xx` above 1 %, or a p99 above what callers were promised.
    http_request_seconds: RequestSeconds = "http_request_seconds" "" [api, class];
    /// Requests and connections turned away before they reached a route (`reason`: requests, connections).
    /// Alert: any for more than a minute; the node is too small for its load.
    http_refused: Counter = "http_refused" "_total" [api, reason];

    /// Messages that came in, by what ingest answered (`outcome`: accepted, invalid, too_large, full, unavailable,
    /// unknown, timeout). Alert: any `unavailable` or `unknown`; `full` for more than a minute.
    ingest_records: Counter = "ingest_records" "_total" [app, outcome];
    /// Bytes of request bodies read.
    ingest_body_bytes: Counter = "ingest_body_bytes" "_total" [app];
    /// Time from handing a batch to the log until it is durable. Alert: p99 above 0.1 s; the disk or broker is slow.
    ingest_append_seconds: StepSeconds = "ingest_append_seconds" "" [app];
    /// Records in one append of one partition.
    ingest_append_records: Amount = "ingest_append_records" "" [app];
    /// Time that callers with `Prefer: wait` waited for the verdict.
    ingest_wait_seconds: StepSeconds = "ingest_wait_seconds" "" [app];
    /// Bytes of batches handed to the log and not acknowledged yet. Alert: at its bound; the log cannot keep up.
    inflight_bytes: Gauge = "inflight_bytes" "" [app];

    /// Records between a partition's checkpoint and the end of its log; from the log's start where a halted lane cannot read its
    /// checkpoint. Alert: rising for ten minutes.
    consumer_lag_records: Gauge = "consumer_lag_records" "" [group, topic, partition];
    /// Age of the oldest record that is not folded yet; 0 where nothing waits. Alert: above what readers were promised.
    consumer_lag_seconds: FloatGauge = "consumer_lag_seconds" "" [group, topic, partition];
    /// The next offset a partition's fold reads.
    projection_position: Gauge = "projection_position" "" [group, topic, partition];
    /// Records folded, by verdict (applied, rejected, duplicate: a retry, whatever the first attempt came to; dead). Alert: any
    /// `dead`.
    projection_records: Counter = "projection_records" "_total" [group, topic, verdict];
    /// Failures a lane met, by class (log, store, schema, halted). They are retried; `halted` waits for an operator.
    /// Alert: any `halted`; others for more than five minutes.
    projection_errors: Counter = "projection_errors" "_total" [group, topic, class];
    /// 1 while a partition's lane is halted, 0 while it works. Alert: any 1.
    projection_halted: Gauge = "projection_halted" "" [group, topic, partition];
    /// 1 while the breaker holds a partition because dead letters piled up, else 0. Alert: any 1.
    projection_tripped: Gauge = "projection_tripped" "" [group, topic, partition];
    /// Records of one batch.
    projection_batch_records: Amount = "projection_batch_records" "" [group, topic];
    /// Time of one step of a batch (`step`: read, load, fold, derived, entities, checkpoint).
    projection_step_seconds: StepSeconds = "projection_step_seconds" "" [group, topic, step];
    /// Rows written, by what they are (`rows`: verdict, view, entity). Alert: none; it explains the store's load.
    projection_rows_written: Counter = "projection_rows_written" "_total" [group, topic, rows];
    /// Rows a batch found in the cache.
    projection_cache_hits: Counter = "projection_cache_hits" "_total" [group, topic];
    /// Rows a batch had to load from the store. Alert: most rows for long: the cache is too small.
    projection_cache_misses: Counter = "projection_cache_misses" "_total" [group, topic];
    /// Bytes of cached rows of a partition.
    projection_cache_bytes: Gauge = "projection_cache_bytes" "" [group, topic, partition];
    /// When a lane last moved its checkpoint, as seconds since 1970. Alert: older than a minute while there is lag.
    last_progress_timestamp_seconds: FloatGauge = "last_progress_timestamp_seconds" "" [group, topic, partition];
    /// Assignments of partitions that changed. Alert: more than a few an hour without a deployment.
    rebalances: Counter = "rebalances" "_total" [group];
    /// Dead letters of a topic that stand unresolved; counted every ten seconds. Alert: any.
    dlq_messages: Gauge = "dlq_messages" "" [app, topic];
    /// Age of the oldest unresolved dead letter of a topic that says when it was appended; absent where none does.
    dlq_oldest_age_seconds: FloatGauge = "dlq_oldest_age_seconds" "" [app, topic];
    /// How far the build of a generation has come, 0 to 1. Alert: unchanged for ten minutes.
    replay_progress_ratio: FloatGauge = "replay_progress_ratio" "" [app, topic, generation];

    /// Calls of the log under way (`operation`: open, append, read, bounds). Alert: rising for a minute; the log hangs.
    log_operations_in_flight: Gauge = "log_operations_in_flight" "" [backend, operation];
    /// Time from a call of the log to its answer. Alert: p99 of `append` above 0.1 s; the disk or broker is slow.
    log_operation_seconds: StepSeconds = "log_operation_seconds" "" [backend, operation];
    /// Calls of the log that failed, by what is wrong (`kind`: full, unavailable, unknown, too_large, no_such_partition,
    /// mismatch, out_of_range, damaged). Alert: any `mismatch`, `out_of_range` or `damaged`; others for a minute.
    log_errors: Counter = "log_errors" "_total" [backend, operation, kind];
    /// Attempts that the log repeats by itself inside a call. Alert: rising for a minute; a broker or the network is ill.
    log_retries: Counter = "log_retries" "_total" [backend, operation];
    /// Bytes of records appended and read, in their encoding. Alert: none.
    log_bytes: Counter = "log_bytes" "_total" [backend, operation];

    /// Calls of the store under way (`operation`: open, load, write, scan, drop). Alert: rising for a minute; the store
    /// hangs.
    store_operations_in_flight: Gauge = "store_operations_in_flight" "" [backend, operation];
    /// Time from a call of the store to its answer. Alert: p99 of `write` above 0.1 s; the disk or cluster is slow.
    store_operation_seconds: StepSeconds = "store_operation_seconds" "" [backend, operation];
    /// Calls of the store that failed, by what is wrong (`kind`: unavailable, refused, failed, damaged). Alert: any but
    /// `unavailable`; that for a minute.
    store_errors: Counter = "store_errors" "_total" [backend, operation, kind];
    /// Requests that the store's driver repeats by itself inside a call. Alert: rising for a minute; a server is ill.
    store_retries: Counter = "store_retries" "_total" [backend, operation];
    /// Bytes of keys and values written and read. Alert: none.
    store_bytes: Counter = "store_bytes" "_total" [backend, operation];

    /// Attempts that failed in passing and were repeated (`doing`: what was to be done; log or store do not answer, mostly).
    /// Alert: rising for five minutes.
    retries: Counter = "retries" "_total" [doing];
    /// How many wait just now to repeat an attempt (`doing`: as above). Alert: above 0 for five minutes.
    retrying: Gauge = "retrying" "" [doing];
    /// Tasks that should last as long as the process and have ended or panicked (`task`: which). Alert: any; the node is
    /// not ready any more, and only a new start helps.
    tasks_ended: Counter = "tasks_ended" "_total" [task];

    /// Requests that Kafka clients have sent (`client`: direct, our own connections; librdkafka's producer, batches, group). Alert: none.
    kafka_requests: Counter = "kafka_requests" "_total" [client];
    /// Requests of theirs that failed or got no answer in time. Alert: rising for a minute; a broker or the network is ill.
    kafka_request_errors: Counter = "kafka_request_errors" "_total" [client];
    /// Bytes they have sent. Alert: none.
    kafka_sent_bytes: Counter = "kafka_sent_bytes" "_total" [client];
    /// Bytes they have received. Alert: none.
    kafka_received_bytes: Counter = "kafka_received_bytes" "_total" [client];
    /// Records that were appended by each client (`client`: direct, our own connections; producer and batches, librdkafka's). Alert: none.
    kafka_appended_records: Counter = "kafka_appended_records" "_total" [client];
    /// Messages that wait in a client. Alert: rising for a minute.
    kafka_waiting_messages: Gauge = "kafka_waiting_messages" "" [client];
    /// The 99th percentile of the round trips to the slowest broker, over the last interval of `log.statistics`.
    /// Alert: above what the network should take.
    kafka_round_trip_seconds: FloatGauge = "kafka_round_trip_seconds" "" [client];

    /// Reads, by what was asked (`read`: key, range, index) and what came (`outcome`: ok, not_modified, not_found,
    /// invalid, timeout, unavailable). Alert: any `unavailable`.
    query_requests: Counter = "query_requests" "_total" [app, read, outcome];
    /// Rows returned to callers, whatever they asked. Alert: none.
    query_rows: Counter = "query_rows" "_total" [app];
    /// Time of reading the store for one answer.
    query_store_seconds: StepSeconds = "query_store_seconds" "" [app];
    /// Time that callers with `Tidefold-Min-Position` waited for it.
    query_position_wait_seconds: StepSeconds = "query_position_wait_seconds" "" [app];
}

// === impl Telemetry ===

impl Telemetry {
    /// A registry with every metric in it and no value yet.
    #[must_use]
    pub fn new() -> Telemetry {
        let mut registry = Registry::with_prefix("tidefold");
        let families = Families::register(&mut registry);
        Telemetry { shared: Arc::new(Shared { registry, families, troubles: Troubles::default() }) }
    }

    pub(crate) fn troubles(&self) -> &Troubles {
        &self.shared.troubles
    }

    /// All metrics in a format.
    ///
    /// # Errors
    /// When formatting fails, which writing to a `String` does not.
    pub fn encode(&self, format: Exposition) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.shared.registry)?;
        Ok(format.written(&text))
    }
}

impl Default for Telemetry {
    fn default() -> Telemetry {
        Telemetry::new()
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

fn request_seconds() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0])
}

fn step_seconds() -> Histogram {
    Histogram::new([
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0,
    ])
}

fn amount() -> Histogram {
    Histogram::new((0..=8).map(|power| f64::from(4u32.pow(power))))
}
