//! What a store does, told to whoever counts it.
//!
//! [`Observed`] tells of every call, whatever the backend; of repeated attempts, which only a backend knows, it tells
//! itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tidefold_table::{Row, TableId};
use tokio::time::Instant;

use crate::{Lane, Moves, Scan, SharedStore, Store, StoreError, Table, TableWrites};

/// Is told what a store does. Every method has to return at once: it is called between a caller and its answer.
pub trait Observer: Send + Sync + 'static {
    /// A call begins; [`Observer::ended`] or [`Observer::given_up`] follows.
    fn began(&self, _operation: Operation) {}

    /// A call has its answer, after so long: the bytes of keys and values read or written, or what went wrong.
    fn ended(&self, _operation: Operation, _after: Duration, _answer: Result<usize, &StoreError>) {}

    /// Whoever called does not wait any more.
    fn given_up(&self, _operation: Operation) {}

    /// The backend repeats an attempt of its own that failed; the call goes on.
    fn retried(&self, _operation: Operation) {}
}

/// The calls of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// [`Store::open`].
    Open,
    /// [`Store::load`].
    Load,
    /// [`Store::write`].
    Write,
    /// [`Store::scan`].
    Scan,
    /// [`Store::drop_tables`].
    Drop,
}

/// An observer that anyone may hold. The default sees nothing.
#[derive(Clone)]
pub struct SharedObserver(Arc<dyn Observer>);

/// A store of which every call is told.
pub struct Observed {
    store: SharedStore,
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
    pub const ALL: [Operation; 5] =
        [Operation::Open, Operation::Load, Operation::Write, Operation::Scan, Operation::Drop];

    /// Its name, for labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Operation::Open => "open",
            Operation::Load => "load",
            Operation::Write => "write",
            Operation::Scan => "scan",
            Operation::Drop => "drop",
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

// === impl Call ===

impl<'a> Call<'a> {
    fn begin(observer: &'a SharedObserver, operation: Operation) -> Call<'a> {
        observer.began(operation);
        Call { observer: &**observer, operation, since: Instant::now(), is_open: true }
    }

    fn end<T>(
        mut self,
        answer: Result<T, StoreError>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Result<T, StoreError> {
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
    /// Tells `observer` of every call of `store`.
    #[must_use]
    pub fn new(store: SharedStore, observer: SharedObserver) -> Observed {
        Observed { store, observer }
    }
}

impl Store for Observed {
    fn open<'a>(&'a self, tables: &'a [Table]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let call = Call::begin(&self.observer, Operation::Open);
            call.end(self.store.open(tables).await, |()| 0)
        })
    }

    fn load<'a>(
        &'a self,
        table: &'a TableId,
        keys: &'a [Bytes],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StoreError>> {
        Box::pin(async move {
            let call = Call::begin(&self.observer, Operation::Load);
            call.end(self.store.load(table, keys).await, |values| {
                let found = keys.iter().zip(values);
                found.filter_map(|(key, value)| Some(key.len() + value.as_ref()?.len())).sum()
            })
        })
    }

    fn write<'a>(
        &'a self,
        lane: &'a Lane,
        writes: &'a [TableWrites],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let call = Call::begin(&self.observer, Operation::Write);
            call.end(self.store.write(lane, writes).await, |()| {
                let rows = writes.iter().flat_map(|part| &part.rows);
                rows.map(|row| row.key.len() + row.value.as_ref().map_or(0, Bytes::len)).sum()
            })
        })
    }

    fn scan<'a>(&'a self, table: &'a TableId, scan: &'a Scan) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        Box::pin(async move {
            let call = Call::begin(&self.observer, Operation::Scan);
            let bytes = |rows: &Vec<Row>| rows.iter().map(|row| row.key.len() + row.value.len()).sum();
            call.end(self.store.scan(table, scan).await, bytes)
        })
    }

    fn drop_tables<'a>(&'a self, tables: &'a [TableId]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let call = Call::begin(&self.observer, Operation::Drop);
            call.end(self.store.drop_tables(tables).await, |()| 0)
        })
    }

    fn checkpoints_moved(&self) -> Moves {
        self.store.checkpoints_moved()
    }
}
