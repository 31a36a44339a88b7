//! Metric names, the clock and tracing set-up
