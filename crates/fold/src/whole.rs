//! A partition folded in memory, without a store: every row is held here. What `tidefold verify` compares tables with;
//! and, a record at a time with the rows read before and after, what `tidefold inspect` shows.
//!
//! ```text
//!   let mut whole = WholeFold::new(projection, partition, settings);
//!   for batch in the log { whole.fold(&batch, published, |id| fate)?; }   // single records: one step each
//!   whole.rows(TableSlot::Entity)                                         // key and value, sorted, as a store has them
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tidefold_app::model::{Projection, ViewKind};
use tidefold_record::{Offset, Partition, RecordBatch, SchemaId};
use tidefold_table::{Checkpoint, RowWrite, Verdict};

use crate::changes::Changes;
use crate::effects::{Effect, TableSlot, checkpoint_after};
use crate::error::FoldError;
use crate::folder::{FoldSettings, Folder};
use crate::given::{Given, SchemaFate};
use crate::rows::RowCache;

/// One partition's fold with all its tables.
#[derive(Debug)]
pub struct WholeFold {
    folder: Folder,
    entities: RowCache,
    rollups: Vec<RowCache>,
    is_index: Vec<bool>,
    indexes: Vec<BTreeMap<Bytes, Bytes>>,
    verdicts: BTreeMap<Bytes, Bytes>,
    changes: Changes,
    checkpoint: Checkpoint,
}

// === impl WholeFold ===

impl WholeFold {
    /// A fold with empty tables.
    #[must_use]
    pub fn new(projection: Arc<Projection>, partition: Partition, settings: FoldSettings) -> WholeFold {
        let views = &projection.views;
        let is_index: Vec<bool> =
            views.iter().map(|view| matches!(view.kind, ViewKind::Index { .. })).collect();
        WholeFold {
            entities: RowCache::new(usize::MAX, true),
            rollups: is_index.iter().map(|_| RowCache::new(usize::MAX, true)).collect(),
            indexes: vec![BTreeMap::new(); is_index.len()],
            is_index,
            verdicts: BTreeMap::new(),
            changes: Changes::default(),
            checkpoint: Checkpoint::START,
            folder: Folder::new(projection, partition, settings),
        }
    }

    /// Folds a batch. `published`: the verdicts that the tables to compare with were built from, if they were rebuilt.
    /// `fate` says what a schema id stands for; it is asked once for each.
    ///
    /// # Errors
    /// Never for a record's fault.
    pub fn fold(
        &mut self,
        batch: &RecordBatch,
        published: Option<&BTreeMap<Offset, Verdict>>,
        mut fate: impl FnMut(SchemaId) -> SchemaFate,
    ) -> Result<(), FoldError> {
        for id in self.folder.unknown_schemas(batch) {
            self.folder.learn(id, &fate(id));
        }
        let given = Given { published, own: None };
        self.folder.fold(batch, given, &mut self.entities, &mut self.changes)?;
        self.folder.apply_rollups(&mut self.changes, &mut self.rollups)?;
        let next = checkpoint_after(&self.checkpoint, batch);
        let effects = self.folder.effects(&mut self.changes, &mut self.entities, &mut self.rollups, next);
        effects.into_iter().for_each(|effect| self.keep(effect));
        Ok(())
    }

    /// Takes a record for dead because an operator says so.
    pub fn pass_over(&mut self, offset: Offset, reason: &str) {
        self.folder.pass_over(offset, reason);
    }

    /// The offset to go on from.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.checkpoint.next
    }

    /// A row of a table.
    #[must_use]
    pub fn row(&self, table: TableSlot, key: &[u8]) -> Option<Bytes> {
        match table {
            TableSlot::Verdicts => self.verdicts.get(key).cloned(),
            TableSlot::Entity => self.entities.get(key).map(Bytes::copy_from_slice),
            TableSlot::View(view) if self.is_index.get(view) == Some(&true) => {
                self.indexes.get(view)?.get(key).cloned()
            }
            TableSlot::View(view) => self.rollups.get(view)?.get(key).map(Bytes::copy_from_slice),
        }
    }

    /// Every row of a table, by rising key.
    #[must_use]
    pub fn rows(&self, table: TableSlot) -> Vec<(Bytes, Bytes)> {
        match table {
            TableSlot::Verdicts => listed(&self.verdicts),
            TableSlot::Entity => sorted(&self.entities),
            TableSlot::View(view) => match (self.is_index.get(view), self.indexes.get(view)) {
                (Some(true), Some(index)) => listed(index),
                _ => self.rollups.get(view).map(sorted).unwrap_or_default(),
            },
        }
    }

    /// Entity and rollup rows are in their caches already.
    fn keep(&mut self, effect: Effect) {
        if let Effect::Checkpoint(next) = effect {
            self.checkpoint = next;
            return;
        }
        for written in effect.into_rows() {
            let kept = match written.table {
                TableSlot::Verdicts => Some(&mut self.verdicts),
                TableSlot::View(view) if self.is_index.get(view) == Some(&true) => self.indexes.get_mut(view),
                TableSlot::View(_) | TableSlot::Entity => None,
            };
            if let Some(kept) = kept {
                written.rows.into_iter().for_each(|row| write(kept, row));
            }
        }
    }
}

fn write(table: &mut BTreeMap<Bytes, Bytes>, row: RowWrite) {
    match row.value {
        Some(value) => table.insert(row.key, value),
        None => table.remove(&row.key),
    };
}

fn listed(table: &BTreeMap<Bytes, Bytes>) -> Vec<(Bytes, Bytes)> {
    table.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn sorted(cache: &RowCache) -> Vec<(Bytes, Bytes)> {
    let copy = |(key, value): (&[u8], &[u8])| (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    let mut rows: Vec<_> = cache.iter().map(copy).collect();
    rows.sort();
    rows
}
