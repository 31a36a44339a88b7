//! One value as text, without quotes: what stands in a record key, a URL or a query parameter. It is the JSON text of
//! the value, bare; bytes have none.
//!
//! The key text of one column is that text. Of several columns it is their texts joined by `/`, with `%` and `/` in
//! them written `%25` and `%2F`.

use bumpalo::Bump;

use crate::datum::Datum;
use crate::types::Type;

/// A text that is no value of a type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {expected}")]
pub struct TextError {
    /// What was given, cut to 80 characters.
    pub text: String,
    /// The type, with an example: "timestamp-millis such as 2026-01-31T12:00:00Z".
    pub expected: String,
}

/// Reads a value from text.
///
/// # Errors
/// When the text is no value of the type, or the type has no text form.
pub fn parse<'a>(ty: &'a Type, text: &str, arena: &'a Bump) -> Result<Datum<'a>, TextError> {
    let _ = (ty, text, arena);
    unimplemented!()
}

/// Appends a value's text. NULL and types without a text form write nothing.
pub fn write(ty: &Type, datum: Datum<'_>, out: &mut Vec<u8>) {
    let _ = (ty, datum, out);
    unimplemented!()
}

/// Whether values of this type have a text form and a total order, so that they can stand in a key.
#[must_use]
pub fn is_key_type(ty: &Type) -> bool {
    !matches!(
        ty,
        Type::Float
            | Type::Double
            | Type::Bytes
            | Type::Fixed(_)
            | Type::Array(_)
            | Type::Map(_)
            | Type::Record(_)
            | Type::Union(_)
    )
}

/// Appends the key text of the columns.
pub fn write_key(types: &[&Type], datums: &[Datum<'_>], out: &mut Vec<u8>) {
    let _ = (types, datums, out);
    unimplemented!()
}

/// Reads a key text.
///
/// # Errors
/// When it has another number of columns, or one is no value of its type.
pub fn parse_key<'a>(types: &[&'a Type], text: &str, arena: &'a Bump) -> Result<Vec<Datum<'a>>, TextError> {
    let _ = (types, text, arena);
    unimplemented!()
}

/// Reads an RFC 3339 time as microseconds since 1970-01-01T00:00:00Z. Digits past the sixth are cut.
#[must_use]
pub fn parse_rfc3339_micros(text: &[u8]) -> Option<i64> {
    let _ = text;
    unimplemented!()
}

/// Appends an RFC 3339 time in UTC: seconds, and three or six more digits where they are not zero.
pub fn write_rfc3339_micros(micros: i64, out: &mut Vec<u8>) {
    let _ = (micros, out);
    unimplemented!()
}
