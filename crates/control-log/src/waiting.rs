//! Waiting for a log or a store that does not answer, and saying so.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tidefold_telemetry::{Retry, Stopped};

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

    /// What was waited for is there: what was said of it does not hold any more.
    pub(crate) fn over(&self) {
        self.on(&"starting: what it waited for has answered");
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

/// Tries until it works, never will, or has failed a few times: within the time that a request may take. `doing` is read
/// behind "retrying to".
///
/// # Errors
/// The last one.
pub async fn a_few_times<T, E: Passing, F: Future<Output = Result<T, E>>>(
    retry: &Retry,
    doing: &'static str,
    mut attempt: impl FnMut() -> F,
) -> Result<T, E> {
    let failed = AtomicU32::new(0);
    let passes = |error: &E| error.is_passing() && failed.fetch_add(1, Ordering::Relaxed) + 1 < FEW;
    match retry.run(doing, passes, &mut attempt).await {
        Ok(done) => Ok(done),
        Err(Stopped::Lasting(error)) => Err(error),
        Err(Stopped::Cancelled) => attempt().await,
    }
}

/// Tries until it works or never will, and reports to `waiting` what it waits for. `doing` is read behind "retrying to".
///
/// # Errors
/// The first one that does not pass; any where the retry is cancelled.
pub async fn patiently<T, E: Passing, F: Future<Output = Result<T, E>>>(
    retry: &Retry,
    waiting: &Waiting,
    doing: &'static str,
    mut attempt: impl FnMut() -> F,
) -> Result<T, E> {
    let has_waited = AtomicBool::new(false);
    let passes = |error: &E| {
        let passes = error.is_passing();
        if passes {
            has_waited.store(true, Ordering::Relaxed);
            waiting.on(error);
        }
        passes
    };
    match retry.run(doing, passes, &mut attempt).await {
        Ok(done) => {
            if has_waited.load(Ordering::Relaxed) {
                waiting.over();
            }
            Ok(done)
        }
        Err(Stopped::Lasting(error)) => Err(error),
        Err(Stopped::Cancelled) => attempt().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tidefold_telemetry::Telemetry;

    use super::*;

    #[derive(Debug, PartialEq, thiserror::Error)]
    #[error("attempt {0}")]
    struct Failed(u32);

    impl Passing for Failed {
        fn is_passing(&self) -> bool {
            self.0 < 8
        }
    }

    /// Fails so many times, numbered from 1 on, then works.
    fn failing(times: u32) -> impl FnMut() -> std::future::Ready<Result<u32, Failed>> {
        let mut attempt = 0;
        move || {
            attempt += 1;
            std::future::ready(if attempt > times { Ok(attempt) } else { Err(Failed(attempt)) })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_waits_as_long_as_it_passes_and_every_attempt_is_counted_and_reported() {
        let (telemetry, said) = (Telemetry::new(), Arc::new(Mutex::new(Vec::new())));
        let told = Arc::clone(&said);
        let waiting = Waiting::report_to(move |what| told.lock().unwrap().push(what.to_owned()));
        let retry = telemetry.retry();
        assert_eq!(patiently(&retry, &waiting, "open topics", failing(6)).await, Ok(7));
        assert_eq!(telemetry.retries("open topics").get(), 6);
        // Each time in vain, and that it is over.
        assert_eq!(said.lock().unwrap().len(), 7);
        assert!(said.lock().unwrap().last().is_some_and(|last| last.starts_with("starting")), "{said:?}");
        assert_eq!(patiently(&retry, &waiting, "open topics", failing(9)).await, Err(Failed(8)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_somebody_waits_for_is_tried_a_few_times_and_every_attempt_is_counted() {
        let telemetry = Telemetry::new();
        assert_eq!(a_few_times(&telemetry.retry(), "read verdicts", failing(3)).await, Ok(4));
        assert_eq!(a_few_times(&telemetry.retry(), "read verdicts", failing(4)).await, Err(Failed(4)));
        assert_eq!(telemetry.retries("read verdicts").get(), 6);
    }
}
