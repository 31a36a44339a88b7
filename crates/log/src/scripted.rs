//! A membership that a test moves by hand, and a log that gives it: partitions can be given, taken, given again, and given
//! to two processes at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tidefold_record::{BatchBuilder, Offset, Partition, RecordBatch, TopicName};
use tokio::sync::watch;

use crate::{
    Appended, Bounds, Epoch, Log, LogError, Membership, Owned, ReadLimit, SharedLog, SharedMembership, Topic,
    TopicSpec,
};

/// One process's membership. Clones share it; other processes have others, which know nothing of it.
#[derive(Clone, Debug, Default)]
pub struct Scripted {
    owned: watch::Sender<Owned>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    epochs: u64,
    folded: BTreeMap<(TopicName, Partition), Offset>,
    left: bool,
}

/// A log that one process sees, with its own membership.
pub struct ScriptedLog {
    log: SharedLog,
    membership: Scripted,
}

// === impl Scripted ===

impl Scripted {
    /// A membership that owns nothing yet.
    #[must_use]
    pub fn new() -> Scripted {
        Scripted::default()
    }

    /// Gives a partition, or gives it anew, under an epoch that was never used before.
    pub fn give(&self, topic: &TopicName, partition: Partition) {
        let epoch = self.with(|state| {
            state.epochs += 1;
            Epoch(state.epochs)
        });
        self.owned.send_modify(|owned| {
            owned.partitions.insert((topic.clone(), partition), epoch);
        });
    }

    /// Takes a partition away.
    pub fn take(&self, topic: &TopicName, partition: Partition) {
        self.owned.send_modify(|owned| {
            owned.partitions.remove(&(topic.clone(), partition));
        });
    }

    /// Whether the process owns a partition.
    #[must_use]
    pub fn owns(&self, topic: &TopicName, partition: Partition) -> bool {
        self.owned.borrow().partitions.contains_key(&(topic.clone(), partition))
    }

    /// What the process last told of a partition.
    #[must_use]
    pub fn told(&self, topic: &TopicName, partition: Partition) -> Option<Offset> {
        self.with(|state| state.folded.get(&(topic.clone(), partition)).copied())
    }

    /// Whether the process left in good order.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.with(|state| state.left)
    }

    /// The log as this process sees it.
    #[must_use]
    pub fn over(&self, log: SharedLog) -> ScriptedLog {
        ScriptedLog { log, membership: self.clone() }
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Membership for Scripted {
    fn owned(&self) -> watch::Receiver<Owned> {
        self.owned.subscribe()
    }

    fn folded(&self, topic: &TopicName, partition: Partition, next: Offset) {
        let at = (topic.clone(), partition);
        if self.owned.borrow().partitions.contains_key(&at) {
            self.with(|state| state.folded.insert(at, next));
        }
    }

    fn leave(&self) -> BoxFuture<'_, ()> {
        self.with(|state| state.left = true);
        self.owned.send_replace(Owned::default());
        Box::pin(std::future::ready(()))
    }
}

// === impl ScriptedLog ===

impl Log for ScriptedLog {
    fn open<'a>(&'a self, spec: &'a TopicSpec) -> BoxFuture<'a, Result<Topic, LogError>> {
        self.log.open(spec)
    }

    fn append<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        batch: BatchBuilder,
    ) -> BoxFuture<'a, Result<Appended, LogError>> {
        self.log.append(topic, partition, batch)
    }

    fn read<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> BoxFuture<'a, Result<RecordBatch, LogError>> {
        self.log.read(topic, partition, from, limit)
    }

    fn bounds<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
    ) -> BoxFuture<'a, Result<Bounds, LogError>> {
        self.log.bounds(topic, partition)
    }

    fn watch_end(
        &self,
        topic: &TopicName,
        partition: Partition,
    ) -> Result<watch::Receiver<Offset>, LogError> {
        self.log.watch_end(topic, partition)
    }

    fn join(&self, _group: &str, _topics: &[(TopicName, u32)]) -> Result<SharedMembership, LogError> {
        Ok(Arc::new(self.membership.clone()))
    }
}
