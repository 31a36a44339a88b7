//! What stops a fold.

use tidefold_record::{Offset, Position, SchemaId};
use tidefold_table::{Broken, Damaged, TableLayout};

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
    #[error(transparent)]
    Damaged(Damaged),
    /// A schema id was not learned before the fold.
    #[error("{position}: schema id {} was not looked up", id.0)]
    UnlearnedSchema {
        /// The record.
        position: Position,
        /// The id.
        id: SchemaId,
    },
}

/// What to say of a row of a table that is not what the fold writes.
pub(crate) fn damaged<'r>(layout: &'r TableLayout, key: &'r [u8]) -> impl Fn(Broken) -> FoldError + 'r {
    move |broken| FoldError::Damaged(broken.of(&layout.name, layout.key_text(key)))
}
