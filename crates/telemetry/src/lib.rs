//! What is counted and measured, the one clock, and tracing set-up.
//!
//! It deliberately has no global registry: a [`Telemetry`] is made once and passed to whoever counts.
//!
//! A walk through it:
//! * [`clock`]: the wall clock and monotonic time, the only sanctioned place that reads them.
//! * [`metrics`]: every metric as one enum, with its name, type, unit, labels and when to worry.
//! * [`logging`]: tracing to standard error, text or JSON.

pub mod clock;
pub mod logging;
pub mod metrics;

pub use metrics::Telemetry;
