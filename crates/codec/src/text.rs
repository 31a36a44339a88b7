//! One value as text, without quotes: what stands in a record key, a URL or a query parameter. It is the JSON text of
//! the value, bare; bytes have none.
//!
//! The key text of one column is that text. Of several columns it is their texts joined by `/`, with `%` and `/` in
//! them written `%25` and `%2F`.

use bumpalo::Bump;

use crate::calendar::{self, time_problem};
use crate::datum::Datum;
use crate::number::{self, NumberProblem, fits, parse_decimal, parse_integer};
use crate::schema::{kind, type_text};
use crate::types::Type;
use crate::wire::is_uuid;

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
    match read(ty, text) {
        Ok(Datum::Text(text)) => {
            let text = arena.alloc_str(text);
            if *ty == Type::Uuid {
                text.make_ascii_lowercase();
            }
            Ok(Datum::Text(text))
        }
        Ok(Datum::Boolean(value)) => Ok(Datum::Boolean(value)),
        Ok(Datum::Long(value)) => Ok(Datum::Long(value)),
        Ok(Datum::Double(value)) => Ok(Datum::Double(value)),
        Ok(Datum::Decimal(value)) => Ok(Datum::Decimal(value)),
        _ => Err(error(text, expected(ty))),
    }
}

fn error(text: &str, expected: String) -> TextError {
    TextError { text: text.chars().take(80).collect(), expected }
}

/// Why a text is no value of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextProblem {
    /// It does not look like one.
    Format,
    /// It lies outside what the type can hold.
    Range,
    /// It is no symbol of the enum.
    Symbol,
}

/// Reads a value from text. A uuid comes as it stands, in either case.
pub(crate) fn read<'t>(ty: &'t Type, text: &'t str) -> Result<Datum<'t>, TextProblem> {
    use TextProblem::{Format, Range, Symbol};
    let bytes = text.as_bytes();
    match ty {
        Type::String => Ok(Datum::Text(text)),
        Type::Boolean => match text {
            "true" => Ok(Datum::Boolean(true)),
            "false" => Ok(Datum::Boolean(false)),
            _ => Err(Format),
        },
        Type::Int | Type::Long => match parse_integer(bytes) {
            Some(value) if *ty == Type::Long || i32::try_from(value).is_ok() => Ok(Datum::Long(value)),
            Some(_) => Err(Range),
            None => Err(if is_integer(bytes) { Range } else { Format }),
        },
        Type::Float | Type::Double => read_float(ty, text),
        Type::Enum(symbols) => symbols
            .symbols
            .iter()
            .find(|symbol| *symbol == text)
            .map(|symbol| Datum::Text(symbol))
            .ok_or(Symbol),
        Type::Uuid => {
            if is_uuid(text) {
                Ok(Datum::Text(text))
            } else {
                Err(Format)
            }
        }
        Type::Decimal { precision, scale, .. } => match parse_decimal(bytes, *scale) {
            Ok(value) if fits(value, *precision) => Ok(Datum::Decimal(value)),
            Err(NumberProblem::Format) => Err(Format),
            _ => Err(Range),
        },
        Type::Date => calendar::parse_date(bytes).map(Datum::Long).ok_or(Format),
        Type::TimeMicros => calendar::parse_time(bytes).map(Datum::Long).ok_or(Format),
        Type::TimeMillis => {
            calendar::parse_time(bytes).map(|micros| Datum::Long(micros / 1000)).ok_or(Format)
        }
        Type::TimestampMicros => calendar::parse_rfc3339(bytes).map(Datum::Long).ok_or(Format),
        Type::TimestampMillis => calendar::parse_rfc3339(bytes).map(millis).ok_or(Format),
        Type::LocalTimestampMicros => calendar::parse_local(bytes).map(Datum::Long).ok_or(Format),
        Type::LocalTimestampMillis => calendar::parse_local(bytes).map(millis).ok_or(Format),
        Type::Bytes | Type::Fixed(_) | Type::Array(_) | Type::Map(_) | Type::Record(_) | Type::Union(_) => {
            Err(Format)
        }
    }
}

fn millis<'t>(micros: i64) -> Datum<'t> {
    Datum::Long(micros.div_euclid(1000))
}

fn is_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    digits.iter().all(u8::is_ascii_digit)
        && digits.first().is_some_and(|first| *first != b'0' || digits.len() == 1)
}

/// A JSON number as a float or double.
pub(crate) fn read_float<'t>(ty: &Type, text: &str) -> Result<Datum<'t>, TextProblem> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) || digits.ends_with('.') {
        return Err(TextProblem::Format); // Rust would also read `inf`, `.5`, `5.`
    }
    let value = match ty {
        Type::Float => text.parse::<f32>().map(f64::from),
        _ => text.parse::<f64>(),
    };
    match value {
        Ok(value) if value.is_finite() => Ok(Datum::Double(value + 0.0)),
        Ok(_) => Err(TextProblem::Range),
        Err(_) => Err(TextProblem::Format),
    }
}

