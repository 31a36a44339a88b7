//! The embedded log: topics in one folder, on fjall, with one fsync for all who wait.
//!
//! It keeps the contract of [`tidefold_log::Log`] on one machine. Beyond it: offsets are dense and start at 0, and
//! nothing is ever dropped from the front.
//!
//! It deliberately has no retention, no deletion and no timer: an append waits for the fsync that runs, and for its own.
//!
//! A walk through it:
//! * [`folder`]: what lies in the folder, who may open it, and why it is refused.
//! * [`stored`]: the unit in which records lie in fjall, with its checksum.
//! * [`topics`]: topics and partitions as they are now: where each ends, and its newest records.
//! * [`queue`]: appends waiting for the writer, bounded in number and bytes.
//! * [`writer`]: the one thread that writes: takes all that wait, one write batch, one fsync, then answers.
//! * [`answers`]: those who share a commit, woken by one of their own.
//! * [`reader`]: records by offset, from the newest in memory or from fjall.

mod answers;
mod folder;
mod id;
mod queue;
mod reader;
mod stored;
mod topics;
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use fjall::{Database, OwnedWriteBatch, PersistMode};
use futures_util::future::BoxFuture;
use tidefold_log::{Appended, Bounds, Log, LogError, ReadLimit, SharedMembership, Sole, Topic, TopicSpec};
use tidefold_record::{BatchBuilder, Offset, Partition, Position, RecordBatch, TopicName};
use tokio::sync::{oneshot, watch};

pub use folder::OpenError;

use folder::Folder;
use queue::{Append, Queue};
use topics::Topics;

/// How much the log may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of appends that may wait for the writer; more are refused with [`LogError::Full`].
    pub queue_bytes: usize,
    /// Appends that may wait for the writer.
    pub queue_appends: usize,
    /// The largest record, in its encoding.
    pub record_bytes: usize,
    /// Memory for blocks read from disk.
    pub cache_bytes: u64,
    /// Memory for a topic's newest records before they go from the journal into tables.
    pub memtable_bytes: u64,
}

/// A log in a folder. Dropping it writes what waits, and closes the folder.
pub struct EmbeddedLog {
    database: Database,
    topics: Arc<Topics>,
    queue: Arc<Queue>,
    writer: Option<JoinHandle<()>>,
    cluster: String,
    record_bytes: usize,
    /// Locked until the rest is closed: fields are dropped in this order.
    folder: Folder,
}

/// Journals may take so much of the disk; what they hold is read when the log is opened.
const JOURNAL_BYTES: u64 = 256 << 20;

// === impl Settings ===

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            queue_bytes: 64 << 20,
            queue_appends: 65_536,
            record_bytes: 4 << 20,
            cache_bytes: 16 << 20,
            memtable_bytes: 16 << 20,
        }
    }
}

// === impl EmbeddedLog ===

impl EmbeddedLog {
    /// Opens the log in a folder, creating both if there is nothing.
    ///
    /// # Errors
    /// When another process has the folder open, when it holds something else or a part of a log, or when the disk
    /// refuses.
    pub fn open(folder: impl AsRef<Path>, settings: Settings) -> Result<EmbeddedLog, OpenError> {
        EmbeddedLog::open_with(folder.as_ref(), settings, Box::new(OwnedWriteBatch::commit))
    }

    fn open_with(
        folder: &Path,
        settings: Settings,
        commit: writer::Commit,
    ) -> Result<EmbeddedLog, OpenError> {
        let folder = Folder::claim(folder)?;
        let builder = Database::builder(folder.store_path())
            .cache_size(settings.cache_bytes)
            .max_cached_files(Some(256))
            .worker_threads(1)
            .journal_compression(fjall::CompressionType::None)
            .manual_journal_persist(true)
            .max_journaling_size(JOURNAL_BYTES);
        // fjall panics at some kinds of damage; to us it is damage like any other.
        let database = catch_unwind(AssertUnwindSafe(|| builder.open()))
            .map_err(|_| folder.damaged("its files do not fit together".to_owned()))?
            .map_err(|error| folder.unreadable(error))?;
        let topics =
            Topics::load(&database, settings.memtable_bytes).map_err(|fault| folder.faulty(fault))?;
        let marks = topics.marks(&database, &folder.store_path()).map_err(|fault| folder.faulty(fault))?;
        let folder = folder.complete()?;
        let topics = Arc::new(topics);
        let queue = Arc::new(Queue::new(settings.queue_appends, settings.queue_bytes));
        let writer = writer::start(database.clone(), marks, folder.store_path(), Arc::clone(&queue), commit)
            .map_err(|source| OpenError::Disk { path: folder.path().to_owned(), source })?;
        Ok(EmbeddedLog {
            database,
            topics,
            queue,
            writer: Some(writer),
            cluster: folder.id().to_owned(),
            record_bytes: settings.record_bytes,
            folder,
        })
    }

