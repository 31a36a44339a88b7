//! Published rows: what lanes wrote of the records they folded, as everybody else reads it.
//!
//! A row that is none stops whoever reads it: see [`Damaged`]. Read a checkpoint before the verdicts it bounds, and the
//! verdicts before it may be read as complete: they are written before it.

use std::ops::Range;

use bytes::Bytes;
use tidefold_record::{Offset, Partition};
use tidefold_table::damage::REBUILD;
use tidefold_table::verdict::{self, DeadReason};
use tidefold_table::{Broken, Checkpoint, Damaged, GenerationTables, TableId, Verdict, checkpoint};

use crate::{Scan, SharedStore, StoreError};

/// Reads the published rows of one generation. Cheap to clone.
#[derive(Clone)]
pub struct Published {
    store: SharedStore,
    checkpoints: TableId,
    verdicts: TableId,
}

/// Some dead letters of a partition, by rising offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetters {
    /// They, with why.
    pub letters: Vec<(Offset, DeadReason)>,
    /// How many verdicts were looked at.
    pub looked_at: usize,
    /// Where to go on; none where there are no more.
    pub next: Option<Offset>,
}

// === impl Published ===

impl Published {
    /// Those of a generation.
    #[must_use]
    pub fn of(store: &SharedStore, tables: &GenerationTables) -> Published {
        Published {
            store: SharedStore::clone(store),
            checkpoints: tables.checkpoints.id.clone(),
            verdicts: tables.verdicts.id.clone(),
        }
    }

    /// A partition's checkpoint; none where nothing was folded yet.
    ///
    /// # Errors
    /// The store's, or damage.
    pub async fn checkpoint(&self, partition: Partition) -> Result<Option<Checkpoint>, StoreError> {
        Ok(self.checkpoints([partition]).await?.into_iter().next().flatten())
    }

    /// The checkpoints of these partitions, in their order.
    ///
    /// # Errors
    /// The store's, or damage.
    pub async fn checkpoints(
        &self,
        partitions: impl IntoIterator<Item = Partition>,
    ) -> Result<Vec<Option<Checkpoint>>, StoreError> {
        self.each_checkpoint(partitions).await?.into_iter().collect()
    }

    /// The checkpoints of these partitions, in their order, or the damage of each: it is of no concern to the others.
    ///
    /// # Errors
    /// The store's.
    pub async fn each_checkpoint(
        &self,
        partitions: impl IntoIterator<Item = Partition>,
    ) -> Result<Vec<Result<Option<Checkpoint>, StoreError>>, StoreError> {
        let (partitions, keys): (Vec<Partition>, Vec<Bytes>) =
            partitions.into_iter().map(|partition| (partition, checkpoint::key(partition))).unzip();
        let rows = self.load_each(&keys).await?;
        let decode =
            |(partition, row): (&Partition, Result<Option<Bytes>, StoreError>)| -> Result<_, StoreError> {
                let damaged = |broken: Broken| broken.of(&self.checkpoints, format!("partition {partition}"));
                Ok(row?.map(|row| Checkpoint::decode(&row)).transpose().map_err(damaged)?)
            };
        Ok(partitions.iter().zip(rows).map(decode).collect())
    }

    /// The rows of checkpoints. A store that knows its own writes refuses a load in which one row is damaged: then each is
    /// loaded by itself.
    async fn load_each(&self, keys: &[Bytes]) -> Result<Vec<Result<Option<Bytes>, StoreError>>, StoreError> {
        match self.store.load(&self.checkpoints, keys).await {
            Ok(rows) => Ok(rows.into_iter().map(Ok).collect()),
            Err(damaged @ StoreError::Damaged(_)) if keys.len() == 1 => Ok(vec![Err(damaged)]),
            Err(StoreError::Damaged(_)) => {
                let mut rows = Vec::with_capacity(keys.len());
                for key in keys {
                    match self.store.load(&self.checkpoints, std::slice::from_ref(key)).await {
                        Ok(row) => rows.extend(row.into_iter().map(Ok)),
                        Err(damaged @ StoreError::Damaged(_)) => rows.push(Err(damaged)),
                        Err(error) => return Err(error),
                    }
                }
                Ok(rows)
            }
            Err(error) => Err(error),
        }
    }

