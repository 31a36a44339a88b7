//! What a slot holds while SQL looks at it.

/// A value, borrowed from a record, a stored row or an arena. Its type is not in it: the slot's [`crate::Type`] says
/// which of the many types that share a form (`Long` for int, long, date and all times) is meant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Datum<'a> {
    /// SQL NULL.
    Null,
    /// boolean.
    Boolean(bool),
    /// int, long, date, time and timestamp types, in their base unit.
    Long(i64),
    /// float and double. Never NaN or infinite.
    Double(f64),
    /// decimal: the unscaled number; the scale is in the type.
    Decimal(i128),
    /// string, enum symbol, uuid.
    Text(&'a str),
    /// bytes and fixed.
    Bytes(&'a [u8]),
    /// array, map, record, union: the Avro datum of the column's own type, well-formed.
    Encoded(&'a [u8]),
}

impl Datum<'_> {
    /// Whether it is NULL.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }
}
