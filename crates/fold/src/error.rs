//! What stops a fold.

use tidefold_record::{Offset, Position, SchemaId};

/// What stops a fold: never a record's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// An entity row is newer than the start of the batch, and [`crate::Given::own`] is `None` or the row was not met before: a
    /// crashed run or another owner wrote it. Drop every cached rollup row of the partition, load the verdict rows from the batch's start up to
    /// `row_offset`, pass them as [`crate::Given::own`], and fold again. `row_offset` is the largest of all such rows of the batch.
    #[error("the row of key {key:?} is at offset {row_offset}, past the batch's start")]
    RowAhead {
        /// The entity's key text.
        key: String,
        /// The row's offset.
        row_offset: Offset,
    },
    /// A row that the batch touches is not in the cache: the caller did not load it.
    #[error("a row of {table} was not loaded before the fold")]
    NotLoaded {
        /// The table's name.
        table: String,
    },
    /// A stored row is not what this fold writes. The folder is of no use afterwards.
    #[error("a row of {table} is damaged ({detail}); rebuild the projection with `tidefold replay`")]
    DamagedRow {
        /// The table's name.
        table: String,
        /// What is wrong.
        detail: String,
    },
    /// A schema id was not learned before the fold.
    #[error("{position}: schema id {} was not looked up", id.0)]
    UnlearnedSchema {
        /// The record.
        position: Position,
        /// The id.
        id: SchemaId,
    },
}

pub(crate) fn damaged(table: &str, error: impl std::fmt::Display) -> FoldError {
    FoldError::DamagedRow { table: table.to_owned(), detail: error.to_string() }
}