    /// The verdict on a record; none where no row says that it was not applied: before the checkpoint it was.
    ///
    /// # Errors
    /// The store's, or damage.
    pub async fn verdict(&self, partition: Partition, offset: Offset) -> Result<Option<Verdict>, StoreError> {
        Ok(self.verdicts_at(partition, &[offset]).await?.into_iter().next().flatten())
    }

    /// The verdicts on these records, in their order.
    ///
    /// # Errors
    /// The store's, or damage.
    pub async fn verdicts_at(
        &self,
        partition: Partition,
        offsets: &[Offset],
    ) -> Result<Vec<Option<Verdict>>, StoreError> {
        let keys: Vec<Bytes> = offsets.iter().map(|offset| key(partition, *offset)).collect();
        let rows = self.store.load(&self.verdicts, &keys).await?;
        let decode = |(key, row): (&Bytes, Option<Bytes>)| {
            Ok(row.map(|row| self.decode(key, &row)).transpose()?.map(|(_, verdict)| verdict))
        };
        keys.iter().zip(rows).map(decode).collect()
    }

    /// Records of a range of offsets that were not applied, at most `limit` of them. Fewer than that: there are no more.
    ///
    /// # Errors
    /// The store's, or damage.
    pub async fn verdicts(
        &self,
        partition: Partition,
        range: Range<Offset>,
        limit: usize,
    ) -> Result<Vec<(Offset, Verdict)>, StoreError> {
        let scan = Scan::Range {
            prefix: verdict::prefix(partition),
            from: Some(key(partition, range.start)),
            until: (range.end <= Offset::MAX).then(|| key(partition, range.end)),
            limit,
        };
        let rows = self.store.scan(&self.verdicts, &scan).await?;
        rows.iter().map(|row| Ok(self.decode(&row.key, &row.value)?)).collect()
    }

    /// The dead letters among the next `limit` verdicts of a range of offsets.
    ///
    /// # Errors
    /// The store's, or damage.
    pub async fn dead_letters(
        &self,
        partition: Partition,
        range: Range<Offset>,
        limit: usize,
    ) -> Result<DeadLetters, StoreError> {
        let verdicts = self.verdicts(partition, range, limit).await?;
        let (looked_at, last) = (verdicts.len(), verdicts.last().map(|(offset, _)| *offset));
        let next = last.filter(|_| looked_at == limit).map(Offset::next);
        let dead = |(offset, verdict)| match verdict {
            Verdict::Dead(reason) => Some((offset, reason)),
            Verdict::Applied | Verdict::Rejected(_) | Verdict::Duplicate(_) => None,
        };
        Ok(DeadLetters { letters: verdicts.into_iter().filter_map(dead).collect(), looked_at, next })
    }

    /// What is said of a verdict that cannot be, though its row can be read.
    #[must_use]
    pub fn damaged_verdict(&self, partition: Partition, offset: Offset, found: String) -> StoreError {
        let key = verdict::Key { partition, offset }.to_string();
        Damaged { table: self.verdicts.to_string(), key, found, remedy: REBUILD.to_owned() }.into()
    }

    fn decode(&self, key: &[u8], value: &[u8]) -> Result<(Offset, Verdict), Damaged> {
        let found = verdict::Key::decode(key);
        let found =
            found.map_err(|broken| broken.of(&self.verdicts, format!("key {}", key.escape_ascii())))?;
        let verdict =
            Verdict::decode(value).map_err(|broken| broken.of(&self.verdicts, found.to_string()))?;
        Ok((found.offset, verdict))
    }
}

fn key(partition: Partition, offset: Offset) -> Bytes {
    Bytes::copy_from_slice(&verdict::Key { partition, offset }.encode())
}
