//! Many records of one partition in one buffer. A batch is what travels: ingest builds one for each partition, a log
//! stores and returns them, a fold walks over one without allocating.
//!
//! Encoding of one record: flags (bit 0 key present, bit 1 value present), then length-prefixed key (if present),
//! value (if present) and headers. The log keeps this encoding on disk, so it only ever grows new flags.

use bytes::Bytes;

use crate::headers::{Headers, HeadersError, read_length, write_length};
use crate::position::{Offset, Partition};

const HAS_KEY: u8 = 1;
const HAS_VALUE: u8 = 2;

/// Records of one partition, in offset order, read-only and cheap to clone.
#[derive(Clone, Debug)]
pub struct RecordBatch {
    partition: Partition,
    bytes: Bytes,
    index: std::sync::Arc<[(Offset, u32)]>,
    next: Offset,
}

/// One record of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// Its offset.
    pub offset: Offset,
    /// Its key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Its value, if it has one (a record without is a tombstone).
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Headers<'a>,
}

/// Collects records, to be appended or returned by a log.
#[derive(Clone, Debug, Default)]
pub struct BatchBuilder {
    bytes: Vec<u8>,
    starts: Vec<u32>,
}

/// Bytes that are not an encoded batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// A record breaks off or has an unknown flag.
    #[error("record {index} of the batch is damaged at byte {at}")]
    Damaged {
        /// Which record of the batch, from 0.
        index: usize,
        /// Where in the batch's bytes.
        at: usize,
    },
    /// The headers of a record are damaged.
    #[error("record {index} of the batch has damaged headers")]
    Headers {
        /// Which record of the batch, from 0.
        index: usize,
        /// What is wrong with them.
        source: HeadersError,
    },
}

// === impl BatchBuilder ===

impl BatchBuilder {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> BatchBuilder {
        BatchBuilder::default()
    }

    /// Nothing yet, with room for so much.
    #[must_use]
    pub fn with_capacity(records: usize, bytes: usize) -> BatchBuilder {
        BatchBuilder { bytes: Vec::with_capacity(bytes), starts: Vec::with_capacity(records) }
    }

    /// Adds a record.
    pub fn push(&mut self, key: Option<&[u8]>, value: Option<&[u8]>, headers: Headers<'_>) {
        self.starts.push(self.bytes.len() as u32);
        self.bytes.push(u8::from(key.is_some()) * HAS_KEY + u8::from(value.is_some()) * HAS_VALUE);
        for part in [key, value, Some(headers.as_bytes())].into_iter().flatten() {
            write_length(part.len(), &mut self.bytes);
            self.bytes.extend_from_slice(part);
        }
    }

    /// Adds all records of another builder, behind those here.
    pub fn append(&mut self, other: &BatchBuilder) {
        let base = self.bytes.len() as u32;
        self.starts.extend(other.starts.iter().map(|start| base + start));
        self.bytes.extend_from_slice(&other.bytes);
    }

    /// How many records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Size of the encoding.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets the records and keeps the buffers.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.starts.clear();
    }

    /// The encoding so far: what a log stores.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The encoding in pieces of whole records, each with how many it holds: at most `records`, and at most `bytes`
    /// unless one record alone is larger. For a log that keeps records in bounded units.
    pub fn pieces(&self, records: usize, bytes: usize) -> impl Iterator<Item = (usize, &[u8])> {
        let end_of = |i: usize| self.starts.get(i).map_or(self.bytes.len(), |start| *start as usize);
        let mut at = 0;
        std::iter::from_fn(move || {
            let first = at;
            let start = end_of(first);
            while at < self.starts.len()
                && (at == first || (at - first < records && end_of(at + 1) - start <= bytes))
            {
                at += 1;
            }
            let piece = self.bytes.get(start..end_of(at))?;
            (at > first).then_some((at - first, piece))
        })
    }

    /// The records in order, with offsets from `first` on.
    pub fn iter(&self, first: Offset) -> impl Iterator<Item = RecordRef<'_>> {
        self.starts
            .iter()
            .enumerate()
            .filter_map(move |(i, start)| record_at(&self.bytes, *start as usize, first.advance(i as u64)))
    }

    /// The batch these records make when the first of them stands at `first` and the rest follow without a gap.
    #[must_use]
    pub fn build(self, partition: Partition, first: Offset) -> RecordBatch {
        let index: Vec<_> =
            self.starts.iter().enumerate().map(|(i, start)| (first.advance(i as u64), *start)).collect();
        let next = first.advance(index.len() as u64);
        RecordBatch { partition, bytes: self.bytes.into(), index: index.into(), next }
    }

    /// The batch these records make at the given offsets, one each, rising. `next` is where reading goes on, which
    /// may lie behind a gap.
    #[must_use]
    pub fn build_sparse(self, partition: Partition, offsets: &[Offset], next: Offset) -> RecordBatch {
        let index: Vec<_> = offsets.iter().copied().zip(self.starts).collect();
        RecordBatch { partition, bytes: self.bytes.into(), index: index.into(), next }
    }
}

