//! Slots to the bytes a table keeps, and back: each column as its Avro datum (nullable: union of null and the type,
//! null first), one after the other. Bytes are canonical: equal slots give equal bytes.

use bumpalo::Bump;

use crate::datum::Datum;
use crate::decode::DecodeError;
use crate::types::{ColumnType, RecordType};

/// Appends the slots' bytes to `out`. Slots must be of their columns' types, and not NULL where the column is not
/// nullable: callers check, this function debug-asserts.
pub fn encode<'t>(columns: impl IntoIterator<Item = &'t ColumnType>, slots: &[Datum<'_>], out: &mut Vec<u8>) {
    let _ = (columns.into_iter(), slots, out);
    unimplemented!()
}

/// Reads what [`encode`] wrote; `bytes` must end with the last column.
///
/// # Errors
/// When the bytes are not an encoding of the columns.
pub fn decode<'a, 't: 'a>(
    columns: impl IntoIterator<Item = &'t ColumnType>,
    bytes: &'a [u8],
    slots: &mut [Datum<'a>],
) -> Result<(), DecodeError> {
    let _ = (columns.into_iter(), bytes, slots);
    unimplemented!()
}

/// The elements of an encoded array, in order.
///
/// # Errors
/// Each item: when the bytes are not an encoding of the array.
pub fn elements<'a>(
    element: &'a ColumnType,
    encoded: &'a [u8],
) -> impl Iterator<Item = Result<Datum<'a>, DecodeError>> + 'a {
    let _ = (element, encoded);
    std::iter::empty()
}

/// One field of an encoded record.
///
/// # Errors
/// When the bytes are not an encoding of the record.
pub fn field<'a>(record: &'a RecordType, encoded: &'a [u8], field: usize) -> Result<Datum<'a>, DecodeError> {
    let _ = (record, encoded, field);
    unimplemented!()
}

/// The value under a key of an encoded map; NULL when there is none. The last one wins where a key stands twice.
///
/// # Errors
/// When the bytes are not an encoding of the map.
pub fn entry<'a>(value: &'a ColumnType, encoded: &'a [u8], key: &str) -> Result<Datum<'a>, DecodeError> {
    let _ = (value, encoded, key);
    unimplemented!()
}

/// How many elements an encoded array or map has, without looking into them further than needed.
///
/// # Errors
/// When the bytes are not an encoding of it.
pub fn count(element: &ColumnType, is_map: bool, encoded: &[u8]) -> Result<u64, DecodeError> {
    let _ = (element, is_map, encoded);
    unimplemented!()
}

/// A copy of a datum that lives in the arena.
#[must_use]
pub fn keep<'a>(datum: Datum<'_>, arena: &'a Bump) -> Datum<'a> {
    match datum {
        Datum::Null => Datum::Null,
        Datum::Boolean(v) => Datum::Boolean(v),
        Datum::Long(v) => Datum::Long(v),
        Datum::Double(v) => Datum::Double(v),
        Datum::Decimal(v) => Datum::Decimal(v),
        Datum::Text(v) => Datum::Text(arena.alloc_str(v)),
        Datum::Bytes(v) => Datum::Bytes(arena.alloc_slice_copy(v)),
        Datum::Encoded(v) => Datum::Encoded(arena.alloc_slice_copy(v)),
    }
}
