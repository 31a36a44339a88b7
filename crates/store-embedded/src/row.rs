//! A row as fjall has it: stamp (8 bytes big-endian), a mark, and the value of a put or the partition of a delete.
//!
//! A delete keeps its stamp, so that a put from before it does not bring the row back. Its partition tells whose
//! checkpoint has to pass before the delete can be forgotten.

use tidefold_table::{RowWrite, Stamp};

const STAMP_BYTES: usize = 8;
const DELETED: u8 = 0;
const PUT: u8 = 1;

/// What stands under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored<'a> {
    /// A row.
    Put(Stamp, &'a [u8]),
    /// A row that was deleted by the lane of this partition.
    Deleted(Stamp, u32),
}

/// Writes a row into `bytes`, which lose what they had.
pub(crate) fn encode(write: &RowWrite, partition: u32, bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.extend_from_slice(&write.stamp.0.to_be_bytes());
    match &write.value {
        Some(value) => {
            bytes.push(PUT);
            bytes.extend_from_slice(value);
        }
        None => {
            bytes.push(DELETED);
            bytes.extend_from_slice(&partition.to_be_bytes());
        }
    }
}

// === impl Stored ===

impl<'a> Stored<'a> {
    /// Reads what [`encode`] wrote.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Stored<'a>> {
        let (stamp, rest) = bytes.split_first_chunk::<STAMP_BYTES>()?;
        let stamp = Stamp(u64::from_be_bytes(*stamp));
        match rest.split_first()? {
            (&PUT, value) => Some(Stored::Put(stamp, value)),
            (&DELETED, partition) => {
                Some(Stored::Deleted(stamp, u32::from_be_bytes(partition.try_into().ok()?)))
            }
            _ => None,
        }
    }

    /// When it was written.
    pub(crate) fn stamp(&self) -> Stamp {
        match self {
            Stored::Put(stamp, _) | Stored::Deleted(stamp, _) => *stamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn encoded(value: Option<&'static [u8]>) -> Vec<u8> {
        let write =
            RowWrite { key: Bytes::new(), value: value.map(Bytes::from_static), stamp: Stamp(u64::MAX - 1) };
        let mut bytes = b"left from before".to_vec();
        encode(&write, 7, &mut bytes);
        bytes
    }

    #[test]
    fn rows_and_deletes_are_told_apart() {
        assert_eq!(Stored::decode(&encoded(Some(b""))), Some(Stored::Put(Stamp(u64::MAX - 1), b"")));
        assert_eq!(
            Stored::decode(&encoded(Some(b"\0abc"))),
            Some(Stored::Put(Stamp(u64::MAX - 1), b"\0abc"))
        );
        assert_eq!(Stored::decode(&encoded(None)), Some(Stored::Deleted(Stamp(u64::MAX - 1), 7)));
    }

    #[test]
    fn what_is_no_row_is_not_read_as_one() {
        for bytes in [&b""[..], b"12345678", b"12345678\x02", b"12345678\x00\x01"] {
            assert_eq!(Stored::decode(bytes), None, "{bytes:?}");
        }
    }
}
