//! One partition's fold, batch by batch.
//!
//! ```text
//!   let unknown = folder.unknown_schemas(&batch);      // the caller asks control, then folder.learn(...)
//!   let missing = entities.missing(keys of the batch); // the caller loads them
//!   folder.fold(&batch, given, &mut entities, &mut changes)?;
//!   let missing = rollups[view].missing(changes.rollup_keys(view)); // the caller loads them
//!   folder.apply_rollups(&mut changes, &mut rollups)?;
//!   let effects = folder.effects(&mut changes, &mut entities, &mut rollups, next); // the caller does them, in order
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tidefold_app::model::{Projection, ViewKind};
use tidefold_record::{Offset, Partition, Position, RecordBatch, SchemaId};
use tidefold_table::entity::StateRef;
use tidefold_table::{Checkpoint, Verdict};

use crate::changes::{Changes, IndexChanges, RollupChanges, ViewChanges};
use crate::dedupe::Window;
use crate::effects::{self, AheadRow, Effect};
use crate::error::{FoldError, damaged};
use crate::form::{self, Reading, Schemas, is_row_key, schema_of};
use crate::given::{Given, SchemaFate};
use crate::issue;
use crate::judge::ClausePlans;
use crate::made::{IndexRows, Made, RollupRows};
use crate::rows::{RowCache, RowSlot};
use crate::step::{Scratch, Step, With};
use crate::view::ViewPlan;

/// What bounds and shapes the fold; part of the generation's manifest, since it decides verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoldSettings {
    /// The dedupe window, in offsets of the partition.
    pub window: u64,
}

/// One partition's fold.
#[derive(Debug)]
pub struct Folder {
    pub(crate) projection: Arc<Projection>,
    pub(crate) partition: Partition,
    pub(crate) schemas: Schemas,
    pub(crate) window: Window,
    pub(crate) clauses: ClausePlans,
    pub(crate) views: Vec<ViewPlan>,
    pub(crate) ahead: BTreeMap<Box<[u8]>, AheadRow>,
    /// Records that operators declared dead, and why.
    pub(crate) passed_over: BTreeMap<Offset, String>,
    /// Never locked, only reached through `&mut`: an arena alone would keep the folder from being `Sync`.
    scratch: Mutex<Scratch>,
}

impl Default for FoldSettings {
    fn default() -> FoldSettings {
        FoldSettings { window: 100_000 }
    }
}

// === impl Folder ===

impl Folder {
    /// A fold of one partition of the app's topic at place `topic`, with an empty window.
    #[must_use]
    pub fn new(projection: Arc<Projection>, partition: Partition, settings: FoldSettings) -> Folder {
        let clauses = ClausePlans::new(projection.entity.as_ref());
        let views = projection.views.iter().map(ViewPlan::new).collect();
        Folder {
            partition,
            schemas: Schemas::default(),
            window: Window::new(settings.window),
            clauses,
            views,
            ahead: BTreeMap::new(),
            passed_over: BTreeMap::new(),
            scratch: Mutex::default(),
            projection,
        }
    }

    /// Schema ids of the batch that were not learned yet, each once.
    #[must_use]
    pub fn unknown_schemas(&mut self, batch: &RecordBatch) -> Vec<SchemaId> {
        self.schemas.tidy();
        let mut unknown: Vec<SchemaId> = Vec::new();
        let mut last = None;
        let asked = batch.iter().filter(|record| !self.passed_over.contains_key(&record.offset));
        for id in asked.filter_map(|record| schema_of(&record)) {
            if last != Some(id) && !self.schemas.knows(id) && !unknown.contains(&id) {
                unknown.push(id);
            }
            last = Some(id);
        }
        unknown
    }

    /// Learns what an id stands for.
    pub fn learn(&mut self, id: SchemaId, fate: &SchemaFate) {
        self.schemas.learn(&self.projection.topic, id, fate);
    }

    /// Takes a record for dead because an operator says so: nothing of it is looked at.
    pub fn pass_over(&mut self, offset: Offset, reason: &str) {
        self.passed_over.insert(offset, reason.to_owned());
    }

    /// Fills the window from records before the checkpoint, oldest first; their schema ids have been learned. `verdicts` are
    /// the verdict rows of their range: dead letters do not count.
    pub fn remember(&mut self, batch: &RecordBatch, verdicts: &BTreeMap<Offset, Verdict>) {
        let projection = Arc::clone(&self.projection);
        let topic = &projection.topic;
        let mut scratch = std::mem::take(self.scratch());
        for record in batch.iter() {
            self.window.advance(record.offset);
            if verdicts.get(&record.offset).is_none_or(Verdict::counts) {
                let (schemas, partition, arena) = (&self.schemas, self.partition, &scratch.arena);
                if let Some(seen) = form::seen(Reading { topic, partition, schemas, arena }, &record) {
                    self.window.push(seen);
                }
                scratch.arena.reset();
            }
        }
        *self.scratch() = scratch;
    }

    /// How far entity rows that are ahead of the fold reach: batches from before it want [`Given::own`].
    #[must_use]
    pub fn ahead_until(&self) -> Option<Offset> {
        self.ahead.values().map(|row| row.offset).max()
    }

