//! The log: append-only topics of partitions, the one truth from which every table is folded.
//!
//! This crate owns the contract ([`Log`]), a memory log that can be told to fail, delay and lose what was not synced
//! ([`memory`]), a membership that tests move by hand ([`scripted`]), and the suite that every log must pass ([`contract`], behind the feature `contract`).
//!
//! What a log does is told to an [`observer::Observer`].
//!
//! It deliberately knows nothing of apps, Avro or folds: a record is bytes with an offset. Who writes a log starts with
//! [`Log`], makes a [`contract::Subject`] of it and runs `log_contract!` in its tests.

#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod membership;
pub mod memory;
pub mod observer;
pub mod scripted;

pub use membership::{Epoch, Membership, Owned, SharedMembership, Sole};
pub use memory::{Faults, MemoryLog};
pub use scripted::Scripted;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tidefold_record::{BatchBuilder, Offset, Partition, Position, RecordBatch, TopicName};
use tokio::sync::watch;

/// A log. Everything in it is by the log's own topic names (`<app>.<topic>`).
///
/// ```text
///  offset     0    1    2    3    4    5    6
///           ┌────┬────┬────┬────┬────┬────┐
///           │    │    │ r2 │ r3 │ r4 │ r5 │ ···
///           └────┴────┴────┴────┴────┴────┘
///                     ▲start              ▲end (high watermark): the offset the next record will get
/// ```
///
/// * **Order.** Records of one partition have rising offsets. Records of one `append` stand in their order, and before
///   those of every `append` to the partition that was called after it returned.
/// * **Durability.** An acknowledged record survives a crash of the process and, in the embedded log, a loss of power
///   (on Kafka: as long as the topic's replication allows). A record at or past `end` is never returned by `read`.
/// * **After a failure.** An append that failed with [`LogError::Unknown`] may or may not stand in the log, now or
///   later, in whole or in part, but only records of that append and in their order. Any other error: none of it does.
/// * **Immutability.** What `read` returned for an offset it returns for ever, until `start` passes it.
pub trait Log: Send + Sync + 'static {
    /// Makes sure the topic exists as described, creating it if it is absent and `spec.create` allows, and tells which
    /// incarnation it is. Idempotent. Absent and not to be created: [`LogError::NoSuchPartition`]. Another number of
    /// partitions, a name or number no topic can have, or (where the log notices) another incarnation than this process
    /// has read: [`LogError::Mismatch`].
    fn open<'a>(&'a self, spec: &'a TopicSpec) -> BoxFuture<'a, Result<Topic, LogError>>;

    /// Appends a batch and returns once every record of it is durable. Concurrent calls share the cost of making it so.
    /// An empty batch is acknowledged at once. Dropping the future does not take the append back.
    fn append<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        batch: BatchBuilder,
    ) -> BoxFuture<'a, Result<Appended, LogError>>;

    /// Reads records from `from` on, as many as `limit` allows but at least one if there is one; an empty batch when
    /// `from` is the end. Never waits for new records. `next_offset` of the batch is where the next read goes on.
    fn read<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> BoxFuture<'a, Result<RecordBatch, LogError>>;

    /// Where the partition starts and ends now.
    fn bounds<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
    ) -> BoxFuture<'a, Result<Bounds, LogError>>;

    /// The end of a partition, each time it moves. A receiver may see several moves as one; it never misses the last.
    fn watch_end(&self, topic: &TopicName, partition: Partition)
    -> Result<watch::Receiver<Offset>, LogError>;

    /// Joins a group of processes that share the topics' partitions among them; `topics` says how many each has. A log
    /// that one process has to itself gives it everything: [`Sole`].
    ///
    /// # Errors
    /// When the group cannot be formed at all; a log that does not answer just now is waited for inside.
    fn join(&self, group: &str, topics: &[(TopicName, u32)]) -> Result<SharedMembership, LogError>;
}

/// A log that anyone may hold.
pub type SharedLog = Arc<dyn Log>;

/// What a topic has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// The log's own name for it.
    pub name: TopicName,
    /// How many partitions; fixed for ever.
    pub partitions: u32,
    /// Whether it may be created when it is absent.
    pub create: bool,
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// The log's own name for it.
    pub name: TopicName,
    /// How many partitions.
    pub partitions: u32,
    /// The identity of the log it stands in (Kafka's cluster id; the embedded log's folder id).
    pub cluster: String,
    /// The identity of this incarnation (Kafka's topic id): a topic deleted and created again has another.
    pub incarnation: String,
}

/// The offsets of an acknowledged append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The records stand one after the other from this offset on.
    From(Offset),
    /// Each record's own fate, in the order of the batch: brokers may split a batch.
    Each(Vec<Result<Offset, LogError>>),
}

/// Where a partition starts and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The first offset still there; equal to `end` when the partition is empty.
    pub start: Offset,
    /// The end of what can be read: the offset the next record will get, unless a transaction is open.
    pub end: Offset,
    /// The end of what was appended. It is beyond `end` while a transaction of another producer is open: what lies between
    /// stands in the log, and can be read once that transaction has ended.
    pub appended: Offset,
}

/// How much a read may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    /// At most this many records.
    pub records: usize,
    /// Stop once the records' encoding has this many bytes.
    pub bytes: usize,
}

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
}

impl Appended {
    /// The fate of the record at `index` of the batch.
    ///
    /// # Errors
    /// Its own error, where the batch was split.
    pub fn offset(&self, index: usize) -> Result<Offset, LogError> {
        match self {
            Appended::From(first) => Ok(first.advance(index as u64)),
            Appended::Each(fates) => fates.get(index).cloned().unwrap_or_else(|| {
                Err(LogError::Unknown { detail: format!("no answer for record {index}") })
            }),
        }
    }
}

// === impl LogError ===

impl LogError {
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
