//! The row cache: rows by key, with a byte budget. Rows with an unacknowledged write are never evicted (I2), nor are
//! rows that were asked for and not folded yet.
//!
//! Eviction goes round like a clock's hand: a row that was used since the hand last passed gets another round.

use ahash::RandomState;
use bytes::Bytes;
use hashbrown::HashTable;
use smallvec::SmallVec;

/// What a row costs besides its bytes: its place, its share of the table, two allocations.
const ROW_BYTES: usize = 128;

/// Rows of one table that a partition's fold works on.
#[derive(Debug)]
pub struct RowCache {
    budget_bytes: usize,
    complete: bool,
    size_bytes: usize,
    hasher: RandomState,
    table: HashTable<u32>,
    rows: Vec<CachedRow>,
    free: Vec<u32>,
    hand: usize,
    round: u32,
    /// The places of the keys that the last `missing` was asked for, in its order.
    asked: Vec<u32>,
    wanted: Vec<u32>,
    dirty: Vec<u32>,
    touched: Vec<u32>,
}

/// The place of a row in its cache, good until the next [`RowCache::acknowledged`] or [`RowCache::clear`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowSlot(pub(crate) u32);

/// A key; a short one lies in the row itself, so that comparing it costs no second look into memory.
type RowKey = SmallVec<[u8; 32]>;

#[derive(Debug, Default)]
struct CachedRow {
    hash: u64,
    key: RowKey,
    value: Vec<u8>,
    known: Known,
    /// Used since the hand last passed.
    used: bool,
    /// Asked for and not folded yet.
    wanted: bool,
    /// Written and not acknowledged yet.
    dirty: bool,
    /// Written since the last batch's writes were made.
    touched: bool,
    /// The value was written here, not loaded.
    own: bool,
    /// The last `missing` that reported it.
    reported: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Known {
    /// The place is free.
    #[default]
    Free,
    /// Asked for, not loaded yet.
    Unknown,
    /// The table has no such row.
    Absent,
    /// The row is `value`.
    Present,
}

// === impl RowCache ===

impl RowCache {
    /// An empty cache. `complete`: the table is known to be empty in the store, so a key that is not in the cache has
    /// no row, for as long as nothing was evicted.
    #[must_use]
    pub fn new(budget_bytes: usize, complete: bool) -> RowCache {
        RowCache {
            budget_bytes,
            complete,
            size_bytes: 0,
            hasher: RandomState::new(),
            table: HashTable::new(),
            rows: Vec::new(),
            free: Vec::new(),
            hand: 0,
            round: 0,
            asked: Vec::new(),
            wanted: Vec::new(),
            dirty: Vec::new(),
            touched: Vec::new(),
        }
    }

