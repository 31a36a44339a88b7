//! Checkpoints read a moment ago.
//!
//! A checkpoint only moves on, so one that was read before the rows bounds them from below however old it is. One look
//! at the store therefore does for all reads of a moment, where nothing says that it moved: a point query
//! costs one request to the store and not two. A checkpoint that this process moved is read again at once.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidefold_record::Partition;
use tidefold_store::published::Published;
use tidefold_store::{SharedStore, StoreError};
use tidefold_table::proof::Proof;
use tidefold_table::{Checkpoint, GenerationTables};
use tidefold_telemetry::clock;

/// The checkpoints of one generation, by partition.
#[derive(Debug)]
pub struct Recent {
    places: Vec<Mutex<Option<Kept>>>,
    proofs: Vec<Mutex<Proof>>,
}

/// What a look at the store brought.
#[derive(Clone, Copy, Debug)]
struct Kept {
    checkpoint: Checkpoint,
    /// When it was asked for.
    asked: Instant,
    /// When somebody last set out to ask again.
    renewed: Instant,
    /// How often this process had moved checkpoints by then.
    moved: u64,
}

/// How long a look is good for.
const GOOD_FOR: Duration = Duration::from_millis(50);

// === impl Recent ===

impl Recent {
    /// Of so many partitions, none looked at yet.
    #[must_use]
    pub fn new(partitions: u32) -> Recent {
        Recent {
            places: (0..partitions).map(|_| Mutex::default()).collect(),
            proofs: (0..partitions).map(|_| Mutex::default()).collect(),
        }
    }

    /// Whether a partition's checkpoints are of the log that is there, as far as that was looked at.
    pub(crate) fn proof(&self, partition: u32) -> Option<&Mutex<Proof>> {
        self.proofs.get(partition as usize)
    }

    /// Checkpoints of these partitions, each in its place among all, of which the others are not looked at; as they were
    /// a moment ago.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn checkpoints(
        &self,
        store: &SharedStore,
        tables: &GenerationTables,
        partitions: &[u32],
    ) -> Result<Vec<Checkpoint>, StoreError> {
        let (moved, now) = (*store.checkpoints_moved().times.borrow(), clock::instant());
        let mut found = vec![Checkpoint::START; self.places.len()];
        let mut missing = Vec::new();
        for at in partitions.iter().copied() {
            match (self.kept(at, moved, now), found.get_mut(at as usize)) {
                (Some(kept), Some(place)) => *place = kept,
                _ => missing.push(at),
            }
        }
        if !missing.is_empty() {
            self.look(store, tables, &missing, &mut found).await?;
        }
        Ok(found)
    }

    /// Checkpoints of these partitions as the store has them now, put into `found`.
    async fn look(
        &self,
        store: &SharedStore,
        tables: &GenerationTables,
        partitions: &[u32],
        found: &mut [Checkpoint],
    ) -> Result<(), StoreError> {
        let (moved, now) = (*store.checkpoints_moved().times.borrow(), clock::instant());
        let checkpoints = load_checkpoints(store, tables, partitions.iter().copied()).await?;
        for (at, checkpoint) in partitions.iter().zip(checkpoints) {
            self.keep(*at, Kept { checkpoint, asked: now, renewed: now, moved });
            if let Some(place) = found.get_mut(*at as usize) {
                *place = checkpoint;
            }
        }
        Ok(())
    }

    /// What is kept of a partition, if it is fresh. Where it is not, who asks first has to look; the others go on with
    /// what there is for as long again.
    fn kept(&self, partition: u32, moved: u64, now: Instant) -> Option<Checkpoint> {
        let mut place = self.places.get(partition as usize)?.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = place.as_mut()?;
        if kept.moved != moved {
            return None;
        }
        if now.saturating_duration_since(kept.renewed) >= GOOD_FOR {
            kept.renewed = now;
            return None;
        }
        Some(kept.checkpoint)
    }

    /// Keeps what was asked for last, whichever answer came last.
    fn keep(&self, partition: u32, kept: Kept) {
        if let Some(place) = self.places.get(partition as usize) {
            let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
            if place.is_none_or(|before| before.asked <= kept.asked) {
                *place = Some(kept);
            }
        }
    }
}

/// The checkpoints of these partitions, in their order; [`Checkpoint::START`] where there is none.
///
/// # Errors
/// When the store does not answer.
pub async fn load_checkpoints(
    store: &SharedStore,
    tables: &GenerationTables,
    partitions: impl Iterator<Item = u32>,
) -> Result<Vec<Checkpoint>, StoreError> {
    let found = Published::of(store, tables).checkpoints(partitions.map(Partition)).await?;
    Ok(found.into_iter().map(|checkpoint| checkpoint.unwrap_or(Checkpoint::START)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidefold_record::Offset;

    fn at(next: u64, asked: Instant, moved: u64) -> Kept {
        let checkpoint = Checkpoint { next: Offset(next), ..Checkpoint::START };
        Kept { checkpoint, asked, renewed: asked, moved }
    }

    fn next(recent: &Recent, moved: u64, now: Instant) -> Option<u64> {
        recent.kept(0, moved, now).map(|checkpoint| checkpoint.next.0)
    }

    #[test]
    fn a_checkpoint_is_good_for_a_moment_and_then_one_asks_again() {
        let (recent, now) = (Recent::new(1), clock::instant());
        assert_eq!(next(&recent, 0, now), None);
        recent.keep(0, at(7, now, 0));
        assert_eq!(next(&recent, 0, now + GOOD_FOR / 2), Some(7));
        assert_eq!(next(&recent, 0, now + GOOD_FOR), None);
        assert_eq!(next(&recent, 0, now + GOOD_FOR), Some(7), "the others go on meanwhile");
        assert_eq!(
            next(&recent, 0, now + GOOD_FOR * 2),
            None,
            "and if nothing came of it, the next one asks"
        );
    }

    #[test]
    fn a_checkpoint_that_this_process_moved_is_asked_for_at_once() {
        let (recent, now) = (Recent::new(1), clock::instant());
        recent.keep(0, at(7, now, 0));
        assert_eq!(next(&recent, 1, now), None);
        assert_eq!(next(&recent, 1, now), None, "by everyone");
    }

    #[test]
    fn an_answer_that_was_overtaken_is_not_kept() {
        let (recent, now) = (Recent::new(1), clock::instant());
        recent.keep(0, at(9, now + GOOD_FOR / 4, 0));
        recent.keep(0, at(7, now, 0));
        assert_eq!(next(&recent, 0, now + GOOD_FOR / 2), Some(9));
    }
}
