//! What a batch comes to: effects, in the order in which they are to be done.
//!
//! Each is done when everything of it is acknowledged, and the next is begun only then. What that order is worth is said by
//! the invariants I1 to I7, which are statements about this list; the projector's `rules.rs` has them.

use std::collections::BTreeMap;

use bytes::Bytes;
use tidefold_codec::text::parse_rfc3339_micros;
use tidefold_record::headers::Known;
use tidefold_record::{Offset, Partition, RecordBatch};
use tidefold_table::checkpoint::digest;
use tidefold_table::verdict;
use tidefold_table::{Checkpoint, RowWrite, Stamp, index};

use crate::changes::{Changes, ViewChanges};
use crate::publication::Publication;
use crate::rows::{RowCache, RowSlot};

/// One thing to be done, all of it before the next.
#[derive(Debug)]
pub enum Effect {
    /// What the feed is to be told, in offset order.
    Publish(Vec<Publication>),
    /// Derived rows that are there: verdicts, rollup rows, index rows.
    Put(Vec<TableRows>),
    /// Index rows that are no longer there.
    Delete(Vec<TableRows>),
    /// Entity rows.
    Entities(Vec<RowWrite>),
    /// The batch is folded.
    Checkpoint(Checkpoint),
}

/// The kinds of effects, in the order in which they are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EffectKind {
    /// [`Effect::Publish`].
    Publish,
    /// [`Effect::Put`].
    Put,
    /// [`Effect::Delete`].
    Delete,
    /// [`Effect::Entities`].
    Entities,
    /// [`Effect::Checkpoint`].
    Checkpoint,
}

/// Writes of one table.
#[derive(Debug)]
pub struct TableRows {
    /// Which.
    pub table: TableSlot,
    /// The writes.
    pub rows: Vec<RowWrite>,
}

/// A table of the projection, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TableSlot {
    /// The verdicts.
    Verdicts,
    /// The entity.
    Entity,
    /// `Topic::views[i]`.
    View(usize),
}

/// An entity row that is ahead of the fold, as it was found: to be written back before the checkpoint passes it.
#[derive(Clone, Debug)]
pub(crate) struct AheadRow {
    pub(crate) offset: Offset,
    pub(crate) blob: Bytes,
}

/// Rows of one kind, in one buffer until all are there.
#[derive(Default)]
struct Rows {
    bytes: Vec<u8>,
    /// Where each row's key and value end, whether it has a value, and its stamp.
    rows: Vec<(usize, usize, bool, Stamp)>,
}

/// The effects of a batch, the last of which moves the checkpoint to `next`. Kinds that a batch has nothing of are left out.
pub(crate) fn effects(
    partition: Partition,
    ahead: &mut BTreeMap<Box<[u8]>, AheadRow>,
    changes: &mut Changes,
    entities: &mut RowCache,
    rollups: &mut [RowCache],
    next: Checkpoint,
) -> Vec<Effect> {
    let (mut puts, mut deletes) = (Vec::new(), Vec::new());
    let add = |list: &mut Vec<TableRows>, table, rows: Rows| {
        if !rows.is_empty() {
            list.push(TableRows { table, rows: rows.finish() });
        }
    };
    add(&mut puts, TableSlot::Verdicts, verdict_rows(partition, changes));
    for (view, changes) in changes.views.iter().enumerate() {
        let (mut put, mut delete) = (Rows::default(), Rows::default());
        match changes {
            ViewChanges::Index(index) => {
                let (rows, bytes) = index.size();
                put = Rows::with_capacity(rows, bytes + rows * index::HEAD_BYTES);
                for (key, offset, value) in index.rows() {
                    match value {
                        Some(value) => {
                            put.put(key, &[&index::head(offset), value], Stamp::put(offset));
                        }
                        None => delete.delete(key, Stamp::delete(offset)),
                    }
                }
            }
            ViewChanges::Rollup(_) => {
                for slot in rollups.get_mut(view).map(RowCache::take_touched).unwrap_or_default() {
                    put.row(rollups.get(view), slot);
                }
            }
        }
        add(&mut puts, TableSlot::View(view), put);
        add(&mut deletes, TableSlot::View(view), delete);
    }
    let published = changes.feed.as_mut().map(std::mem::take).unwrap_or_default();
    let rows = entity_rows(ahead, next.next, entities).finish();
    let effects = [
        (!published.is_empty()).then_some(Effect::Publish(published)),
        (!puts.is_empty()).then_some(Effect::Put(puts)),
        (!deletes.is_empty()).then_some(Effect::Delete(deletes)),
        (!rows.is_empty()).then_some(Effect::Entities(rows)),
        Some(Effect::Checkpoint(next)),
    ];
    effects.into_iter().flatten().collect()
}

