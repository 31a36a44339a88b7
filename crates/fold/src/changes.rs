//! What a batch changed, netted to one final write for each row, and the stamped writes it comes to, by phase.

use std::ops::Range;

use bytes::Bytes;
use tidefold_record::Offset;
use tidefold_table::exact::Exact;
use tidefold_table::rollup::Delta;
use tidefold_table::{RowWrite, Verdict};

use crate::keys::KeySet;
use crate::view::IndexRows;

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

/// What a batch changed. Reused from batch to batch.
#[derive(Debug, Default)]
pub struct Changes {
    /// Verdicts of records that were not applied.
    pub verdicts: Vec<(Offset, Verdict)>,
    /// How many were applied.
    pub applied: u64,
    pub(crate) views: Vec<ViewChanges>,
}

/// The writes a batch comes to: `derived` first, then `index_deletes` (both phase 1), then `entities` (phase 2).
#[derive(Debug, Default)]
pub struct Writes {
    /// Verdicts, rollup rows, index puts.
    pub derived: Vec<(TableSlot, Vec<RowWrite>)>,
    /// Index deletes.
    pub index_deletes: Vec<(TableSlot, Vec<RowWrite>)>,
    /// Entity rows.
    pub entities: Vec<RowWrite>,
}

/// What a batch changed in one view.
#[derive(Debug)]
pub(crate) enum ViewChanges {
    Index(IndexChanges),
    Rollup(RollupChanges),
}

/// Touched rows of an index, each with its final state. A row that came and went within the batch is deleted all the
/// same: an earlier run with other batches may have written it.
#[derive(Debug, Default)]
pub(crate) struct IndexChanges {
    pub(crate) keys: KeySet,
    /// By key: the record that touched it last, and the value it left, if any.
    rows: Vec<(Offset, Option<Range<usize>>)>,
    values: Vec<u8>,
}

/// What records do to groups of a rollup, netted within each record and never across records: a row that was written by
/// an earlier run has some of these records in it, and takes only the later ones.
#[derive(Debug, Default)]
pub(crate) struct RollupChanges {
    pub(crate) keys: KeySet,
    pub(crate) deltas: Vec<GroupDelta>,
    aggregates: usize,
    parts: Vec<Part>,
    bytes: Vec<u8>,
    /// By key: the record that touched it last, by number, and its delta.
    last: Vec<(u32, u32)>,
    record: u32,
    record_start: usize,
    bytes_start: usize,
    current: usize,
    offset: Offset,
}

/// What one record does to one group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupDelta {
    /// The group's key.
    pub(crate) key: u32,
    pub(crate) offset: Offset,
    pub(crate) count: i64,
}

/// [`Delta`], with the place of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Nothing,
    Count(i64),
    Sum(Exact, i64),
    Extreme(u32, u32),
    Distinct(u64),
}

// === impl Changes ===

impl Changes {
    /// The rollup rows that have changes, by view: the keys whose rows [`crate::Folder::apply_rollups`] needs.
    pub fn rollup_keys(&self) -> impl Iterator<Item = (usize, Bytes)> + '_ {
        self.views.iter().enumerate().flat_map(|(view, changes)| {
            let keys = match changes {
                ViewChanges::Rollup(rollup) => Some(rollup.touched().map(Bytes::copy_from_slice)),
                ViewChanges::Index(_) => None,
            };
            keys.into_iter().flatten().map(move |key| (view, key))
        })
    }

    pub(crate) fn clear(&mut self) {
        self.verdicts.clear();
        self.applied = 0;
        for view in &mut self.views {
            match view {
                ViewChanges::Index(index) => index.clear(),
                ViewChanges::Rollup(rollup) => rollup.clear(),
            }
        }
    }
}

// === impl IndexChanges ===

impl IndexChanges {
    /// Takes in what one record made of an entity's rows. A row that stays as it is is not touched.
    pub(crate) fn net(&mut self, old: &mut IndexRows, new: &mut IndexRows, offset: Offset) {
        old.settle();
        new.settle();
        let (mut i, mut j) = (0, 0);
        loop {
            match (old.row(i), new.row(j)) {
                (Some(before), Some(after)) if before.0 == after.0 => {
                    if before.1 != after.1 {
                        self.touch(after.0, Some(after.1), offset);
                    }
                    (i, j) = (i + 1, j + 1);
                }
                (Some(before), after) if after.is_none_or(|after| before.0 < after.0) => {
                    self.touch(before.0, None, offset);
                    i += 1;
                }
                (_, Some(after)) => {
                    self.touch(after.0, Some(after.1), offset);
                    j += 1;
                }
                (_, None) => return,
            }
        }
    }

    /// The touched rows: key, record, value without its offset (`None`: deleted).
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&[u8], Offset, Option<&[u8]>)> {
        self.keys.iter().zip(&self.rows).map(|(key, (offset, value))| {
            (key, *offset, value.as_ref().map(|range| self.values.get(range.clone()).unwrap_or_default()))
        })
    }

    fn touch(&mut self, key: &[u8], value: Option<&[u8]>, offset: Offset) {
        let start = self.values.len();
        self.values.extend_from_slice(value.unwrap_or_default());
        let row = (offset, value.map(|_| start..self.values.len()));
        let (number, _) = self.keys.number(key);
        match self.rows.get_mut(number as usize) {
            Some(found) => *found = row,
            None => self.rows.push(row),
        }
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.rows.clear();
        self.values.clear();
    }
}

// === impl RollupChanges ===

