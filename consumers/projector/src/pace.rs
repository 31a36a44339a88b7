//! How much of the processor lanes take for small batches.
//!
//! A step costs a good deal before it has folded its first record, so a record costs several times as much in a batch of
//! a few as in a large one. While a process has little to do that is no matter: what comes is folded at once. Where it
//! has much to do, those steps take the processor from whoever appends, and a lane that came a moment later would find
//! more. So what lanes hold a thread for is counted, and where that is more than a share, a lane that finds a few records
//! gathers for a moment. Batches then grow until they are cheap enough.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So much of one thread's time is for small batches: with the rest of two, a machine answers HTTP.
const SHARE: f64 = 0.4;
/// So much may be taken at once after a quiet time.
const MOST: Duration = Duration::from_millis(5);
/// A batch of so many records is not small: the step's own cost is little beside theirs.
pub(crate) const FEW: u64 = 64;
/// A lane gathers for so long at most.
const LONGEST: Duration = Duration::from_millis(8);

/// What the lanes of a process have left for small batches. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct Pace(Arc<Mutex<Left>>);

#[derive(Debug)]
struct Left {
    /// Seconds; below zero, what was taken too much.
    seconds: f64,
    as_of: Instant,
}

/// Since when a lane gathers, if it does.
#[derive(Debug, Default)]
pub(crate) struct Gathering(Option<Instant>);

// === impl Pace ===

impl Default for Pace {
    fn default() -> Pace {
        Pace(Arc::new(Mutex::new(Left { seconds: MOST.as_secs_f64(), as_of: Instant::now() })))
    }
}

impl Pace {
    /// Does something, and counts for how long it holds a thread: not what it waits for a log or a store on a server.
    pub(crate) async fn count<T>(&self, work: impl Future<Output = T>) -> T {
        let (mut work, mut held) = (pin!(work), Duration::ZERO);
        let done = poll_fn(|context| {
            let since = Instant::now();
            let polled = work.as_mut().poll(context);
            held += since.elapsed();
            polled
        });
        let done = done.await;
        self.left().seconds -= held.as_secs_f64();
        done
    }

    /// How long until there is something left; `None` while there is.
    fn wait(&self) -> Option<Duration> {
        let mut left = self.left();
        let now = Instant::now();
        let earned = now.duration_since(left.as_of).as_secs_f64() * SHARE;
        left.seconds = (left.seconds + earned).min(MOST.as_secs_f64());
        left.as_of = now;
        (left.seconds < 0.0).then(|| Duration::from_secs_f64(-left.seconds / SHARE))
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Gathering ===

impl Gathering {
    /// How long a lane that found [few](FEW) records is to wait for more; `None`: it folds them now.
    pub(crate) fn wait(&mut self, pace: &Pace) -> Option<Duration> {
        let wait = pace.wait().and_then(|wait| {
            let since = self.0.get_or_insert_with(Instant::now);
            let left = LONGEST.saturating_sub(since.elapsed());
            (!left.is_zero()).then(|| wait.min(left))
        });
        if wait.is_none() {
            self.0 = None;
        }
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds the thread for so long, of a clock that stands still otherwise.
    async fn hold(pace: &Pace, time: Duration) {
        pace.count(tokio::time::advance(time)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_with_little_to_do_folds_what_comes_at_once() {
        let (pace, mut gathering) = (Pace::default(), Gathering::default());
        for _ in 0..1_000 {
            assert_eq!(gathering.wait(&pace), None);
            hold(&pace, Duration::from_micros(100)).await;
            tokio::time::advance(Duration::from_micros(200)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn small_batches_wait_once_they_take_more_than_their_share_but_never_for_long() {
        let (pace, mut gathering) = (Pace::default(), Gathering::default());
        hold(&pace, Duration::from_millis(50)).await;
        let begun = Instant::now();
        while let Some(wait) = gathering.wait(&pace) {
            tokio::time::advance(wait).await;
        }
        assert_eq!(begun.elapsed(), LONGEST);
        assert!(gathering.wait(&pace).is_some(), "the next batch gathers anew");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_a_server_is_not_counted() {
        let (pace, mut gathering) = (Pace::default(), Gathering::default());
        for _ in 0..100 {
            pace.count(tidefold_telemetry::clock::pause(Duration::from_millis(20))).await;
        }
        assert_eq!(gathering.wait(&pace), None);
    }
}
