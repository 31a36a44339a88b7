//! Whether a checkpoint says anything of the records that stand in a log: only where the log is the one it was folded from.
//!
//! A checkpoint holds the digest of the last record read. Where that record still stands at its place, every record before
//! it is one that was folded, since a log only grows. That costs a read, so it is done once and then believed of every later
//! checkpoint of the same tables: it was written by a lane that found its own place in the same way, and goes on from there.

use std::time::{Duration, Instant};

use tidefold_record::{Offset, RecordRef};

use crate::checkpoint::{Checkpoint, digest};

/// How a checkpoint and a log contradict each other: tables and log are not of one another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// The checkpoint lies past the log's end.
    #[error(
        "the tables are folded up to offset {next}, but the log ends at {end}: it was truncated or replaced"
    )]
    PastEnd {
        /// The checkpoint.
        next: Offset,
        /// Where the log ends.
        end: Offset,
    },
    /// The log does not start with its first record.
    #[error(
        "the log starts at offset {start}: the records before that were deleted, and tables are folded from the very first one"
    )]
    BeforeStart {
        /// Where the log starts.
        start: Offset,
    },
    /// Another record stands where the last one was folded, or none.
    #[error("the record at offset {at} is not the one that was folded: the log was truncated or replaced")]
    OtherRecord {
        /// Its place.
        at: Offset,
    },
}

/// What has to be looked at before a checkpoint is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing: it was, a moment ago.
    Nothing,
    /// Where the log starts and ends.
    Bounds,
    /// Where the log starts and ends, and the record that was read last, if there is one.
    Record(Option<Offset>),
}

/// What is known of one partition's checkpoints. A state machine without clock: the caller looks, and tells the time.
#[derive(Debug, Default)]
pub struct Proof {
    known: Option<Known>,
}

#[derive(Debug)]
struct Known {
    generation: u32,
    next: Offset,
    at: Instant,
    contradiction: Option<Contradiction>,
}

/// How long what was looked at is good for.
pub const GOOD_FOR: Duration = Duration::from_secs(5);

// === impl Contradiction ===

impl Contradiction {
    /// What an operator has to do.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Contradiction::BeforeStart { .. } => {
                "put back the log's start, and set its retention to unlimited"
            }
            Contradiction::PastEnd { .. } | Contradiction::OtherRecord { .. } => {
                "put back the log these tables were folded from; to go on with what is left of it, build the tables anew \
                 with `tidefold replay`"
            }
        }
    }
}

// === impl Checkpoint ===

impl Checkpoint {
    /// The last record that was read; none where nothing was.
    #[must_use]
    pub fn last_read(&self) -> Option<Offset> {
        (self.last < self.next).then_some(self.last)
    }

    /// Whether a record that stands at this offset was folded. Offsets past the last record read and before `next` had no
    /// record when they were passed.
    #[must_use]
    pub fn covers(&self, offset: Offset) -> bool {
        self.last_read().is_some_and(|last| offset <= last)
    }

    /// Compares it with where a log starts and ends. The log has to be looked at after the checkpoint was.
    ///
    /// # Errors
    /// Where the checkpoint is none of this log.
    pub fn within(&self, start: Offset, end: Offset) -> Result<(), Contradiction> {
        if self.next > end {
            return Err(Contradiction::PastEnd { next: self.next, end });
        }
        if start > Offset::ZERO {
            return Err(Contradiction::BeforeStart { start });
        }
        Ok(())
    }

    /// Compares it with the record that stands where the last one was read.
    ///
    /// # Errors
    /// Where it is another, or there is none.
    pub fn stands_on(&self, record: Option<&RecordRef<'_>>) -> Result<(), Contradiction> {
        match self.last_read() {
            Some(at) if record.map(digest) != Some(self.digest) => Err(Contradiction::OtherRecord { at }),
            _ => Ok(()),
        }
    }
}

// === impl Proof ===

impl Proof {
    /// What has to be looked at before this checkpoint is believed. `thorough`: what was looked at a while ago is looked at
    /// as if it never was.
    #[must_use]
    pub fn look(&self, generation: u32, checkpoint: &Checkpoint, now: Instant, thorough: bool) -> Look {
        let record = Look::Record(checkpoint.last_read());
        let believed = self.known.as_ref().filter(|known| {
            known.generation == generation && known.contradiction.is_none() && known.next <= checkpoint.next
        });
        match believed {
            None => record,
            Some(known) if now.saturating_duration_since(known.at) < GOOD_FOR => Look::Nothing,
            Some(_) if thorough => record,
            Some(_) => Look::Bounds,
        }
    }

    /// Takes what a look has found.
    pub fn found(
        &mut self,
        generation: u32,
        checkpoint: &Checkpoint,
        now: Instant,
        found: Result<(), Contradiction>,
    ) {
        let contradiction = found.err();
        self.known = Some(Known { generation, next: checkpoint.next, at: now, contradiction });
    }

