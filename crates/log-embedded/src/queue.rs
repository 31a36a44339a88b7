//! Appends that wait for the writer. Callers push and go away to wait for their answer; the writer takes all there is.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidefold_log::{Appended, LogError};
use tidefold_record::{BatchBuilder, Partition};
use tokio::sync::oneshot;

use crate::topics::StoredTopic;

/// So long the writer lets those catch up who were just answered: some of what an fsync takes.
const CATCH_UP: Duration = Duration::from_micros(200);

/// One append on its way.
pub(crate) struct Append {
    pub topic: Arc<StoredTopic>,
    pub partition: Partition,
    pub batch: BatchBuilder,
    pub answer: oneshot::Sender<Result<Appended, LogError>>,
}

/// The queue. Once the log has failed it takes nothing more, and says why.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    most_appends: usize,
    most_bytes: usize,
}

#[derive(Default)]
struct Waiting {
    appends: Vec<Append>,
    bytes: usize,
    /// The writer sleeps until so many wait; 0 while it works.
    wake_at: usize,
    closed: bool,
    failed: Option<String>,
}

// === impl Queue ===

impl Queue {
    pub fn new(most_appends: usize, most_bytes: usize) -> Queue {
        Queue { waiting: Mutex::default(), wake: Condvar::new(), most_appends, most_bytes }
    }

    /// Adds an append, or refuses it when too much waits. A large one is taken when nothing else waits.
    pub fn push(&self, append: Append) -> Result<(), LogError> {
        let size = append.batch.size_bytes();
        let mut waiting = self.lock();
        refuse(&waiting)?;
        let full = waiting.appends.len() >= self.most_appends || waiting.bytes + size > self.most_bytes;
        if full && !waiting.appends.is_empty() {
            // What waits is on disk within a few fsyncs.
            return Err(LogError::Full { retry_after: Duration::from_millis(50) });
        }
        waiting.bytes += size;
        waiting.appends.push(append);
        let wake = waiting.wake_at != 0 && waiting.appends.len() >= waiting.wake_at;
        if wake {
            waiting.wake_at = 0;
        }
        drop(waiting);
        if wake {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Waits for appends and swaps them into `taken`, which is empty; false once the queue is closed and empty. So many
    /// callers were just `answered`, and are likely to append again at once: all of them are waited for, a moment.
    pub fn take(&self, taken: &mut Vec<Append>, answered: usize) -> bool {
        let mut waiting = self.lock();
        if answered > 1 {
            waiting.wake_at = answered;
            let some_are_missing =
                |waiting: &mut Waiting| waiting.appends.len() < answered && !waiting.closed;
            let caught_up = self.wake.wait_timeout_while(waiting, CATCH_UP, some_are_missing);
            (waiting, _) = caught_up.unwrap_or_else(PoisonError::into_inner);
        }
        while waiting.appends.is_empty() {
            if waiting.closed {
                return false;
            }
            waiting.wake_at = 1;
            waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.wake_at = 0;
        waiting.bytes = 0;
        std::mem::swap(&mut waiting.appends, taken);
        true
    }

    /// Refuses everything from now on. What waits was not written, and its callers are told so.
    pub fn fail(&self, reason: String) {
        let mut waiting = self.lock();
        waiting.failed.get_or_insert(reason);
        waiting.bytes = 0;
        let unwritten = std::mem::take(&mut waiting.appends);
        let refusal = refuse(&waiting);
        drop(waiting);
        if let Err(error) = refusal {
            for append in unwritten {
                // A caller that went away needs no answer.
                let _gone = append.answer.send(Err(error.clone()));
            }
        }
    }

    /// Tells whether and why the log takes nothing more.
    pub fn refuse_if_failed(&self) -> Result<(), LogError> {
        refuse(&self.lock())
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Why the log takes nothing more, if it failed.
    pub fn failure(&self) -> Option<String> {
        self.lock().failed.clone()
    }

    /// Takes nothing more; the writer ends once it has written what waits.
    pub fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refuse(waiting: &Waiting) -> Result<(), LogError> {
    if let Some(reason) = &waiting.failed {
        let detail = format!(
            "an earlier write failed and the log takes nothing more until it is opened again ({reason}); mend the \
             cause and restart: everything acknowledged is kept"
        );
        return Err(LogError::Unavailable { detail });
    }
    if waiting.closed {
        return Err(LogError::Unavailable { detail: "the log is being closed".to_owned() });
    }
    Ok(())
}
