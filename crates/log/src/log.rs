//! The contract of a log.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tidefold_record::{BatchBuilder, Offset, Partition, RecordBatch, TopicName};
use tokio::sync::watch;

use crate::bounds::Bounds;
use crate::error::LogError;
use crate::membership::SharedMembership;

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
    /// that one process has to itself gives it everything: [`Sole`](crate::Sole).
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

/// How much a read may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    /// At most this many records.
    pub records: usize,
    /// Stop once the records' encoding has this many bytes.
    pub bytes: usize,
}

// === impl Appended ===

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