/// The checkpoint behind a batch that begins at another one.
#[must_use]
pub fn checkpoint_after(before: &Checkpoint, batch: &RecordBatch) -> Checkpoint {
    let mut next = *before;
    next.next = batch.next_offset();
    match batch.iter().next_back() {
        Some(last) => {
            next.last = last.offset;
            next.digest = digest(&last);
        }
        // A gap at the very start: still nothing was read.
        None if before.last == before.next => next.last = next.next,
        None => {}
    }
    let appended = batch.iter().rev().find_map(|record| record.headers.get(Known::AppendTime));
    if let Some(micros) = appended.and_then(parse_rfc3339_micros) {
        next.appended_at_micros = micros;
    }
    next
}

fn verdict_rows(partition: Partition, changes: &Changes) -> Rows {
    let mut rows = Rows::default();
    for (offset, row) in &changes.verdicts {
        rows.bytes.extend_from_slice(&verdict::Key { partition, offset: *offset }.encode());
        let key_end = rows.bytes.len();
        row.encode(&mut rows.bytes);
        rows.rows.push((key_end, rows.bytes.len(), true, Stamp::put(*offset)));
    }
    rows
}

/// The touched entity rows; and those that were found ahead and that the checkpoint is about to pass, as they were found.
fn entity_rows(ahead: &mut BTreeMap<Box<[u8]>, AheadRow>, next: Offset, entities: &mut RowCache) -> Rows {
    let (count, bytes) = entities.touched_size();
    let mut rows = Rows::with_capacity(count, bytes);
    for slot in entities.take_touched() {
        rows.row(Some(entities), slot);
    }
    ahead.retain(|key, row| {
        if row.offset >= next {
            return true;
        }
        let superseded = entities.get(key).and_then(row_offset).is_some_and(|offset| offset > row.offset);
        if !superseded {
            rows.put(key, &[&row.blob], Stamp::put(row.offset));
        }
        false
    });
    rows
}

/// The offset that every row but a verdict starts with.
fn row_offset(value: &[u8]) -> Option<Offset> {
    value.first_chunk().map(|bytes| Offset(u64::from_be_bytes(*bytes)))
}

// === impl Effect ===

impl Effect {
    /// Which kind it is.
    #[must_use]
    pub fn kind(&self) -> EffectKind {
        match self {
            Effect::Publish(_) => EffectKind::Publish,
            Effect::Put(_) => EffectKind::Put,
            Effect::Delete(_) => EffectKind::Delete,
            Effect::Entities(_) => EffectKind::Entities,
            Effect::Checkpoint(_) => EffectKind::Checkpoint,
        }
    }

    /// How many rows it writes.
    #[must_use]
    pub fn row_count(&self) -> usize {
        match self {
            Effect::Put(tables) | Effect::Delete(tables) => tables.iter().map(|table| table.rows.len()).sum(),
            Effect::Entities(rows) => rows.len(),
            Effect::Publish(_) => 0,
            Effect::Checkpoint(_) => 1,
        }
    }

    /// The rows that it writes, save a checkpoint's.
    #[must_use]
    pub fn into_rows(self) -> Vec<TableRows> {
        match self {
            Effect::Put(rows) | Effect::Delete(rows) => rows,
            Effect::Entities(rows) => vec![TableRows { table: TableSlot::Entity, rows }],
            Effect::Publish(_) | Effect::Checkpoint(_) => Vec::new(),
        }
    }
}

// === impl Rows ===

impl Rows {
    fn with_capacity(rows: usize, bytes: usize) -> Rows {
        Rows { bytes: Vec::with_capacity(bytes), rows: Vec::with_capacity(rows) }
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn put(&mut self, key: &[u8], value: &[&[u8]], stamp: Stamp) {
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        value.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.rows.push((key_end, self.bytes.len(), true, stamp));
    }

    fn delete(&mut self, key: &[u8], stamp: Stamp) {
        self.bytes.extend_from_slice(key);
        self.rows.push((self.bytes.len(), self.bytes.len(), false, stamp));
    }

    /// A row of a cache, at its own offset.
    fn row(&mut self, cache: Option<&RowCache>, slot: RowSlot) {
        let Some((cache, value)) = cache.and_then(|cache| Some((cache, cache.value(slot)?))) else { return };
        let offset = row_offset(value).unwrap_or_default();
        self.put(cache.key(slot), &[value], Stamp::put(offset));
    }

    fn finish(self) -> Vec<RowWrite> {
        let bytes = Bytes::from(self.bytes);
        let mut start = 0;
        let rows = self.rows.into_iter().map(|(key_end, end, is_put, stamp)| {
            let key = bytes.slice(start..key_end);
            let value = is_put.then(|| bytes.slice(key_end..end));
            start = end;
            RowWrite { key, value, stamp }
        });
        rows.collect()
    }
}
