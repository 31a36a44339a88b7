//! Where a partition's fold stands.
//!
//! Key: the partition (4 bytes big-endian). Value, format 0: the next offset to read (8 bytes big-endian, the first of which
//! is the format), the offset of the last record read (8), its digest (8), the append time of the last record that had one in
//! microseconds since 1970 (8). The stamp is that of `next`.

use std::hash::Hasher;

use bytes::Bytes;
use tidefold_record::{Offset, Partition, RecordRef};

use crate::damage::Broken;
use crate::wire::{self, Reader};

/// The next offset to read, and what proves that the log is still the one that was read: the digest of the last record
/// read.
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
        bytes[..8].copy_from_slice(&wire::stamped(self.next));
        bytes[8..16].copy_from_slice(&self.last.0.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.digest.to_be_bytes());
        bytes[24..].copy_from_slice(&self.appended_at_micros.to_be_bytes());
        bytes
    }

    /// Reads what [`Checkpoint::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are no value of a checkpoint.
    pub fn decode(bytes: &[u8]) -> Result<Checkpoint, Broken> {
        let (next, mut reader) = wire::head(bytes)?;
        let last = Offset(reader.part("last offset", Reader::u64)?);
        let digest = reader.part("digest", Reader::u64)?;
        let appended_at_micros = reader.part("append time", Reader::i64)?;
        if last > next {
            return Err(Broken::Part { part: "last offset", at: 8, size: bytes.len() });
        }
        reader.end()?;
        Ok(Checkpoint { next, last, digest, appended_at_micros })
    }
}

/// The key of a partition's checkpoint.
#[must_use]
pub fn key(partition: Partition) -> Bytes {
    Bytes::copy_from_slice(&partition.0.to_be_bytes())
}

/// Reads what [`key`] wrote.
///
/// # Errors
/// When the bytes are no key of a checkpoint.
pub fn key_of(bytes: &[u8]) -> Result<Partition, Broken> {
    let mut reader = Reader::new(bytes);
    let partition = reader.part("partition", Reader::array)?;
    reader.end()?;
    Ok(Partition(u32::from_be_bytes(partition)))
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