// === impl RecordBatch ===

impl RecordBatch {
    /// A batch without records; reading goes on at `next`.
    #[must_use]
    pub fn empty(partition: Partition, next: Offset) -> RecordBatch {
        RecordBatch { partition, bytes: Bytes::new(), index: [].into(), next }
    }

    /// Takes an encoding as a log stored it, `first` being the offset of its first record, after checking all of it.
    ///
    /// # Errors
    /// When the bytes are not an encoding of records.
    pub fn decode(partition: Partition, first: Offset, bytes: Bytes) -> Result<RecordBatch, BatchError> {
        let mut index = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let start = at;
            let damaged = BatchError::Damaged { index: index.len(), at };
            let headers = skip_record(&bytes, &mut at).ok_or(damaged)?;
            Headers::parse(headers).map_err(|source| BatchError::Headers { index: index.len(), source })?;
            index.push((first.advance(index.len() as u64), start as u32));
        }
        let next = first.advance(index.len() as u64);
        Ok(RecordBatch { partition, bytes, index: index.into(), next })
    }

    /// The encoding of the records.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The records from offset `from` on, without copying them: at most `records`, and none after the one with which
    /// their encoding reaches `bytes`, but always one if there is one. Reading goes on behind them.
    #[must_use]
    pub fn part(&self, from: Offset, records: usize, bytes: usize) -> RecordBatch {
        let begin = self.index.partition_point(|(offset, _)| *offset < from);
        let start_of = |i: usize| self.index.get(i).map_or(self.bytes.len(), |(_, start)| *start as usize);
        let start = start_of(begin);
        let mut end = begin;
        while end < self.index.len()
            && (end == begin || (end - begin < records && start_of(end) - start < bytes))
        {
            end += 1;
        }
        if begin == 0 && end == self.index.len() {
            return self.clone();
        }
        let kept = self.index.get(begin..end).unwrap_or_default();
        let index: Vec<_> = kept.iter().map(|(offset, at)| (*offset, at - start as u32)).collect();
        let next = self.index.get(end).map_or(self.next, |(offset, _)| *offset);
        let bytes = self.bytes.slice(start..start_of(end));
        RecordBatch { partition: self.partition, bytes, index: index.into(), next }
    }

    /// The partition the records stand in.
    #[must_use]
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// Where reading goes on.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.next
    }

    /// How many records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Size of the records' encoding.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The records, in offset order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = RecordRef<'_>> {
        self.index.iter().filter_map(|(offset, start)| record_at(&self.bytes, *start as usize, *offset))
    }

    /// The records before `until`; reading goes on there, if not earlier.
    #[must_use]
    pub fn before(mut self, until: Offset) -> RecordBatch {
        if until < self.next {
            let count = self.index.partition_point(|(offset, _)| *offset < until);
            let end = self.index.get(count).map_or(self.bytes.len(), |(_, start)| *start as usize);
            self.bytes.truncate(end);
            self.index = self.index.get(..count).unwrap_or_default().into();
            self.next = until;
        }
        self
    }

    /// The record at an offset, if the batch has it.
    #[must_use]
    pub fn get(&self, offset: Offset) -> Option<RecordRef<'_>> {
        let at = self.index.binary_search_by_key(&offset, |(found, _)| *found).ok()?;
        record_at(&self.bytes, self.index[at].1 as usize, offset)
    }
}

#[inline]
fn record_at(bytes: &[u8], start: usize, offset: Offset) -> Option<RecordRef<'_>> {
    let flags = *bytes.get(start)?;
    let mut at = start + 1;
    let key = if flags & HAS_KEY != 0 { Some(chunk(bytes, &mut at)?) } else { None };
    let value = if flags & HAS_VALUE != 0 { Some(chunk(bytes, &mut at)?) } else { None };
    let headers = Headers::trusted(chunk(bytes, &mut at)?);
    Some(RecordRef { offset, key, value, headers })
}

/// Moves past one record and returns its headers.
fn skip_record<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let flags = *bytes.get(*at)?;
    if flags & !(HAS_KEY | HAS_VALUE) != 0 {
        return None;
    }
    *at += 1;
    for _ in 0..flags.count_ones() {
        chunk(bytes, at)?;
    }
    chunk(bytes, at)
}

