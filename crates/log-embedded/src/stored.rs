//! The unit in which records lie in fjall: many records of one partition under one key.
//!
//! Key: partition, then the offset of the first record, both big-endian, so units lie in the order of their records.
//! Value: format byte, CRC-32C (of the key, the count and the records, little-endian), count of records
//! (little-endian), then the records as [`tidefold_record::batch`] encodes them.

use bytes::Bytes;
use fjall::Slice;
use tidefold_record::{Offset, Partition, RecordBatch};

const FORMAT: u8 = 1;
const CHECKSUM: std::ops::Range<usize> = 1..5;
const COUNT: std::ops::Range<usize> = 5..9;
const HEADER_BYTES: usize = 9;

/// A unit closes when it has so many records or bytes: a read of a few records should not decode many more.
pub(crate) const UNIT_RECORDS: usize = 4_096;
pub(crate) const UNIT_BYTES: usize = 1 << 20;

/// A unit being filled.
pub(crate) struct OpenUnit {
    pub first: Offset,
    count: u32,
    value: Vec<u8>,
}

/// A unit, checked.
#[derive(Clone)]
pub(crate) struct Unit {
    pub first: Offset,
    count: u32,
    records: Bytes,
}

// === impl OpenUnit ===

impl OpenUnit {
    pub fn new(first: Offset) -> OpenUnit {
        OpenUnit { first, count: 0, value: vec![0; HEADER_BYTES] }
    }

    /// Adds encoded records; gives them back by refusing when the unit would grow too large with them.
    pub fn push(&mut self, count: usize, records: &[u8]) -> bool {
        let fits =
            self.count as usize + count <= UNIT_RECORDS && self.value.len() + records.len() <= UNIT_BYTES;
        if !fits && self.count > 0 {
            return false;
        }
        self.count += count as u32;
        self.value.extend_from_slice(records);
        true
    }

    /// Where the next record would stand.
    pub fn next(&self) -> Offset {
        self.first.advance(u64::from(self.count))
    }

    /// Closes the unit: key and value for fjall.
    pub fn close(mut self, partition: Partition) -> ([u8; 12], Slice) {
        let key = key(partition, self.first);
        if let Some(header) = self.value.get_mut(..HEADER_BYTES) {
            header[0] = FORMAT;
            header[COUNT].copy_from_slice(&self.count.to_le_bytes());
        }
        let sum = checksum(&key, &self.value);
        if let Some(field) = self.value.get_mut(CHECKSUM) {
            field.copy_from_slice(&sum.to_le_bytes());
        }
        (key, Slice::from(self.value))
    }
}

// === impl Unit ===

impl Unit {
    /// Takes a unit as it lies in fjall, or tells what is wrong with it.
    pub fn check(partition: Partition, key: &[u8], value: Slice) -> Result<Unit, String> {
        let first = first_of(key).ok_or_else(|| format!("a key of {} bytes instead of 12", key.len()))?;
        if key.get(..4) != Some(&partition.0.to_be_bytes()[..]) {
            return Err("a key of another partition".to_owned());
        }
        let (format, sum, count) =
            header(&value).ok_or_else(|| "a stored unit that breaks off".to_owned())?;
        if format != FORMAT {
            return Err(format!("stored in format {format}, and this version reads format {FORMAT}"));
        }
        if sum != checksum(key, &value) {
            return Err("the checksum does not match".to_owned());
        }
        Ok(Unit { first, count, records: Bytes::from_owner(value).slice(HEADER_BYTES..) })
    }

    /// A unit this process has just closed.
    pub fn fresh(key: &[u8], value: Slice) -> Option<Unit> {
        let (_, _, count) = header(&value)?;
        Some(Unit { first: first_of(key)?, count, records: Bytes::from_owner(value).slice(HEADER_BYTES..) })
    }

    /// The offset after its last record.
    pub fn next(&self) -> Offset {
        self.first.advance(u64::from(self.count))
    }

    pub fn size_bytes(&self) -> usize {
        self.records.len()
    }

    pub fn records(&self) -> &[u8] {
        &self.records
    }

    /// Its records.
    pub fn decode(&self, partition: Partition) -> Result<RecordBatch, String> {
        decode(partition, self.first, self.next(), self.records.clone())
    }
}

/// The records from `first` up to `next`, of which these bytes are the encoding.
pub(crate) fn decode(
    partition: Partition,
    first: Offset,
    next: Offset,
    records: Bytes,
) -> Result<RecordBatch, String> {
    let batch = RecordBatch::decode(partition, first, records).map_err(|error| error.to_string())?;
    if batch.next_offset() != next {
        return Err(format!("{} records where {} are counted", batch.len(), next.distance_from(first)));
    }
    Ok(batch)
}

pub(crate) fn key(partition: Partition, first: Offset) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&partition.0.to_be_bytes());
    key[4..].copy_from_slice(&first.0.to_be_bytes());
    key
}

/// The offset in a key.
pub(crate) fn first_of(key: &[u8]) -> Option<Offset> {
    let (_, first) = key.split_at_checked(4)?;
    Some(Offset(u64::from_be_bytes(first.try_into().ok()?)))
}

fn header(value: &[u8]) -> Option<(u8, u32, u32)> {
    let number = |at: std::ops::Range<usize>| Some(u32::from_le_bytes(value.get(at)?.try_into().ok()?));
    Some((*value.first()?, number(CHECKSUM)?, number(COUNT)?))
}

/// Of the key and of everything behind the checksum.
fn checksum(key: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), value.get(COUNT.start..).unwrap_or_default())
}
