//! Which writes need no look at the row that is there.
//!
//! Last stamp wins, so in general a write has to be compared with what stands under its key, and that costs more than the
//! write. But a row is written by one lane only. Each lane therefore keeps, of each table, the highest stamp it ever
//! wrote: whatever is stamped higher is newer than any row of the lane, and is put blindly. Everything else is compared.
//! That makes any order of writes right and the usual one, with rising stamps, cheap.
//!
//! Puts and deletes of an index interleave: the deletes of a batch follow its puts with lower stamps. For indexes the
//! lane also keeps the highest stamp as of its last checkpoint, the *floor*, and the keys written since (their hashes; a
//! collision costs a comparison). A key that is not among them has no stamp above the floor.
//!
//! Heights have to be known after a restart: they stand in a keyspace of their own, written in the same batch as the rows
//! they speak of, so they survive together. To write them rarely they are kept with some slack; too high a height is
//! safe, it only costs comparisons.

use std::path::Path;
use std::sync::{Arc, Mutex};

use ahash::{HashMap, HashSet, RandomState};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch};
use tidefold_store::{Lane, StoreError};
use tidefold_table::{RowWrite, Stamp, TableId};

use crate::error;
use crate::forget::Passed;
use crate::tables::{OpenTable, lock};

/// Where heights are kept, and marks.
pub(crate) const KEYSPACE: &str = "lanes";
/// How far above the highest stamp the kept height is.
const SLACK: u64 = 1 << 14;
/// So many keys are remembered for an index between checkpoints; more than that and the floor rises.
const MAX_RECENT: usize = 1 << 18;

/// All lanes that ever wrote.
pub(crate) struct Lanes {
    open: Mutex<HashMap<Lane, Arc<Mutex<LaneHeights>>>>,
    pub(crate) kept: Keyspace,
    passed: Arc<Passed>,
}

/// The heights of one lane. Whoever writes in the lane holds them.
#[derive(Default)]
pub(crate) struct LaneHeights {
    tables: HashMap<TableId, Height>,
}

/// How high a lane wrote in a table.
pub(crate) struct Height {
    /// The highest stamp written.
    highest: u64,
    /// The height in the keyspace: never below `highest` of any write that survives.
    kept: u64,
    /// The highest stamp as of the last checkpoint.
    floor: u64,
    /// Hashes of the keys written since; of indexes only.
    recent: Option<HashSet<u64>>,
    hashes: RandomState,
    /// Its key in the keyspace.
    key: Vec<u8>,
}

// === impl Lanes ===

impl Lanes {
    pub(crate) fn open(database: &Database, passed: Arc<Passed>) -> fjall::Result<Lanes> {
        let kept =
            database.keyspace(KEYSPACE, || KeyspaceCreateOptions::default().max_memtable_size(1 << 20))?;
        Ok(Lanes { open: Mutex::default(), kept, passed })
    }

    pub(crate) fn of(&self, lane: &Lane) -> Arc<Mutex<LaneHeights>> {
        Arc::clone(lock(&self.open).entry(lane.clone()).or_default())
    }

    /// The height of a table in a lane whose heights the caller holds.
    pub(crate) fn height<'h>(
        &self,
        heights: &'h mut LaneHeights,
        lane: &Lane,
        table: &OpenTable,
    ) -> Result<&'h mut Height, StoreError> {
        if !heights.tables.contains_key(&table.id) {
            let key = key_of(&table.id, lane);
            let kept = self.kept.get(&key).map_err(|error| error::reading(&table.id, error))?;
            let kept = match kept.as_deref().map(<[u8; 8]>::try_from) {
                None => 0,
                Some(Ok(bytes)) => u64::from_be_bytes(bytes),
                // A height that cannot be read is the highest there is: every write is compared.
                Some(Err(_)) => u64::MAX,
            };
            let recent = table.is_index().then(HashSet::default);
            let hashes = RandomState::new();
            let height = Height { highest: kept, kept, floor: kept, recent, hashes, key };
            heights.tables.insert(table.id.clone(), height);
        }
        heights.tables.get_mut(&table.id).ok_or_else(|| error::unopened(&table.id, "to write to"))
    }

    /// Has the height written with the batch, if it outgrew the one that is kept.
    pub(crate) fn keep(&self, height: &mut Height, batch: &mut OwnedWriteBatch) {
        if height.highest > height.kept {
            height.kept = height.highest.saturating_add(SLACK);
            batch.insert(&self.kept, height.key.as_slice(), &height.kept.to_be_bytes()[..]);
        }
    }

    /// The lane's checkpoint is written: records before it never write again.
    pub(crate) fn checkpointed(&self, heights: &mut LaneHeights, lane: &Lane, stamp: Stamp) {
        for (table, height) in &mut heights.tables {
            height.raise_floor();
            if height.recent.is_some() {
                self.passed.set(table, lane.partition, stamp.offset());
            }
        }
    }

    pub(crate) fn drop_table(&self, table: &TableId, folder: &Path) -> Result<(), StoreError> {
        let lanes: Vec<_> = lock(&self.open).values().cloned().collect();
        for lane in lanes {
            lock(&lane).tables.remove(table);
        }
        self.passed.drop_table(table);
        let prefix = [table.as_str().as_bytes(), b"\0"].concat();
        for entry in self.kept.prefix(prefix) {
            let key = entry.key().map_err(|error| error::reading(table, error))?;
            self.kept.remove(key).map_err(|error| error::writing(folder, error))?;
        }
        Ok(())
    }
}

/// Names have no NUL, so keys of one table are those with its name and a NUL in front.
fn key_of(table: &TableId, lane: &Lane) -> Vec<u8> {
    let (table, checkpoints) = (table.as_str().as_bytes(), lane.checkpoints.as_str().as_bytes());
    [table, b"\0", checkpoints, b"\0", &lane.partition.to_be_bytes()[..]].concat()
}

// === impl LaneHeights ===

impl LaneHeights {
    /// A batch failed: what it kept of heights may be lost.
    pub(crate) fn lost(&mut self) {
        self.tables.values_mut().for_each(|height| height.kept = 0);
    }
}

// === impl Height ===

impl Height {
    /// Whether the write is newer than whatever stands under its key.
    pub(crate) fn outranks(&self, write: &RowWrite) -> bool {
        let stamp = write.stamp.0;
        stamp > self.highest
            || stamp > self.floor
                && self.recent.as_ref().is_some_and(|keys| !keys.contains(&self.hash(&write.key)))
    }

    /// Rows are about to be written.
    pub(crate) fn raise(&mut self, rows: &[&RowWrite]) {
        let highest = rows.iter().map(|row| row.stamp.0).max().unwrap_or(0);
        self.highest = self.highest.max(highest);
        let Some(mut recent) = self.recent.take() else { return };
        recent.extend(rows.iter().map(|row| self.hash(&row.key)));
        let full = recent.len() > MAX_RECENT;
        self.recent = Some(recent);
        if full {
            self.raise_floor();
        }
    }

    fn raise_floor(&mut self) {
        self.floor = self.highest;
        if let Some(recent) = &mut self.recent {
            recent.clear();
        }
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.hashes.hash_one(key)
    }
}
