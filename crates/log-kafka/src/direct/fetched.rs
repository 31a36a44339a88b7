//! What a broker sends of a partition, as records of ours. Values only.

use bytes::{Buf, Bytes};
use tidefold_log::ReadLimit;
use tidefold_record::{BatchBuilder, HeadersBuilder, Offset, Partition, RecordBatch};

use super::records::{CRC, HEAD, Odd, UNCOUNTED};
use super::unpack::unpack;

/// Records of one partition in the making, from one answer or several.
pub(crate) struct Fetched {
    partition: Partition,
    limit: ReadLimit,
    batch: BatchBuilder,
    offsets: Vec<Offset>,
    headers: HeadersBuilder,
    next: Offset,
    is_full: bool,
    /// Of the batches that were opened: bytes as they came, and records, whether taken or not.
    packed: (usize, usize),
}

/// Transactions of other producers that came to nothing, as an answer lists them for its records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aborted {
    /// Producer and first offset of those that are still to come, the next one last.
    coming: Vec<(i64, u64)>,
    /// The producers whose records come to nothing here.
    open: Vec<i64>,
}

/// What stands before the records of a Kafka batch.
struct Head {
    base: u64,
    attributes: i16,
    last: u32,
    count: u32,
    producer: i64,
}

/// Bits of the attributes: which compression, whether the batch is of a transaction, and whether it marks the end of one.
const COMPRESSION: i16 = 0b111;
const TRANSACTION: i16 = 0b1_0000;
const MARKER: i16 = 0b10_0000;
/// What a marker says of its transaction.
const ABORT: [u8; 2] = [0, 0];

// === impl Fetched ===

impl Fetched {
    pub(crate) fn new(partition: Partition, from: Offset, limit: ReadLimit) -> Fetched {
        Fetched {
            partition,
            // A read gives a record at least.
            limit: ReadLimit { records: limit.records.max(1), bytes: limit.bytes.max(1) },
            batch: BatchBuilder::new(),
            offsets: Vec::new(),
            headers: HeadersBuilder::new(),
            next: from,
            is_full: false,
            packed: (0, 0),
        }
    }

    /// Where to go on.
    pub(crate) fn next(&self) -> Offset {
        self.next
    }

    pub(crate) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// How many bytes a record took on its way; none where there was no record.
    pub(crate) fn record_bytes(&self) -> Option<usize> {
        let (bytes, records) = self.packed;
        bytes.checked_div(records)
    }

    /// Whether the limit allows no more.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full || self.len() >= self.limit.records || self.batch.size_bytes() >= self.limit.bytes
    }

    /// Adds what an answer holds, a batch that was cut off at its end aside. What was added before something odd stays.
    pub(crate) fn add(&mut self, mut bytes: Bytes, mut aborted: Aborted) -> Result<(), Odd> {
        while let Some(head) = bytes.get(..HEAD) {
            let (head, size) = Head::read(head)?;
            if bytes.len() < size || self.is_full() {
                return Ok(());
            }
            let batch = bytes.split_to(size);
            let sum = crc32c::crc32c(batch.get(CRC + 4..).unwrap_or_default());
            if batch.get(CRC..CRC + 4) != Some(&sum.to_be_bytes()) {
                return Err(Odd("a checksum that does not fit"));
            }
            let last = Offset(head.base + u64::from(head.last));
            let packed = batch.get(HEAD..).unwrap_or_default();
            let counts = aborted.counts(&head, packed)?;
            if last >= self.next {
                self.packed = (self.packed.0 + size, self.packed.1 + head.count as usize);
                if counts {
                    self.records(&head, &unpack(head.attributes & COMPRESSION, packed)?)?;
                }
                if !self.is_full {
                    self.next = last.next();
                }
            }
        }
        Ok(())
    }

    fn records(&mut self, head: &Head, mut bytes: &[u8]) -> Result<(), Odd> {
        for _ in 0..head.count {
            let record = take_bytes(&mut bytes)?.ok_or(Odd("a record without a length"))?;
            self.record(head, record)?;
            if self.is_full {
                break;
            }
        }
        Ok(())
    }

    fn record(&mut self, head: &Head, mut bytes: &[u8]) -> Result<(), Odd> {
        bytes = bytes.get(1..).ok_or(Odd("a record that breaks off"))?;
        let _time = take_varint(&mut bytes)?;
        let delta = u32::try_from(take_varint(&mut bytes)?).ok().filter(|delta| *delta <= head.last);
        let offset = Offset(head.base + u64::from(delta.ok_or(Odd("a record outside of its batch"))?));
        if offset < self.next {
            return Ok(());
        }
        if self.is_full() {
            // It is the first of the next read.
            self.is_full = true;
            self.next = offset;
            return Ok(());
        }
        let (key, value) = (take_bytes(&mut bytes)?, take_bytes(&mut bytes)?);
        self.headers.clear();
        for _ in 0..take_varint(&mut bytes)? {
            let name = take_bytes(&mut bytes)?.unwrap_or_default();
            let value = take_bytes(&mut bytes)?.unwrap_or_default();
            self.headers.push_named(&String::from_utf8_lossy(name), value);
        }
        self.batch.push(key, value, self.headers.as_headers());
        self.offsets.push(offset);
        self.next = offset.next();
        Ok(())
    }

    /// All of it; reading goes on at [`Fetched::next`].
    pub(crate) fn finish(self) -> RecordBatch {
        self.batch.build_sparse(self.partition, &self.offsets, self.next)
    }
}