    /// Those of the keys whose row is not known: to be loaded and given to [`RowCache::loaded`]. Each key once. The rows
    /// of all the keys then stay until they were folded, whatever is acknowledged in between.
    pub fn missing<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]>) -> Vec<Bytes> {
        self.round = self.round.wrapping_add(1);
        self.asked.clear();
        let mut missing = Vec::new();
        for key in keys {
            let slot = self.want(key);
            self.asked.push(slot.0);
            let round = self.round;
            let Some(row) = self.rows.get_mut(slot.0 as usize) else { continue };
            if row.known == Known::Unknown && row.reported != round {
                row.reported = round;
                missing.push(Bytes::copy_from_slice(key));
            }
        }
        missing
    }

    /// A row as it was loaded (`None`: the store has none). A row that is known already stays as it is: it was written
    /// since, or loaded twice.
    pub fn loaded(&mut self, key: Bytes, row: Option<Bytes>) {
        let slot = self.want(&key);
        let Some(cached) = self.rows.get_mut(slot.0 as usize) else { return };
        if cached.known != Known::Unknown {
            return;
        }
        match row {
            Some(value) => {
                cached.value = value.to_vec();
                self.size_bytes += cached.value.capacity();
                cached.known = Known::Present;
            }
            None => cached.known = Known::Absent,
        }
    }

    /// All writes so far are acknowledged: rows may be evicted down to the budget.
    pub fn acknowledged(&mut self) {
        for at in self.dirty.drain(..) {
            if let Some(row) = self.rows.get_mut(at as usize) {
                row.dirty = false;
            }
        }
        let mut steps = 2 * self.rows.len();
        while self.size_bytes > self.budget_bytes && steps > 0 {
            steps -= 1;
            self.turn_hand();
        }
    }

    /// Forgets every row (I5, and the rule of the newer row). Rows with an unacknowledged write are forgotten too: wait
    /// for them first, or give up the partition.
    pub fn clear(&mut self) {
        self.complete = false;
        self.size_bytes = 0;
        self.table.clear();
        self.rows.clear();
        self.free.clear();
        self.wanted.clear();
        self.dirty.clear();
        self.touched.clear();
        self.asked.clear();
        self.hand = 0;
    }

    /// Bytes held: keys, values and bookkeeping.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// The row of a key, where it is known and there is one.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.value(self.find(key)?)
    }

    /// Every row that is known to be there, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let there = self.rows.iter().filter(|row| row.known == Known::Present);
        there.map(|row| (&row.key[..], &row.value[..]))
    }

    /// The place of a key whose row is known, there or not. In a complete cache every key is known. `nth` says as how
    /// many'th key it may have been asked for last: then it need not be looked up.
    pub(crate) fn known(&mut self, key: &[u8], nth: usize) -> Option<RowSlot> {
        let asked = self.asked.get(nth).map(|at| RowSlot(*at));
        let slot = match asked.filter(|slot| self.row(*slot).is_some_and(|row| row.key[..] == *key)) {
            Some(slot) => slot,
            None if self.complete => self.want(key),
            None => self.find(key)?,
        };
        (self.row(slot)?.known != Known::Unknown).then_some(slot)
    }

    /// The row at a place, if there is one.
    pub(crate) fn value(&self, slot: RowSlot) -> Option<&[u8]> {
        self.row(slot).filter(|row| row.known == Known::Present).map(|row| &*row.value)
    }

    /// Whether the row at a place was written here since it was loaded, if it was loaded at all: then its bytes are known to
    /// be right.
    pub(crate) fn is_own(&self, slot: RowSlot) -> bool {
        self.row(slot).is_some_and(|row| row.own)
    }

    /// The key at a place.
    pub(crate) fn key(&self, slot: RowSlot) -> &[u8] {
        self.row(slot).map_or(&[], |row| &row.key)
    }

    /// Writes a row; it then stays until acknowledged.
    pub(crate) fn put(&mut self, slot: RowSlot, value: &[u8]) {
        let Some(row) = self.rows.get_mut(slot.0 as usize) else { return };
        let before = row.value.capacity();
        row.value.clear();
        if before < value.len() || before > 2 * value.len() + 64 {
            // A row that grew mostly grows again: by the id of each message, until there are eight. What it held is not to be
            // copied.
            row.value = Vec::with_capacity(value.len() + value.len() / 4);
        }
        row.value.extend_from_slice(value);
        self.size_bytes = (self.size_bytes + row.value.capacity()).saturating_sub(before);
        row.known = Known::Present;
        row.own = true;
        row.used = true;
        if !std::mem::replace(&mut row.dirty, true) {
            self.dirty.push(slot.0);
        }
        if !std::mem::replace(&mut row.touched, true) {
            self.touched.push(slot.0);
        }
    }

    /// How many rows that will be, and the bytes of their keys and values.
    pub(crate) fn touched_size(&self) -> (usize, usize) {
        let rows = self.touched.iter().filter_map(|at| self.rows.get(*at as usize));
        (self.touched.len(), rows.map(|row| row.key.len() + row.value.len()).sum())
    }

    /// The rows written since this was last asked, each once, in the order of their first write.
    pub(crate) fn take_touched(&mut self) -> Vec<RowSlot> {
        for at in &self.touched {
            if let Some(row) = self.rows.get_mut(*at as usize) {
                row.touched = false;
            }
        }
        self.touched.drain(..).map(RowSlot).collect()
    }

    /// What was asked for was folded.
    pub(crate) fn folded(&mut self) {
        for at in self.wanted.drain(..) {
            if let Some(row) = self.rows.get_mut(at as usize) {
                row.wanted = false;
            }
        }
    }

    fn row(&self, slot: RowSlot) -> Option<&CachedRow> {
        self.rows.get(slot.0 as usize)
    }

    fn find(&self, key: &[u8]) -> Option<RowSlot> {
        let same = |at: &u32| self.rows.get(*at as usize).is_some_and(|row| row.key[..] == *key);
        self.table.find(self.hasher.hash_one(key), same).map(|at| RowSlot(*at))
    }

    /// The place of a key, made if there is none, and kept until folded.
    fn want(&mut self, key: &[u8]) -> RowSlot {
        let hash = self.hasher.hash_one(key);
        let rows = &self.rows;
        let same = |at: &u32| rows.get(*at as usize).is_some_and(|row| row.key[..] == *key);
        let slot = match self.table.find(hash, same) {
            Some(at) => *at,
            None => self.insert(hash, key),
        };
        if let Some(row) = self.rows.get_mut(slot as usize) {
            row.used = true;
            if !std::mem::replace(&mut row.wanted, true) {
                self.wanted.push(slot);
            }
        }
        RowSlot(slot)
    }

    fn insert(&mut self, hash: u64, key: &[u8]) -> u32 {
        let known = if self.complete { Known::Absent } else { Known::Unknown };
        let row = CachedRow { hash, key: key.into(), known, ..CachedRow::default() };
        self.size_bytes += key.len() + ROW_BYTES;
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.rows.push(CachedRow::default());
                self.rows.len() as u32 - 1
            }
        };
        if let Some(place) = self.rows.get_mut(at as usize) {
            *place = row;
        }
        let rows = &self.rows;
        let rehash = |at: &u32| rows.get(*at as usize).map_or(0, |row| row.hash);
        self.table.insert_unique(hash, at, rehash);
        at
    }

    /// Moves the hand past one place; evicts the row there if it was not used and may go.
    fn turn_hand(&mut self) {
        let at = if self.hand < self.rows.len() { self.hand } else { 0 };
        self.hand = at + 1;
        let Some(row) = self.rows.get_mut(at) else { return };
        if row.known == Known::Free || row.wanted || row.dirty || std::mem::take(&mut row.used) {
            return;
        }
        if let Ok(entry) = self.table.find_entry(row.hash, |found| *found as usize == at) {
            entry.remove();
        }
        self.size_bytes = self.size_bytes.saturating_sub(row.key.len() + row.value.capacity() + ROW_BYTES);
        self.complete &= row.known != Known::Present;
        *row = CachedRow::default();
        self.free.push(at as u32);
    }
}
