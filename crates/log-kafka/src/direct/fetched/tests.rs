//! Batches as brokers have them, whole and damaged.

use std::io::{Read, Write};

use proptest::prelude::*;
use tidefold_record::Headers;

use super::super::records::{Sequence, Session, encode};
use super::super::unpack::LARGEST;
use super::*;

const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
const P1: Partition = Partition(1);

#[derive(Clone, Copy, Debug)]
enum Packed {
    Plain,
    Gzip,
    Snappy,
    /// As the Java client writes it.
    Blocks,
    Lz4,
    Zstd,
}

const EVERY: [Packed; 6] =
    [Packed::Plain, Packed::Gzip, Packed::Snappy, Packed::Blocks, Packed::Lz4, Packed::Zstd];

/// A batch as a broker has it: the first offset is known, and it may be compressed.
fn stored(batch: &BatchBuilder, base: i64, packed: Packed) -> Vec<u8> {
    let sequence = Sequence { session: Session { producer: 1, epoch: 0 }, first: 0 };
    let plain = encode([batch].into_iter(), sequence, 0);
    let (head, records) = plain.split_at(HEAD);
    let (code, records) = match packed {
        Packed::Plain => (0, records.to_vec()),
        Packed::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(records).unwrap();
            (1, encoder.finish().unwrap())
        }
        Packed::Snappy => (2, snap::raw::Encoder::new().compress_vec(records).unwrap()),
        Packed::Blocks => {
            let mut all = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
            for part in records.chunks(32) {
                let block = snap::raw::Encoder::new().compress_vec(part).unwrap();
                all.extend((block.len() as u32).to_be_bytes());
                all.extend(block);
            }
            (2, all)
        }
        Packed::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(records).unwrap();
            (3, encoder.finish().unwrap())
        }
        Packed::Zstd => (4, zstd::stream::encode_all(records, 1).unwrap()),
    };
    let mut bytes = [head, &records].concat();
    bytes[..8].copy_from_slice(&base.to_be_bytes());
    set_attributes(&mut bytes, code);
    bytes
}

fn set_attributes(bytes: &mut [u8], attributes: i16) {
    let length = (bytes.len() - UNCOUNTED) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
    seal(bytes);
}

fn seal(bytes: &mut [u8]) {
    let sum = crc32c::crc32c(&bytes[CRC + 4..]);
    bytes[CRC..CRC + 4].copy_from_slice(&sum.to_be_bytes());
}

fn batch(values: std::ops::Range<u32>) -> BatchBuilder {
    let mut batch = BatchBuilder::new();
    let mut headers = HeadersBuilder::new();
    headers.push_named("ce_id", b"an id");
    headers.push_named("empty", b"");
    for value in values {
        let value = value.to_string();
        let (key, headers) = match value.len() {
            1 => (None, Headers::default()),
            _ => (Some(b"key".as_slice()), headers.as_headers()),
        };
        batch.push(key, Some(value.as_bytes()), headers);
    }
    batch
}

/// Offsets 100 to 129 in three batches, with a gap of five before the last.
fn three(packed: Packed) -> Bytes {
    [
        stored(&batch(0..10), 100, packed),
        stored(&batch(10..20), 110, Packed::Plain),
        stored(&batch(20..30), 125, packed),
    ]
    .concat()
    .into()
}

fn texts(batch: &RecordBatch) -> Vec<(u64, String)> {
    let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap()).into_owned();
    batch.iter().map(|record| (record.offset.0, text(record.value))).collect()
}

fn expected() -> Vec<(u64, String)> {
    (0..30).map(|i| (if i < 20 { 100 + i } else { 105 + i }, i.to_string())).collect()
}