// === impl Aborted ===

impl Aborted {
    /// Of pairs of producer and first offset.
    pub(crate) fn new(listed: impl Iterator<Item = (i64, u64)>) -> Aborted {
        let mut coming: Vec<_> = listed.collect();
        coming.sort_unstable_by_key(|(_, first)| std::cmp::Reverse(*first));
        Aborted { coming, open: Vec::new() }
    }

    /// Whether a batch's records are messages; asked of one batch after the other.
    fn counts(&mut self, head: &Head, packed: &[u8]) -> Result<bool, Odd> {
        let last = head.base + u64::from(head.last);
        while let Some((producer, _)) = self.coming.pop_if(|(_, first)| *first <= last) {
            self.open.push(producer);
        }
        if head.attributes & MARKER != 0 {
            if marker(packed)? == ABORT {
                self.open.retain(|producer| *producer != head.producer);
            }
            return Ok(false);
        }
        Ok(head.attributes & TRANSACTION == 0 || !self.open.contains(&head.producer))
    }
}

/// What the one record of a marker says: its key is a version and a kind.
fn marker(mut bytes: &[u8]) -> Result<[u8; 2], Odd> {
    const BROKEN: Odd = Odd("the end of a transaction that breaks off");
    let mut record = take_bytes(&mut bytes)?.and_then(|record| record.get(1..)).ok_or(BROKEN)?;
    let (_time, _offset) = (take_varint(&mut record)?, take_varint(&mut record)?);
    match take_bytes(&mut record)? {
        Some([_, _, kind @ ..]) => kind.first_chunk().copied().ok_or(BROKEN),
        _ => Err(BROKEN),
    }
}

// === impl Head ===

impl Head {
    /// The head, and how many bytes the whole batch has.
    fn read(mut bytes: &[u8]) -> Result<(Head, usize), Odd> {
        let base = bytes.get_i64();
        let length = usize::try_from(bytes.get_i32()).map_err(|_| Odd("a batch without a length"))?;
        let _leader_epoch = bytes.get_i32();
        if bytes.get_i8() != 2 {
            return Err(Odd("the message format of brokers before 0.11"));
        }
        let _crc = bytes.get_u32();
        let attributes = bytes.get_i16();
        let last = bytes.get_i32();
        let (_first_time, _last_time) = (bytes.get_i64(), bytes.get_i64());
        let producer = bytes.get_i64();
        let (_epoch, _sequence) = (bytes.get_i16(), bytes.get_i32());
        let count = bytes.get_i32();
        let size = UNCOUNTED + length;
        match (u64::try_from(base), u32::try_from(last), u32::try_from(count)) {
            (Ok(base), Ok(last), Ok(count)) if size >= HEAD => {
                Ok((Head { base, attributes, last, count, producer }, size))
            }
            _ => Err(Odd("a batch with numbers below zero")),
        }
    }
}

fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Odd> {
    let Ok(size) = usize::try_from(take_varint(bytes)?) else { return Ok(None) };
    let (taken, rest) = bytes.split_at_checked(size).ok_or(Odd("a record that breaks off"))?;
    *bytes = rest;
    Ok(Some(taken))
}

fn take_varint(bytes: &mut &[u8]) -> Result<i64, Odd> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(Odd("a record that breaks off"))?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((number >> 1) as i64 ^ -((number & 1) as i64));
        }
    }
    Err(Odd("a number without an end"))
}

#[cfg(test)]
mod tests;
