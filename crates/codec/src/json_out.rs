//! Slots to JSON: the same mapping that [`crate::json_in`] reads.
//!
//! Exact integers are numbers, decimals are text with all their places, times are RFC 3339 in UTC, bytes are base64. A
//! value of a union stands bare where its JSON form alone says the branch, else as `{"branch": value}`.

use apache_avro::Schema;

use crate::base64;
use crate::columns::{Presence, check_column, is_null};
use crate::datum::Datum;
use crate::decode::DecodeError;
use crate::schema::{kind, record_type};
use crate::text;
use crate::types::{ColumnType, RecordType, Type};
use crate::wire::{Cursor, read_scalar};

/// Why a datum is not shown as JSON.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DatumError {
    /// Its schema is none of a message.
    #[error("its schema is not one of a message: {0}")]
    Schema(String),
    /// It is not a datum of its schema.
    #[error(transparent)]
    Datum(#[from] DecodeError),
}

/// Appends an encoded record as a JSON object: a whole message for an operator's eyes.
///
/// # Errors
/// When the bytes are not an encoding of the record, to the end; then `out` is as it was.
pub fn record_to_json(record: &RecordType, encoded: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let start = out.len();
    let mut cursor = Cursor::new(encoded);
    let written = write_record(record, &mut cursor, out).and_then(|()| cursor.finish());
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// A whole datum as JSON, by the schema that it was written with. For people who look at single messages: the schema is
/// parsed anew each time.
///
/// # Errors
/// When the schema is none of a message, or the bytes are not one datum of it.
pub fn datum(schema: &str, bytes: &[u8]) -> Result<Vec<u8>, DatumError> {
    let parsed = Schema::parse_str(schema).map_err(|error| DatumError::Schema(error.to_string()))?;
    let record = record_type(&parsed).map_err(|problems| {
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        DatumError::Schema(problems.join("; "))
    })?;
    let (mut cursor, mut out) = (Cursor::new(bytes), Vec::new());
    write_record(&record, &mut cursor, &mut out)?;
    cursor.finish()?;
    Ok(out)
}

/// How a `long` is written. JSON has numbers of any size, but many of its readers keep them in a double, which is exact up
/// to 2^53 only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Longs {
    /// As a number.
    #[default]
    Number,
    /// As text, whatever its size, in every place of a value: then a column has one form.
    Text,
}

/// Appends the JSON text of a slot of this type.
pub fn write(column: &ColumnType, datum: Datum<'_>, out: &mut Vec<u8>) {
    write_as(column, datum, Longs::Number, out);
}

/// Appends the JSON text of a slot of this type, longs as asked for.
pub fn write_as(column: &ColumnType, datum: Datum<'_>, longs: Longs, out: &mut Vec<u8>) {
    match datum {
        Datum::Null => out.extend_from_slice(b"null"),
        Datum::Encoded(bytes) => {
            let start = out.len();
            let mut cursor = Cursor::new(bytes);
            let written = match &column.ty {
                // Its datum says the branch in the numbers of the column, null included.
                Type::Union(_) => write_column(column, true, &mut cursor, longs, out),
                ty => write_value(ty, &mut cursor, longs, out),
            };
            debug_assert!(written.is_ok(), "an encoded slot is well-formed: {written:?}");
            if written.is_err() {
                out.truncate(start);
                out.extend_from_slice(b"null");
            }
        }
        scalar @ (Datum::Boolean(_)
        | Datum::Long(_)
        | Datum::Double(_)
        | Datum::Decimal(_)
        | Datum::Text(_)
        | Datum::Bytes(_)) => write_scalar(&column.ty, scalar, longs, out),
    }
}

/// Appends a name as a JSON string: one of Avro's or of a column, which have nothing in them that is escaped.
pub fn write_name(name: &str, out: &mut Vec<u8>) {
    debug_assert!(plain_bytes(name.as_bytes()) == name.len(), "{name} is no name");
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.push(b'"');
}

/// Appends a JSON string.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some((plain, [byte, behind @ ..])) = rest.split_at_checked(plain_bytes(rest)) {
        out.extend_from_slice(plain);
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                out.extend_from_slice(b"\\u00");
                let digit = |digit: u8| digit + if digit < 10 { b'0' } else { b'a' - 10 };
                out.extend([control >> 4, control & 15].map(digit));
            }
        }
        rest = behind;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// How many bytes at the front stand in a JSON string as they are; looks at sixteen at once, since nearly all do.
fn plain_bytes(bytes: &[u8]) -> usize {
    let is_escaped = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let (chunks, _) = bytes.as_chunks::<16>();
    let is_plain = |chunk: &&[u8; 16]| !chunk.iter().fold(false, |any, byte| any | is_escaped(*byte));
    let whole = 16 * chunks.iter().take_while(is_plain).count();
    whole + bytes.iter().skip(whole).take_while(|byte| !is_escaped(**byte)).count()
}

fn write_scalar(ty: &Type, datum: Datum<'_>, longs: Longs, out: &mut Vec<u8>) {
    match (ty, datum) {
        (Type::Long, _) if longs == Longs::Text => {
            out.push(b'"');
            text::write(ty, datum, out);
            out.push(b'"');
        }
        (Type::String | Type::Enum(_), Datum::Text(text)) => write_string(text, out),
        (_, Datum::Bytes(bytes)) => {
            out.push(b'"');
            base64::encode(bytes, out);
            out.push(b'"');
        }
        (Type::Boolean | Type::Int | Type::Long | Type::Float | Type::Double, _) => {
            text::write(ty, datum, out)
        }
        _ => {
            out.push(b'"');
            text::write(ty, datum, out);
            out.push(b'"');
        }
    }
}

