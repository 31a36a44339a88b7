//! Rollup changes onto rollup rows, and a batch's writes.

use bytes::Bytes;
use tidefold_app::model::View;
use tidefold_record::Offset;
use tidefold_table::rollup::{AggregateState, Group, encode_group};
use tidefold_table::verdict::verdict_key;
use tidefold_table::{RowWrite, Stamp};

use crate::changes::{Changes, RollupChanges, TableSlot, ViewChanges, Writes};
use crate::folder::{FoldError, Folder, damaged};
use crate::rows::{RowCache, RowSlot};

/// A group's row while a batch is applied to it; its aggregates lie beside those of the others.
struct OpenGroup {
    slot: RowSlot,
    /// What is in the row already: changes at or before it are skipped.
    applied: Option<Offset>,
    offset: Offset,
    count: i64,
}

/// Rows of one kind, in one buffer until all are there.
#[derive(Default)]
struct Rows {
    bytes: Vec<u8>,
    /// Where each row's key and value end, whether it has a value, and its stamp.
    rows: Vec<(usize, usize, bool, Stamp)>,
}

/// Applies a batch's changes to the rows of one rollup.
pub(crate) fn apply(
    view: &View,
    changes: &RollupChanges,
    cache: &mut RowCache,
    value: &mut Vec<u8>,
) -> Result<(), FoldError> {
    let aggregates = &view.layout.aggregates;
    let width = aggregates.len();
    let touched = changes.is_touched();
    let mut groups: Vec<Option<OpenGroup>> = Vec::with_capacity(touched.len());
    let mut states: Vec<AggregateState> = Vec::with_capacity(touched.len() * width);
    let mut asked = 0;
    for (key, touched) in changes.keys.iter().zip(touched) {
        if !touched {
            groups.push(None);
            states.extend(aggregates.iter().map(AggregateState::empty));
            continue;
        }
        let slot =
            cache.known(key, asked).ok_or_else(|| FoldError::NotLoaded { table: view.name.clone() })?;
        asked += 1;
        let group = match cache.value(slot) {
            Some(row) => Some(Group::decode(&view.layout, row).map_err(|error| damaged(&view.name, error))?),
            None => None,
        };
        let applied = group.as_ref().map(|group| group.offset);
        let group = group.unwrap_or_else(|| Group::empty(&view.layout));
        groups.push(Some(OpenGroup { slot, applied, offset: group.offset, count: group.count }));
        states.extend(group.aggregates);
    }
    for (at, delta) in changes.deltas.iter().enumerate() {
        let key = delta.key as usize;
        let Some(Some(group)) = groups.get_mut(key) else { continue };
        if group.applied.is_some_and(|applied| delta.offset <= applied) {
            continue;
        }
        group.offset = delta.offset;
        group.count = group.count.wrapping_add(delta.count);
        let states = states.get_mut(key * width..(key + 1) * width).unwrap_or_default();
        for (state, part) in states.iter_mut().zip(changes.parts(at)) {
            state.apply(part);
        }
    }
    for (key, group) in groups.iter().enumerate() {
        let Some(group) = group else { continue };
        let states = states.get(key * width..(key + 1) * width).unwrap_or_default();
        value.clear();
        encode_group(group.offset, group.count, states, value);
        cache.put(group.slot, value);
    }
    Ok(())
}

/// The writes a batch comes to.
pub(crate) fn writes(
    folder: &mut Folder,
    changes: &Changes,
    entities: &mut RowCache,
    rollups: &mut [RowCache],
) -> Writes {
    let mut writes = Writes::default();
    let verdicts = verdict_rows(folder, changes);
    if !verdicts.is_empty() {
        writes.derived.push((TableSlot::Verdicts, verdicts));
    }
    for (view, changes) in changes.views.iter().enumerate() {
        let (mut puts, mut deletes) = (Rows::default(), Rows::default());
        match changes {
            ViewChanges::Index(index) => {
                for (key, offset, value) in index.rows() {
                    match value {
                        Some(value) => {
                            puts.put(key, &[&offset.0.to_be_bytes(), value], Stamp::put(offset));
                        }
                        None => deletes.delete(key, Stamp::delete(offset)),
                    }
                }
            }
            ViewChanges::Rollup(_) => {
                for slot in rollups.get_mut(view).map(RowCache::take_touched).unwrap_or_default() {
                    puts.row(rollups.get(view), slot);
                }
            }
        }
        for (rows, phase) in [(puts, &mut writes.derived), (deletes, &mut writes.index_deletes)] {
            if !rows.is_empty() {
                phase.push((TableSlot::View(view), rows.finish()));
            }
        }
    }
    writes.entities = entity_rows(folder, entities);
    writes
}

fn verdict_rows(folder: &Folder, changes: &Changes) -> Vec<RowWrite> {
    let mut rows = Rows::default();
    for (offset, verdict) in &changes.verdicts {
        rows.bytes.extend_from_slice(&verdict_key(folder.partition.0, *offset));
        let key_end = rows.bytes.len();
        verdict.encode(&mut rows.bytes);
        rows.rows.push((key_end, rows.bytes.len(), true, Stamp::put(*offset)));
    }
    rows.finish()
}

/// The touched entity rows; and those that were found ahead and that the checkpoint is about to pass, as they were found.
fn entity_rows(folder: &mut Folder, entities: &mut RowCache) -> Vec<RowWrite> {
    let mut rows = Rows::default();
    for slot in entities.take_touched() {
        rows.row(Some(entities), slot);
    }
    let next = folder.next;
    folder.ahead.retain(|key, row| {
        if row.offset >= next {
            return true;
        }
        let superseded = entities.get(key).and_then(row_offset).is_some_and(|offset| offset > row.offset);
        if !superseded {
            rows.put(key, &[&row.blob], Stamp::put(row.offset));
        }
        false
    });
    rows.finish()
}

/// The offset that every row but a verdict starts with.
fn row_offset(value: &[u8]) -> Option<Offset> {
    value.first_chunk().map(|bytes| Offset(u64::from_be_bytes(*bytes)))
}

// === impl Rows ===

impl Rows {
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