#[test]
fn every_record_reads_as_it_was_written_whatever_the_compression() {
    for packed in EVERY {
        let mut fetched = Fetched::new(P1, Offset(100), ALL);
        fetched.add(three(packed), Aborted::default()).unwrap();
        let read = fetched.finish();
        assert_eq!(texts(&read), expected(), "{packed:?}");
        assert_eq!((read.next_offset(), read.partition()), (Offset(135), P1));
        let given = batch(0..30);
        for (read, given) in read.iter().zip(given.iter(Offset::ZERO)) {
            assert_eq!((read.key, read.value, read.headers), (given.key, given.value, given.headers));
        }
    }
}

#[test]
fn reads_that_go_on_where_the_one_before_ended_miss_nothing_and_repeat_nothing() {
    for records in 1..=31 {
        let limit = ReadLimit { records, bytes: usize::MAX };
        let (mut at, mut read) = (Offset(100), Vec::new());
        while at < Offset(135) {
            let mut fetched = Fetched::new(P1, at, limit);
            fetched.add(three(Packed::Lz4), Aborted::default()).unwrap();
            let batch = fetched.finish();
            assert!(batch.len() <= records && batch.next_offset() > at);
            at = batch.next_offset();
            read.extend(texts(&batch));
        }
        assert_eq!(read, expected(), "{records} at a time");
    }
}

#[test]
fn a_limit_of_bytes_ends_a_read_behind_the_record_that_reaches_it() {
    let mut fetched = Fetched::new(P1, Offset(100), ReadLimit { records: usize::MAX, bytes: 1 });
    fetched.add(three(Packed::Plain), Aborted::default()).unwrap();
    assert!(fetched.is_full());
    assert_eq!(texts(&fetched.finish()), expected()[..1]);
}

#[test]
fn what_a_record_takes_on_its_way_does_not_depend_on_how_many_were_taken() {
    let of = |records| {
        let mut fetched = Fetched::new(P1, Offset(100), ReadLimit { records, bytes: usize::MAX });
        fetched.add(stored(&batch(10..20), 100, Packed::Plain).into(), Aborted::default()).unwrap();
        fetched.record_bytes()
    };
    assert!(of(1).is_some_and(|each| each > 0));
    assert_eq!(of(1), of(10));
}

#[test]
fn a_batch_that_is_cut_off_is_left_for_the_next_answer() {
    let whole = three(Packed::Zstd);
    for cut in 1..200 {
        let mut fetched = Fetched::new(P1, Offset(100), ALL);
        fetched.add(whole.slice(..whole.len() - cut.min(whole.len())), Aborted::default()).unwrap();
        let read = fetched.finish();
        assert!(read.len().is_multiple_of(10) && read.len() < 30, "{cut}: {}", read.len());
        assert_eq!(read.next_offset(), Offset(100 + read.len() as u64));
    }
}

#[test]
fn what_is_odd_ends_the_read_before_it() {
    let odd = |change: fn(&mut Vec<u8>)| {
        let mut last = stored(&batch(20..30), 125, Packed::Plain);
        change(&mut last);
        let bytes = [stored(&batch(0..10), 100, Packed::Plain), last].concat();
        let mut fetched = Fetched::new(P1, Offset(100), ALL);
        let odd = fetched.add(bytes.into(), Aborted::default()).unwrap_err();
        let read = fetched.finish();
        assert_eq!((read.len(), read.next_offset()), (10, Offset(110)), "{odd:?}");
        odd.0
    };
    assert_eq!(odd(|bytes| bytes[70] ^= 1), "a checksum that does not fit");
    assert_eq!(odd(|bytes| bytes[16] = 1), "the message format of brokers before 0.11");
    assert_eq!(
        odd(|bytes| set_attributes(bytes, 0b11_0000)),
        "the end of a transaction that breaks off",
        "a record whose key names no kind"
    );
    for compression in 1..=4 {
        let mut last = stored(&batch(20..30), 125, Packed::Plain);
        set_attributes(&mut last, compression);
        let damaged = Fetched::new(P1, Offset(100), ALL).add(last.into(), Aborted::default());
        assert_eq!(damaged, Err(Odd("damaged compression")), "{compression}");
    }
    assert_eq!(odd(|bytes| set_attributes(bytes, 7)), "a compression that nobody has defined yet");
}

