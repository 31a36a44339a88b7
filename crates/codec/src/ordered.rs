//! Key columns to bytes that sort as the columns do, so that a byte-ordered store can answer ranges. Every column's
//! encoding is self-delimiting: a prefix of the columns is a prefix of the bytes.

use bumpalo::Bump;

use crate::datum::Datum;
use crate::types::Type;

/// One key column.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyColumn {
    /// Its type; one for which [`crate::text::is_key_type`] holds. Key columns are never NULL.
    pub ty: Type,
    /// Whether larger values come first.
    pub descending: bool,
}

/// Key bytes that break off or do not fit the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key bytes do not fit their columns at byte {at}")]
pub struct OrderedError {
    /// Byte in the key.
    pub at: usize,
}

/// Appends one column's bytes.
pub fn encode(column: &KeyColumn, datum: Datum<'_>, out: &mut Vec<u8>) {
    let _ = (column, datum, out);
    unimplemented!()
}

/// Reads one column's bytes from the front of `bytes`; returns the value and what follows.
///
/// # Errors
/// When the bytes are not an encoding of the column.
pub fn decode<'a>(
    column: &'a KeyColumn,
    bytes: &'a [u8],
    arena: &'a Bump,
) -> Result<(Datum<'a>, &'a [u8]), OrderedError> {
    let _ = (column, bytes, arena);
    unimplemented!()
}
