//! The rows that one record makes in a view, in buffers that are used again for the next one.

use tidefold_table::component::Delta;
use tidefold_table::exact::Exact;

use crate::keys::KeySet;

/// What one record makes in one view.
#[derive(Debug)]
pub(crate) enum Made {
    /// The rows of an index before and after it.
    Index(IndexRows, IndexRows),
    /// What it does to the groups of a rollup.
    Rollup(RollupRows),
}

/// Rows of an index: keys and values in one buffer.
#[derive(Debug, Default)]
pub(crate) struct IndexRows {
    bytes: Vec<u8>,
    /// Where each row's key starts, its value starts, and it ends.
    rows: Vec<(usize, usize, usize)>,
}

/// What one record does to groups of a rollup: all of it to one group in one delta.
#[derive(Debug, Default)]
pub(crate) struct RollupRows {
    aggregates: usize,
    /// The key of the next row.
    key: Vec<u8>,
    keys: Vec<u8>,
    bytes: Vec<u8>,
    deltas: Vec<RowDelta>,
    parts: Vec<Part>,
    /// The groups by key, once there are many: their numbers, and the first delta of each.
    many: KeySet,
    firsts: Vec<usize>,
    /// So many deltas are among them.
    looked_up: usize,
    current: usize,
}

/// What a record does to one group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowDelta {
    /// Where the group's key stands.
    key: (usize, usize),
    pub(crate) count: i64,
}

/// [`Delta`], with the place of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Nothing,
    Count(i64),
    Sum(Exact, i64),
    Extreme(u32, u32),
    Distinct(u64),
}

/// So many groups of one record are looked through; more are looked up.
const FEW: usize = 8;

/// What a group takes of the bytes that a record may make in views, besides its key and the values of `min` and `max`; and
/// each of its aggregates.
const GROUP_BYTES: usize = 24;
const AGGREGATE_BYTES: usize = 40;

// === impl Made ===

impl Made {
    #[inline]
    pub(crate) fn clear(&mut self) {
        match self {
            Made::Index(old, new) => {
                old.clear();
                new.clear();
            }
            Made::Rollup(rows) => rows.clear(),
        }
    }
}

// === impl IndexRows ===

impl IndexRows {
    fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
    }

    /// Where a row's key and then its value are appended.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// What was appended from `start` on is a row, its value from `value` on.
    pub(crate) fn end(&mut self, start: usize, value: usize) {
        self.rows.push((start, value, self.bytes.len()));
    }

    /// A row's key and value.
    pub(crate) fn row(&self, at: usize) -> Option<(&[u8], &[u8])> {
        let (key, value, end) = *self.rows.get(at)?;
        Some((self.bytes.get(key..value)?, self.bytes.get(value..end)?))
    }

    /// The key of the row that was added last.
    pub(crate) fn last_key(&self) -> Option<&[u8]> {
        let (key, value, _) = *self.rows.last()?;
        self.bytes.get(key..value)
    }

    /// Sorts the rows by key; of rows with one key the last stays.
    pub(crate) fn settle(&mut self) {
        if self.rows.len() < 2 {
            return;
        }
        let bytes = &self.bytes;
        let key = |row: &(usize, usize, usize)| bytes.get(row.0..row.1).unwrap_or_default();
        self.rows.reverse();
        self.rows.sort_by(|a, b| key(a).cmp(key(b)));
        self.rows.dedup_by(|later, earlier| key(later) == key(earlier));
    }
}

// === impl RollupRows ===

impl RollupRows {
    pub(crate) fn new(aggregates: usize) -> RollupRows {
        RollupRows { aggregates, ..RollupRows::default() }
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.bytes.clear();
        self.deltas.clear();
        self.parts.clear();
        if !self.firsts.is_empty() {
            self.many.clear();
            self.firsts.clear();
            self.looked_up = 0;
        }
    }

    /// The most that a row takes whose key has so many bytes at most, and which has neither `min` nor `max`: a second delta
    /// for every component that cannot be added up.
    pub(crate) fn row_bytes(key: usize, components: usize) -> usize {
        key + (1 + components) * (GROUP_BYTES + AGGREGATE_BYTES * components)
    }

    /// Where the next row's key is written.
    pub(crate) fn key(&mut self) -> &mut Vec<u8> {
        self.key.clear();
        &mut self.key
    }

    /// Adds a row to the group of the key; its aggregates follow.
    pub(crate) fn add_row(&mut self, sign: i64) {
        self.current = match self.find() {
            Some(at) => at,
            None => {
                let start = self.keys.len();
                self.keys.extend_from_slice(&self.key);
                self.push((start, self.keys.len()))
            }
        };
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

    /// What it comes to so far.
    pub(crate) fn size_bytes(&self) -> usize {
        self.keys.len()
            + self.bytes.len()
            + GROUP_BYTES * self.deltas.len()
            + AGGREGATE_BYTES * self.parts.len()
    }

    /// What is done to each group, save where that is nothing: its key, how many rows it has more, and its aggregates.
    pub(crate) fn deltas(&self) -> impl Iterator<Item = (&[u8], i64, &[Part])> {
        self.deltas.iter().enumerate().filter_map(|(at, delta)| {
            let parts = self.parts.get(at * self.aggregates..(at + 1) * self.aggregates)?;
            if delta.count == 0 && parts.iter().all(Part::is_nothing) {
                return None;
            }
            Some((self.keys.get(delta.key.0..delta.key.1)?, delta.count, parts))
        })
    }

    /// The value of a `min` or `max`.
    pub(crate) fn extreme(&self, start: u32, end: u32) -> &[u8] {
        self.bytes.get(start as usize..end as usize).unwrap_or_default()
    }

    /// The first delta of the key's group.
    #[inline]
    fn find(&mut self) -> Option<usize> {
        if self.deltas.len() > FEW {
            return self.look_up();
        }
        let is_it = |delta: &RowDelta| self.keys.get(delta.key.0..delta.key.1) == Some(&self.key);
        self.deltas.iter().position(is_it)
    }

    #[cold]
    fn look_up(&mut self) -> Option<usize> {
        for (at, delta) in self.deltas.iter().enumerate().skip(self.looked_up) {
            let key = self.keys.get(delta.key.0..delta.key.1).unwrap_or_default();
            if self.many.number(key).1 {
                self.firsts.push(at);
            }
        }
        self.looked_up = self.deltas.len();
        self.firsts.get(self.many.find(&self.key)? as usize).copied()
    }

    /// A second value for an aggregate that cannot be added up: a second delta.
    fn add_again(&mut self, aggregate: usize, delta: Delta<'_>) {
        let Some(key) = self.deltas.get(self.current).map(|first| first.key) else { return };
        self.current = self.push(key);
        self.add(aggregate, delta);
    }

    fn push(&mut self, key: (usize, usize)) -> usize {
        self.deltas.push(RowDelta { key, count: 0 });
        self.parts.resize(self.parts.len() + self.aggregates, Part::Nothing);
        self.deltas.len() - 1
    }
}

// === impl Part ===

impl Part {
    fn is_nothing(&self) -> bool {
        matches!(self, Part::Nothing | Part::Count(0) | Part::Sum(Exact::ZERO, 0))
    }
}
