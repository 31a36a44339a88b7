//! A log in memory, for tests: it keeps the contract, and fails on demand.
//!
//! Every clone is a handle to the same log. [`MemoryLog::faults`] gives the control: appends that fail, appends that
//! wait, a crash that loses what was not acknowledged, and the damage of which a reader must halt (a truncated or
//! re-created topic), which no log does by itself.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tidefold_record::{BatchBuilder, Offset, Partition, Position, RecordBatch, TopicName};
use tokio::sync::{oneshot, watch};

use crate::{Appended, Bounds, Log, LogError, ReadLimit, SharedMembership, Sole, Topic, TopicSpec};

/// A log in memory; clones share it.
#[derive(Clone, Default)]
pub struct MemoryLog {
    state: Arc<Mutex<State>>,
}

/// Tells a [`MemoryLog`] how to fail.
pub struct Faults {
    state: Arc<Mutex<State>>,
}

/// How an append fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// With [`LogError::Full`]; nothing is appended.
    Full,
    /// With [`LogError::Unavailable`]; nothing is appended.
    Unavailable,
    /// With [`LogError::Unknown`].
    Unknown(Stands),
}

/// What became of an append that failed with [`LogError::Unknown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// It is not in the log and never will be.
    None,
    /// Only this many of its first records are in the log, durably.
    First(usize),
    /// It is in the log, durably.
    All,
    /// It comes to stand in the log with the next append that succeeds in its partition, or at [`Faults::release`];
    /// a crash before that loses it. Nobody has read it until then.
    Later,
}

#[derive(Default)]
struct State {
    topics: HashMap<TopicName, MemoryTopic>,
    incarnations: u64,
    failures: VecDeque<Failure>,
    holding: bool,
    unsynced: VecDeque<Unsynced>,
}

struct MemoryTopic {
    incarnation: u64,
    partitions: Vec<MemoryPartition>,
}

struct MemoryPartition {
    batches: Vec<RecordBatch>,
    start: Offset,
    end: watch::Sender<Offset>,
    /// Offsets behind the end that stand in the log and cannot be read yet.
    open: u64,
}

/// An append that was taken but does not stand yet.
struct Unsynced {
    topic: TopicName,
    partition: Partition,
    batch: BatchBuilder,
    waiter: Option<oneshot::Sender<Result<Appended, LogError>>>,
}

enum Fate {
    Known(Result<Appended, LogError>),
    Waiting(oneshot::Receiver<Result<Appended, LogError>>),
}

// === impl MemoryLog ===

impl MemoryLog {
    /// An empty log.
    #[must_use]
    pub fn new() -> MemoryLog {
        MemoryLog::default()
    }

    /// The control of its faults.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults { state: Arc::clone(&self.state) }
    }
}

impl Log for MemoryLog {
    fn open<'a>(&'a self, spec: &'a TopicSpec) -> BoxFuture<'a, Result<Topic, LogError>> {
        Box::pin(async move { lock(&self.state).open(spec) })
    }

    fn append<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        batch: BatchBuilder,
    ) -> BoxFuture<'a, Result<Appended, LogError>> {
        Box::pin(async move {
            let fate = lock(&self.state).take(topic, partition, batch);
            match fate {
                Fate::Known(fate) => fate,
                Fate::Waiting(answer) => answer.await.unwrap_or_else(|_| Err(unknown("the log crashed"))),
            }
        })
    }

    fn read<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> BoxFuture<'a, Result<RecordBatch, LogError>> {
        Box::pin(async move { lock(&self.state).read(topic, partition, from, limit) })
    }

    fn bounds<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
    ) -> BoxFuture<'a, Result<Bounds, LogError>> {
        Box::pin(async move { Ok(lock(&self.state).partition(topic, partition)?.bounds()) })
    }

    fn watch_end(
        &self,
        topic: &TopicName,
        partition: Partition,
    ) -> Result<watch::Receiver<Offset>, LogError> {
        Ok(lock(&self.state).partition(topic, partition)?.end.subscribe())
    }

    /// It is of one process, which owns everything.
    fn join(&self, _group: &str, topics: &[(TopicName, u32)]) -> Result<SharedMembership, LogError> {
        Ok(Arc::new(Sole::new(topics)))
    }
}

// === impl Faults ===

impl Faults {
    /// The next `count` appends that hold a record fail so, after those already told to fail.
    pub fn fail_next(&self, count: usize, failure: Failure) {
        lock(&self.state).failures.extend(std::iter::repeat_n(failure, count));
    }

    /// From now on appends are taken but do not stand in the log, and their callers wait.
    pub fn hold(&self) {
        lock(&self.state).holding = true;
    }

    /// How many appends are taken and do not stand in the log yet.
    #[must_use]
    pub fn held(&self) -> usize {
        lock(&self.state).unsynced.len()
    }

    /// Lets the oldest held append through; tells whether there was one.
    pub fn release_one(&self) -> bool {
        lock(&self.state).settle_oldest()
    }