/// A batch of a transaction of this producer.
fn of_transaction(batch: &BatchBuilder, base: i64, producer: i64, marks: bool) -> Vec<u8> {
    let mut bytes = stored(batch, base, Packed::Plain);
    bytes[43..51].copy_from_slice(&producer.to_be_bytes());
    set_attributes(&mut bytes, if marks { 0b11_0000 } else { 0b1_0000 });
    bytes
}

fn mark(kind: u8) -> BatchBuilder {
    let mut batch = BatchBuilder::new();
    batch.push(Some(&[0, 0, 0, kind]), Some(&[0; 6]), Headers::default());
    batch
}

#[test]
fn what_a_transaction_aborted_is_no_message_and_what_another_one_committed_is() {
    let (abort, commit) = (mark(0), mark(1));
    let answer: Bytes = [
        stored(&batch(0..1), 0, Packed::Plain),
        of_transaction(&batch(1..3), 1, 7, false),
        of_transaction(&batch(3..5), 3, 8, false),
        of_transaction(&abort, 5, 7, true),
        of_transaction(&batch(6..8), 6, 7, false),
        of_transaction(&commit, 8, 8, true),
        of_transaction(&commit, 9, 7, true),
        of_transaction(&batch(10..11), 10, 7, false),
        of_transaction(&abort, 11, 7, true),
    ]
    .concat()
    .into();
    let aborted = Aborted::new([(7, 10), (7, 1)].into_iter());
    for records in 1..=6 {
        for from in 0..12 {
            let (mut at, mut read) = (Offset(from), Vec::new());
            while at < Offset(12) {
                let mut fetched = Fetched::new(P1, at, ReadLimit { records, bytes: usize::MAX });
                fetched.add(answer.clone(), aborted.clone()).unwrap();
                let batch = fetched.finish();
                assert!(batch.next_offset() > at, "it gets on over what is no message");
                at = batch.next_offset();
                read.extend(batch.iter().map(|record| record.offset.0));
            }
            let expected: Vec<_> = [0, 3, 4, 6, 7].into_iter().filter(|offset| *offset >= from).collect();
            assert_eq!(read, expected, "{records} at a time from {from}");
        }
    }
}

#[test]
fn a_batch_that_unpacks_without_end_is_not_unpacked() {
    let mut bytes = stored(&batch(0..1), 0, Packed::Plain);
    bytes.truncate(HEAD);
    bytes.extend(zstd::stream::encode_all(std::io::repeat(0).take(LARGEST + 2), 1).unwrap());
    set_attributes(&mut bytes, 4);
    let odd = Fetched::new(P1, Offset(0), ALL).add(bytes.into(), Aborted::default()).unwrap_err();
    assert_eq!(odd, Odd("a batch of more than 64 MiB"));
}

proptest! {
    #[test]
    fn nothing_a_broker_sends_is_taken_for_more_than_it_is(
        changes in prop::collection::vec((0usize..400, any::<u8>()), 0..8),
        packed in prop::sample::select(EVERY.to_vec()),
    ) {
        let mut bytes = stored(&batch(0..20), 100, packed);
        let size = bytes.len();
        for (at, byte) in changes {
            // The length stays, so that the checksum can be made to fit.
            if !(8..12).contains(&(at % size)) {
                bytes[at % size] = byte;
            }
        }
        seal(&mut bytes);
        let mut fetched = Fetched::new(P1, Offset(0), ALL);
        let _odd = fetched.add(bytes.into(), Aborted::default());
        let read = fetched.finish();
        let offsets: Vec<_> = read.iter().map(|record| record.offset).collect();
        prop_assert!(offsets.is_sorted());
        prop_assert!(offsets.last().is_none_or(|last| *last < read.next_offset()));
    }
}
