//! The bytes that requests may hold, over all of them and for each caller: bodies being read and batches on their way to the
//! log.
//!
//! Room is taken for bytes that came, not for bytes that were announced: what a stranger says that it will send holds
//! nothing. Where there is none, a request is answered 503 before anything of it is appended. A stream has room for two
//! chunks at most, so that it can always go on by itself; more chunks in flight take more room while there is some.

use std::time::Duration;

use tidefold_http::{Caller, Held, Problem, ProblemKind, Shared};

/// How many bytes there are.
pub(crate) struct Admission {
    total: usize,
    /// What one caller may hold in any case: the largest single thing.
    least: usize,
}

/// Room that grows with what comes, until this is dropped.
pub(crate) struct Admitted {
    held: Held,
    /// It does not grow beyond this.
    most: usize,
}

// === impl Admission ===

impl Admission {
    pub(crate) fn new(total: usize, least: usize) -> Admission {
        Admission { total, least }
    }

    /// Room for so many bytes, or for all there are where that is less; `None` while it is held.
    pub(crate) fn hold(&self, caller: &Caller, bytes: usize) -> Option<Held> {
        caller.take(Shared::Bytes, bytes.min(self.total), self.total, self.least)
    }

    /// Room for what is going to come, of which `most` is counted.
    ///
    /// # Errors
    /// 503 where there is none at all.
    pub(crate) fn open(&self, caller: &Caller, most: usize) -> Result<Admitted, Problem> {
        let held = self.hold(caller, 1).ok_or_else(|| self.full())?;
        Ok(Admitted { held, most: most.min(self.total) })
    }

    /// What is said where there is no room.
    pub(crate) fn full(&self) -> Problem {
        let detail = format!(
            "the requests being answered hold the {} bytes that they may together, or one address's share of them; \
             nothing of this was appended, send it again shortly or to another node",
            self.total
        );
        Problem::new(ProblemKind::Overloaded, detail).with_retry_after(Duration::from_secs(1))
    }
}

// === impl Admitted ===

impl Admitted {
    /// Takes room for so many bytes more; false where there is none.
    #[must_use]
    pub(crate) fn grow(&mut self, more: usize) -> bool {
        self.held.grow(more.min(self.most.saturating_sub(self.held.amount())))
    }

    /// Keeps room for so many bytes; returns how many of them have none.
    pub(crate) fn keep(&mut self, bytes: usize) -> usize {
        self.held.shrink_to(bytes.max(1));
        bytes.saturating_sub(self.held.amount())
    }
}
