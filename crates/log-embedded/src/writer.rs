//! The one thread that writes. It takes all appends that wait, puts those of one partition into common units, writes
//! them as one batch with one fsync, shows them to readers, and then answers everybody. While it syncs, the next appends
//! gather: the commit groups itself to the disk's speed. Callers that were just answered often append again at once; so
//! the writer lets them catch up before the next fsync. Otherwise two halves of the callers would take turns, each waiting
//! for the other's fsync too. Nobody waits for this who is alone.
//!
//! After a write or fsync that failed nobody knows what is on the disk (a second fsync would report success for pages
//! that were dropped), so the log ends there: the appends of that group are unknown, everything later is refused.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use ahash::HashMap;
use fjall::{Database, OwnedWriteBatch, PersistMode};
use tidefold_embedded_files::{self as files, Marks};
use tidefold_log::LogError;
use tidefold_record::{Partition, TopicName};

use crate::answers::{Answer, Answers};
use crate::queue::{Append, Queue};
use crate::stored::{OpenUnit, UNIT_BYTES, UNIT_RECORDS, Unit};
use crate::topics::StoredTopic;

/// A group is written once it has so many bytes: an fsync of more takes longer than whoever waits should.
const GROUP_BYTES: usize = 8 << 20;

/// Writes a batch and makes it durable. A parameter, so that a test can let it fail.
pub(crate) type Commit = Box<dyn FnMut(OwnedWriteBatch) -> fjall::Result<()> + Send>;

struct Writer {
    database: Database,
    marks: Marks,
    /// fjall's.
    folder: PathBuf,
    queue: Arc<Queue>,
    commit: Commit,
    answers: Answers,
}

/// However the thread ends: nobody waits for it any more.
struct EndOfWriting(Arc<Queue>);

/// Units of one group.
#[derive(Default)]
struct Group {
    open: HashMap<(TopicName, Partition), (Arc<StoredTopic>, OpenUnit)>,
    closed: Vec<(Arc<StoredTopic>, Partition, OpenUnit)>,
    answers: Vec<Answer>,
    bytes: usize,
}

/// Starts the thread. It ends when the queue is closed.
pub(crate) fn start(
    database: Database,
    marks: Marks,
    folder: PathBuf,
    queue: Arc<Queue>,
    commit: Commit,
) -> std::io::Result<JoinHandle<()>> {
    let end = EndOfWriting(Arc::clone(&queue));
    let mut writer = Writer { database, marks, folder, queue, commit, answers: Answers::here() };
    std::thread::Builder::new().name("log-writer".to_owned()).spawn(move || {
        let _end = end;
        writer.run();
    })
}

// === impl Writer ===

impl Writer {
    fn run(&mut self) {
        let mut taken = Vec::new();
        let mut answered = 0;
        loop {
            if !self.queue.take(&mut taken, answered) {
                return;
            }
            answered = taken.len();
            let mut appends = taken.drain(..);
            while appends.len() > 0 {
                let mut group = Group::default();
                for append in appends.by_ref() {
                    group.add(append);
                    if group.bytes >= GROUP_BYTES {
                        break;
                    }
                }
                if let Err(error) = self.write(group) {
                    self.queue.fail(error);
                    break;
                }
            }
            refuse_rest(&self.queue, appends);
        }
    }

    /// Writes a group and answers its callers; an error is the reason why the log ends.
    fn write(&mut self, mut group: Group) -> Result<(), String> {
        group.close_all();
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        let mut written = Vec::with_capacity(group.closed.len());
        for (topic, partition, unit) in group.closed {
            let (key, value) = unit.close(partition);
            batch.insert(&topic.records, key, value.clone());
            written.push((topic, partition, key, value));
        }
        if let Err(error) = (self.commit)(batch) {
            let reason = explain(&self.folder, &error);
            tracing::error!(%reason, "the log cannot write and takes nothing more");
            let fate = match error {
                // fjall failed in the background before: this group was not touched.
                fjall::Error::Poisoned => LogError::Unavailable { detail: reason.clone() },
                _ => LogError::Unknown { detail: reason.clone() },
            };
            for (answer, _) in group.answers {
                let _gone = answer.send(Err(fate.clone()));
            }
            return Err(reason);
        }
        for (topic, partition, key, value) in written {
            match Unit::fresh(&key, value) {
                Some(unit) => topic.publish(partition, unit),
                None => return Err("a unit was written without a key".to_owned()),
            }
        }
        self.answers.give(group.answers);
        if self.marks.due(&self.database) {
            let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
            let added = self.marks.add(&self.database, &mut batch);
            added
                .and_then(|()| (self.commit)(batch))
                .and_then(|()| self.marks.note().map_err(fjall::Error::Io))
                .map_err(|error| explain(&self.folder, &error))?;
        }
        Ok(())
    }
}

// === impl EndOfWriting ===

impl Drop for EndOfWriting {
    fn drop(&mut self) {
        // Closed and written to its end, it has not failed.
        if std::thread::panicking() || !self.0.is_closed() {
            self.0.fail("the writer has ended".to_owned());
        }
    }
}

// === impl Group ===

impl Group {
    fn add(&mut self, append: Append) {
        let Append { topic, partition, batch, answer } = append;
        self.bytes += batch.size_bytes();
        let (topic, unit) = self.open.entry((topic.name.clone(), partition)).or_insert_with(|| {
            let end = topic.end(partition);
            (topic, OpenUnit::new(end))
        });
        self.answers.push((answer, unit.next()));
        for (count, records) in batch.pieces(UNIT_RECORDS, UNIT_BYTES) {
            if !unit.push(count, records) {
                let next = unit.next();
                let full = std::mem::replace(unit, OpenUnit::new(next));
                self.closed.push((Arc::clone(topic), partition, full));
                unit.push(count, records);
            }
        }
    }

    fn close_all(&mut self) {
        self.closed.extend(self.open.drain().map(|((_, partition), (topic, unit))| (topic, partition, unit)));
    }
}

fn refuse_rest(queue: &Queue, rest: impl Iterator<Item = Append>) {
    for append in rest {
        if let Err(error) = queue.refuse_if_failed() {
            let _gone = append.answer.send(Err(error));
        }
    }
}

/// What failed, and what to do. `folder` is fjall's.
fn explain(folder: &Path, error: &fjall::Error) -> String {
    let cause = match error {
        fjall::Error::Io(io) => files::explain(io),
        fjall::Error::Poisoned => files::explain_background(folder),
        other => other.to_string(),
    };
    format!("{cause}, and restart")
}

/// Why a database takes no more writes, if a write of it failed in the background.
pub(crate) fn failure(folder: &Path, database: &Database) -> Option<String> {
    database.persist(PersistMode::Buffer).err().map(|error| explain(folder, &error))
}
