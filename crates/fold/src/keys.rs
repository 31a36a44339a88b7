//! Keys that a batch touches, each once, in one buffer.

use ahash::RandomState;
use hashbrown::HashTable;

/// Keys numbered in the order they were first seen.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    hasher: RandomState,
    table: HashTable<u32>,
    bytes: Vec<u8>,
    /// Where each key ends, and its hash.
    ends: Vec<(usize, u64)>,
}

// === impl KeySet ===

impl KeySet {
    /// The number of a key, and whether it is new.
    pub(crate) fn number(&mut self, key: &[u8]) -> (u32, bool) {
        let hash = self.hasher.hash_one(key);
        let (bytes, ends) = (&self.bytes, &self.ends);
        if let Some(found) = self.table.find(hash, |number| key_at(bytes, ends, *number) == key) {
            return (*found, false);
        }
        let number = self.ends.len() as u32;
        self.bytes.extend_from_slice(key);
        self.ends.push((self.bytes.len(), hash));
        let ends = &self.ends;
        self.table.insert_unique(hash, number, |number| ends.get(*number as usize).map_or(0, |end| end.1));
        (number, true)
    }

    /// The number of a key that is there.
    pub(crate) fn find(&self, key: &[u8]) -> Option<u32> {
        let same = |number: &u32| key_at(&self.bytes, &self.ends, *number) == key;
        self.table.find(self.hasher.hash_one(key), same).copied()
    }

    pub(crate) fn key(&self, number: u32) -> &[u8] {
        key_at(&self.bytes, &self.ends, number)
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of all keys.
    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len() as u32).map(|number| self.key(number))
    }

    pub(crate) fn clear(&mut self) {
        self.table.clear();
        self.bytes.clear();
        self.ends.clear();
    }
}

fn key_at<'a>(bytes: &'a [u8], ends: &[(usize, u64)], number: u32) -> &'a [u8] {
    let number = number as usize;
    let start = number.checked_sub(1).and_then(|before| ends.get(before)).map_or(0, |end| end.0);
    let end = ends.get(number).map_or(start, |end| end.0);
    bytes.get(start..end).unwrap_or_default()
}
