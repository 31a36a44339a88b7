//! What a batch changed, netted to one final write for each row: its transitions, added up.

use std::ops::Range;

use bytes::Bytes;
use tidefold_app::model::Projection;
use tidefold_record::Offset;
use tidefold_table::component::Delta;
use tidefold_table::{Verdict, verdict};

use crate::form;
use crate::keys::KeySet;
use crate::made::{IndexRows, Made, Part, RollupRows};
use crate::publication::Publication;
use crate::transition::Transition;

/// What a batch's transitions come to: each is taken in, in offset order. Reused from batch to batch.
#[derive(Debug, Default)]
pub struct Changes {
    /// Verdict rows, of records that were not applied.
    pub verdicts: Vec<(Offset, verdict::Row)>,
    /// How many were applied.
    pub applied: u64,
    /// The dead ones among them.
    pub dead: Vec<DeadLetter>,
    pub(crate) feed: Option<Vec<Publication>>,
    pub(crate) views: Vec<ViewChanges>,
}

/// A dead letter, as those see it who count them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The record.
    pub offset: Offset,
    /// Its key.
    pub key: Bytes,
    /// Who sent it, as far as that is known.
    pub publisher: Bytes,
    /// The verdict's code.
    pub code: String,
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
}

/// What one record does to one group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupDelta {
    /// The group's key.
    pub(crate) key: u32,
    pub(crate) offset: Offset,
    pub(crate) count: i64,
}

// === impl Changes ===

impl Changes {
    /// The rollup rows that have changes in a view: the keys whose rows [`crate::Folder::apply_rollups`] needs.
    pub fn rollup_keys(&self, view: usize) -> impl Iterator<Item = &[u8]> {
        let rollup = self.views.get(view).and_then(|changes| match changes {
            ViewChanges::Rollup(rollup) => Some(rollup.keys.iter()),
            ViewChanges::Index(_) => None,
        });
        rollup.into_iter().flatten()
    }

    /// Whether the feed's entries are kept as well, from the next batch on.
    pub fn keep_feed(&mut self, keep: bool) {
        self.feed = keep.then(|| self.feed.take().unwrap_or_default());
    }

    /// Takes in what the fold says of the next record, and the rows it makes in views.
    #[inline]
    pub(crate) fn take(&mut self, projection: &Projection, transition: Transition<'_>, made: &mut [Made]) {
        if transition.known {
            return;
        }
        if let Some(feed) = &mut self.feed {
            feed.push(Publication::of(projection, &transition));
        }
        let offset = transition.offset;
        if let Verdict::Applied = transition.verdict {
            self.applied += 1;
            for (changes, made) in self.views.iter_mut().zip(made) {
                match (changes, made) {
                    (ViewChanges::Index(changes), Made::Index(old, new)) => changes.net(old, new, offset),
                    (ViewChanges::Rollup(changes), Made::Rollup(rows)) => changes.net(rows, offset),
                    (ViewChanges::Index(_), Made::Rollup(_)) | (ViewChanges::Rollup(_), Made::Index(..)) => {}
                }
            }
            return;
        }
        self.dead.extend(DeadLetter::of(&transition));
        self.verdicts.push((offset, verdict_row(transition)));
    }

    pub(crate) fn clear(&mut self) {
        self.verdicts.clear();
        self.applied = 0;
        self.dead.clear();
        for view in &mut self.views {
            match view {
                ViewChanges::Index(index) => index.clear(),
                ViewChanges::Rollup(rollup) => rollup.clear(),
            }
        }
    }
}

/// The verdict row of a record that was not applied. Of the transition only its record is looked at besides the verdict: of
/// one that was taken as given nothing else is known.
fn verdict_row(transition: Transition<'_>) -> verdict::Row {
    verdict::Row { verdict: transition.verdict }
}

// === impl DeadLetter ===

impl DeadLetter {
    fn of(transition: &Transition<'_>) -> Option<DeadLetter> {
        let Verdict::Dead(reason) = &transition.verdict else { return None };
        let bytes = |bytes: Option<&[u8]>| Bytes::copy_from_slice(bytes.unwrap_or_default());
        Some(DeadLetter {
            offset: transition.offset,
            key: bytes(transition.key),
            publisher: bytes(form::publisher(transition.headers)),
            code: reason.code.clone(),
        })
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

    /// How many rows are touched, and the bytes of their keys and values.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.rows.len(), self.keys.size_bytes() + self.values.len())
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

    /// Takes in what one record does to groups.
    pub(crate) fn net(&mut self, rows: &RollupRows, offset: Offset) {
        for (key, count, parts) in rows.deltas() {
            let (key, _) = self.keys.number(key);
            self.deltas.push(GroupDelta { key, offset, count });
            for part in parts {
                let part = match *part {
                    Part::Extreme(from, until) => {
                        let start = self.bytes.len() as u32;
                        self.bytes.extend_from_slice(rows.extreme(from, until));
                        Part::Extreme(start, self.bytes.len() as u32)
                    }
                    part => part,
                };
                self.parts.push(part);
            }
        }
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

    fn clear(&mut self) {
        self.keys.clear();
        self.deltas.clear();
        self.parts.clear();
        self.bytes.clear();
    }
}