    /// What was found last, and whether that is a while ago; none where nobody has looked.
    #[must_use]
    pub fn last(&self, now: Instant) -> Option<(Option<&Contradiction>, bool)> {
        let known = self.known.as_ref()?;
        Some((known.contradiction.as_ref(), now.saturating_duration_since(known.at) >= GOOD_FOR))
    }
}

#[cfg(test)]
mod tests {
    use tidefold_record::{BatchBuilder, Headers, Partition, RecordBatch};

    use super::*;

    fn log(values: &[&str], first: u64) -> RecordBatch {
        let mut builder = BatchBuilder::new();
        for value in values {
            builder.push(Some(b"k"), Some(value.as_bytes()), Headers::default());
        }
        builder.build(Partition(0), Offset(first))
    }

    /// What a lane writes that has read all of a log.
    fn folded(log: &RecordBatch) -> Checkpoint {
        let last = log.iter().next_back().unwrap();
        Checkpoint {
            next: log.next_offset(),
            last: last.offset,
            digest: digest(&last),
            appended_at_micros: 0,
        }
    }

    fn judge(checkpoint: &Checkpoint, log: &RecordBatch) -> Result<(), Contradiction> {
        let start = log.iter().next().map_or(Offset::ZERO, |record| record.offset);
        checkpoint.within(start, log.next_offset())?;
        let record = checkpoint.last_read().and_then(|at| log.get(at));
        checkpoint.stands_on(record.as_ref())
    }

    #[test]
    fn a_checkpoint_is_believed_of_the_log_it_was_made_from_and_of_no_other() {
        let before = log(&["a", "b", "c"], 0);
        let checkpoint = folded(&before);
        let end = |end| Contradiction::PastEnd { next: Offset(3), end: Offset(end) };
        let other = Contradiction::OtherRecord { at: Offset(2) };
        for (what, now, verdict) in [
            ("the same", log(&["a", "b", "c"], 0), Ok(())),
            ("grown", log(&["a", "b", "c", "d"], 0), Ok(())),
            ("cut", log(&["a", "b"], 0), Err(end(2))),
            ("begun anew", log(&[], 0), Err(end(0))),
            ("cut and grown again", log(&["a", "b", "x"], 0), Err(other.clone())),
            ("begun anew and grown further", log(&["x", "y", "z", "c"], 0), Err(other)),
            ("without its start", log(&["b", "c"], 1), Err(Contradiction::BeforeStart { start: Offset(1) })),
        ] {
            assert_eq!(judge(&checkpoint, &now), verdict, "{what}");
        }
        assert_eq!(judge(&Checkpoint::START, &log(&[], 0)), Ok(()));
    }

    #[test]
    fn a_checkpoint_covers_what_it_read_and_nothing_that_came_to_stand_in_a_gap() {
        let checkpoint = Checkpoint { next: Offset(9), last: Offset(6), ..Checkpoint::START };
        assert!(checkpoint.covers(Offset(0)) && checkpoint.covers(Offset(6)));
        assert!(!checkpoint.covers(Offset(7)) && !checkpoint.covers(Offset(9)));
        let nothing_read = Checkpoint { next: Offset(5), last: Offset(5), ..Checkpoint::START };
        assert!(!Checkpoint::START.covers(Offset(0)) && !nothing_read.covers(Offset(4)));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn what_was_looked_at_is_believed_of_later_checkpoints_of_the_same_tables_for_a_while() {
        let (mut proof, now) = (Proof::default(), Instant::now());
        let checkpoint = folded(&log(&["a", "b", "c"], 0));
        let later = Checkpoint { next: Offset(7), last: Offset(6), ..checkpoint };
        let earlier = Checkpoint { next: Offset(2), last: Offset(1), ..checkpoint };
        let record = |at| Look::Record(Some(Offset(at)));
        assert_eq!(proof.look(1, &checkpoint, now, false), record(2));
        proof.found(1, &checkpoint, now, Ok(()));
        assert_eq!(proof.look(1, &checkpoint, now, true), Look::Nothing);
        assert_eq!(proof.look(1, &later, now, false), Look::Nothing);
        assert_eq!(proof.look(1, &earlier, now, false), record(1), "it went back");
        assert_eq!(proof.look(2, &later, now, false), record(6), "other tables");
        assert_eq!(proof.look(1, &later, now + GOOD_FOR, false), Look::Bounds);
        assert_eq!(proof.look(1, &later, now + GOOD_FOR, true), record(6));
        assert_eq!(proof.last(now), Some((None, false)));

        let contradiction = Contradiction::OtherRecord { at: Offset(6) };
        proof.found(1, &later, now, Err(contradiction.clone()));
        assert_eq!(proof.look(1, &later, now, false), record(6));
        assert_eq!(proof.last(now + GOOD_FOR), Some((Some(&contradiction), true)));
    }
}