    /// Folds a batch. The entity row of every record key of 1 to 1,024 bytes is in `entities`; `changes` is empty.
    ///
    /// # Errors
    /// When something other than a record is wrong; `entities`, `changes` and the window are then as they were (save
    /// after [`FoldError::Damaged`]).
    pub fn fold(
        &mut self,
        batch: &RecordBatch,
        given: Given<'_>,
        entities: &mut RowCache,
        changes: &mut Changes,
    ) -> Result<(), FoldError> {
        let projection = Arc::clone(&self.projection);
        let projection = &*projection;
        let mut scratch = std::mem::take(self.scratch());
        let folded = self.prepare(projection, batch, given, entities, &mut scratch.slots).and_then(|()| {
            shape(projection, changes, &mut scratch.made);
            let Folder { partition, schemas, clauses, views: plans, passed_over, window, .. } = self;
            let with =
                With { projection, partition: *partition, schemas, clauses, plans, passed_over, given };
            let mut step = Step { with, window, entities, changes };
            for (at, record) in batch.iter().enumerate() {
                step.record(&record, scratch.slots.get(at).copied().flatten(), &mut scratch)?;
                scratch.arena.reset();
            }
            Ok(())
        });
        scratch.arena.reset();
        *self.scratch() = scratch;
        if folded.is_ok() {
            entities.folded();
        }
        folded
    }

    /// Finds each record's entity row, and everything that stops the fold, before anything changes.
    fn prepare(
        &mut self,
        projection: &Projection,
        batch: &RecordBatch,
        given: Given<'_>,
        entities: &mut RowCache,
        slots: &mut Vec<Option<RowSlot>>,
    ) -> Result<(), FoldError> {
        slots.clear();
        let start = batch.iter().next().map_or(batch.next_offset(), |record| record.offset);
        let mut asked = 0;
        let mut furthest: Option<(String, Offset)> = None;
        for record in batch.iter() {
            if self.passed_over.contains_key(&record.offset) {
                asked += usize::from(projection.entity.is_some() && record.key.is_some_and(is_row_key));
                slots.push(None);
                continue;
            }
            if let Some(id) = schema_of(&record)
                && !self.schemas.knows(id)
            {
                let position = Position::new(projection.topic.name.clone(), self.partition, record.offset);
                return Err(FoldError::UnlearnedSchema { position, id });
            }
            let (Some(entity), Some(key)) = (&projection.entity, record.key.filter(|key| is_row_key(key)))
            else {
                slots.push(None);
                continue;
            };
            let slot = entities.known(key, asked);
            asked += 1;
            let slot = slot.ok_or_else(|| FoldError::NotLoaded { table: entity.name.clone() })?;
            slots.push(Some(slot));
            let Some(blob) = entities.value(slot) else { continue };
            let offset = StateRef::parse(blob).map_err(damaged(&entity.layout, key))?.offset;
            if offset >= start && self.meet(key, offset, blob, given) {
                let further = furthest.as_ref().is_none_or(|(_, found)| offset > *found);
                if further {
                    furthest = Some((String::from_utf8_lossy(key).into_owned(), offset));
                }
            }
        }
        match furthest {
            Some((key, row_offset)) => Err(FoldError::RowAhead { key, row_offset }),
            None => Ok(()),
        }
    }

    /// A row that is ahead: kept to be written back. Whether the fold has to be told of it.
    fn meet(&mut self, key: &[u8], offset: Offset, blob: &[u8], given: Given<'_>) -> bool {
        if self.ahead.get(key).is_some_and(|row| row.offset == offset) {
            return given.own.is_none();
        }
        self.ahead.insert(key.into(), AheadRow { offset, blob: Bytes::copy_from_slice(blob) });
        true
    }

    fn scratch(&mut self) -> &mut Scratch {
        self.scratch.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies the batch's rollup changes to the rollup rows, one cache for each view (unused for index views).
    ///
    /// # Errors
    /// When a stored row is damaged, or was not loaded.
    pub fn apply_rollups(
        &mut self,
        changes: &mut Changes,
        rollups: &mut [RowCache],
    ) -> Result<(), FoldError> {
        let projection = Arc::clone(&self.projection);
        let views = &projection.views;
        for ((view, changes), cache) in views.iter().zip(&changes.views).zip(rollups) {
            if let ViewChanges::Rollup(rollup) = changes {
                issue::apply(view, rollup, cache, &mut self.scratch().blob)?;
                cache.folded();
            }
        }
        Ok(())
    }

    /// What the batch comes to, in the order in which it is to be done; `changes` is empty afterwards. `next` is the
    /// checkpoint behind the batch ([`effects::checkpoint_after`]).
    pub fn effects(
        &mut self,
        changes: &mut Changes,
        entities: &mut RowCache,
        rollups: &mut [RowCache],
        next: Checkpoint,
    ) -> Vec<Effect> {
        let effects = effects::effects(self.partition, &mut self.ahead, changes, entities, rollups, next);
        changes.clear();
        effects
    }
}

/// Makes room for the projection's views.
fn shape(projection: &Projection, changes: &mut Changes, made: &mut Vec<Made>) {
    if changes.views.len() != projection.views.len() {
        let views = projection.views.iter().map(|view| match &view.kind {
            ViewKind::Index { .. } => ViewChanges::Index(IndexChanges::default()),
            ViewKind::Rollup { .. } => ViewChanges::Rollup(RollupChanges::new(view.layout.components())),
        });
        changes.views = views.collect();
    }
    if made.len() != projection.views.len() {
        let views = projection.views.iter().map(|view| match &view.kind {
            ViewKind::Index { .. } => Made::Index(IndexRows::default(), IndexRows::default()),
            ViewKind::Rollup { .. } => Made::Rollup(RollupRows::new(view.layout.components())),
        });
        *made = views.collect();
    }
}
