//! What a table is: its columns and its key.
//!
//! A row is two byte strings, key and value; the room of its kind says what lies in them. A store with typed columns
//! takes them apart with the layout; a byte store keeps them as they are.

use std::fmt;

use tidefold_codec::ColumnType;
use tidefold_codec::ordered::KeyColumn;
use tidefold_codec::truncate::TruncUnit;

use crate::aggregate::Aggregate;
use crate::component::AggregateState;
use crate::damage::{COPY_AGAIN, REBUILD};

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
    /// One row an entry of the control topic.
    ControlCopy,
}

// === impl TableKind ===

impl TableKind {
    /// Every kind.
    pub const ALL: [TableKind; 6] = [
        TableKind::Entity,
        TableKind::Index,
        TableKind::Rollup,
        TableKind::Verdicts,
        TableKind::Checkpoints,
        TableKind::ControlCopy,
    ];

    /// What to do about damage in such a table.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            TableKind::ControlCopy => COPY_AGAIN,
            TableKind::Entity
            | TableKind::Index
            | TableKind::Rollup
            | TableKind::Verdicts
            | TableKind::Checkpoints => REBUILD,
        }
    }
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
    /// What a rollup keeps of the columns that are not in its key, in their order; empty of any other table.
    pub aggregates: Vec<Aggregate>,
}

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name: letters, digits and `_`.
    pub name: String,
    /// Its type.
    pub column: ColumnType,
}

/// A clustering column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clustering {
    /// Its place in the layout's columns.
    pub column: usize,
    /// Whether larger values come first.
    pub descending: bool,
}

/// How a view's partitions are split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bucket {
    /// By a hash of the clustering columns into so many: `buckets = 64`.
    Hash {
        /// How many, 2 to 1024.
        buckets: u32,
    },
    /// By the hour, day, month or year of the first clustering column: `bucket_by = "day"`.
    Trunc {
        /// The unit.
        unit: TruncUnit,
    },
}

/// The units that there are buckets of, with their names.
pub const UNITS: [(&str, TruncUnit); 4] = [
    ("hour", TruncUnit::Hour),
    ("day", TruncUnit::Day),
    ("month", TruncUnit::Month),
    ("year", TruncUnit::Year),
];

/// What `app.toml` calls a unit.
#[must_use]
pub fn unit_name(unit: TruncUnit) -> &'static str {
    UNITS.iter().find(|(_, known)| *known == unit).map_or("", |(name, _)| name)
}

// === impl TableLayout ===

impl TableLayout {
    /// A table without columns: its keys and values are bytes to everybody but their room.
    #[must_use]
    pub fn untyped(name: String, kind: TableKind) -> TableLayout {
        TableLayout {
            name,
            kind,
            columns: Vec::new(),
            partition_key: Vec::new(),
            clustering: Vec::new(),
            bucket: None,
            aggregates: Vec::new(),
        }
    }

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

    /// How many components a rollup's row keeps.
    #[must_use]
    pub fn components(&self) -> usize {
        self.aggregates.iter().map(|aggregate| aggregate.function.keeps.len()).sum()
    }

    /// The state of every component that a rollup's row keeps, in order, of no value.
    pub fn empty_states(&self) -> impl Iterator<Item = AggregateState> + '_ {
        self.aggregates.iter().flat_map(|aggregate| {
            let argument = aggregate.argument.as_ref();
            aggregate.function.keeps.iter().map(move |keeps| AggregateState::empty(*keeps, argument))
        })
    }

    /// The place of a column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

// === impl Bucket ===

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bucket::Hash { buckets } => write!(f, "buckets = {buckets}"),
            Bucket::Trunc { unit } => write!(f, "bucket_by = \"{}\"", unit_name(*unit)),
        }
    }
}