    /// Ends the holding: what is held comes to stand in the log, in the order it was taken.
    pub fn release(&self) {
        let mut state = lock(&self.state);
        state.holding = false;
        while state.settle_oldest() {}
    }

    /// A crash: what is held is lost, its callers get [`LogError::Unknown`], the rest is kept. Holding and failures
    /// told for later end with it.
    pub fn lose_unsynced(&self) {
        let mut state = lock(&self.state);
        state.holding = false;
        state.failures.clear();
        state.unsynced.clear();
    }

    /// Damage: the log loses acknowledged records from `end` on. Tells whether there was anything to lose.
    pub fn truncate(&self, topic: &TopicName, partition: Partition, end: Offset) -> bool {
        let mut state = lock(&self.state);
        let Ok(place) = state.partition(topic, partition) else { return false };
        let lost = end < place.bounds().end;
        if lost {
            place.batches.retain(|batch| first_of(batch).is_some_and(|first| first < end));
            if let Some(last) = place.batches.pop() {
                let keep = first_of(&last).map_or(0, |first| end.distance_from(first)) as usize;
                place.batches.push(last.part(Offset::ZERO, keep, usize::MAX));
            }
            place.start = place.start.min(end);
            place.end.send_replace(end);
        }
        lost
    }

    /// Offsets at the end that no record stands at: a transaction was aborted there, or ended.
    pub fn skip(&self, topic: &TopicName, partition: Partition, offsets: u64) {
        if let Ok(place) = lock(&self.state).partition(topic, partition) {
            let end = place.bounds().end.advance(offsets);
            place.batches.push(RecordBatch::empty(partition, end));
            place.end.send_replace(end);
        }
    }

    /// Another producer's transaction is open at the end: so many offsets stand in the log and cannot be read. 0 ends it as
    /// if it had never been.
    pub fn open_transaction(&self, topic: &TopicName, partition: Partition, offsets: u64) {
        if let Ok(place) = lock(&self.state).partition(topic, partition) {
            place.open = offsets;
        }
    }

    /// Retention: the log drops the records before `start`.
    pub fn trim(&self, topic: &TopicName, partition: Partition, start: Offset) {
        if let Ok(place) = lock(&self.state).partition(topic, partition) {
            place.start = start.clamp(place.start, place.bounds().end);
        }
    }

    /// Damage: the topic is deleted.
    pub fn delete(&self, topic: &TopicName) {
        lock(&self.state).topics.remove(topic);
    }

    /// Damage: the topic is deleted and created again with as many partitions, empty. It has another incarnation.
    pub fn recreate(&self, topic: &TopicName) {
        let mut state = lock(&self.state);
        state.incarnations += 1;
        let incarnation = state.incarnations;
        state.unsynced.retain(|append| append.topic != *topic);
        if let Some(found) = state.topics.get_mut(topic) {
            found.incarnation = incarnation;
            for place in &mut found.partitions {
                place.batches.clear();
                place.start = Offset::ZERO;
                place.end.send_replace(Offset::ZERO);
            }
        }
    }
}

// === impl State ===

impl State {
    fn open(&mut self, spec: &TopicSpec) -> Result<Topic, LogError> {
        if !self.topics.contains_key(&spec.name) {
            if !spec.create {
                return Err(no_such(&spec.name, Partition(0)));
            }
            if spec.partitions == 0 {
                let detail = "a topic has at least one partition; ask for 1 or more".to_owned();
                return Err(LogError::Mismatch { topic: spec.name.clone(), detail });
            }
            self.incarnations += 1;
            let partitions = (0..spec.partitions).map(|_| MemoryPartition::new()).collect();
            let topic = MemoryTopic { incarnation: self.incarnations, partitions };
            self.topics.insert(spec.name.clone(), topic);
        }
        let topic = self.topics.get(&spec.name).ok_or_else(|| no_such(&spec.name, Partition(0)))?;
        let partitions = topic.partitions.len() as u32;
        if partitions != spec.partitions {
            let detail = format!(
                "it has {partitions} partitions and {} are asked for; the number is fixed for ever, so ask for \
                 {partitions} or use another topic",
                spec.partitions
            );
            return Err(LogError::Mismatch { topic: spec.name.clone(), detail });
        }
        let (cluster, incarnation) = ("memory".to_owned(), format!("memory-{}", topic.incarnation));
        Ok(Topic { name: spec.name.clone(), partitions, cluster, incarnation })
    }

    fn partition(
        &mut self,
        topic: &TopicName,
        partition: Partition,
    ) -> Result<&mut MemoryPartition, LogError> {
        self.topics
            .get_mut(topic)
            .and_then(|found| found.partitions.get_mut(partition.0 as usize))
            .ok_or_else(|| no_such(topic, partition))
    }

