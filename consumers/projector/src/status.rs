//! What a lane tells about itself.

use tidefold_fold::Changes;
use tidefold_record::{Offset, Partition};
use tidefold_table::VerdictKind;

use crate::breaker::Tripped;
use crate::halt::Halt;

/// What a lane tells about itself, through a watch channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneStatus {
    /// The partition.
    pub partition: Partition,
    /// The next offset to fold: everything before it is in the tables.
    pub next: Offset,
    /// How far `next` can be relied on.
    pub place: Place,
    /// Where the log ends.
    pub end: Offset,
    /// The append time of the last record folded that had one, in microseconds; 0 if none had.
    pub appended_at_micros: i64,
    /// What it is doing.
    pub state: LaneState,
    /// Verdicts since the lane started.
    pub verdicts: VerdictCounts,
    /// When the checkpoint last moved since the lane started, by the wall clock in microseconds; 0 if it did not.
    pub moved_at_micros: i64,
    /// Whether it has stood still for too long while the log moved.
    pub stalled: bool,
}

/// How far it is known where a lane stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its checkpoint is not read yet, or cannot be: it is counted from the log's start.
    Unknown,
    /// Its checkpoint says so; whether the log is the one that was folded is not proved.
    Claimed,
    /// It found its place in the log.
    Found,
}

/// What a lane is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneState {
    /// It looks for its place and rebuilds its window.
    Starting,
    /// It folds.
    Running,
    /// It has folded everything there is.
    Waiting,
    /// It was told to stand still.
    Held,
    /// Something it needs does not answer; it tries again and again.
    Retrying {
        /// What it is trying to do.
        doing: &'static str,
        /// What went wrong the last time.
        error: String,
    },
    /// The breaker holds it, for a while or until an operator lifts that.
    Tripped(Tripped),
    /// It stopped for good; an operator has to act.
    Halted(Halt),
    /// It was told to end.
    Stopped,
}

/// How many records got which verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct VerdictCounts {
    pub applied: u64,
    pub rejected: u64,
    pub duplicate: u64,
    pub dead: u64,
}

// === impl LaneStatus ===

impl LaneStatus {
    /// A lane that has not started yet.
    #[must_use]
    pub fn new(partition: Partition) -> LaneStatus {
        LaneStatus {
            partition,
            next: Offset::ZERO,
            place: Place::Unknown,
            end: Offset::ZERO,
            appended_at_micros: 0,
            state: LaneState::Starting,
            verdicts: VerdictCounts::default(),
            moved_at_micros: 0,
            stalled: false,
        }
    }

    /// How many offsets lie between the tables and the log's end.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.end.distance_from(self.next)
    }

    /// How far the tables are behind in time: 0 without lag, else since the last folded record was appended.
    #[must_use]
    pub fn age_micros(&self, now_micros: i64) -> i64 {
        if self.lag() == 0 || self.appended_at_micros == 0 {
            return 0;
        }
        now_micros.saturating_sub(self.appended_at_micros).max(0)
    }
}

// === impl LaneState ===

impl LaneState {
    /// Whether the lane does not move by itself: held, held by the breaker, halted or stopped.
    #[must_use]
    pub fn is_still(&self) -> bool {
        matches!(self, LaneState::Held | LaneState::Tripped(_) | LaneState::Halted(_) | LaneState::Stopped)
    }

    /// Why it does not go on before an operator has acted, or the breaker's hold is over; and what to do.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match self {
            LaneState::Halted(halt) => Some(halt.to_string()),
            LaneState::Tripped(tripped) => Some(format!(
                "held by the breaker: {tripped}. Nothing from there on is written. The hold ends by itself after a while, and \
                 dead letters pass: undo the deploy, or stop the publishers, before. `tidefold breaker lift` ends it at \
                 once; `tidefold replay` judges dead letters anew"
            )),
            LaneState::Starting
            | LaneState::Running
            | LaneState::Waiting
            | LaneState::Held
            | LaneState::Retrying { .. }
            | LaneState::Stopped => None,
        }
    }

    /// One word, for labels and tables.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            LaneState::Starting => "starting",
            LaneState::Running => "running",
            LaneState::Waiting => "waiting",
            LaneState::Held => "held",
            LaneState::Retrying { .. } => "retrying",
            LaneState::Tripped(_) => "tripped",
            LaneState::Halted(_) => "halted",
            LaneState::Stopped => "stopped",
        }
    }
}

// === impl VerdictCounts ===

impl VerdictCounts {
    /// The verdicts of one batch.
    #[must_use]
    pub fn of(changes: &Changes) -> VerdictCounts {
        let mut counts = VerdictCounts { applied: changes.applied, ..VerdictCounts::default() };
        for (_, row) in &changes.verdicts {
            match row.verdict.kind() {
                VerdictKind::Applied => counts.applied += 1,
                VerdictKind::Rejected => counts.rejected += 1,
                VerdictKind::Duplicate => counts.duplicate += 1,
                VerdictKind::Dead => counts.dead += 1,
            }
        }
        counts
    }

    /// Adds other counts.
    pub fn add(&mut self, other: VerdictCounts) {
        self.applied += other.applied;
        self.rejected += other.rejected;
        self.duplicate += other.duplicate;
        self.dead += other.dead;
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.applied + self.rejected + self.duplicate + self.dead
    }
}
