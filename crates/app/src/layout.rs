//! Tables: columns, keys, rows as bytes, stamps. What a store has to know of an app is here.
//!
//! A row is two byte strings. The *key* is the ordered encoding ([`tidefold_codec::ordered`]) of partition key columns
//! and clustering columns, with a hidden bucket between them where the view has one ([`crate::bucket`]); of a rollup also, at the end, the source partition as four bytes big-endian. The *value* is
//!
//! | table | key | value |
//! |---|---|---|
//! | entity | the record key as it is (key text, raw bytes) | one blob, the fold's own (offset, version, deleted mark, recent ids, columns) |
//! | index | ordered key columns | offset (8 bytes BE), then canonical Avro ([`tidefold_codec::columns`]) of the columns that are not in the key |
//! | rollup | ordered group columns in the key, then the shard | offset (8 bytes BE), hidden count (8 bytes BE), then the aggregates' states and group columns that are not in the key: the fold's own |
//! | verdicts | partition (4 BE), offset (8 BE) | the fold's own |
//! | checkpoints | partition (4 BE) | the fold's own |
//!
//! A store with typed columns takes keys and values apart with the layout; a byte store keeps them as they are.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tidefold_codec::ordered::KeyColumn;
use tidefold_record::Offset;

use crate::bucket::Bucket;
use crate::model::Column;

/// What a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TableKind {
    /// Entity states.
    Entity,
    /// Rows of a view without aggregates.
    Index,
    /// Groups of a view with aggregates, sharded by source partition.
    Rollup,
    /// Verdicts of records that were not applied.
    Verdicts,
    /// One row a partition: the next offset to read.
    Checkpoints,
}

/// A table's columns and key. Its stored name is `<name>_g<generation>`.
#[derive(Clone, Debug, PartialEq)]
pub struct TableLayout {
    /// The name a query uses.
    pub name: String,
    /// What it holds.
    pub kind: TableKind,
    /// All columns a query returns, in order.
    pub columns: Vec<Column>,
    /// Partition key: places in `columns`, in key order. A query names all of them.
    pub partition_key: Vec<usize>,
    /// Clustering columns: places in `columns`, in key order, with their direction.
    pub clustering: Vec<Clustering>,
    /// How its partitions are split, if they are: the stored key then has a hidden column
    /// ([`TableLayout::stored_key_columns`]).
    pub bucket: Option<Bucket>,
}

/// A clustering column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clustering {
    /// Its place in the layout's columns.
    pub column: usize,
    /// Whether larger values come first.
    pub descending: bool,
}

/// A table of one generation of a projection, as a store knows it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(Arc<str>);

/// The order of writes to one row, from the position of the record that caused them: `2*(offset+1)+kind`, kind 0 for a
/// delete and 1 for a put. A store keeps, of two writes to a row, the one with the larger stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(pub u64);

/// A put or a delete of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowWrite {
    /// The row's key.
    pub key: Bytes,
    /// The row's value; `None` deletes it (index rows only).
    pub value: Option<Bytes>,
    /// When, in the order of the log.
    pub stamp: Stamp,
}

/// A row as a store returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The row's key.
    pub key: Bytes,
    /// The row's value.
    pub value: Bytes,
}

// === impl TableLayout ===

impl TableLayout {
    /// The key columns that there are for a query, in key order: partition key, then clustering. What a store holds may
    /// have one more: [`TableLayout::stored_key_columns`].
    pub fn key_columns(&self) -> impl Iterator<Item = (usize, KeyColumn)> + '_ {
        let partition = self.partition_key.iter().map(|column| (*column, false));
        let clustering = self.clustering.iter().map(|c| (c.column, c.descending));
        partition
            .chain(clustering)
            .map(|(at, descending)| (at, KeyColumn { ty: self.columns[at].column.ty.clone(), descending }))
    }

    /// The columns that are not in the key, in order.
    pub fn value_columns(&self) -> impl Iterator<Item = (usize, &Column)> {
        self.columns.iter().enumerate().filter(|(at, _)| {
            !self.partition_key.contains(at) && !self.clustering.iter().any(|c| c.column == *at)
        })
    }

    /// The place of a column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

// === impl TableId ===

impl TableId {
    /// `<app>.<table>_g<generation>`.
    #[must_use]
    pub fn new(app: &str, table: &str, generation: u32) -> TableId {
        TableId(format!("{app}.{table}_g{generation}").into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Stamp ===

impl Stamp {
    /// A put caused by the record at `offset`.
    #[must_use]
    pub fn put(offset: Offset) -> Stamp {
        Stamp(2 * (offset.0 + 1) + 1)
    }

    /// A delete caused by the record at `offset`.
    #[must_use]
    pub fn delete(offset: Offset) -> Stamp {
        Stamp(2 * (offset.0 + 1))
    }

    /// The offset of the record that caused the write.
    #[must_use]
    pub fn offset(self) -> Offset {
        Offset((self.0 / 2).saturating_sub(1))
    }
}
