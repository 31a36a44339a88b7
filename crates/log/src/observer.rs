//! What a log does, told to whoever counts it.
//!
//! [`Observed`] tells of every call, whatever the backend; of repeated attempts, which only a backend knows, it tells itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tidefold_record::{BatchBuilder, Offset, Partition, RecordBatch, TopicName};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::{Appended, Bounds, Log, LogError, ReadLimit, SharedLog, SharedMembership, Topic, TopicSpec};

/// Is told what a log does. Every method has to return at once: it is called between a caller and its answer.
pub trait Observer: Send + Sync + 'static {
    /// A call begins; [`Observer::ended`] or [`Observer::given_up`] follows.
    fn began(&self, _operation: Operation) {}

    /// A call has its answer, after so long: the bytes of records appended or read, in their encoding, or what went wrong.
    fn ended(&self, _operation: Operation, _after: Duration, _answer: Result<usize, &LogError>) {}

    /// Whoever called does not wait any more.
    fn given_up(&self, _operation: Operation) {}

    /// The backend repeats an attempt of its own that failed; the call goes on.
    fn retried(&self, _operation: Operation) {}
}

/// The calls of a log that are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// [`Log::open`].
    Open,
    /// [`Log::append`].
    Append,
    /// [`Log::read`].
    Read,
    /// [`Log::bounds`].
    Bounds,
}

/// An observer that anyone may hold. The default sees nothing.
#[derive(Clone)]
pub struct SharedObserver(Arc<dyn Observer>);

/// A log of which every call is told.
pub struct Observed {
    log: SharedLog,
    observer: SharedObserver,
}

/// A call that is under way.
struct Call<'a> {
    observer: &'a dyn Observer,
    operation: Operation,
    since: Instant,
    is_open: bool,
}

struct Nobody;

impl Observer for Nobody {}

// === impl Operation ===

impl Operation {
    /// All of them, in the order of their numbers.
    pub const ALL: [Operation; 4] = [Operation::Open, Operation::Append, Operation::Read, Operation::Bounds];

    /// Its name, for labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Operation::Open => "open",
            Operation::Append => "append",
            Operation::Read => "read",
            Operation::Bounds => "bounds",
        }
    }
}

// === impl SharedObserver ===

impl SharedObserver {
    /// This one.
    pub fn new(observer: impl Observer) -> SharedObserver {
        SharedObserver(Arc::new(observer))
    }
}

impl Default for SharedObserver {
    fn default() -> SharedObserver {
        SharedObserver::new(Nobody)
    }
}

impl std::ops::Deref for SharedObserver {
    type Target = dyn Observer;

    fn deref(&self) -> &(dyn Observer + 'static) {
        &*self.0
    }
}

impl fmt::Debug for SharedObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedObserver")
    }
}

/// Two are equal if they are the same one.
impl PartialEq for SharedObserver {
    fn eq(&self, other: &SharedObserver) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SharedObserver {}

// === impl Call ===

impl<'a> Call<'a> {
    fn begin(observer: &'a SharedObserver, operation: Operation) -> Call<'a> {
        observer.began(operation);
        Call { observer: &**observer, operation, since: Instant::now(), is_open: true }
    }

    fn end<T>(mut self, answer: Result<T, LogError>, bytes: impl FnOnce(&T) -> usize) -> Result<T, LogError> {
        self.is_open = false;
        self.observer.ended(self.operation, self.since.elapsed(), answer.as_ref().map(bytes));
        answer
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.observer.given_up(self.operation);
        }
    }
}

// === impl Observed ===

impl Observed {
    /// Tells `observer` of every call of `log`.
    #[must_use]
    pub fn new(log: SharedLog, observer: SharedObserver) -> Observed {
        Observed { log, observer }
    }
}

impl Log for Observed {
    fn open<'a>(&'a self, spec: &'a TopicSpec) -> BoxFuture<'a, Result<Topic, LogError>> {
        Box::pin(async move {
            let call = Call::begin(&self.observer, Operation::Open);
            call.end(self.log.open(spec).await, |_| 0)
        })
    }

    fn append<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        batch: BatchBuilder,
    ) -> BoxFuture<'a, Result<Appended, LogError>> {
        let bytes = batch.size_bytes();
        Box::pin(async move {
            let call = Call::begin(&self.observer, Operation::Append);
            call.end(self.log.append(topic, partition, batch).await, |_| bytes)
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
            let call = Call::begin(&self.observer, Operation::Read);
            call.end(self.log.read(topic, partition, from, limit).await, RecordBatch::size_bytes)
        })
    }

    fn bounds<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
    ) -> BoxFuture<'a, Result<Bounds, LogError>> {
        Box::pin(async move {
            let call = Call::begin(&self.observer, Operation::Bounds);
            call.end(self.log.bounds(topic, partition).await, |_| 0)
        })
    }

    fn watch_end(
        &self,
        topic: &TopicName,
        partition: Partition,
    ) -> Result<watch::Receiver<Offset>, LogError> {
        self.log.watch_end(topic, partition)
    }

    fn join(&self, group: &str, topics: &[(TopicName, u32)]) -> Result<SharedMembership, LogError> {
        self.log.join(group, topics)
    }
}

#[cfg(test)]
mod tests;
