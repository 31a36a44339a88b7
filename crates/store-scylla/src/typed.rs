//! Our types as those of CQL, value by value, in the bytes of the wire.
//!
//! Every type that may stand in a key has a CQL type that sorts as our ordered bytes do: a uuid is text, since CQL's
//! sorts by version first; what counts microseconds is a bigint, since CQL's timestamp counts milliseconds.

use bumpalo::Bump;
use tidefold_codec::{ColumnType, Datum, Type, json_out};
use tidefold_table::exact::Exact;
use tidefold_table::shown::{Held, Shown};

const MICROS: i64 = 1_000;
const MILLIS: i64 = 1_000_000;
/// Nanoseconds: CQL's times end before it.
const DAY: i64 = 86_400_000_000_000;
/// CQL's date: days, with 1970-01-01 in the middle.
const EPOCH: i64 = 1 << 31;

/// The CQL type of a column.
pub(crate) fn cql_type(ty: &Type) -> &'static str {
    match ty {
        Type::Boolean => "boolean",
        Type::Int => "int",
        Type::Long | Type::TimestampMicros | Type::LocalTimestampMicros => "bigint",
        Type::Float => "float",
        Type::Double => "double",
        Type::Bytes | Type::Fixed(_) => "blob",
        Type::Decimal { .. } => "decimal",
        Type::Date => "date",
        Type::TimeMillis | Type::TimeMicros => "time",
        Type::TimestampMillis | Type::LocalTimestampMillis => "timestamp",
        Type::String | Type::Enum(_) | Type::Uuid => "text",
        Type::Array(_) | Type::Map(_) | Type::Record(_) | Type::Union(_) => "text",
    }
}

/// The CQL type of a column that tools are shown.
pub(crate) fn shown_type(holds: &Held) -> &'static str {
    match holds {
        Held::Count => "bigint",
        Held::Sum => "varint",
        Held::Decimals(_) => "decimal",
        Held::Value(column) => cql_type(&column.ty),
    }
}

/// Appends a value that tools are shown; `None` for null, and where the CQL type has no such value.
pub(crate) fn show(holds: &Held, shown: Shown<'_>, out: &mut Vec<u8>) -> Option<()> {
    match (shown, holds) {
        (Shown::Null, _) => return None,
        (Shown::Count(count), _) => out.extend_from_slice(&count.to_be_bytes()),
        (Shown::Sum(sum), Held::Decimals(scale)) => {
            out.extend_from_slice(&i32::from(*scale).to_be_bytes());
            put_sum(sum, out);
        }
        (Shown::Sum(sum), Held::Count | Held::Sum | Held::Value(_)) => put_sum(sum, out),
        (Shown::Value(datum), Held::Value(column)) => write(&column.ty, datum, out)?,
        (Shown::Value(_), Held::Count | Held::Sum | Held::Decimals(_)) => return None,
    }
    Some(())
}

fn put_sum(sum: Exact, out: &mut Vec<u8>) {
    let (low, high) = sum.parts();
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&high.to_be_bytes());
    bytes[8..].copy_from_slice(&low.to_be_bytes());
    out.extend_from_slice(shortest(&bytes));
}

/// Appends a value that is not null; `None` where the CQL type has no such value. What has no CQL type of its own (arrays,
/// records) is its JSON.
pub(crate) fn write(ty: &Type, datum: Datum<'_>, out: &mut Vec<u8>) -> Option<()> {
    let time = |value: i64, nanos: i64| value.checked_mul(nanos).filter(|time| (0..DAY).contains(time));
    match (ty, datum) {
        (_, Datum::Null) => return None,
        (_, Datum::Boolean(value)) => out.push(u8::from(value)),
        (Type::Int, Datum::Long(value)) => out.extend_from_slice(&i32::try_from(value).ok()?.to_be_bytes()),
        (Type::Date, Datum::Long(value)) => {
            out.extend_from_slice(&u32::try_from(value.checked_add(EPOCH)?).ok()?.to_be_bytes());
        }
        (Type::TimeMillis, Datum::Long(value)) => out.extend_from_slice(&time(value, MILLIS)?.to_be_bytes()),
        (Type::TimeMicros, Datum::Long(value)) => out.extend_from_slice(&time(value, MICROS)?.to_be_bytes()),
        (_, Datum::Long(value)) => out.extend_from_slice(&value.to_be_bytes()),
        (Type::Float, Datum::Double(value)) => out.extend_from_slice(&(value as f32).to_be_bytes()),
        (_, Datum::Double(value)) => out.extend_from_slice(&value.to_be_bytes()),
        (Type::Decimal { scale, .. }, Datum::Decimal(value)) => {
            out.extend_from_slice(&i32::from(*scale).to_be_bytes());
            out.extend_from_slice(shortest(&value.to_be_bytes()));
        }
        (_, Datum::Decimal(value)) => out.extend_from_slice(shortest(&value.to_be_bytes())),
        (_, Datum::Text(text)) => out.extend_from_slice(text.as_bytes()),
        (_, Datum::Bytes(bytes)) => out.extend_from_slice(bytes),
        (ty, datum @ Datum::Encoded(_)) => {
            let column = ColumnType { ty: ty.clone(), nullable: false };
            json_out::write(&column, datum, out);
        }
    }
    Some(())
}

/// The fewest bytes of a two's complement number.
fn shortest(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        let sign_stays = tail.first().is_some_and(|next| match first {
            0 => next & 0x80 == 0,
            0xFF => next & 0x80 != 0,
            _ => false,
        });
        if !sign_stays {
            break;
        }
        rest = tail;
    }
    rest
}

/// Reads a key column's value.
pub(crate) fn read<'a>(ty: &Type, bytes: &[u8], arena: &'a Bump) -> Option<Datum<'a>> {
    let long = || Some(i64::from_be_bytes(bytes.try_into().ok()?));
    let short = || Some(u32::from_be_bytes(bytes.try_into().ok()?));
    Some(match ty {
        Type::Boolean => Datum::Boolean(*bytes.first()? != 0),
        Type::Int => Datum::Long(i64::from(short()? as i32)),
        Type::Date => Datum::Long(i64::from(short()?) - EPOCH),
        Type::TimeMillis => Datum::Long(long()? / MILLIS),
        Type::TimeMicros => Datum::Long(long()? / MICROS),
        Type::Decimal { .. } => {
            let digits = bytes.get(4..).filter(|digits| (1..=16).contains(&digits.len()))?;
            let sign = if digits.first()? & 0x80 == 0 { 0 } else { 0xFF };
            let mut number = [sign; 16];
            number.get_mut(16 - digits.len()..)?.copy_from_slice(digits);
            Datum::Decimal(i128::from_be_bytes(number))
        }
        Type::String | Type::Enum(_) | Type::Uuid => {
            Datum::Text(arena.alloc_str(std::str::from_utf8(bytes).ok()?))
        }
        Type::Long
        | Type::TimestampMillis
        | Type::TimestampMicros
        | Type::LocalTimestampMillis
        | Type::LocalTimestampMicros => Datum::Long(long()?),
        Type::Float
        | Type::Double
        | Type::Bytes
        | Type::Fixed(_)
        | Type::Array(_)
        | Type::Map(_)
        | Type::Record(_)
        | Type::Union(_) => return None,
    })
}

#[cfg(test)]
#[path = "typed/tests.rs"]
mod tests;
