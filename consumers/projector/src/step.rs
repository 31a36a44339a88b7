//! The batch step: exactly-once effects on a store without transactions. It reads like the list in ARCHITECTURE.md.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use tidefold_codec::text::parse_rfc3339_micros;
use tidefold_fold::folder::Given;
use tidefold_fold::{Changes, FoldError, TableSlot};
use tidefold_record::{Offset, RecordBatch, RecordRef, headers::Known};
use tidefold_store::TableWrites;
use tidefold_table::{Checkpoint, RowWrite, Stamp, Verdict, checkpoint};
use tokio::time::Instant;

use crate::breaker::{Breaker, Tripped};
use crate::halt::Stop;
use crate::lane::Lane;
use crate::metrics::{Step, Written};
use crate::rules::Rule;
use crate::status::VerdictCounts;

/// Keys outside of these lengths are dead letters: nothing is stored under them.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 1..=1024;

impl Lane {
    /// Folds a batch that starts at the checkpoint, and moves the checkpoint past it.
    pub(crate) async fn step(&mut self, batch: &RecordBatch) -> Result<(), Stop> {
        // 1. Decode and dedupe happen in the fold; what every schema id stands for, and the verdicts that are already
        //    published where another generation judges, are settled first.
        let mut laps = self.io.observer.metrics.laps();
        self.pass_over(batch);
        self.learn(batch).await?;
        let published = self.published(batch).await?;

        // 2. Load the entities that are not cached. I4: reads run in the mirror image of writes, so the checkpoint came
        //    before (at start), entities come now, rollups after them.
        self.load_entities(batch).await?;
        laps.lap(Step::Load);

        // 3. Fold in offset order, then load the rollup rows that have changes and apply those.
        self.fold(batch, published.as_ref()).await?;
        if !self.rules().hold(Rule::KeepUnacknowledged) {
            self.acknowledged();
        }
        self.load_rollups().await?;
        self.folder.apply_rollups(&mut self.changes, &mut self.rollups)?;
        let counts = VerdictCounts::of(&self.changes);
        self.break_if_dead(batch)?;
        let next = self.checkpoint_after(batch);
        let writes = self.folder.writes(&mut self.changes, &mut self.entities, &mut self.rollups);
        let derived = self.table_writes(writes.derived);
        let index_deletes = self.table_writes(writes.index_deletes);
        let entities = self.table_writes(vec![(TableSlot::Entity, writes.entities)]);
        laps.lap(Step::Fold);

        if !self.rules().hold(Rule::CheckpointLast) {
            self.write_checkpoint(next).await?;
        }
        if !self.rules().hold(Rule::DerivedFirst) {
            self.io.write(&entities).await?;
        }
        // 4. Phase 1: verdicts, rollup rows, index puts; then index deletes. Each call returns once the store has
        //    acknowledged all of it (I6).
        self.io.write(&derived).await?;
        self.io.write(&index_deletes).await?;
        laps.lap(Step::Derived);

        // 5. Phase 2: entity rows. I1: every derived change up to their offsets, of this batch and of all before it, is
        //    acknowledged by now.
        self.io.write(&entities).await?;
        laps.lap(Step::Entities);

        // 6. The checkpoint. I3: all of the above is acknowledged by now.
        self.write_checkpoint(next).await?;
        self.checkpoint = next;
        laps.lap(Step::Checkpoint);

        // I2: only now may rows of this batch leave the caches.
        self.acknowledged();
        self.io.observer.folded(next.next, next.appended_at_micros, counts);
        Ok(())
    }

    /// Finds out what the batch's unknown schema ids stand for.
    pub(crate) async fn learn(&mut self, batch: &RecordBatch) -> Result<(), Stop> {
        for id in self.folder.unknown_schemas(batch) {
            let fate = self.io.fate(id).await?;
            self.folder.learn(id, &fate);
        }
        Ok(())
    }

    /// The verdicts of the active generation on this batch, where another generation than this one is active.
    async fn published(&mut self, batch: &RecordBatch) -> Result<Option<BTreeMap<Offset, Verdict>>, Stop> {
        let Some(active) = &self.active else { return Ok(None) };
        let (first, last) = (self.checkpoint.next, batch.next_offset().back(1));
        let verdicts = self.io.verdicts(&active.verdicts.id, first, last).await?;
        Ok(Some(verdicts))
    }

    async fn load_entities(&mut self, batch: &RecordBatch) -> Result<(), Stop> {
        let Some(table) = self.tables.entity.as_ref().map(|table| table.id.clone()) else { return Ok(()) };
        let keys = batch.iter().filter_map(|record| record.key).filter(|key| KEY_BYTES.contains(&key.len()));
        let missing = self.entities.missing(keys);
        self.io.observer.metrics.looked_up(batch.len(), missing.len());
        if missing.is_empty() {
            return Ok(());
        }
        let rows = self.io.load(&table, &missing).await?;
        for (key, row) in missing.into_iter().zip(rows) {
            self.entities.loaded(key, row);
        }
        Ok(())
    }

