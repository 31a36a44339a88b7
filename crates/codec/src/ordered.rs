//! Key columns to bytes that sort as the columns do, so that a byte-ordered store can answer ranges. Every column's
//! encoding is self-delimiting: a prefix of the columns is a prefix of the bytes.

use bumpalo::Bump;

use crate::calendar::time_problem;
use crate::datum::Datum;
use crate::number::fits;
use crate::types::{KeyForm, Type};
use crate::wire::is_uuid;

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

/// Appends one column's bytes: numbers big-endian with the sign flipped; texts with 0x00 as 0x00 0xff and 0x00 0x00
/// behind them. Descending: all of it inverted.
pub fn encode(column: &KeyColumn, datum: Datum<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    match datum {
        Datum::Boolean(value) => out.push(u8::from(value)),
        Datum::Long(value) => out.extend_from_slice(&((value as u64) ^ (1 << 63)).to_be_bytes()),
        Datum::Decimal(value) => out.extend_from_slice(&((value as u128) ^ (1 << 127)).to_be_bytes()),
        Datum::Text(text) => {
            let bytes = text.as_bytes();
            // Mostly there is none: that is seen of many bytes at once.
            if bytes.iter().fold(false, |found, byte| found | (*byte == 0)) {
                for byte in bytes {
                    out.push(*byte);
                    if *byte == 0 {
                        out.push(0xff);
                    }
                }
            } else {
                out.extend_from_slice(bytes);
            }
            out.extend_from_slice(&[0, 0]);
        }
        other @ (Datum::Null | Datum::Double(_) | Datum::Bytes(_) | Datum::Encoded(_)) => {
            debug_assert!(false, "{other:?} cannot stand in a key of type {:?}", column.ty)
        }
    }
    if column.descending {
        out.get_mut(start..).unwrap_or_default().iter_mut().for_each(|byte| *byte = !*byte);
    }
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
    let invert = if column.descending { 0xff } else { 0 };
    match column.ty.key_form().ok_or(OrderedError { at: 0 })? {
        KeyForm::Boolean => match bytes.split_first() {
            Some((byte, rest)) if byte ^ invert <= 1 => Ok((Datum::Boolean(byte ^ invert == 1), rest)),
            _ => Err(OrderedError { at: 0 }),
        },
        KeyForm::Decimal { precision } => {
            let (number, rest) = number::<16>(bytes, invert)?;
            let value = (u128::from_be_bytes(number) ^ (1 << 127)) as i128;
            if !fits(value, precision) {
                return Err(OrderedError { at: 0 });
            }
            Ok((Datum::Decimal(value), rest))
        }
        KeyForm::Text => text(column, bytes, invert, arena),
        KeyForm::Whole => {
            let (number, rest) = number::<8>(bytes, invert)?;
            let value = (u64::from_be_bytes(number) ^ (1 << 63)) as i64;
            let narrow = matches!(column.ty, Type::Int) && i32::try_from(value).is_err();
            if narrow || time_problem(&column.ty, value).is_some() {
                return Err(OrderedError { at: 0 });
            }
            Ok((Datum::Long(value), rest))
        }
    }
}

fn number<const N: usize>(bytes: &[u8], invert: u8) -> Result<([u8; N], &[u8]), OrderedError> {
    let (number, rest) = bytes.split_first_chunk::<N>().ok_or(OrderedError { at: bytes.len() })?;
    Ok((number.map(|byte| byte ^ invert), rest))
}

fn text<'a>(
    column: &'a KeyColumn,
    bytes: &'a [u8],
    invert: u8,
    arena: &'a Bump,
) -> Result<(Datum<'a>, &'a [u8]), OrderedError> {
    let mut end = 0;
    let mut escapes = 0;
    loop {
        match bytes.get(end..).unwrap_or_default() {
            [zero, mark, ..] if zero ^ invert == 0 => match mark ^ invert {
                0 => break,
                0xff => {
                    escapes += 1;
                    end += 2;
                }
                _ => return Err(OrderedError { at: end + 1 }),
            },
            [_, _, ..] => end += 1,
            _ => return Err(OrderedError { at: bytes.len() }),
        }
    }
    let (written, rest) = bytes.split_at_checked(end).ok_or(OrderedError { at: end })?;
    let plain = if escapes == 0 && invert == 0 {
        written
    } else {
        let mut plain = bumpalo::collections::Vec::with_capacity_in(end - escapes, arena);
        let mut escaped = false;
        for byte in written.iter().map(|byte| byte ^ invert) {
            if !std::mem::take(&mut escaped) {
                escaped = byte == 0;
                plain.push(byte);
            }
        }
        plain.into_bump_slice()
    };
    let text = std::str::from_utf8(plain).map_err(|error| OrderedError { at: error.valid_up_to() })?;
    let fits = match &column.ty {
        Type::Enum(symbols) => symbols.symbols.iter().any(|symbol| symbol == text),
        Type::Uuid => is_uuid(text),
        Type::Boolean
        | Type::Int
        | Type::Long
        | Type::Float
        | Type::Double
        | Type::Bytes
        | Type::String
        | Type::Fixed(_)
        | Type::Decimal { .. }
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
        | Type::Union(_) => true,
    };
    if !fits {
        return Err(OrderedError { at: 0 });
    }
    Ok((Datum::Text(text), rest.get(2..).unwrap_or_default()))
}
