//! One partition's fold, batch by batch.
//!
//! ```text
//!   let unknown = folder.unknown_schemas(&batch);      // the caller asks control, then folder.learn(...)
//!   let missing = entities.missing(keys of the batch); // the caller loads them
//!   folder.fold(&batch, given, &mut entities, &mut changes)?;
//!   let missing = rollups[view].missing(changes.rollup_keys()); // the caller loads them
//!   folder.apply_rollups(&mut changes, &mut rollups)?;
//!   let writes = folder.writes(&mut changes, &mut entities, &mut rollups); // the caller writes them, phase by phase
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use tidefold_app::App;
use tidefold_record::{Offset, Partition, Position, RecordBatch, SchemaId};

use crate::changes::{Changes, Writes};
use crate::rows::RowCache;
use crate::verdict::Verdict;

/// What bounds and shapes the fold; part of the generation's manifest, since it decides verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoldSettings {
    /// The dedupe window, in offsets of the partition.
    pub window: u64,
}

/// What control says of a schema id.
#[derive(Clone, Debug)]
pub enum SchemaFate {
    /// The id stands for this schema, for ever.
    Registered(Arc<str>),
    /// The id is refused, for ever: records with it are dead.
    Refused,
}

/// What is known of a batch's verdicts before it is folded. The default: nothing, every record is judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'a> {
    /// A rebuild: the verdict rows of the active generation for the batch's range. Rejected and duplicate are taken as
    /// they are, records without a row are applied without asking the guards, dead ones are judged anew.
    pub published: Option<&'a BTreeMap<Offset, Verdict>>,
    /// An entity row is ahead ([`FoldError::RowAhead`]): this generation's own verdict rows from the batch's start up to
    /// the row's offset. They are the verdicts of records that can no longer be judged, because their entity is at or
    /// past them (one without a row was applied). Everything else is judged as without.
    pub own: Option<&'a BTreeMap<Offset, Verdict>>,
}

/// One partition's fold.
#[derive(Debug)]
pub struct Folder {
    app: Arc<App>,
    topic: usize,
    partition: Partition,
    settings: FoldSettings,
}

/// What stops a fold: never a record's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// An entity row is newer than the start of the batch and [`Given::own`] is `None`: a crashed run or another owner
    /// wrote it. Drop every cached rollup row of the partition, load the verdict rows from the batch's start up to
    /// `row_offset`, pass them as [`Given::own`], and fold again. `row_offset` is the largest of all such rows of the batch.
    #[error("the row of key {key:?} is at offset {row_offset}, past the batch's start")]
    RowAhead {
        /// The entity's key text.
        key: String,
        /// The row's offset.
        row_offset: Offset,
    },
    /// A stored row is not what this fold writes.
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

impl Default for FoldSettings {
    fn default() -> FoldSettings {
        FoldSettings { window: 100_000 }
    }
}

impl Folder {
    /// A fold of one partition of the app's topic at place `topic`, with an empty window.
    #[must_use]
    pub fn new(app: Arc<App>, topic: usize, partition: Partition, settings: FoldSettings) -> Folder {
        Folder { app, topic, partition, settings }
    }

    /// Schema ids of the batch that were not learned yet.
    #[must_use]
    pub fn unknown_schemas(&self, batch: &RecordBatch) -> Vec<SchemaId> {
        let _ = (batch, &self.app, self.topic, self.partition, self.settings);
        unimplemented!()
    }

    /// Learns what an id stands for.
    pub fn learn(&mut self, id: SchemaId, fate: &SchemaFate) {
        let _ = (id, fate);
        unimplemented!()
    }

    /// Fills the window from records before the checkpoint, oldest first. `verdicts` are the verdict rows of their range:
    /// dead letters do not count.
    pub fn remember(&mut self, batch: &RecordBatch, verdicts: &BTreeMap<Offset, Verdict>) {
        let _ = (batch, verdicts);
        unimplemented!()
    }

    /// Folds a batch. The entity row of every record key of 1 to 1,024 bytes is in `entities`; `changes` is empty.
    ///
    /// # Errors
    /// When something other than a record is wrong; `entities`, `changes` and the window are then as they were.
    pub fn fold(
        &mut self,
        batch: &RecordBatch,
        given: Given<'_>,
        entities: &mut RowCache,
        changes: &mut Changes,
    ) -> Result<(), FoldError> {
        let _ = (batch, given, entities, changes);
        unimplemented!()
    }

    /// Applies the batch's rollup changes to the rollup rows, one cache for each view (unused for index views).
    ///
    /// # Errors
    /// When a stored row is damaged.
    pub fn apply_rollups(
        &mut self,
        changes: &mut Changes,
        rollups: &mut [RowCache],
    ) -> Result<(), FoldError> {
        let _ = (changes, rollups);
        unimplemented!()
    }

    /// The batch's writes; `changes` is empty afterwards.
    pub fn writes(
        &mut self,
        changes: &mut Changes,
        entities: &mut RowCache,
        rollups: &mut [RowCache],
    ) -> Writes {
        let _ = (changes, entities, rollups);
        unimplemented!()
    }
}
