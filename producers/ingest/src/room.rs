//! The bytes that requests may hold, over all of them: bodies being read and batches on their way to the log.
//!
//! Every route asks for room before it reads: a node that is flooded answers 503 at once instead of running out of
//! memory. A stream gets room for two chunks, so that it can always go on by itself; more chunks in flight take more room
//! while there is some.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use tidefold_http::{Problem, ProblemKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Counts the bytes.
pub(crate) struct Room {
    free: Arc<Semaphore>,
    total: u32,
}

/// Bytes that a request holds until this is dropped.
pub(crate) struct Held(#[expect(dead_code, reason = "it is held, not read")] OwnedSemaphorePermit);

// === impl Room ===

impl Room {
    pub(crate) fn new(bytes: usize) -> Room {
        let total = u32::try_from(bytes)
            .unwrap_or(u32::MAX)
            .min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        Room { free: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// Room for so many bytes, or for all there are where that is less; `None` while others hold it.
    pub(crate) fn hold(&self, bytes: usize) -> Option<Held> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.total);
        Arc::clone(&self.free).try_acquire_many_owned(bytes).ok().map(Held)
    }

    /// Room for the body that a request's head announces, at most `most`; for `most` where it does not say.
    ///
    /// # Errors
    /// 503 while other requests hold it.
    pub(crate) fn hold_body(&self, headers: &HeaderMap, most: usize) -> Result<Held, Problem> {
        let announced =
            headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        self.hold(announced.map_or(most, |bytes| bytes.min(most))).ok_or_else(|| {
            let detail = format!(
                "the requests being answered hold the {} bytes that they may together; nothing was read or appended, \
                 send it again shortly or to another node",
                self.total
            );
            Problem::new(ProblemKind::Overloaded, detail).with_retry_after(Duration::from_secs(1))
        })
    }
}
