//! Waiting for a log or a store that does not answer, and saying so.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tidefold_telemetry::clock;

/// An error of which somebody knows whether it passes.
pub trait Passing: Display {
    /// Whether trying again may help by itself: the log or the store does not answer just now.
    fn is_passing(&self) -> bool;
}

/// Where it is reported what a start waits for, each time it has tried in vain.
#[derive(Clone, Default)]
pub struct Waiting(Option<Arc<Report>>);

type Report = dyn Fn(&str) + Send + Sync;

// === impl Waiting ===

impl Waiting {
    /// Reports to this.
    pub fn report_to(report: impl Fn(&str) + Send + Sync + 'static) -> Waiting {
        Waiting(Some(Arc::new(report)))
    }

    pub(crate) fn on(&self, what: &dyn Display) {
        if let Some(report) = &self.0 {
            report(&what.to_string());
        }
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waiting")
    }
}

/// How often a call that somebody waits for is tried: a busy server may take five seconds to say nothing.
const FEW: u32 = 4;

/// Tries until it works, never will, or has failed a few times: within the time that a request may take.
///
/// # Errors
/// The last one.
pub async fn a_few_times<T, E: Passing, F: Future<Output = Result<T, E>>>(
    mut attempt: impl FnMut() -> F,
) -> Result<T, E> {
    let mut wait = Duration::from_millis(50);
    for _ in 1..FEW {
        match attempt().await {
            Err(error) if error.is_passing() => {
                tracing::warn!(%error, "trying again");
                clock::pause(wait).await;
                wait *= 2;
            }
            other => return other,
        }
    }
    attempt().await
}

/// Tries until it works or never will.
///
/// # Errors
/// The first one that does not pass.
pub async fn patiently<T, E: Passing, F: Future<Output = Result<T, E>>>(
    waiting: &Waiting,
    mut attempt: impl FnMut() -> F,
) -> Result<T, E> {
    let mut wait = Duration::from_millis(50);
    loop {
        match attempt().await {
            Err(error) if error.is_passing() => {
                tracing::warn!(%error, "waiting for the log and the store");
                waiting.on(&error);
                clock::pause(wait).await;
                wait = (wait * 2).min(Duration::from_secs(5));
            }
            other => return other,
        }
    }
}