/// Appends a value's text. NULL and types without a text form write nothing.
pub fn write(ty: &Type, datum: Datum<'_>, out: &mut Vec<u8>) {
    match (ty, datum) {
        (_, Datum::Text(text)) => out.extend_from_slice(text.as_bytes()),
        (_, Datum::Boolean(value)) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        (Type::Decimal { scale, .. }, Datum::Decimal(value)) => number::write_decimal(value, *scale, out),
        (Type::Float, Datum::Double(value)) => write_float(&(value as f32), out),
        (_, Datum::Double(value)) => write_float(&value, out),
        (_, Datum::Long(value)) if time_problem(ty, value).is_some() => {}
        (Type::Date, Datum::Long(value)) => calendar::write_date(value, out),
        (Type::TimeMillis, Datum::Long(value)) => calendar::write_time(value * 1000, out),
        (Type::TimeMicros, Datum::Long(value)) => calendar::write_time(value, out),
        (Type::TimestampMillis, Datum::Long(value)) => write_rfc3339_micros(value * 1000, out),
        (Type::TimestampMicros, Datum::Long(value)) => write_rfc3339_micros(value, out),
        (Type::LocalTimestampMillis, Datum::Long(value)) => calendar::write_local(value * 1000, out),
        (Type::LocalTimestampMicros, Datum::Long(value)) => calendar::write_local(value, out),
        (_, Datum::Long(value)) => number::write_integer(value, out),
        _ => {}
    }
}

/// The shortest text that reads back to the same float, always with a point or an exponent.
fn write_float(value: &impl serde::Serialize, out: &mut Vec<u8>) {
    // Writing to a vector does not fail.
    let _ = serde_json::to_writer(out, value);
}

/// Whether values of this type have a text form and a total order, so that they can stand in a key.
#[must_use]
pub fn is_key_type(ty: &Type) -> bool {
    ty.key_form().is_some()
}

/// Appends the key text of the columns.
pub fn write_key(types: &[&Type], datums: &[Datum<'_>], out: &mut Vec<u8>) {
    for (at, (ty, datum)) in types.iter().zip(datums).enumerate() {
        write_key_part(at, types.len(), ty, *datum, out);
    }
}

/// Appends the text of one of `columns` key columns, and what stands before it.
pub(crate) fn write_key_part(at: usize, columns: usize, ty: &Type, datum: Datum<'_>, out: &mut Vec<u8>) {
    if at > 0 {
        out.push(b'/');
    }
    let start = out.len();
    write(ty, datum, out);
    let part = out.get(start..).unwrap_or_default();
    if columns < 2 || !part.iter().any(|byte| matches!(byte, b'%' | b'/')) {
        return;
    }
    let plain = part.to_vec();
    out.truncate(start);
    for byte in plain {
        match byte {
            b'%' => out.extend_from_slice(b"%25"),
            b'/' => out.extend_from_slice(b"%2F"),
            other => out.push(other),
        }
    }
}

/// Reads a key text.
///
/// # Errors
/// When it has another number of columns, or one is no value of its type.
pub fn parse_key<'a>(types: &[&'a Type], text: &str, arena: &'a Bump) -> Result<Vec<Datum<'a>>, TextError> {
    if let [ty] = types {
        return Ok(vec![parse(ty, text, arena)?]);
    }
    let parts: Vec<_> = text.split('/').collect();
    if parts.len() != types.len() {
        let names: Vec<_> = types.iter().map(|ty| kind(ty)).collect();
        return Err(error(text, format!("key of {} columns: {}", types.len(), names.join("/"))));
    }
    let columns = types.iter().zip(parts).map(|(ty, part)| {
        let plain = unescape(part)
            .ok_or_else(|| error(part, "key column, in which `%` is written %25".to_owned()))?;
        parse(ty, &plain, arena)
    });
    columns.collect()
}

/// Only `%25` and `%2F` are escapes, so that a key has one text.
fn unescape(part: &str) -> Option<std::borrow::Cow<'_, str>> {
    if !part.contains('%') {
        return Some(part.into());
    }
    let mut pieces = part.split('%');
    let mut plain = pieces.next()?.to_owned();
    for piece in pieces {
        let (mark, rest) = piece.split_at_checked(2)?;
        plain.push(match mark {
            "25" => '%',
            "2F" => '/',
            _ => return None,
        });
        plain.push_str(rest);
    }
    Some(plain.into())
}

/// Reads an RFC 3339 time as microseconds since 1970-01-01T00:00:00Z. Digits past the sixth are cut.
#[must_use]
pub fn parse_rfc3339_micros(text: &[u8]) -> Option<i64> {
    calendar::parse_rfc3339(text)
}

/// Appends an RFC 3339 time in UTC: seconds, and three or six more digits where they are not zero.
pub fn write_rfc3339_micros(micros: i64, out: &mut Vec<u8>) {
    calendar::write_local(micros, out);
    out.push(b'Z');
}

/// The type with an example.
pub(crate) fn expected(ty: &Type) -> String {
    let name = type_text(&ty.clone().required());
    let example = match ty {
        Type::Boolean => "true",
        Type::Int | Type::Long => "42",
        Type::Float | Type::Double => "1.5",
        Type::Decimal { scale: 0, .. } => "42",
        Type::Decimal { scale: 1, .. } => "19.5",
        Type::Decimal { .. } => "19.95",
        Type::Uuid => "0190163d-8694-739b-aea5-966c26f8ad91",
        Type::Date => "2026-01-31",
        Type::TimeMillis | Type::TimeMicros => "12:00:00",
        Type::TimestampMillis | Type::TimestampMicros => "2026-01-31T12:00:00Z",
        Type::LocalTimestampMillis | Type::LocalTimestampMicros => "2026-01-31T12:00:00",
        Type::Bytes | Type::Fixed(_) => "base64 AQID",
        Type::Enum(symbols) => {
            let symbols: Vec<_> = symbols.symbols.iter().take(10).map(String::as_str).collect();
            return format!("{name}: one of {}", symbols.join(", "));
        }
        Type::String | Type::Array(_) | Type::Map(_) | Type::Record(_) | Type::Union(_) => return name,
    };
    format!("{name} such as {example}")
}
/// Bytes in hexadecimal, lower case.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
