//! Attempts that are repeated until they work: one way for everybody.
//!
//! The rest between two attempts doubles from [`Backoff::first`] up to [`Backoff::most`], and half of it is chance, so that
//! those who failed together do not come back together. However many fail at the same thing, the log has a line for each
//! reason, another one now and then, and one when it works again; metrics count.

use std::fmt::Display;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use prometheus_client::metrics::gauge::Gauge;
use tokio_util::sync::CancellationToken;

use crate::troubles::Trouble;
use crate::{Telemetry, clock};

/// Repeats what fails. Cheap to clone; all that were made from one [`Telemetry`] share what was said.
#[derive(Clone, Debug)]
pub struct Retry {
    telemetry: Telemetry,
    backoff: Backoff,
    cancel: CancellationToken,
}

/// How long to rest between two attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first rest, at most; at least half of it.
    pub first: Duration,
    /// The longest.
    pub most: Duration,
}

/// Why attempts are not repeated any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped<E> {
    /// Who asked does not want it any more.
    #[error("it was given up")]
    Cancelled,
    /// The error is one that repeating does not help.
    #[error(transparent)]
    Lasting(E),
}

/// One who tries.
struct Trying<'a> {
    telemetry: &'a Telemetry,
    doing: &'static str,
    gauge: Gauge,
}

// === impl Backoff ===

impl Default for Backoff {
    /// From 50 ms to 5 s.
    fn default() -> Backoff {
        Backoff { first: Duration::from_millis(50), most: Duration::from_secs(5) }
    }
}

impl Backoff {
    /// The rests, for ever.
    pub fn rests(self) -> impl Iterator<Item = Duration> + Send {
        // What is added by chance is at most as much again.
        let halves = ExponentialBuilder::new()
            .with_min_delay(self.first / 2)
            .with_max_delay(self.most / 2)
            .with_jitter()
            .without_max_times();
        halves.build()
    }
}

// === impl Retry ===

impl Retry {
    /// With other rests than the default's.
    #[must_use]
    pub fn backoff(self, backoff: Backoff) -> Retry {
        Retry { backoff, ..self }
    }

    /// Until this is cancelled. An attempt under way is not cut, only no other one follows.
    #[must_use]
    pub fn until(self, cancel: CancellationToken) -> Retry {
        Retry { cancel, ..self }
    }

    /// Tries until it works, fails with an error that does not pass, or is cancelled.
    ///
    /// `doing` says what, to be read behind "retrying to": a constant, since metrics have it for a label.
    ///
    /// # Errors
    /// See [`Stopped`].
    pub async fn run<T, E: Display, F: Future<Output = Result<T, E>>>(
        &self,
        doing: &'static str,
        passes: impl Fn(&E) -> bool,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Stopped<E>> {
        let mut error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let mut rests = self.backoff.rests();
        let mut trying = None;
        loop {
            if !passes(&error) {
                return Err(Stopped::Lasting(error));
            }
            trying.get_or_insert_with(|| Trying::begin(&self.telemetry, doing)).failed(&error);
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(Stopped::Cancelled),
                () = clock::pause(rests.next().unwrap_or(self.backoff.most)) => {}
            }
            error = match attempt().await {
                Ok(done) => {
                    trying.iter().for_each(Trying::works);
                    return Ok(done);
                }
                Err(error) => error,
            };
        }
    }
}

// === impl Trying ===

impl<'a> Trying<'a> {
    fn begin(telemetry: &'a Telemetry, doing: &'static str) -> Trying<'a> {
        telemetry.troubles().lock().entry(doing).or_insert_with(Trouble::new).trying += 1;
        let gauge = telemetry.retrying(doing);
        gauge.inc();
        Trying { telemetry, doing, gauge }
    }

    fn failed(&self, error: &impl Display) {
        self.telemetry.retries(self.doing).inc();
        let mut troubles = self.telemetry.troubles().lock();
        let Some(trouble) = troubles.get_mut(self.doing) else { return };
        trouble.attempts += 1;
        if let Some(reason) = trouble.due(error.to_string(), clock::instant()) {
            let (attempts, trying) = (trouble.attempts, trouble.trying);
            tracing::warn!(error = reason, attempts, trying, "retrying to {}", self.doing);
        }
    }

    fn works(&self) {
        let trouble = self.telemetry.troubles().lock().get_mut(self.doing).and_then(Trouble::over);
        if let Some((attempts, seconds)) = trouble {
            tracing::info!(attempts, seconds, "what was retried works again: to {}", self.doing);
        }
    }
}

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        self.gauge.dec();
        let mut troubles = self.telemetry.troubles().lock();
        if let Some(trouble) = troubles.get_mut(self.doing) {
            trouble.trying -= 1;
            if trouble.trying == 0 {
                troubles.remove(self.doing);
            }
        }
    }
}

// === impl Telemetry ===

impl Telemetry {
    /// Repeats what fails, with the default's rests, for ever.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry { telemetry: self.clone(), backoff: Backoff::default(), cancel: CancellationToken::new() }
    }
}

#[cfg(test)]
mod tests;
