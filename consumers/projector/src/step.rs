//! The batch step: exactly-once effects on a store without transactions. It reads like the list in ARCHITECTURE.md.

use bytes::Bytes;
use futures_util::future::try_join_all;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use tidefold_fold::{
    DeadLetter, Effect, EffectKind, FoldError, Given, TableRows, TableSlot, checkpoint_after,
};
use tidefold_record::{Offset, RecordBatch};
use tidefold_store::TableWrites;
use tidefold_store::published::Published;
use tidefold_table::{Checkpoint, RowWrite, Stamp, Verdict};
use tokio::time::Instant;

use crate::breaker::{Breaker, Tripped};
use crate::halt::Stop;
use crate::lane::Lane;
use crate::metrics::{Laps, Step, Written};
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
        self.changes.keep_feed(self.publishes && self.io.feed.is_some());
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
        let next = checkpoint_after(&self.checkpoint, batch);
        let effects = self.folder.effects(&mut self.changes, &mut self.entities, &mut self.rollups, next);
        laps.lap(Step::Fold);

        // 4. to 6. What it comes to, in order, each acknowledged before the next: that order is what I1, I3 and I7 say.
        let mut effects = self.rules().in_order(effects);
        let last = effects.pop_if(|effect| effect.kind() == EffectKind::Checkpoint);
        for effect in effects {
            self.perform(effect, &mut laps).await?;
        }
        // I3: all of the list is acknowledged. The checkpoint is read by nobody here: what is folded next may be written
        // beside it, since rows may lead it by as much as they like.
        let written = last.map(|_| self.write_checkpoint(next));
        self.checkpoint = next;

        // I2: only now may rows of this batch leave the caches.
        self.acknowledged();
        let io = Arc::clone(&self.io);
        self.settling = Some(Box::pin(async move {
            if let Some(written) = written {
                written.await?;
                laps.lap(Step::Checkpoint);
            }
            io.observer.folded(next.next, next.appended_at_micros, counts);
            Ok(())
        }));
        Ok(())
    }

    /// Does one effect. It returns once all of it is acknowledged (I6).
    async fn perform(&mut self, effect: Effect, laps: &mut Laps) -> Result<(), Stop> {
        let step = match effect.kind() {
            EffectKind::Publish | EffectKind::Put | EffectKind::Delete => Step::Derived,
            EffectKind::Entities => Step::Entities,
            EffectKind::Checkpoint => Step::Checkpoint,
        };
        match effect {
            Effect::Publish(entries) => self.io.publish(&entries).await?,
            Effect::Checkpoint(next) => self.write_checkpoint(next).await?,
            Effect::Put(_) | Effect::Delete(_) | Effect::Entities(_) => {
                let writes = self.table_writes(effect.into_rows());
                self.io.write(&writes).await?;
            }
        }
        laps.lap(step);
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

    /// The verdicts on this batch of the generation that this one follows.
    async fn published(&mut self, batch: &RecordBatch) -> Result<Option<BTreeMap<Offset, Verdict>>, Stop> {
        let Some(followed) = &self.followed else { return Ok(None) };
        let (first, last) = (self.checkpoint.next, batch.next_offset().back(1));
        let verdicts = self.io.verdicts(&Published::of(&self.io.store, followed), first, last).await?;
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
        let own = io.verdicts(&self.own_rows(), self.checkpoint.next, last).await?;
        let given = Given { published, own: Some(&own) };
        Ok(self.folder.fold(batch, given, &mut self.entities, &mut self.changes)?)
    }

    /// Those of all views at once.
    async fn load_rollups(&mut self) -> Result<(), Stop> {
        let (io, changes) = (&self.io, &self.changes);
        let views = self.rollups.iter_mut().zip(&self.tables.views).enumerate();
        let loads = views.map(|(view, (cache, table))| async move {
            let mut asked = 0;
            let missing = cache.missing(changes.rollup_keys(view).inspect(|_| asked += 1));
            io.observer.metrics.looked_up(asked, missing.len());
            if missing.is_empty() {
                return Ok(());
            }
            let rows = io.load(&table.id, &missing).await?;
            for (key, row) in missing.into_iter().zip(rows) {
                cache.loaded(key, row);
            }
            Ok(())
        });
        try_join_all(loads).await.map(drop)
    }

    /// Holds the partition before anything of the batch is written, when dead letters pile up. Where another generation
    /// judges, its breaker has decided already; a build holds up nobody's reads.
    fn break_if_dead(&mut self, batch: &RecordBatch) -> Result<(), Stop> {
        match &mut self.breaker {
            Some(breaker) if self.publishes => match observe(breaker, batch, &self.changes.dead) {
                Some(tripped) => Err(Stop::Tripped(tripped)),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn write_checkpoint(&self, next: Checkpoint) -> impl Future<Output = Result<(), Stop>> + use<> {
        let row = RowWrite {
            key: Bytes::copy_from_slice(&self.io.partition.0.to_be_bytes()),
            value: Some(Bytes::copy_from_slice(&next.encode())),
            stamp: Stamp::put(next.next),
        };
        let writes = [TableWrites { table: self.tables.checkpoints.id.clone(), rows: vec![row] }];
        let io = Arc::clone(&self.io);
        async move { io.write(&writes).await }
    }

    fn acknowledged(&mut self) {
        self.entities.acknowledged();
        self.rollups.iter_mut().for_each(|cache| cache.acknowledged());
        let rollups: usize = self.rollups.iter().map(|cache| cache.size_bytes()).sum();
        self.io.observer.metrics.cached(self.entities.size_bytes() + rollups);
    }

    /// The writes by stored table, counted.
    fn table_writes(&self, writes: Vec<TableRows>) -> Vec<TableWrites> {
        let mut tables = Vec::with_capacity(writes.len());
        for TableRows { table, rows } in writes {
            let (table, what) = match table {
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
fn observe(breaker: &mut Breaker, batch: &RecordBatch, dead: &[DeadLetter]) -> Option<Tripped> {
    if dead.is_empty() {
        breaker.alive(batch.len() as u64);
        return None;
    }
    let (mut tripped, mut dead, now) = (None, dead.iter().peekable(), Instant::now());
    for record in batch.iter() {
        match dead.next_if(|letter| letter.offset == record.offset) {
            Some(letter) => {
                let (publisher, key) = (hash(&letter.publisher), hash(&letter.key));
                tripped = tripped.or(breaker.dead(publisher, key, &letter.code, now));
            }
            None => breaker.alive(1),
        }
    }
    tripped
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