    /// Folds; where an entity row is newer than the batch's start, a crashed run or another owner wrote it, and derived
    /// rows that were read before it may be older than it: they are dropped, and read after it (I4).
    async fn fold(
        &mut self,
        batch: &RecordBatch,
        published: Option<&BTreeMap<Offset, Verdict>>,
    ) -> Result<(), Stop> {
        let given = Given { published, own: None };
        let row_offset = match self.folder.fold(batch, given, &mut self.entities, &mut self.changes) {
            Ok(()) => return Ok(()),
            Err(FoldError::RowAhead { row_offset, .. }) => row_offset,
            Err(error) => return Err(error.into()),
        };
        if self.rules().hold(Rule::ReadInMirrorImage) {
            self.rollups.iter_mut().for_each(|cache| cache.clear());
        }
        let io = Arc::clone(&self.io);
        let last = row_offset.min(batch.next_offset().back(1));
        let own = io.verdicts(&self.tables.verdicts.id, self.checkpoint.next, last).await?;
        let given = Given { published, own: Some(&own) };
        Ok(self.folder.fold(batch, given, &mut self.entities, &mut self.changes)?)
    }

    async fn load_rollups(&mut self) -> Result<(), Stop> {
        let mut keys: Vec<Vec<Bytes>> = vec![Vec::new(); self.rollups.len()];
        for (view, key) in self.changes.rollup_keys() {
            if let Some(keys) = keys.get_mut(view) {
                keys.push(key);
            }
        }
        for (view, keys) in keys.into_iter().enumerate() {
            let (Some(cache), Some(table)) = (self.rollups.get_mut(view), self.tables.views.get(view)) else {
                continue;
            };
            let missing = cache.missing(keys.iter().map(|key| &key[..]));
            self.io.observer.metrics.looked_up(keys.len(), missing.len());
            if missing.is_empty() {
                continue;
            }
            let rows = self.io.load(&table.id, &missing).await?;
            for (key, row) in missing.into_iter().zip(rows) {
                cache.loaded(key, row);
            }
        }
        Ok(())
    }

    /// Holds the partition before anything of the batch is written, when dead letters pile up. Where another generation
    /// judges, its breaker has decided already; a build holds up nobody's reads.
    fn break_if_dead(&mut self, batch: &RecordBatch) -> Result<(), Stop> {
        let counts = self.active.is_none() && self.is_active();
        match &mut self.breaker {
            Some(breaker) if counts => match observe(breaker, batch, &self.changes) {
                Some(tripped) => Err(Stop::Tripped(tripped)),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn checkpoint_after(&self, batch: &RecordBatch) -> Checkpoint {
        let mut next = self.checkpoint;
        next.next = batch.next_offset();
        match batch.iter().next_back() {
            Some(last) => {
                next.last = last.offset;
                next.digest = checkpoint::digest(&last);
            }
            // A gap at the very start: still nothing was read.
            None if self.checkpoint.last == self.checkpoint.next => next.last = next.next,
            None => {}
        }
        let appended = batch.iter().rev().find_map(|record| record.headers.get(Known::AppendTime));
        if let Some(micros) = appended.and_then(parse_rfc3339_micros) {
            next.appended_at_micros = micros;
        }
        next
    }

    async fn write_checkpoint(&mut self, next: Checkpoint) -> Result<(), Stop> {
        let row = RowWrite {
            key: Bytes::copy_from_slice(&self.io.partition.0.to_be_bytes()),
            value: Some(Bytes::copy_from_slice(&next.encode())),
            stamp: Stamp::put(next.next),
        };
        let writes = [TableWrites { table: self.tables.checkpoints.id.clone(), rows: vec![row] }];
        self.io.write(&writes).await
    }

    fn acknowledged(&mut self) {
        self.entities.acknowledged();
        self.rollups.iter_mut().for_each(|cache| cache.acknowledged());
        let rollups: usize = self.rollups.iter().map(|cache| cache.size_bytes()).sum();
        self.io.observer.metrics.cached(self.entities.size_bytes() + rollups);
    }

    /// The writes by stored table, counted.
    fn table_writes(&self, writes: Vec<(TableSlot, Vec<RowWrite>)>) -> Vec<TableWrites> {
        let mut tables = Vec::with_capacity(writes.len());
        for (slot, rows) in writes.into_iter().filter(|(_, rows)| !rows.is_empty()) {
            let (table, what) = match slot {
                TableSlot::Verdicts => (Some(&self.tables.verdicts), Written::Verdicts),
                TableSlot::Entity => (self.tables.entity.as_ref(), Written::Entities),
                TableSlot::View(view) => (self.tables.views.get(view), Written::Views),
            };
            self.io.observer.metrics.written(what, rows.len());
            tables.extend(table.map(|table| TableWrites { table: table.id.clone(), rows }));
        }
        tables
    }

    fn rules(&self) -> crate::rules::Rules {
        self.io.rules
    }
}

/// Shows a batch to the breaker, in offset order.
fn observe(breaker: &mut Breaker, batch: &RecordBatch, changes: &Changes) -> Option<Tripped> {
    let dead: BTreeMap<Offset, &str> = changes
        .verdicts
        .iter()
        .filter_map(|(offset, verdict)| match verdict {
            Verdict::Dead(reason) => Some((*offset, reason.code.as_str())),
            _ => None,
        })
        .collect();
    if dead.is_empty() {
        breaker.alive(batch.len() as u64);
        return None;
    }
    let (mut tripped, now) = (None, Instant::now());
    for record in batch.iter() {
        match dead.get(&record.offset) {
            Some(code) => {
                let key = hash(record.key.unwrap_or_default());
                tripped = tripped.or(breaker.dead(publisher(&record), key, code, now));
            }
            None => breaker.alive(1),
        }
    }
    tripped
}

/// Who published a record, as far as that is known: the caller that ingest saw, whatever source the message names; of what
/// came another way, the source.
fn publisher(record: &RecordRef<'_>) -> u64 {
    let named = record.headers.get(Known::Caller).or_else(|| record.headers.get(Known::CeSource));
    hash(named.unwrap_or_default())
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