    fn take(&mut self, topic: &TopicName, partition: Partition, batch: BatchBuilder) -> Fate {
        let end = match self.partition(topic, partition) {
            Ok(place) => place.bounds().end,
            Err(error) => return Fate::Known(Err(error)),
        };
        if batch.is_empty() {
            return Fate::Known(Ok(Appended::From(end)));
        }
        if let Some(failure) = self.failures.pop_front() {
            return Fate::Known(Err(self.fail(failure, topic, partition, batch)));
        }
        let (waiter, answer) = oneshot::channel();
        let append = Unsynced { topic: topic.clone(), partition, batch, waiter: Some(waiter) };
        self.unsynced.push_back(append);
        if !self.holding {
            while self.settle_oldest() {}
        }
        Fate::Waiting(answer)
    }

    fn fail(
        &mut self,
        failure: Failure,
        topic: &TopicName,
        partition: Partition,
        batch: BatchBuilder,
    ) -> LogError {
        match failure {
            Failure::Full => LogError::Full { retry_after: Duration::from_millis(10) },
            Failure::Unavailable => LogError::Unavailable { detail: "told to fail".to_owned() },
            Failure::Unknown(Stands::None) => unknown("told to fail; nothing stands"),
            Failure::Unknown(Stands::First(count)) => {
                let part = batch.build(partition, Offset::ZERO).part(Offset::ZERO, count.max(1), usize::MAX);
                if count > 0 {
                    self.stand(topic, partition, Bytes::copy_from_slice(part.as_bytes()));
                }
                unknown("told to fail; a part stands")
            }
            Failure::Unknown(Stands::All) => {
                self.stand(topic, partition, Bytes::copy_from_slice(batch.as_bytes()));
                unknown("told to fail; all of it stands")
            }
            Failure::Unknown(Stands::Later) => {
                let topic = topic.clone();
                self.unsynced.push_back(Unsynced { topic, partition, batch, waiter: None });
                unknown("told to fail; it may come to stand")
            }
        }
    }

    fn settle_oldest(&mut self) -> bool {
        let Some(append) = self.unsynced.pop_front() else { return false };
        let bytes = Bytes::copy_from_slice(append.batch.as_bytes());
        let first = self.stand(&append.topic, append.partition, bytes);
        if let (Some(waiter), Some(first)) = (append.waiter, first) {
            // Nobody may be waiting any more; the append stands all the same.
            let _gone = waiter.send(Ok(Appended::From(first)));
        }
        true
    }

    /// Puts records at the end, and tells where.
    fn stand(&mut self, topic: &TopicName, partition: Partition, bytes: Bytes) -> Option<Offset> {
        let place = self.partition(topic, partition).ok()?;
        let first = place.bounds().end;
        let batch = RecordBatch::decode(partition, first, bytes).ok()?;
        let next = batch.next_offset();
        place.batches.push(batch);
        place.end.send_replace(next);
        Some(first)
    }

    fn read(
        &mut self,
        topic: &TopicName,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<RecordBatch, LogError> {
        let place = self.partition(topic, partition)?;
        let bounds = place.bounds();
        let position = || Position::new(topic.clone(), partition, from);
        if from < bounds.start || from > bounds.end {
            return Err(LogError::OutOfRange { position: position(), bounds });
        }
        let at = place.batches.partition_point(|batch| batch.next_offset() <= from);
        let mut rest = place.batches.iter().skip(at).skip_while(|batch| batch.is_empty());
        let Some(first) = rest.next() else { return Ok(RecordBatch::empty(partition, bounds.end)) };
        let first = first.part(from, limit.records, limit.bytes);
        let from = first_of(&first).unwrap_or(from);
        let (mut count, mut bytes) = (first.len(), first.as_bytes().to_vec());
        for more in rest {
            if count >= limit.records || bytes.len() >= limit.bytes || more.is_empty() {
                break;
            }
            count += more.len();
            bytes.extend_from_slice(more.as_bytes());
        }
        RecordBatch::decode(partition, from, bytes.into())
            .map(|batch| batch.part(from, limit.records, limit.bytes))
            .map_err(|error| LogError::Damaged { position: position(), detail: error.to_string() })
    }
}

// === impl MemoryPartition ===

impl MemoryPartition {
    fn new() -> MemoryPartition {
        MemoryPartition {
            batches: Vec::new(),
            start: Offset::ZERO,
            end: watch::Sender::new(Offset::ZERO),
            open: 0,
        }
    }

    fn bounds(&self) -> Bounds {
        let end = *self.end.borrow();
        Bounds { start: self.start, end, appended: end.advance(self.open) }
    }
}

fn first_of(batch: &RecordBatch) -> Option<Offset> {
    batch.iter().next().map(|record| record.offset)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_such(topic: &TopicName, partition: Partition) -> LogError {
    LogError::NoSuchPartition { topic: topic.clone(), partition }
}

fn unknown(detail: &str) -> LogError {
    LogError::Unknown { detail: detail.to_owned() }
}

#[cfg(test)]
mod tests;
