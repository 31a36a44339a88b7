//! Records in the form that Kafka stores: record batches of magic 2 (Kafka's protocol guide, "Record Batch").

use tidefold_record::{BatchBuilder, Offset, RecordRef};

/// Who writes, so that a broker can tell a batch that is sent again from a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) producer: i64,
    pub(crate) epoch: i16,
}

/// Whose batch it is, and the number of its first record among those of the session in the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) session: Session,
    pub(crate) first: i32,
}

/// Something that cannot be read: damage, or a format of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Odd(pub(crate) &'static str);

/// Where the checksum stands, which covers all behind it.
pub(crate) const CRC: usize = 17;
/// The size of what stands before the records.
pub(crate) const HEAD: usize = 61;
/// The part of it that its length does not count.
pub(crate) const UNCOUNTED: usize = 12;

// === impl Sequence ===

impl Sequence {
    /// The number behind so many records; after the largest comes 0.
    pub(crate) fn after(first: i32, records: usize) -> i32 {
        (first.wrapping_add(records as i32)) & i32::MAX
    }
}

/// One batch of all the records, in order.
pub(crate) fn encode<'a>(
    appends: impl Iterator<Item = &'a BatchBuilder> + Clone,
    sequence: Sequence,
    millis: i64,
) -> Vec<u8> {
    let bytes: usize = appends.clone().map(|append| append.size_bytes() + append.len() * 24).sum();
    let mut out = Vec::with_capacity(HEAD + bytes);
    out.resize(HEAD, 0);
    let mut count = 0;
    for record in appends.flat_map(|append| append.iter(Offset::ZERO)) {
        write_record(&record, count, &mut out);
        count += 1;
    }
    let length = (out.len() - UNCOUNTED) as i32;
    let last = count.saturating_sub(1);
    let Sequence { session, first } = sequence;
    let mut head = Vec::with_capacity(HEAD);
    head.extend(0i64.to_be_bytes()); // base offset: the broker's to say
    head.extend(length.to_be_bytes());
    head.extend((-1i32).to_be_bytes()); // leader epoch: the broker's to say
    head.push(2); // magic
    head.extend(0u32.to_be_bytes()); // checksum, below
    head.extend(0i16.to_be_bytes()); // attributes: not compressed, time of creation
    head.extend(last.to_be_bytes());
    head.extend(millis.to_be_bytes());
    head.extend(millis.to_be_bytes());
    head.extend(session.producer.to_be_bytes());
    head.extend(session.epoch.to_be_bytes());
    head.extend(first.to_be_bytes());
    head.extend(count.to_be_bytes());
    if let Some(place) = out.get_mut(..HEAD) {
        place.copy_from_slice(&head);
    }
    let crc = crc32c::crc32c(out.get(CRC + 4..).unwrap_or_default());
    if let Some(place) = out.get_mut(CRC..CRC + 4) {
        place.copy_from_slice(&crc.to_be_bytes());
    }
    out
}

fn write_record(record: &RecordRef<'_>, at: i32, out: &mut Vec<u8>) {
    let mut headers = 0;
    let mut size = 2 + varint_size(at.into()) + bytes_size(record.key) + bytes_size(record.value);
    for (name, value) in record.headers.iter() {
        headers += 1;
        size += bytes_size(Some(name.as_str().as_bytes())) + bytes_size(Some(value));
    }
    size += varint_size(headers);
    write_varint(size as i64, out);
    out.push(0); // attributes: none are defined
    write_varint(0, out); // time, beside the batch's
    write_varint(at.into(), out);
    write_bytes(record.key, out);
    write_bytes(record.value, out);
    write_varint(headers, out);
    for (name, value) in record.headers.iter() {
        write_bytes(Some(name.as_str().as_bytes()), out);
        write_bytes(Some(value), out);
    }
}

fn bytes_size(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint_size(bytes.len() as i64) + bytes.len())
}

fn write_bytes(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes {
        Some(bytes) => {
            write_varint(bytes.len() as i64, out);
            out.extend_from_slice(bytes);
        }
        None => write_varint(-1, out),
    }
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn varint_size(number: i64) -> usize {
    let bits = 64 - (zigzag(number) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

fn write_varint(number: i64, out: &mut Vec<u8>) {
    let mut left = zigzag(number);
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kafka_protocol::records::RecordBatchDecoder;
    use tidefold_record::HeadersBuilder;

    use super::*;

    #[test]
    fn another_decoder_reads_what_was_written() {
        let mut headers = HeadersBuilder::new();
        headers.push_named("ce_id", b"1");
        headers.push_named("x-\u{e9}", &[0xff; 200]);
        let (mut first, mut second) = (BatchBuilder::new(), BatchBuilder::new());
        first.push(Some(b"key"), Some(&[7; 9_000]), headers.as_headers());
        first.push(None, Some(b""), HeadersBuilder::new().as_headers());
        second.push(Some(b""), None, headers.as_headers());
        let sequence = Sequence { session: Session { producer: 77, epoch: 3 }, first: 41 };
        let mut bytes = Bytes::from(encode([&first, &second].into_iter(), sequence, 1_700_000_000_123));
        let records = RecordBatchDecoder::decode(&mut bytes).unwrap().records;
        let given: Vec<_> =
            [&first, &second].into_iter().flat_map(|batch| batch.iter(Offset::ZERO)).collect();
        assert_eq!(records.len(), given.len());
        for (i, (read, given)) in records.iter().zip(given).enumerate() {
            assert_eq!(read.key.as_deref(), given.key);
            assert_eq!(read.value.as_deref(), given.value);
            let named = read.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref().unwrap()));
            assert!(named.eq(given.headers.iter().map(|(name, value)| (name.as_str(), value))));
            assert_eq!((read.producer_id, read.producer_epoch, read.sequence), (77, 3, 41 + i as i32));
            assert_eq!(read.timestamp, 1_700_000_000_123);
        }
    }

    #[test]
    fn sequences_start_again_behind_the_largest() {
        assert_eq!(Sequence::after(5, 3), 8);
        assert_eq!(Sequence::after(i32::MAX, 1), 0);
        assert_eq!(Sequence::after(i32::MAX - 1, 3), 1);
    }
}
