//! Slots to JSON: the same mapping that [`crate::json_in`] reads.

use crate::datum::Datum;
use crate::types::ColumnType;

/// Appends the JSON text of a slot of this type.
pub fn write(column: &ColumnType, datum: Datum<'_>, out: &mut Vec<u8>) {
    let _ = (column, datum, out);
    unimplemented!()
}

/// Appends a JSON string.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    let _ = (text, out);
    unimplemented!()
}