#[inline]
fn chunk<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let len = read_length(bytes, at)?;
    let end = at.checked_add(len)?;
    let chunk = bytes.get(*at..end)?;
    *at = end;
    Some(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::{HeadersBuilder, Known};
    use proptest::prelude::*;

    type Plain = (Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);

    fn plain() -> impl Strategy<Value = Plain> {
        let part = || prop::option::of(prop::collection::vec(any::<u8>(), 0..300));
        (part(), part(), part())
    }

    fn build(records: &[Plain]) -> BatchBuilder {
        let mut builder = BatchBuilder::new();
        for (key, value, id) in records {
            let mut headers = HeadersBuilder::new();
            if let Some(id) = id {
                headers.push(Known::Caller, id);
            }
            builder.push(key.as_deref(), value.as_deref(), headers.as_headers());
        }
        builder
    }

    fn read(batch: &RecordBatch) -> Vec<Plain> {
        batch
            .iter()
            .map(|r| {
                (
                    r.key.map(<[u8]>::to_vec),
                    r.value.map(<[u8]>::to_vec),
                    r.headers.get(Known::Caller).map(<[u8]>::to_vec),
                )
            })
            .collect()
    }

    proptest! {
        #[test]
        fn records_read_as_they_were_pushed(records in prop::collection::vec(plain(), 0..20), first in 0u64..1_000_000) {
            let builder = build(&records);
            let bytes = Bytes::copy_from_slice(builder.as_bytes());
            let built = builder.build(Partition(3), Offset(first));
            let decoded = RecordBatch::decode(Partition(3), Offset(first), bytes).unwrap();
            prop_assert_eq!(&read(&built), &records);
            prop_assert_eq!(&read(&decoded), &records);
            prop_assert_eq!(decoded.next_offset(), Offset(first + records.len() as u64));
            for (i, record) in built.iter().enumerate() {
                prop_assert_eq!(record.offset, Offset(first + i as u64));
                prop_assert_eq!(built.get(record.offset), Some(record));
            }
        }

        #[test]
        fn a_batch_ends_before_the_offset_asked_for(records in prop::collection::vec(plain(), 0..20), until in 0u64..60) {
            let offsets: Vec<_> = (0..records.len() as u64).map(|i| Offset(10 + 2 * i)).collect();
            let next = Offset(10 + 2 * records.len() as u64);
            let batch = build(&records).build_sparse(Partition(0), &offsets, next).before(Offset(until));
            let kept: Vec<_> = offsets.iter().filter(|offset| offset.0 < until).copied().collect();
            prop_assert_eq!(batch.iter().map(|record| record.offset).collect::<Vec<_>>(), kept);
            prop_assert_eq!(batch.next_offset(), next.min(Offset(until)));
        }

        #[test]
        fn a_part_holds_the_records_asked_for(
            records in prop::collection::vec(plain(), 1..20), from in 0u64..22, most in 0usize..25, bytes in 0usize..4_000,
        ) {
            let batch = build(&records).build(Partition(3), Offset(0));
            let part = batch.part(Offset(from), most, bytes);
            let rest: Vec<_> = records.iter().skip(from as usize).cloned().collect();
            prop_assert_eq!(read(&part), rest.get(..part.len()).unwrap().to_vec());
            prop_assert_eq!(part.is_empty(), rest.is_empty());
            prop_assert_eq!(part.next_offset(), Offset((from + part.len() as u64).min(records.len() as u64)));
            if let Some(last) = part.len().checked_sub(1) {
                prop_assert!(part.len() <= most.max(1));
                let without_last = batch.part(Offset(from), last.max(1), usize::MAX).size_bytes();
                prop_assert!(last == 0 || without_last < bytes);
                let full = part.len() == rest.len() || part.len() >= most.max(1) || part.size_bytes() >= bytes;
                prop_assert!(full, "stopped early");
            }
        }

        #[test]
        fn pieces_are_bounded_and_make_the_whole(
            records in prop::collection::vec(plain(), 0..20), most in 1usize..25, bytes in 1usize..2_000,
        ) {
            let builder = build(&records);
            let mut whole = Vec::new();
            let mut count = 0;
            for (records, piece) in builder.pieces(most, bytes) {
                prop_assert!(records <= most && (piece.len() <= bytes || records == 1));
                count += records;
                whole.extend_from_slice(piece);
            }
            prop_assert_eq!(count, records.len());
            prop_assert_eq!(whole, builder.as_bytes().to_vec());
        }

        #[test]
        fn a_cut_batch_is_refused_or_shorter(records in prop::collection::vec(plain(), 1..8), cut in any::<prop::sample::Index>()) {
            let builder = build(&records);
            let cut = cut.index(builder.size_bytes());
            if let Ok(batch) = RecordBatch::decode(Partition(0), Offset(0), Bytes::copy_from_slice(&builder.as_bytes()[..cut])) {
                prop_assert!(batch.len() < records.len());
            }
        }
    }
}
