//! What goes wrong with a log, and what the caller should do about it.

use std::time::Duration;

use tidefold_record::{Partition, Position, TopicName};

use crate::bounds::Bounds;

/// What went wrong, coarsely: what the caller should do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Too much is waiting: nothing was appended; try again later.
    #[error("the log's queue is full; try again in {retry_after:?}")]
    Full {
        /// When there may be room.
        retry_after: Duration,
    },
    /// Nothing was done; the log cannot be reached or cannot write just now (disk full, broker away).
    #[error("the log is not available: {detail}")]
    Unavailable {
        /// Why, and what to do.
        detail: String,
    },
    /// The fate of the append is not known: it may stand in the log. Retry it with the same message ids.
    #[error("the log did not answer in time; the records may or may not stand in it: {detail}")]
    Unknown {
        /// Why.
        detail: String,
    },
    /// A record is larger than the log takes.
    #[error("record {index} has {size_bytes} bytes; the log takes {limit_bytes}")]
    TooLarge {
        /// Which record of the batch.
        index: usize,
        /// Its size.
        size_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// There is no such topic or partition.
    #[error("there is no partition {partition} of topic {topic}")]
    NoSuchPartition {
        /// The topic asked for.
        topic: TopicName,
        /// The partition asked for.
        partition: Partition,
    },
    /// The topic is not what the spec says.
    #[error("topic {topic}: {detail}")]
    Mismatch {
        /// The topic.
        topic: TopicName,
        /// Both values, and what to do.
        detail: String,
    },
    /// The offset is before the log's start or past its end: the log lost records or is another log.
    #[error("{position} is outside the log, which has offsets {} to {}", bounds.start, bounds.end)]
    OutOfRange {
        /// What was asked for.
        position: Position,
        /// What there is.
        bounds: Bounds,
    },
    /// Stored records are damaged.
    #[error("the log is damaged at {position}: {detail}")]
    Damaged {
        /// Where.
        position: Position,
        /// What is wrong, and what to do.
        detail: String,
    },
}

// === impl LogError ===

impl LogError {
    /// Its name to callers: the slug of the problem that they are answered with.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            LogError::Full { .. } => "log-full",
            LogError::Unavailable { .. } => "log-unavailable",
            LogError::Unknown { .. } => "append-unknown",
            LogError::TooLarge { .. } => "message-too-large",
            LogError::NoSuchPartition { .. } | LogError::Mismatch { .. } | LogError::OutOfRange { .. } => {
                "log-changed"
            }
            LogError::Damaged { .. } => "damaged",
        }
    }

    /// The name of every kind, for labels.
    pub const KINDS: [&'static str; 8] = [
        "full",
        "unavailable",
        "unknown",
        "too_large",
        "no_such_partition",
        "mismatch",
        "out_of_range",
        "damaged",
    ];

    /// Its kind's name: one of [`LogError::KINDS`].
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            LogError::Full { .. } => "full",
            LogError::Unavailable { .. } => "unavailable",
            LogError::Unknown { .. } => "unknown",
            LogError::TooLarge { .. } => "too_large",
            LogError::NoSuchPartition { .. } => "no_such_partition",
            LogError::Mismatch { .. } => "mismatch",
            LogError::OutOfRange { .. } => "out_of_range",
            LogError::Damaged { .. } => "damaged",
        }
    }
}
