//! How a lane finds its place: its checkpoint, proof that the log is still the one that was folded, its window.

use std::sync::Arc;

use futures_util::FutureExt;
use tidefold_fold::RowCache;
use tidefold_log::ReadLimit;
use tidefold_record::Offset;
use tidefold_store::Scan;
use tidefold_store::published::Published;
use tidefold_table::{Checkpoint, TableId, checkpoint};
use tokio::sync::OnceCell;

use crate::halt::{Halt, Stop};
use crate::io::Io;
use crate::lane::Lane;

/// What is read at once to rebuild the window.
const WINDOW_READ: ReadLimit = ReadLimit { records: 20_000, bytes: 4 << 20 };

impl Io {
    /// The partition's checkpoint.
    pub(crate) async fn checkpoint(&self, published: &Published) -> Result<Option<Checkpoint>, Stop> {
        self.retry("store", "load the checkpoint", || published.checkpoint(self.partition).boxed()).await
    }

    /// Proves that the log still is what was folded up to the checkpoint.
    pub(crate) async fn verify(&self, checkpoint: &Checkpoint) -> Result<(), Stop> {
        let bounds = self.bounds().await?;
        self.observer.end(bounds.end);
        let next = || self.position(checkpoint.next);
        if checkpoint.next > bounds.end {
            return Err(Halt::PastEnd { next: next(), end: bounds.end }.into());
        }
        if bounds.start > Offset::ZERO {
            return Err(Halt::BeforeStart { next: next(), start: bounds.start }.into());
        }
        if nothing_read(checkpoint).is_some() {
            return Ok(());
        }
        let batch = self.read(checkpoint.last, ReadLimit { records: 1, bytes: 1 }).await?;
        let found = batch.get(checkpoint.last).map(|record| checkpoint::digest(&record));
        if found != Some(checkpoint.digest) {
            return Err(Halt::OtherRecord { position: self.position(checkpoint.last) }.into());
        }
        Ok(())
    }

    /// Whether nothing was ever written to these tables: then a row that is not cached does not exist.
    async fn are_empty(&self, tables: &[TableId]) -> Result<bool, Stop> {
        for table in tables {
            let scan = Scan::All { after: None, limit: 1 };
            match self.retry("store", "look for rows", || self.store.scan(table, &scan)).await {
                Ok(rows) if rows.is_empty() => {}
                // What cannot be read is there. Whose row it is will be found by the lane that needs it, and halts that one
                // alone: this look is made for all partitions.
                Ok(_) | Err(Stop::Halt(_)) => return Ok(false),
                Err(stop @ (Stop::Cancelled | Stop::Tripped(_))) => return Err(stop),
            }
        }
        Ok(true)
    }
}

impl Lane {
    /// What the lane's own generation has published.
    pub(crate) fn own_rows(&self) -> Published {
        Published::of(&self.io.store, &self.tables)
    }

    /// Finds the lane's place. The checkpoint is read before any row (I4): rows read later can only be newer.
    pub(crate) async fn recover(&mut self, fresh: &OnceCell<bool>) -> Result<(), Stop> {
        let io = Arc::clone(&self.io);
        let tables: Vec<_> = self.tables.all().map(|table| table.id.clone()).collect();
        let fresh = *fresh.get_or_try_init(|| io.are_empty(&tables)).await?;
        let found = self.io.checkpoint(&self.own_rows()).await?;

        // Another owner may have written since the tables were seen empty. That is no matter to a lane that folds from
        // the very first record, and so makes every row itself; to any other it is.
        let complete = fresh && found.is_none();
        self.entities = RowCache::new(self.entity_cache_bytes(), complete);
        let view_bytes = self.view_cache_bytes();
        self.rollups = self.tables.views.iter().map(|_| RowCache::new(view_bytes, complete)).collect();
        #[cfg(test)]
        if !self.io.rules.hold(crate::rules::Rule::ForgetAtRevoke) {
            self.carry_caches_over();
        }
        self.checkpoint = found.unwrap_or(Checkpoint::START);
        self.io.observer.claimed(self.checkpoint.next, self.checkpoint.appended_at_micros);
        self.io.verify(&self.checkpoint).await?;
        self.rebuild_window().await?;
        self.io.observer.placed(self.checkpoint.next, self.checkpoint.appended_at_micros);
        Ok(())
    }

    /// Reads the last W offsets before the checkpoint back, with their verdicts: dead letters do not count as seen.
    async fn rebuild_window(&mut self) -> Result<(), Stop> {
        let (until, published) = (self.checkpoint.next, self.own_rows());
        let start = self.io.bounds().await?.start;
        let mut from = until.back(self.window).max(start);
        while from < until {
            let batch = self.io.read(from, WINDOW_READ).await?.before(until);
            if batch.next_offset() <= from {
                break;
            }
            self.learn(&batch).await?;
            let last = batch.next_offset().back(1);
            let verdicts = self.io.verdicts(&published, from, last).await?;
            self.folder.remember(&batch, &verdicts);
            from = batch.next_offset();
        }
        Ok(())
    }
}

/// `Some` when the checkpoint proves nothing, because nothing was read yet.
fn nothing_read(checkpoint: &Checkpoint) -> Option<Offset> {
    (checkpoint.last == checkpoint.next).then_some(checkpoint.next)
}
