//! What a slot holds while SQL looks at it.

use crate::calendar::time_problem;
use crate::number;
use crate::types::Type;

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
    /// A computed number, date or time; `None` where the type has no such value. Whatever a fold computes goes through
    /// here, so that what it writes can be read again.
    #[must_use]
    #[inline]
    pub fn long(value: i64, ty: &Type) -> Option<Datum<'static>> {
        let holds = match ty {
            Type::Long => true,
            Type::Int => i32::try_from(value).is_ok(),
            Type::Boolean
            | Type::Float
            | Type::Double
            | Type::Bytes
            | Type::String
            | Type::Fixed(_)
            | Type::Enum(_)
            | Type::Decimal { .. }
            | Type::Uuid
            | Type::Date
            | Type::TimeMillis
            | Type::TimeMicros
            | Type::TimestampMillis
            | Type::TimestampMicros
            | Type::LocalTimestampMillis
            | Type::LocalTimestampMicros
            | Type::Array(_)
            | Type::Map(_)
            | Type::Record(_)
            | Type::Union(_) => time_problem(ty, value).is_none(),
        };
        holds.then_some(Datum::Long(value))
    }

    /// A computed float or double, brought to the values of its type; `None` where it is infinite or no number. Zero has
    /// no sign, so that equal values are equal bytes.
    #[must_use]
    pub fn double(value: f64, ty: &Type) -> Option<Datum<'static>> {
        let value = if *ty == Type::Float { f64::from(value as f32) } else { value };
        value.is_finite().then_some(Datum::Double(value + 0.0))
    }

    /// A computed decimal, unscaled; `None` where it has more digits than its type, or the type is no decimal.
    #[must_use]
    pub fn decimal(value: i128, ty: &Type) -> Option<Datum<'static>> {
        let Type::Decimal { precision, .. } = ty else { return None };
        number::fits(value, *precision).then_some(Datum::Decimal(value))
    }

    /// Whether it is NULL.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }
}