fn write_column<'a>(
    column: &'a ColumnType,
    null_first: bool,
    cursor: &mut Cursor<'a>,
    longs: Longs,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    if let Type::Union(branches) = &column.ty {
        let ahead = cursor.look_ahead(|cursor| check_column(column, null_first, cursor))?;
        let branch = cursor.choice(branches.len() + 1, "a union has no such branch")?;
        if ahead == Presence::Null {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        let branch = branches.get(branch - usize::from(column.nullable));
        return branch.map_or(Ok(()), |branch| write_branch(branches, &branch.ty, cursor, longs, out));
    }
    if column.nullable && is_null(null_first, cursor)? {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    write_value(&column.ty, cursor, longs, out)
}

fn write_branch<'a>(
    branches: &[ColumnType],
    ty: &'a Type,
    cursor: &mut Cursor<'a>,
    longs: Longs,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    if stands_bare(branches, longs) {
        return write_value(ty, cursor, longs, out);
    }
    out.push(b'{');
    write_name(branch_name(branches, ty), out);
    out.push(b':');
    write_value(ty, cursor, longs, out)?;
    out.push(b'}');
    Ok(())
}

/// The name of a union's branch: a named type's short name if no other branch has it too, else its full name; of any
/// other type its type name.
#[must_use]
pub fn branch_name<'t>(branches: &[ColumnType], ty: &'t Type) -> &'t str {
    let Some(full) = full_name(ty) else { return kind(ty) };
    let short = short_name(full);
    let same = branches
        .iter()
        .filter(|branch| full_name(&branch.ty).map_or_else(|| kind(&branch.ty), short_name) == short);
    if same.count() == 1 { short } else { full }
}

pub(crate) fn short_name(full: &str) -> &str {
    full.rsplit('.').next().unwrap_or(full)
}

pub(crate) fn full_name(ty: &Type) -> Option<&str> {
    match ty {
        Type::Fixed(fixed) | Type::Decimal { fixed: Some(fixed), .. } => Some(&fixed.full_name),
        Type::Enum(symbols) => Some(&symbols.full_name),
        Type::Record(record) => Some(&record.full_name),
        Type::Boolean
        | Type::Int
        | Type::Long
        | Type::Float
        | Type::Double
        | Type::Bytes
        | Type::String
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
        | Type::Union(_) => None,
    }
}

/// Whether each branch has a JSON form of its own. Objects never do: one of them could look like `{"branch": value}`.
fn stands_bare(branches: &[ColumnType], longs: Longs) -> bool {
    let form = |ty: &Type| match ty {
        Type::Boolean => 0,
        Type::Long if longs == Longs::Text => 4,
        Type::Int | Type::Long | Type::Float | Type::Double => 1,
        Type::Array(_) => 2,
        Type::Map(_) | Type::Record(_) | Type::Union(_) => 3,
        Type::Bytes
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
        | Type::LocalTimestampMicros => 4,
    };
    let mut seen = [0; 5];
    for branch in branches {
        if let Some(count) = seen.get_mut(form(&branch.ty)) {
            *count += 1;
        }
    }
    let [booleans, numbers, arrays, objects, texts] = seen;
    objects == 0 && booleans <= 1 && numbers <= 1 && arrays <= 1 && texts <= 1
}

fn write_value<'a>(
    ty: &'a Type,
    cursor: &mut Cursor<'a>,
    longs: Longs,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    match ty {
        Type::Array(element) => {
            let mut mark = b'[';
            cursor.blocks(|cursor| {
                out.push(mark);
                mark = b',';
                write_column(element, true, cursor, longs, out)
            })?;
            if mark == b'[' {
                out.push(mark);
            }
            out.push(b']');
        }
        Type::Map(value) => {
            let mut mark = b'{';
            cursor.blocks(|cursor| {
                out.push(mark);
                mark = b',';
                write_string(cursor.text()?, out);
                out.push(b':');
                write_column(value, true, cursor, longs, out)
            })?;
            if mark == b'{' {
                out.push(mark);
            }
            out.push(b'}');
        }
        Type::Record(record) => return write_record_as(record, cursor, longs, out),
        Type::Union(branches) => {
            let branch = cursor.choice(branches.len(), "a union has no such branch")?;
            let branch = branches.get(branch);
            return branch.map_or(Ok(()), |branch| write_branch(branches, &branch.ty, cursor, longs, out));
        }
        scalar @ (Type::Boolean
        | Type::Int
        | Type::Long
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
        | Type::LocalTimestampMicros) => write_scalar(scalar, read_scalar(scalar, cursor)?, longs, out),
    }
    Ok(())
}

/// Appends a record as an object.
pub(crate) fn write_record<'a>(
    record: &'a RecordType,
    cursor: &mut Cursor<'a>,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    write_record_as(record, cursor, Longs::Number, out)
}

fn write_record_as<'a>(
    record: &'a RecordType,
    cursor: &mut Cursor<'a>,
    longs: Longs,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    out.push(b'{');
    for (at, field) in record.fields.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_name(&field.name, out);
        out.push(b':');
        write_column(&field.column, field.null_first, cursor, longs, out)?;
    }
    out.push(b'}');
    Ok(())
}
