//! What is counted and measured, the one clock, and tracing set-up.
//!
//! It deliberately has no global registry: a [`Telemetry`] is made once and passed to whoever counts. It names the
//! metrics of all crates, so that two never share a name. Of the others it knows the log's and the store's contracts, whose
//! calls it counts, and nothing else.
//!
//! A walk through it:
//! * [`clock`]: the wall clock and monotonic time, the only sanctioned place that reads them.
//! * [`metrics`]: every metric in one list, with its kind, labels and when to worry; [`Telemetry`]; [`Exposition`]: as text.
//! * [`handles`]: the metrics of one component, taken once.
//! * [`observer`]: what the log and the store do, as metrics.
//! * [`retry`]: attempts that are repeated until they work; [`troubles`]: what was said of them.
//! * [`supervisor`]: tasks that last as long as the process, and what is said when one does not.
//! * [`logging`]: tracing to standard error, text or JSON.

pub mod clock;
mod exposition;
pub mod handles;
pub mod logging;
pub mod metrics;
pub mod observer;
pub mod retry;
pub mod supervisor;
mod troubles;

pub use exposition::Exposition;
pub use handles::{HttpMetrics, IngestMetrics, QueryMetrics, ReadKind, ReadOutcomes};
pub use metrics::Telemetry;
pub use observer::{LogObserver, StoreObserver};
pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::gauge::Gauge;
pub use prometheus_client::metrics::histogram::Histogram;
pub use retry::{Backoff, Retry, Stopped};
pub use supervisor::{Supervised, Supervisor};
