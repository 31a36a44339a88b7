//! What does not work just now in this process, and what was said of it, so that many who fail at the same thing say it once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;

/// What is being repeated in this process.
#[derive(Debug, Default)]
pub(crate) struct Troubles(Mutex<HashMap<&'static str, Trouble>>);

/// One thing that does not work just now.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// How many try.
    pub(crate) trying: usize,
    pub(crate) attempts: u64,
    since: Instant,
    said: Instant,
    reasons: Vec<String>,
}

/// A reason that was said is said again after so long.
const SAY_AGAIN: Duration = Duration::from_secs(30);
/// So many reasons of one trouble get lines of their own; errors may have numbers in them that never stand still.
pub(crate) const REASONS: usize = 8;

// === impl Trouble ===

impl Trouble {
    /// One that begins now.
    pub(crate) fn new() -> Trouble {
        let now = clock::instant();
        Trouble { trying: 0, attempts: 0, since: now, said: now, reasons: Vec::new() }
    }

    /// The reason, if it is to be said now.
    pub(crate) fn due(&mut self, reason: String, now: Instant) -> Option<String> {
        let is_new = !self.reasons.contains(&reason) && self.reasons.len() < REASONS;
        if !is_new && now.duration_since(self.said) < SAY_AGAIN {
            return None;
        }
        if is_new {
            self.reasons.push(reason.clone());
        }
        self.said = now;
        Some(reason)
    }

    /// It works for somebody: said once, after as many attempts and seconds, however many tried.
    pub(crate) fn over(&mut self) -> Option<(u64, u64)> {
        let was = (self.attempts, clock::instant().duration_since(self.since).as_secs());
        self.attempts = 0;
        let has_reasons = !std::mem::take(&mut self.reasons).is_empty();
        has_reasons.then_some(was)
    }
}

// === impl Troubles ===

impl Troubles {
    pub(crate) fn lock(&self) -> MutexGuard<'_, HashMap<&'static str, Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_was_said_is_said_again_after_a_while() {
        let start = clock::instant();
        let mut trouble = Trouble { said: start, ..Trouble::new() };
        let mut say = |reason: &str, after| trouble.due(reason.to_owned(), start + after);
        assert_eq!(say("away", Duration::ZERO).as_deref(), Some("away"));
        assert_eq!(say("away", SAY_AGAIN - Duration::from_millis(1)), None);
        assert_eq!(say("away", SAY_AGAIN).as_deref(), Some("away"));
        assert_eq!(say("away", SAY_AGAIN + Duration::from_secs(1)), None);
        assert_eq!(say("slow", SAY_AGAIN + Duration::from_secs(1)).as_deref(), Some("slow"));
    }
}
