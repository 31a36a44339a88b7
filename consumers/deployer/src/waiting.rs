//! Waiting for a log or a store that does not answer, and saying so.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tidefold_telemetry::clock;

use crate::error::DeployError;

/// Who is told what a start waits for, each time it has tried in vain.
#[derive(Clone, Default)]
pub struct Waiting(Option<Arc<Tell>>);

type Tell = dyn Fn(&str) + Send + Sync;

// === impl Waiting ===

impl Waiting {
    /// Tells this.
    pub fn tell(told: impl Fn(&str) + Send + Sync + 'static) -> Waiting {
        Waiting(Some(Arc::new(told)))
    }

    pub(crate) fn on(&self, what: &dyn Display) {
        if let Some(tell) = &self.0 {
            tell(&what.to_string());
        }
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waiting")
    }
}

/// Tries until it works or never will.
pub(crate) async fn patiently<T, F: Future<Output = Result<T, DeployError>>>(
    waiting: &Waiting,
    mut attempt: impl FnMut() -> F,
) -> Result<T, DeployError> {
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
