//! The row cache: rows by key, with a byte budget. Rows with an unacknowledged write are never evicted (I2).

use bytes::Bytes;

/// Rows of one table that a partition's fold works on.
#[derive(Debug)]
pub struct RowCache {
    budget_bytes: usize,
}

impl RowCache {
    /// An empty cache. `complete`: the table is known to be empty in the store, so a key that is not in the cache has
    /// no row, for as long as nothing was evicted.
    #[must_use]
    pub fn new(budget_bytes: usize, complete: bool) -> RowCache {
        let _ = complete;
        RowCache { budget_bytes }
    }

    /// Those of the keys whose row is not known: to be loaded and given to [`RowCache::loaded`]. Each key once.
    pub fn missing<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]>) -> Vec<Bytes> {
        let _ = (keys, self.budget_bytes);
        unimplemented!()
    }

    /// A row as it was loaded (`None`: the store has none).
    pub fn loaded(&mut self, key: Bytes, row: Option<Bytes>) {
        let _ = (key, row);
        unimplemented!()
    }

    /// All writes so far are acknowledged: rows may be evicted down to the budget.
    pub fn acknowledged(&mut self) {
        unimplemented!()
    }

    /// Forgets every row (I5, and the rule of the newer row).
    pub fn clear(&mut self) {
        unimplemented!()
    }

    /// Bytes held: keys, values and bookkeeping.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        unimplemented!()
    }
}