    /// The folder's id: made with it, and never the same for two.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.cluster
    }

    /// Why the log takes nothing more until it is opened again, once that is so.
    #[must_use]
    pub fn ended(&self) -> Option<String> {
        let failed = self.queue.refuse_if_failed().err().map(|error| error.to_string());
        failed.or_else(|| writer::failure(&self.folder.store_path(), &self.database))
    }

    fn open_topic(&self, spec: &TopicSpec) -> Result<Topic, LogError> {
        let topic = match self.topics.get(&spec.name) {
            Some(topic) => topic,
            None if !spec.create => return Err(topics::no_such(&spec.name, Partition(0))),
            None => {
                self.queue.refuse_if_failed()?;
                self.topics.create(&self.database, spec).inspect_err(|error| {
                    if matches!(error, LogError::Unknown { .. }) {
                        self.queue.fail(format!("topic {} could not be created", spec.name));
                    }
                })?
            }
        };
        let partitions = topic.partition_count();
        if partitions != spec.partitions {
            let detail = format!(
                "it has {partitions} partitions and {} are asked for; the number is fixed for ever, so ask for \
                 {partitions} or use another topic",
                spec.partitions
            );
            return Err(LogError::Mismatch { topic: spec.name.clone(), detail });
        }
        let incarnation = topic.incarnation.clone();
        Ok(Topic { name: spec.name.clone(), partitions, cluster: self.cluster.clone(), incarnation })
    }

    /// Puts an append into the queue; an empty one is answered at once.
    fn send(
        &self,
        name: &TopicName,
        partition: Partition,
        batch: BatchBuilder,
    ) -> Result<oneshot::Receiver<Result<Appended, LogError>>, LogError> {
        let topic = self.topics.find(name, partition)?;
        let (answer, waiting) = oneshot::channel();
        if batch.is_empty() {
            // The receiver is in our hands.
            let _sent = answer.send(Ok(Appended::From(topic.end(partition))));
            return Ok(waiting);
        }
        if batch.size_bytes() > self.record_bytes {
            let mut sizes = batch.pieces(1, usize::MAX).map(|(_, bytes)| bytes.len()).enumerate();
            if let Some((index, size_bytes)) = sizes.find(|(_, size)| *size > self.record_bytes) {
                return Err(LogError::TooLarge { index, size_bytes, limit_bytes: self.record_bytes });
            }
        }
        self.queue.push(Append { topic, partition, batch, answer })?;
        Ok(waiting)
    }
}

impl Log for EmbeddedLog {
    fn open<'a>(&'a self, spec: &'a TopicSpec) -> BoxFuture<'a, Result<Topic, LogError>> {
        Box::pin(async move { self.open_topic(spec) })
    }

    fn append<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        batch: BatchBuilder,
    ) -> BoxFuture<'a, Result<Appended, LogError>> {
        Box::pin(async move {
            let waiting = self.send(topic, partition, batch)?;
            let gone =
                || LogError::Unknown { detail: "the log's writer is gone; open the log again".to_owned() };
            waiting.await.unwrap_or_else(|_| Err(gone()))
        })
    }

    fn read<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> BoxFuture<'a, Result<RecordBatch, LogError>> {
        Box::pin(async move {
            let found = self.topics.find(topic, partition)?;
            let end = found.end(partition);
            if from > end {
                let position = Position::new(topic.clone(), partition, from);
                return Err(LogError::OutOfRange { position, bounds: whole(end) });
            }
            reader::read(&found, partition, from, end, limit)
        })
    }

    fn bounds<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
    ) -> BoxFuture<'a, Result<Bounds, LogError>> {
        Box::pin(async move {
            let end = self.topics.find(topic, partition)?.end(partition);
            Ok(whole(end))
        })
    }

    fn watch_end(
        &self,
        topic: &TopicName,
        partition: Partition,
    ) -> Result<watch::Receiver<Offset>, LogError> {
        self.topics.find(topic, partition)?.watch(partition)
    }

    /// It belongs to one process, which owns everything.
    fn join(&self, _group: &str, topics: &[(TopicName, u32)]) -> Result<SharedMembership, LogError> {
        Ok(Arc::new(Sole::new(topics)))
    }
}

/// The bounds of a partition that keeps all its records and knows no transactions.
fn whole(end: Offset) -> Bounds {
    Bounds { start: Offset::ZERO, end, appended: end }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the log's writer thread panicked");
            return;
        }
        if self.queue.failure().is_none() && self.database.persist(PersistMode::SyncAll).is_ok() {
            self.folder.closes_in_order();
        }
    }
}

#[cfg(test)]
mod tests;