impl RollupChanges {
    pub(crate) fn new(aggregates: usize) -> RollupChanges {
        RollupChanges { aggregates, ..RollupChanges::default() }
    }

    /// What follows is done by the record at `offset`.
    pub(crate) fn begin(&mut self, offset: Offset) {
        self.record = self.record.wrapping_add(1);
        self.record_start = self.deltas.len();
        self.bytes_start = self.bytes.len();
        self.offset = offset;
    }

    /// Adds a row to a group; its aggregates follow.
    pub(crate) fn add_row(&mut self, key: &[u8], sign: i64) {
        let (number, new) = self.keys.number(key);
        if new {
            self.last.push((self.record.wrapping_sub(1), 0));
        }
        let Some(last) = self.last.get_mut(number as usize) else { return };
        if last.0 != self.record {
            *last = (self.record, self.deltas.len() as u32);
            self.deltas.push(GroupDelta { key: number, offset: self.offset, count: 0 });
            self.parts.resize(self.parts.len() + self.aggregates, Part::Nothing);
        }
        self.current = last.1 as usize;
        if let Some(delta) = self.deltas.get_mut(self.current) {
            delta.count += sign;
        }
    }

    /// Adds to an aggregate of the group that the last row went to.
    pub(crate) fn add(&mut self, aggregate: usize, delta: Delta<'_>) {
        let at = self.current * self.aggregates + aggregate;
        let held = self.parts.get(at).copied().unwrap_or(Part::Nothing);
        let part = match (held, delta) {
            (_, Delta::Nothing) => held,
            (Part::Count(count), Delta::Count(more)) => Part::Count(count.wrapping_add(more)),
            (_, Delta::Count(count)) => Part::Count(count),
            (Part::Sum(sum, values), Delta::Sum(more, count)) => {
                Part::Sum(sum.plus(more), values.wrapping_add(count))
            }
            (_, Delta::Sum(sum, count)) => Part::Sum(sum, count),
            (Part::Extreme(..) | Part::Distinct(_), _) => return self.add_again(aggregate, delta),
            (_, Delta::Extreme(datum)) => {
                let start = self.bytes.len() as u32;
                self.bytes.extend_from_slice(datum);
                Part::Extreme(start, self.bytes.len() as u32)
            }
            (_, Delta::Distinct(hash)) => Part::Distinct(hash),
        };
        if let Some(held) = self.parts.get_mut(at) {
            *held = part;
        }
    }

    /// A second value for an aggregate that cannot be added up: a second delta of the same record.
    fn add_again(&mut self, aggregate: usize, delta: Delta<'_>) {
        let Some(first) = self.deltas.get(self.current).copied() else { return };
        self.current = self.deltas.len();
        self.deltas.push(GroupDelta { count: 0, ..first });
        self.parts.resize(self.parts.len() + self.aggregates, Part::Nothing);
        self.add(aggregate, delta);
    }

    /// The record is done: what it nets to nothing is left out.
    pub(crate) fn end(&mut self) {
        let mut kept = self.record_start;
        for at in self.record_start..self.deltas.len() {
            let parts = at * self.aggregates..(at + 1) * self.aggregates;
            let nothing =
                |part: &Part| matches!(part, Part::Nothing | Part::Count(0) | Part::Sum(Exact::ZERO, 0));
            let idle = self.parts.get(parts.clone()).is_none_or(|parts| parts.iter().all(nothing));
            if idle && self.deltas.get(at).is_none_or(|delta| delta.count == 0) {
                continue;
            }
            if kept != at {
                self.deltas.swap(kept, at);
                self.parts.copy_within(parts, kept * self.aggregates);
            }
            kept += 1;
        }
        self.deltas.truncate(kept);
        self.parts.truncate(kept * self.aggregates);
    }

    /// The record is not applied after all: what it did since [`RollupChanges::begin`] is taken back. Its keys stay, and
    /// no delta has them.
    pub(crate) fn undo(&mut self) {
        self.deltas.truncate(self.record_start);
        self.parts.truncate(self.record_start * self.aggregates);
        self.bytes.truncate(self.bytes_start);
    }

    /// About how many bytes all this takes.
    pub(crate) fn size_bytes(&self) -> usize {
        self.keys.size_bytes()
            + self.bytes.len()
            + size_of_val(self.deltas.as_slice())
            + size_of_val(self.parts.as_slice())
    }

    /// What a delta does to each aggregate.
    pub(crate) fn parts(&self, delta: usize) -> impl Iterator<Item = Delta<'_>> {
        let range = delta * self.aggregates..(delta + 1) * self.aggregates;
        self.parts.get(range).unwrap_or_default().iter().map(|part| match *part {
            Part::Nothing => Delta::Nothing,
            Part::Count(count) => Delta::Count(count),
            Part::Sum(sum, count) => Delta::Sum(sum, count),
            Part::Extreme(start, end) => {
                Delta::Extreme(self.bytes.get(start as usize..end as usize).unwrap_or_default())
            }
            Part::Distinct(hash) => Delta::Distinct(hash),
        })
    }

    /// Which keys have a delta.
    pub(crate) fn is_touched(&self) -> Vec<bool> {
        let mut touched = vec![false; self.keys.len()];
        for delta in &self.deltas {
            if let Some(found) = touched.get_mut(delta.key as usize) {
                *found = true;
            }
        }
        touched
    }

    fn touched(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.iter().zip(self.is_touched()).filter(|(_, touched)| *touched).map(|(key, _)| key)
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.deltas.clear();
        self.parts.clear();
        self.bytes.clear();
        self.last.clear();
    }
}
