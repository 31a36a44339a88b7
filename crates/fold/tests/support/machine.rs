//! A lane in miniature over a store that keeps, of two writes to a row, the one with the larger stamp: the protocol of
//! load, fold and write by phase, with a crash after any write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use tidefold_fold::{
    Changes, Effect, FoldError, FoldSettings, Folder, Given, RowCache, TableRows, TableSlot, checkpoint_after,
};
use tidefold_record::{Offset, Partition, RecordBatch};
use tidefold_table::verdict;
use tidefold_table::{Checkpoint, RowWrite, Stamp, Verdict};

use super::{Lab, Message};

/// Rows by table and key, with their stamps; `None` is a delete that is remembered.
#[derive(Debug, Default)]
pub struct Store {
    rows: BTreeMap<(usize, Bytes), (Stamp, Option<Bytes>)>,
    pub checkpoint: u64,
}

/// One run of a lane, from the store's checkpoint on.
pub struct Machine<'l> {
    lab: &'l Lab,
    log: &'l [Message],
    folder: Folder,
    entities: RowCache,
    rollups: Vec<RowCache>,
    changes: Changes,
    at: u64,
}

/// The run ended before its batch was whole.
#[derive(Debug)]
pub struct Crashed;

fn place(table: TableSlot) -> usize {
    match table {
        TableSlot::Verdicts => 0,
        TableSlot::Entity => 1,
        TableSlot::View(view) => 2 + view,
    }
}

// === impl Store ===

impl Store {
    pub fn get(&self, table: TableSlot, key: &[u8]) -> Option<Bytes> {
        self.rows.get(&(place(table), Bytes::copy_from_slice(key)))?.1.clone()
    }

    /// Every row that is there, by table and key.
    pub fn live(&self) -> BTreeMap<(usize, Bytes), (Stamp, Bytes)> {
        let live =
            self.rows.iter().filter_map(|(key, (stamp, row))| Some((key.clone(), (*stamp, row.clone()?))));
        live.collect()
    }

    fn write(&mut self, table: TableSlot, write: &RowWrite) {
        let key = (place(table), write.key.clone());
        if let Some((stamp, value)) = self.rows.get(&key) {
            if *stamp == write.stamp {
                assert_eq!(*value, write.value, "two writes with one stamp differ, {key:?} at {stamp:?}");
            }
            if *stamp >= write.stamp {
                return;
            }
        }
        self.rows.insert(key, (write.stamp, write.value.clone()));
    }

    fn verdicts(&self, from: u64, until: u64) -> BTreeMap<Offset, Verdict> {
        let row = |at| {
            Some((
                Offset(at),
                Verdict::decode(&self.get(
                    TableSlot::Verdicts,
                    &verdict::Key { partition: Partition(0), offset: Offset(at) }.encode(),
                )?)
                .ok()?,
            ))
        };
        (from..until).filter_map(row).collect()
    }
}

// === impl Machine ===

