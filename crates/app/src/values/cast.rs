//! Conversions between types.

use std::fmt::Write as _;
use std::io::Write as _;

use bumpalo::Bump;
use tidefold_codec::truncate::units_per_day;
use tidefold_codec::{Datum, Type, text};

use super::EvalError;
use super::number::{decimal, double, long, rescale, scale};
use super::text::MAX_TEXT_BYTES;

/// `CAST(value AS to)`.
///
/// # Errors
/// When the type has no such value.
pub fn cast<'a>(
    value: Datum<'a>,
    from: &'a Type,
    to: &'a Type,
    arena: &'a Bump,
) -> Result<Datum<'a>, EvalError> {
    if value.is_null() {
        return Ok(Datum::Null);
    }
    match (from, to) {
        (Type::String | Type::Enum(_) | Type::Uuid, Type::String) => Ok(value),
        (Type::String, _) => parse(value, to, arena),
        (_, Type::String) => write(value, from, arena),
        _ => match value {
            Datum::Long(value) => from_long(value, from, to),
            Datum::Double(value) => from_double(value, to),
            Datum::Decimal(value) => from_decimal(value, scale(from), to),
            Datum::Boolean(value) if matches!(to, Type::Int | Type::Long) => {
                Ok(Datum::Long(i64::from(value)))
            }
            other @ (Datum::Null
            | Datum::Boolean(_)
            | Datum::Text(_)
            | Datum::Bytes(_)
            | Datum::Encoded(_)) => Ok(other),
        },
    }
}

fn parse<'a>(value: Datum<'a>, to: &'a Type, arena: &'a Bump) -> Result<Datum<'a>, EvalError> {
    let Datum::Text(value) = value else { return Err(EvalError::Damaged) };
    text::parse(to, value, arena).map_err(|_| EvalError::BadCast)
}

fn write<'a>(value: Datum<'a>, from: &Type, arena: &'a Bump) -> Result<Datum<'a>, EvalError> {
    let mut out = Vec::new();
    text::write(from, value, &mut out);
    if out.len() > MAX_TEXT_BYTES {
        return Err(EvalError::TextTooLong);
    }
    let out = std::str::from_utf8(&out).map_err(|_| EvalError::Damaged)?;
    Ok(Datum::Text(arena.alloc_str(out)))
}

fn from_long<'a>(value: i64, from: &Type, to: &Type) -> Result<Datum<'a>, EvalError> {
    match to {
        Type::Decimal { scale, .. } => decimal(rescale(i128::from(value), 0, *scale)?, to),
        Type::Double => double(value as f64),
        // Not by way of a double, which would be rounded twice.
        Type::Float => float(f64::from(value as f32)),
        Type::TimeMicros if *from == Type::TimeMillis => {
            long(value.checked_mul(1_000).ok_or(EvalError::Overflow)?, to)
        }
        Type::TimeMillis if *from == Type::TimeMicros => long(value.div_euclid(1_000), to),
        Type::Boolean
        | Type::Int
        | Type::Long
        | Type::Bytes
        | Type::String
        | Type::Fixed(_)
        | Type::Enum(_)
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
        | Type::Union(_) => match (units_per_day(from), units_per_day(to)) {
            (Some(per_day), Some(wanted)) => long(at_other_unit(value, per_day, wanted)?, to),
            _ => long(value, to),
        },
    }
}

/// A time in another unit, cut down.
fn at_other_unit(value: i64, per_day: i64, wanted: i64) -> Result<i64, EvalError> {
    if wanted >= per_day {
        value.checked_mul(wanted / per_day).ok_or(EvalError::Overflow)
    } else {
        Ok(value.div_euclid(per_day / wanted))
    }
}

fn from_decimal<'a>(value: i128, scale: u8, to: &Type) -> Result<Datum<'a>, EvalError> {
    match to {
        Type::Decimal { scale: wanted, .. } => decimal(rescale(value, scale, *wanted)?, to),
        Type::Int | Type::Long => {
            let whole = i64::try_from(rescale(value, scale, 0)?).map_err(|_| EvalError::Overflow)?;
            long(whole, to)
        }
        Type::Double => double(decimal_to_double(value, scale)?),
        Type::Float => float(f64::from(nearest::<f32>(value, scale)?)),
        Type::Boolean
        | Type::Bytes
        | Type::String
        | Type::Fixed(_)
        | Type::Enum(_)
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
        | Type::Union(_) => Err(EvalError::Damaged),
    }
}

/// The nearest double.
fn decimal_to_double(value: i128, scale: u8) -> Result<f64, EvalError> {
    // Up to here both are exact doubles, so their quotient is the nearest one.
    if value.unsigned_abs() <= 1 << 53 && scale <= 22 {
        return Ok(value as f64 / 10_f64.powi(i32::from(scale)));
    }
    nearest(value, scale)
}

/// The nearest float of 32 or 64 bits.
fn nearest<F: std::str::FromStr>(value: i128, scale: u8) -> Result<F, EvalError> {
    let mut digits = Digits::new();
    write!(digits, "{value}e-{scale}").map_err(|_| EvalError::Damaged)?;
    digits.as_str().parse().map_err(|_| EvalError::Damaged)
}

fn from_double<'a>(value: f64, to: &Type) -> Result<Datum<'a>, EvalError> {
    match to {
        Type::Double => double(value),
        Type::Float => float(value),
        Type::Int | Type::Long => {
            let rounded = value.round();
            // 2^63 is the first double that is too large, -2^63 the last that is not too small.
            if !(-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded) {
                return Err(EvalError::Overflow);
            }
            long(rounded as i64, to)
        }
        Type::Decimal { scale, .. } => {
            // The double nearest to 10^38 lies below it; the next one has 39 digits.
            if value.abs() > 1e38 {
                return Err(EvalError::Overflow);
            }
            let mut digits = Digits::new();
            write!(digits, "{value:.*}", usize::from(*scale)).map_err(|_| EvalError::Overflow)?;
            decimal(digits.number()?, to)
        }
        Type::Boolean
        | Type::Bytes
        | Type::String
        | Type::Fixed(_)
        | Type::Enum(_)
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
        | Type::Union(_) => Err(EvalError::Damaged),
    }
}

fn float<'a>(value: f64) -> Result<Datum<'a>, EvalError> {
    Datum::double(value, &Type::Float).ok_or(EvalError::Overflow)
}

/// The digits of a number, on the stack.
struct Digits {
    bytes: [u8; 96],
    length: usize,
}

// === impl Digits ===

impl Digits {
    fn new() -> Digits {
        Digits { bytes: [0; 96], length: 0 }
    }

    fn as_str(&self) -> &str {
        self.bytes.get(..self.length).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// All digits as one number, the point left out.
    fn number(&self) -> Result<i128, EvalError> {
        let mut value: i128 = 0;
        for digit in self.as_str().bytes().filter(u8::is_ascii_digit) {
            let more = value.checked_mul(10).and_then(|v| v.checked_add(i128::from(digit - b'0')));
            value = more.ok_or(EvalError::Overflow)?;
        }
        Ok(if self.as_str().starts_with('-') { -value } else { value })
    }
}

impl std::fmt::Write for Digits {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let mut rest = self.bytes.get_mut(self.length..).ok_or(std::fmt::Error)?;
        rest.write_all(text.as_bytes()).map_err(|_| std::fmt::Error)?;
        self.length += text.len();
        Ok(())
    }
}
