//! Which messages were seen: the window over the last offsets of the partition.
//!
//! A message is the same message iff source, id and key are the same. It is a *duplicate* iff one with its id was applied or
//! rejected at most W offsets before it, or is among the last eight ids that its entity's row remembers. Dead letters do
//! not count, nor does a message that was itself rejected for a taken id.

use std::collections::VecDeque;

use hashbrown::HashTable;
use smallvec::SmallVec;
use tidefold_record::Offset;
use tidefold_table::entity::Seen;
use twox_hash::XxHash3_64;

/// The messages of the last W offsets, by id. The table holds sequence numbers, not ids, so that it stays small enough
/// for the processor's cache. Numbers of forgotten messages lead nowhere; they are thrown out when the table is full.
#[derive(Debug)]
pub(crate) struct Window {
    offsets: u64,
    queue: VecDeque<Seen>,
    /// The sequence number of the queue's front.
    first: u32,
    table: HashTable<u32>,
}

/// The identity of a message: 128 bits of BLAKE3 over source, id and record key, all of which are chosen outside: source
/// and id stand behind their lengths. The key belongs to it so that what counts does not depend on which keys share a
/// partition. Usual ones fit into one block of 64 bytes, which is what the hash costs by.
pub(crate) fn message_id(source: &[u8], id: &[u8], key: &[u8]) -> u128 {
    let mut bytes: SmallVec<[u8; 192]> = SmallVec::new();
    push_length(source.len(), &mut bytes);
    bytes.extend_from_slice(source);
    push_length(id.len(), &mut bytes);
    bytes.extend_from_slice(id);
    bytes.extend_from_slice(key);
    let hash = blake3::hash(&bytes);
    hash.as_bytes().first_chunk().map_or(0, |digest| u128::from_be_bytes(*digest))
}

/// Appends a length, seven bits a byte, the lowest first.
fn push_length(mut length: usize, bytes: &mut SmallVec<[u8; 192]>) {
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
}

/// What a type's payloads are digested with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PayloadSeed(u64);

// === impl PayloadSeed ===

impl PayloadSeed {
    pub(crate) fn of(message: &[u8]) -> PayloadSeed {
        PayloadSeed(XxHash3_64::oneshot(message))
    }

    /// The digest of a payload: of its type, and of its value as [`tidefold_codec::decode::Plan::value_bytes`] has it.
    pub(crate) fn digest(self, value: &[u8]) -> u64 {
        XxHash3_64::oneshot_with_seed(self.0, value)
    }
}

// === impl Window ===

impl Window {
    pub(crate) fn new(offsets: u64) -> Window {
        Window { offsets, queue: VecDeque::new(), first: 0, table: HashTable::new() }
    }

    /// Forgets what is more than W offsets before `now`.
    pub(crate) fn advance(&mut self, now: Offset) {
        while let Some(front) = self.queue.front() {
            if now.distance_from(front.offset) <= self.offsets {
                return;
            }
            self.queue.pop_front();
            self.first = self.first.wrapping_add(1);
        }
    }

    pub(crate) fn find(&self, id: u128) -> Option<Seen> {
        let at = self.table.find(id as u64, |at| self.at(*at).is_some_and(|seen| seen.id == id))?;
        self.at(*at)
    }

    /// Adds a message behind all others. One whose id is there already is left out: the first counts.
    pub(crate) fn push(&mut self, seen: Seen) {
        if self.find(seen.id).is_none() {
            self.push_new(seen);
        }
    }

    /// Adds a message whose id is not there.
    pub(crate) fn push_new(&mut self, seen: Seen) {
        if self.table.len() == self.table.capacity() {
            self.rebuild();
        }
        let at = self.first.wrapping_add(self.queue.len() as u32);
        self.queue.push_back(seen);
        // There is room, so nothing is hashed again.
        self.table.insert_unique(seen.id as u64, at, |_| 0);
    }

    /// Makes a table of what is not forgotten, with room for as much again.
    fn rebuild(&mut self) {
        self.table.clear();
        self.table.reserve(2 * self.queue.len() + 64, |_| 0);
        for (place, seen) in self.queue.iter().enumerate() {
            let at = self.first.wrapping_add(place as u32);
            self.table.insert_unique(seen.id as u64, at, |_| 0);
        }
    }

    fn at(&self, at: u32) -> Option<Seen> {
        self.queue.get(at.wrapping_sub(self.first) as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn source_id_and_key_do_not_run_into_each_other() {
        assert_ne!(message_id(b"ab", b"c", b"k"), message_id(b"a", b"bc", b"k"));
        assert_ne!(message_id(b"a", b"bc", b"k"), message_id(b"a", b"b", b"ck"));
        assert_ne!(message_id(b"", b"c", b"k"), message_id(b"c", b"", b"k"));
        assert_ne!(message_id(b"a", b"b", b"k"), message_id(b"a", b"b", b"l"));
        let long = vec![7; 300];
        assert_ne!(message_id(&long, b"c", b"k"), message_id(&long[..299], b"c", b"k"));
        assert_ne!(message_id(&long, b"c", b"k"), message_id(&long[..299], b"\x07c", b"k"));
    }

    proptest! {
        #[test]
        fn the_window_answers_as_a_list_of_all_messages_would(
            window in 0u64..20,
            ids in prop::collection::vec((0u128..12, 1u64..4), 0..200),
        ) {
            let mut fast = Window::new(window);
            let mut all: Vec<Seen> = Vec::new();
            let mut offset = 0;
            for (id, step) in ids {
                offset += step;
                let id = (id << 64) | (id % 3);
                fast.advance(Offset(offset));
                let expected = all.iter().rev().find(|seen| seen.id == id && offset - seen.offset.0 <= window);
                prop_assert_eq!(fast.find(id), expected.copied());
                if expected.is_none() {
                    let seen = Seen { id, payload: offset, offset: Offset(offset) };
                    all.push(seen);
                    fast.push(seen);
                }
            }
        }
    }
}
