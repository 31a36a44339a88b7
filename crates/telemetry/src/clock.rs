//! The one place that reads clocks. A fold never does; ingest stamps records, APIs tell ages, benchmarks measure.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970-01-01T00:00:00Z by the wall clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the sanctioned place")]
pub fn now_micros() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Monotonic time, for durations.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the sanctioned place")]
pub fn instant() -> Instant {
    Instant::now()
}

/// Waits between attempts at something that failed (back-off), and between looks at what cannot announce itself. Never
/// a substitute for waiting on a fact.
#[expect(clippy::disallowed_methods, reason = "this is the sanctioned place")]
pub async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}
