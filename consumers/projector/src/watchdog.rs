//! Notices a lane that stands still while its log moves. A pure state machine: the caller tells the time.

use std::time::Duration;

use tidefold_record::Offset;

/// Watches one lane.
#[derive(Clone, Copy, Debug)]
pub struct Watchdog {
    limit: Duration,
    next: Offset,
    /// Since when the lane has had something to do and has not moved.
    since: Option<Duration>,
    stalled: bool,
}

/// A lane stalled or moved again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noticed {
    /// It has stood still for the limit.
    Stalled,
    /// It moved again, or has nothing left to do.
    Recovered,
}

impl Watchdog {
    /// Watches a lane that may stand still for `limit`.
    #[must_use]
    pub fn new(limit: Duration) -> Watchdog {
        Watchdog { limit, next: Offset::ZERO, since: None, stalled: false }
    }

    /// Looks at a lane. `now` is the time since any fixed moment.
    pub fn look(&mut self, now: Duration, next: Offset, end: Offset) -> Option<Noticed> {
        if next != self.next || next >= end {
            self.next = next;
            self.since = (next < end).then_some(now);
            return std::mem::take(&mut self.stalled).then_some(Noticed::Recovered);
        }
        let since = *self.since.get_or_insert(now);
        if self.stalled || now.saturating_sub(since) < self.limit {
            return None;
        }
        self.stalled = true;
        Some(Noticed::Stalled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lane_that_stands_still_while_the_log_moves_is_noticed_once() {
        let mut dog = Watchdog::new(LIMIT);
        assert_eq!(dog.look(at(0), Offset(5), Offset(5)), None);
        assert_eq!(dog.look(at(100), Offset(5), Offset(6)), None);
        assert_eq!(dog.look(at(129), Offset(5), Offset(7)), None);
        assert_eq!(dog.look(at(130), Offset(5), Offset(8)), Some(Noticed::Stalled));
        assert_eq!(dog.look(at(200), Offset(5), Offset(9)), None);
        assert_eq!(dog.look(at(201), Offset(6), Offset(9)), Some(Noticed::Recovered));
        assert_eq!(dog.look(at(231), Offset(6), Offset(9)), Some(Noticed::Stalled));
    }

    #[test]
    fn a_lane_without_work_or_with_progress_is_not_noticed() {
        let mut dog = Watchdog::new(LIMIT);
        for i in 0..100 {
            assert_eq!(dog.look(at(i * 20), Offset(i), Offset(1_000)), None);
        }
        for i in 0..100 {
            assert_eq!(dog.look(at(2_000 + i * 60), Offset(1_000), Offset(1_000)), None);
        }
    }
}
