//! Why a lane stopped for good. Never a guess: whatever a lane cannot prove to be right stops it, and says what to do.

use tidefold_fold::FoldError;
use tidefold_log::LogError;
use tidefold_record::{Offset, Position};
use tidefold_store::StoreError;
use tidefold_table::{Damaged, GenerationTables};

use crate::breaker::Tripped;
use crate::feed::FeedError;
use crate::source::SchemaSourceError;

/// Why a lane stopped for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The checkpoint lies past the log's end: the log lost records, or is another one.
    #[error(
        "the tables are folded up to {next}, but the log ends at {end}: it was truncated or replaced. Put back the log \
         these tables were folded from; to go on with what is left of it, build the tables anew with `tidefold replay`"
    )]
    PastEnd {
        /// The checkpoint.
        next: Position,
        /// Where the log ends.
        end: Offset,
    },
    /// The log does not start with its first record: no table can be built from it, nor proved.
    #[error(
        "the next record to fold is {next}, but the log starts at {start}: the records before that were deleted, and \
         tables are folded from the very first one. Put back the log's start, and set its retention to unlimited"
    )]
    BeforeStart {
        /// The checkpoint.
        next: Position,
        /// Where the log starts.
        start: Offset,
    },
    /// The last record folded is not the one that stands there now.
    #[error(
        "the record at {position} is not the one that was folded: the topic was truncated or created again. Put back \
         the log these tables were folded from; to go on with this one, build the tables anew with `tidefold replay`"
    )]
    OtherRecord {
        /// The last record folded.
        position: Position,
    },
    /// A stored row is not what its table holds.
    #[error("{0}")]
    Damaged(Damaged),
    /// Nothing but one record keeps the partition from going on.
    #[error(
        "the fold stops at the record {position}: {halt}. If it does so again after a restart, that is a mistake in \
         Tidefold: keep the folder; `tidefold dead-letters add {position} --reason …` makes the record a dead letter, and \
         the partition goes on"
    )]
    Record {
        /// Which.
        position: Position,
        /// What it meets there.
        halt: Box<Halt>,
    },
    /// The fold stopped.
    #[error("{0}")]
    Fold(FoldError),
    /// The log is not what it was.
    #[error("{0}")]
    Log(LogError),
    /// The store refuses or is damaged.
    #[error("{0}")]
    Store(StoreError),
    /// The lane's task ended by itself.
    #[error("the lane ended without a reason: this is a mistake in Tidefold; start again, nothing is lost")]
    Vanished,
}

// === impl Halt ===

impl Halt {
    /// The halt of a lane over these tables: the fold, which knows no generation, names a damaged one as queries do.
    pub(crate) fn over(self, tables: &GenerationTables) -> Halt {
        let Halt::Fold(FoldError::Damaged(mut damaged)) = self else { return self };
        if let Some(table) = tables.named(&damaged.table) {
            damaged.table = table.id.to_string();
        }
        Halt::Fold(FoldError::Damaged(damaged))
    }

    /// Whether a single record may be at fault, by what it comes to or touches.
    pub(crate) fn may_be_of_a_record(&self) -> bool {
        match self {
            Halt::Fold(_) | Halt::Store(StoreError::Refused { .. }) | Halt::Vanished => true,
            Halt::Record { .. }
            | Halt::PastEnd { .. }
            | Halt::BeforeStart { .. }
            | Halt::OtherRecord { .. }
            | Halt::Damaged(_)
            | Halt::Log(_)
            | Halt::Store(_) => false,
        }
    }

    /// Whether a stored row is at fault.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Halt::Damaged(_) | Halt::Fold(FoldError::Damaged(_)) => true,
            Halt::Record { halt, .. } => halt.is_damage(),
            Halt::PastEnd { .. }
            | Halt::BeforeStart { .. }
            | Halt::OtherRecord { .. }
            | Halt::Fold(_)
            | Halt::Log(_)
            | Halt::Store(_)
            | Halt::Vanished => false,
        }
    }

    /// Whether the log is at fault: it is not the one that was folded, or not all of it. Then nothing that is appended to it
    /// is folded as things are, and an operator who puts the right log back takes it away again.
    #[must_use]
    pub fn is_of_the_log(&self) -> bool {
        match self {
            Halt::PastEnd { .. } | Halt::BeforeStart { .. } | Halt::OtherRecord { .. } | Halt::Log(_) => true,
            Halt::Damaged(_) | Halt::Record { .. } | Halt::Fold(_) | Halt::Store(_) | Halt::Vanished => false,
        }
    }
}

/// Why a lane's work ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It was told to.
    Cancelled,
    /// For good, or until an operator has acted.
    Halt(Halt),
    /// Dead letters passed the limit; nothing of the batch was written.
    Tripped(Tripped),
}

/// What an error calls for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// Repeating.
    #[error("{0}")]
    Passing(String),
    /// Halting.
    #[error("{0}")]
    Lasting(Halt),
}

impl From<LogError> for Trouble {
    fn from(error: LogError) -> Trouble {
        match error {
            LogError::Full { .. } | LogError::Unavailable { .. } | LogError::Unknown { .. } => {
                Trouble::Passing(error.to_string())
            }
            LogError::TooLarge { .. }
            | LogError::NoSuchPartition { .. }
            | LogError::Mismatch { .. }
            | LogError::OutOfRange { .. }
            | LogError::Damaged { .. } => Trouble::Lasting(Halt::Log(error)),
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Trouble {
        match error {
            StoreError::Unavailable { .. } => Trouble::Passing(error.to_string()),
            StoreError::Damaged(damaged) => Trouble::Lasting(Halt::Damaged(damaged)),
            StoreError::Refused { .. } | StoreError::Failed { .. } => Trouble::Lasting(Halt::Store(error)),
        }
    }
}

impl From<SchemaSourceError> for Trouble {
    fn from(error: SchemaSourceError) -> Trouble {
        Trouble::Passing(error.to_string())
    }
}

impl From<FeedError> for Trouble {
    fn from(error: FeedError) -> Trouble {
        Trouble::Passing(error.to_string())
    }
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Stop {
        Stop::Halt(halt)
    }
}

impl From<FoldError> for Stop {
    fn from(error: FoldError) -> Stop {
        Stop::Halt(Halt::Fold(error))
    }
}
