//! One call of `write`: rows are settled by stamp and become one entry of the journal.

use std::sync::Arc;

use fjall::{OwnedWriteBatch, PersistMode};
use tidefold_store::{Lane, StoreError, TableWrites};
use tidefold_table::RowWrite;

use crate::EmbeddedStore;
use crate::lanes::{Height, LaneHeights};
use crate::row;
use crate::tables::{OpenTable, lock};

/// fjall writes a key's length in two bytes.
const MAX_KEY: usize = u16::MAX as usize;

/// What is being made of a call.
struct Call<'c> {
    batch: OwnedWriteBatch,
    /// The parts in the batch.
    parts: Vec<(&'c Arc<OpenTable>, &'c [RowWrite])>,
    /// Where rows are encoded.
    scratch: Vec<u8>,
}

impl EmbeddedStore {
    pub(crate) fn write_now(&self, lane: &Lane, writes: &[TableWrites]) -> Result<(), StoreError> {
        let mut tables = Vec::with_capacity(writes.len());
        for of_table in writes {
            tables.push(self.tables.find(&of_table.table, "to write to")?);
            check_keys(of_table)?;
        }
        let rows = writes.iter().map(|of_table| of_table.rows.len()).sum::<usize>();
        let heights = self.lanes.of(lane);
        let mut heights = lock(&heights);
        let mut call = Call { batch: self.batch(rows), parts: Vec::new(), scratch: Vec::new() };
        for (table, of_table) in tables.iter().zip(writes) {
            // Comparisons read the table, so an earlier part of the same table has to be in it by then.
            if call.parts.iter().any(|(other, _)| other.id == table.id) {
                self.commit(&mut call, &mut heights, lane)?;
            }
            let height = self.lanes.height(&mut heights, lane, table)?;
            call.add(table, &of_table.rows, height, lane.partition)?;
            self.lanes.keep(height, &mut call.batch);
        }
        self.commit(&mut call, &mut heights, lane)?;
        if self.database.write_buffer_size() > self.settings.write_buffer_bytes
            && self.database.outstanding_flushes() == 0
        {
            self.tables.flush_largest()?;
        }
        Ok(())
    }

    fn batch(&self, rows: usize) -> OwnedWriteBatch {
        let durable = if self.settings.fsync { PersistMode::SyncData } else { PersistMode::Buffer };
        // Each part may add a height.
        OwnedWriteBatch::with_capacity(self.database.clone(), rows + 8).durability(Some(durable))
    }

    fn commit(&self, call: &mut Call<'_>, heights: &mut LaneHeights, lane: &Lane) -> Result<(), StoreError> {
        let batch = std::mem::replace(&mut call.batch, self.batch(0));
        batch.commit().map_err(|error| {
            heights.lost();
            self.unwritten(error)
        })?;
        let mut moved = false;
        for (table, rows) in call.parts.drain(..) {
            table.reflect(rows);
            moved |= table.is_checkpoints() && !rows.is_empty();
            if table.id == lane.checkpoints
                && let Some(stamp) = rows.iter().map(|row| row.stamp).max()
            {
                self.lanes.checkpointed(heights, lane, stamp);
            }
        }
        if self.marks.due(&self.database) {
            self.mark().map_err(|error| self.unwritten(error))?;
        }
        if moved {
            self.moved.send_modify(|times| *times = times.wrapping_add(1));
        }
        Ok(())
    }
}

// === impl Call ===

impl<'c> Call<'c> {
    /// Adds the rows that win, in key order: fjall's memory is sorted, and neighbours are found fastest one after another.
    fn add(
        &mut self,
        table: &'c Arc<OpenTable>,
        writes: &'c [RowWrite],
        height: &mut Height,
        partition: u32,
    ) -> Result<(), StoreError> {
        let mut rows: Vec<&RowWrite> = writes.iter().collect();
        if !rows.is_sorted_by(|a, b| a.key < b.key) {
            // Of two writes to one key, which there should not be, the newer comes first and the other is left out.
            rows.sort_unstable_by(|a, b| a.key.cmp(&b.key).then(b.stamp.cmp(&a.stamp)));
            rows.dedup_by(|b, a| a.key == b.key);
        }
        for write in &rows {
            let wins =
                height.outranks(write) || table.stamp(&write.key)?.is_none_or(|stamp| stamp < write.stamp);
            if wins {
                row::encode(write, partition, &mut self.scratch);
                self.batch.insert(&table.keyspace, &write.key[..], self.scratch.as_slice());
            }
        }
        height.raise(&rows);
        self.parts.push((table, writes));
        Ok(())
    }
}

fn check_keys(writes: &TableWrites) -> Result<(), StoreError> {
    match writes.rows.iter().find(|row| row.key.is_empty() || row.key.len() > MAX_KEY) {
        None => Ok(()),
        Some(row) => Err(StoreError::Refused {
            what: format!("a row of table {}", writes.table),
            detail: format!("its key has {} bytes; a key has 1 to {MAX_KEY}", row.key.len()),
        }),
    }
}
