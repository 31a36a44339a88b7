//! The store: where tables live. It keeps rows by key, settles competing writes by stamp, and needs no transactions.
//!
//! This crate owns the contract ([`Store`]), a memory store that can be told to fail, delay and lose what was not
//! synced ([`memory`]), and the suite every store must pass ([`contract`], behind the feature `contract`).
//!
//! What a store does is told to an [`observer::Observer`].
//!
//! It deliberately knows nothing of folds: a row is a key and a value, and its layout says how typed columns lie in them.
//!
//! To read it: [`Store`] is the contract; [`Lane`] and [`TableWrites`] are what a projector hands over, [`Scan`] what a
//! query asks for, [`StoreError`] what both have to be ready for. [`published`] reads what lanes wrote of the records they
//! folded: everybody but a lane's own fold reads checkpoints and verdicts through it.
//! [`lookout`] looks at checkpoints for all who wait for one.

#[cfg(feature = "contract")]
pub mod contract;
pub mod lookout;
pub mod memory;
pub mod observer;
pub mod published;
pub mod scan;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tidefold_table::{Damaged, Prefix, Row, RowWrite, TableId, TableLayout};
use tokio::sync::watch;

/// A store.
///
/// * **Last stamp wins.** Of all writes to a row, whatever their order of arrival, the one with the largest stamp
///   decides: a put is the row, a delete is its absence. Equal stamps are the same write: writing it again changes nothing.
/// * **Acknowledged is readable.** Once `write` returns, every later `load` and `scan` of anybody sees those writes (or
///   later ones). What a `load` returned stays readable: it never goes back to an older row while the machine runs.
///   Writes of one call become visible one by one in any order.
/// * **After a crash** (embedded: a loss of power) acknowledged writes may be gone, but only so that a write is gone
///   *together with every write acknowledged after it*. The log still has what they were made from.
/// * **After an error** a write is *unknown*: it may be visible, in part, now or later. Repeat it until acknowledged.
/// * Values are kept to the byte: `load(write(row)) == row`.
pub trait Store: Send + Sync + 'static {
    /// Makes sure the tables exist, creating those that are absent. Idempotent.
    fn open<'a>(&'a self, tables: &'a [Table]) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The rows under these keys, in their order; `None` where there is none.
    fn load<'a>(
        &'a self,
        table: &'a TableId,
        keys: &'a [Bytes],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StoreError>>;

    /// Writes rows of one partition's lane. `lane` names the writer: rows of two lanes are disjoint, and it is the caller
    /// who sees to that.
    ///
    /// Stamps may come in any order; rising ones are cheapest. One thing only is asked of the order: once a checkpoint of
    /// the lane is acknowledged, nothing caused by a record before it is written any more, since a store may then forget
    /// which rows such records deleted.
    fn write<'a>(
        &'a self,
        lane: &'a Lane,
        writes: &'a [TableWrites],
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Rows in key order between bounds (within one partition key), or of the whole table in the store's own order.
    fn scan<'a>(&'a self, table: &'a TableId, scan: &'a Scan) -> BoxFuture<'a, Result<Vec<Row>, StoreError>>;

    /// Drops tables and all that is in them. Tables that are absent are no error.
    fn drop_tables<'a>(&'a self, tables: &'a [TableId]) -> BoxFuture<'a, Result<(), StoreError>>;

    /// What tells of writes to checkpoints tables: whoever waits for a position looks again then.
    fn checkpoints_moved(&self) -> Moves;
}

/// A store that anyone may hold.
pub type SharedStore = Arc<dyn Store>;

/// What tells of writes to checkpoints tables.
#[derive(Clone, Debug)]
pub struct Moves {
    /// A number that changes each time this process writes to one.
    pub times: watch::Receiver<u64>,
    /// Whether that is all: nobody else can write to this store. Where others can, who waits looks again at intervals, too.
    pub are_all: bool,
}

/// A table to be opened.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its stored name.
    pub id: TableId,
    /// Its columns and key.
    pub layout: Arc<TableLayout>,
}

/// The writer of one partition's rows in one generation of a projection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lane {
    /// The checkpoints table of the generation: the lane's identity.
    pub checkpoints: TableId,
    /// The source partition.
    pub partition: u32,
}

/// Writes to one table.
#[derive(Clone, Debug)]
pub struct TableWrites {
    /// The table.
    pub table: TableId,
    /// The writes; at most one for each key.
    pub rows: Vec<RowWrite>,
}

/// Which rows a scan returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan {
    /// Rows whose key starts with `prefix`, from `from` (inclusive, a whole key or a prefix of one) up to `until`
    /// (exclusive), in key order. Who wants the newest first declares the clustering column that way round.
    Range {
        /// What every key starts with: the whole partition key, and any clustering columns the query fixes.
        prefix: Prefix,
        /// The first key, if not the prefix's first.
        from: Option<Bytes>,
        /// The key before which to stop, if not at the prefix's end.
        until: Option<Bytes>,
        /// At most this many rows.
        limit: usize,
    },
    /// Every row of the table, a page at a time, in an order of the store's own that stays the same between pages.
    All {
        /// The key of the last row of the page before.
        after: Option<Bytes>,
        /// At most this many rows.
        limit: usize,
    },
}

/// What went wrong: what the caller should do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached or is too slow: repeat until it answers.
    #[error("the store is not available: {detail}")]
    Unavailable {
        /// Why, and what to do.
        detail: String,
    },
    /// The store refuses the request for good: repeating is of no use. Halt and say so.
    #[error("the store refuses {what}: {detail}")]
    Refused {
        /// The request.
        what: String,
        /// Why, and what to do.
        detail: String,
    },
    /// The store itself has failed, whatever it was asked: it takes nothing more until it is opened again. Halt and say so.
    #[error("the store has failed and takes nothing more: {detail}")]
    Failed {
        /// Why, and what to do.
        detail: String,
    },
    /// A stored row is damaged. Halt, or refuse the request, and say so.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

impl StoreError {
    /// Its name to callers: the slug of the problem that they are answered with.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            StoreError::Unavailable { .. } => "store-unavailable",
            StoreError::Refused { .. } => "store-refused",
            StoreError::Failed { .. } => "store-failed",
            StoreError::Damaged { .. } => "damaged",
        }
    }
}

// === impl StoreError ===

impl StoreError {
    /// The name of every kind, for labels.
    pub const KINDS: [&'static str; 4] = ["unavailable", "refused", "failed", "damaged"];

    /// Its kind's name: one of [`StoreError::KINDS`].
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            StoreError::Unavailable { .. } => "unavailable",
            StoreError::Refused { .. } => "refused",
            StoreError::Failed { .. } => "failed",
            StoreError::Damaged { .. } => "damaged",
        }
    }
}
