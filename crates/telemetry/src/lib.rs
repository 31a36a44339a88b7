//! What is counted and measured, the one clock, and tracing set-up.
//!
//! It deliberately has no global registry: a [`Telemetry`] is made once and passed to whoever counts. It names the
//! metrics of all crates, so that two never share a name, and knows nothing else of them.
//!
//! A walk through it:
//! * [`clock`]: the wall clock and monotonic time, the only sanctioned place that reads them.
//! * [`metrics`]: every metric in one list, with its kind, labels and when to worry; [`Telemetry`]; [`Exposition`]: as text.
//! * [`handles`]: the metrics of one component, taken once.
//! * [`logging`]: tracing to standard error, text or JSON.

pub mod clock;
mod exposition;
pub mod handles;
pub mod logging;
pub mod metrics;

pub use exposition::Exposition;
pub use handles::{HttpMetrics, IngestMetrics, QueryMetrics, ReadKind, ReadOutcomes};
pub use metrics::Telemetry;
pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::gauge::Gauge;
pub use prometheus_client::metrics::histogram::Histogram;