impl<'l> Machine<'l> {
    /// Starts at the store's checkpoint: the window is read back, the caches are empty.
    pub fn start(
        lab: &'l Lab,
        log: &'l [Message],
        store: &Store,
        settings: FoldSettings,
        budget: usize,
    ) -> Machine<'l> {
        let mut folder = Folder::new(Arc::clone(&lab.app.projections[0]), Partition(0), settings);
        let at = store.checkpoint;
        let back = at.saturating_sub(settings.window);
        folder.remember(&batch(lab, log, back, at), &store.verdicts(back, at));
        let views = lab.app.projections[0].views.len();
        Machine {
            lab,
            log,
            folder,
            entities: RowCache::new(budget, false),
            rollups: (0..views).map(|_| RowCache::new(budget, false)).collect(),
            changes: Changes::default(),
            at,
        }
    }

    /// Folds the next `len` records; the run ends after `writes` writes, if so many are to be made.
    pub fn step(&mut self, store: &mut Store, len: u64, writes: Option<usize>) -> Result<(), Crashed> {
        let until = (self.at + len).min(self.log.len() as u64);
        let batch = batch(self.lab, self.log, self.at, until);
        for id in self.folder.unknown_schemas(&batch) {
            self.folder.learn(id, &self.lab.fate(id));
        }
        let keys = batch.iter().filter_map(|record| record.key).filter(|key| (1..=1024).contains(&key.len()));
        for key in self.entities.missing(keys) {
            let row = store.get(TableSlot::Entity, &key);
            self.entities.loaded(key, row);
        }
        let (entities, changes) = (&mut self.entities, &mut self.changes);
        match self.folder.fold(&batch, Given::default(), entities, changes) {
            Err(FoldError::RowAhead { row_offset, .. }) => {
                self.rollups.iter_mut().for_each(RowCache::clear);
                let own = store.verdicts(self.at, row_offset.0 + 1);
                let given = Given { published: None, own: Some(&own) };
                self.folder.fold(&batch, given, entities, changes).unwrap();
            }
            other => other.unwrap(),
        }
        for (view, cache) in self.rollups.iter_mut().enumerate() {
            for key in cache.missing(self.changes.rollup_keys(view)) {
                let row = store.get(TableSlot::View(view), &key);
                cache.loaded(key, row);
            }
        }
        self.folder.apply_rollups(&mut self.changes, &mut self.rollups).unwrap();
        let next = checkpoint_after(&Checkpoint::START, &batch);
        let effects = self.folder.effects(&mut self.changes, &mut self.entities, &mut self.rollups, next);
        let kinds: Vec<_> = effects.iter().map(Effect::kind).collect();
        assert!(kinds.is_sorted_by(|a, b| a < b), "the effects are not in their order: {kinds:?}");
        let mut left = writes.unwrap_or(usize::MAX);
        for TableRows { table, rows } in effects.into_iter().flat_map(Effect::into_rows) {
            let keys: BTreeSet<_> = rows.iter().map(|row| &row.key).collect();
            assert_eq!(keys.len(), rows.len(), "a row is written twice");
            for row in &rows {
                left = left.checked_sub(1).ok_or(Crashed)?;
                store.write(table, row);
            }
        }
        if writes.is_some() {
            return Err(Crashed);
        }
        self.at = until;
        store.checkpoint = store.checkpoint.max(until);
        self.entities.acknowledged();
        self.rollups.iter_mut().for_each(RowCache::acknowledged);
        Ok(())
    }

    pub fn done(&self) -> bool {
        self.at == self.log.len() as u64
    }
}

fn batch(lab: &Lab, log: &[Message], from: u64, until: u64) -> RecordBatch {
    lab.batch(&log[from as usize..until as usize], 0, from)
}

/// Folds the whole log in batches of the given sizes, over and over; `crash` ends a run: batch size, and after how many
/// writes.
pub fn run(
    lab: &Lab,
    log: &[Message],
    settings: FoldSettings,
    budget: usize,
    cuts: &[u64],
    crashes: &[(u64, usize)],
) -> Store {
    let mut store = Store::default();
    let mut cuts = cuts.iter().copied().cycle();
    for (len, writes) in crashes {
        let mut machine = Machine::start(lab, log, &store, settings, budget);
        if machine.step(&mut store, cuts.next().unwrap(), None).is_ok() {
            let _ = machine.step(&mut store, *len, Some(*writes));
        }
    }
    let mut machine = Machine::start(lab, log, &store, settings, budget);
    while !machine.done() {
        machine.step(&mut store, cuts.next().unwrap(), None).unwrap();
    }
    store
}

/// Two owners of one partition at once, neither knowing of the other, each with its own caches: `turns` says whose turn it
/// is, how far it goes, and after how many writes it ends and starts again. A third finishes the log.
pub fn run_two(
    lab: &Lab,
    log: &[Message],
    settings: FoldSettings,
    turns: &[(bool, u64, Option<usize>)],
) -> Store {
    let mut store = Store::default();
    let start = |store: &Store| Machine::start(lab, log, store, settings, usize::MAX);
    let mut owners = [start(&store), start(&store)];
    for (second, len, writes) in turns {
        let owner = &mut owners[usize::from(*second)];
        if owner.step(&mut store, *len, *writes).is_err() {
            *owner = start(&store);
        }
    }
    let mut last = start(&store);
    while !last.done() {
        last.step(&mut store, 3, None).unwrap();
    }
    store
}
