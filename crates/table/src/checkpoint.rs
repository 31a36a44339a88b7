//! Where a partition's fold stands.

use std::hash::Hasher;

use tidefold_record::{Offset, RecordRef};

/// The next offset to read, and what proves that the log is still the one that was read: the digest of the last record
/// read. Stored under the partition's number (4 bytes big-endian), stamped with `next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The next offset to read: everything before it is in the tables.
    pub next: Offset,
    /// The last record read, `next` itself where nothing was read yet.
    pub last: Offset,
    /// The digest of the last record read; 0 where nothing was read yet.
    pub digest: u64,
    /// The append time of the last record read that had one, in microseconds: the age of the tables; 0 if none had.
    pub appended_at_micros: i64,
}

impl Checkpoint {
    /// Nothing read yet.
    pub const START: Checkpoint =
        Checkpoint { next: Offset::ZERO, last: Offset::ZERO, digest: 0, appended_at_micros: 0 };

    /// The row's value.
    #[must_use]
    pub fn encode(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.next.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.last.0.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.digest.to_be_bytes());
        bytes[24..].copy_from_slice(&self.appended_at_micros.to_be_bytes());
        bytes
    }

    /// Reads what [`Checkpoint::encode`] wrote.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Checkpoint> {
        let word = |at: usize| -> Option<[u8; 8]> { bytes.get(at..at + 8)?.try_into().ok() };
        if bytes.len() != 32 {
            return None;
        }
        Some(Checkpoint {
            next: Offset(u64::from_be_bytes(word(0)?)),
            last: Offset(u64::from_be_bytes(word(8)?)),
            digest: u64::from_be_bytes(word(16)?),
            appended_at_micros: i64::from_be_bytes(word(24)?),
        })
    }
}

/// The digest of a record: key, value and headers, with their lengths. An absent key or value differs from an empty one.
#[must_use]
pub fn digest(record: &RecordRef<'_>) -> u64 {
    let mut hash = twox_hash::XxHash3_64::default();
    for part in [record.key, record.value, Some(record.headers.as_bytes())] {
        hash.write(&part.map_or(u64::MAX, |bytes| bytes.len() as u64).to_be_bytes());
        hash.write(part.unwrap_or_default());
    }
    hash.finish()
}
