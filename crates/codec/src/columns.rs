//! Slots to the bytes a table keeps, and back: each column as its Avro datum (nullable: union of null and the type,
//! null first), one after the other. Bytes are canonical: equal slots give equal bytes.
//!
//! Whoever makes an encoded value ([`crate::decode`], [`crate::json_in`]) makes it canonical: one block, a map's keys in
//! order, numbers in the fewest bytes. The functions here read other encodings too.

use bumpalo::Bump;

use crate::datum::Datum;
use crate::decode::DecodeError;
use crate::types::{ColumnType, Field, RecordType, Type};
use crate::wire::{Cursor, check_scalar, malformed, read_scalar, write_scalar};

/// Appends the slots' bytes to `out`. Slots must be of their columns' types, and not NULL where the column is not
/// nullable: callers check, this function debug-asserts.
pub fn encode<'t>(columns: impl IntoIterator<Item = &'t ColumnType>, slots: &[Datum<'_>], out: &mut Vec<u8>) {
    for (column, slot) in columns.into_iter().zip(slots) {
        debug_assert!(
            column.nullable || !slot.is_null(),
            "NULL in a column that is not nullable: {column:?}"
        );
        if column.nullable {
            match slot {
                Datum::Null => out.push(0),
                // The datum of a nullable union says its branch itself, null being branch 0.
                _ if matches!(column.ty, Type::Union(_)) => {}
                _ => out.push(2),
            }
        }
        if !slot.is_null() {
            write_scalar(&column.ty, *slot, out);
        }
    }
}

/// Reads what [`encode`] wrote; `bytes` must end with the last column.
///
/// # Errors
/// When the bytes are not an encoding of the columns.
pub fn decode<'a, 't: 'a>(
    columns: impl IntoIterator<Item = &'t ColumnType>,
    bytes: &'a [u8],
    slots: &mut [Datum<'a>],
) -> Result<(), DecodeError> {
    let mut cursor = Cursor::new(bytes);
    for (column, slot) in columns.into_iter().zip(slots) {
        *slot = read_column(column, true, &mut cursor)?;
    }
    cursor.finish()
}

/// Bytes that [`encode`] wrote, and where in them each column ends, as [`decode_own`] found it.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// The ends, in bytes.
    pub ends: &'a [usize],
}

/// Does what [`encode`] does, faster: columns that did not `change` since other slots were written are copied from there.
/// Where `change` says so of a column that did not, the bytes are the same.
pub fn encode_over<'t>(
    columns: impl IntoIterator<Item = &'t ColumnType>,
    slots: &[Datum<'_>],
    written: Written<'_>,
    change: impl Fn(usize) -> bool,
    out: &mut Vec<u8>,
) {
    let Written { bytes, ends } = written;
    // What is copied next begins here, and where the column in hand does.
    let (mut from, mut start) = (0, 0);
    for (at, ((column, slot), end)) in columns.into_iter().zip(slots).zip(ends).enumerate() {
        if change(at) {
            out.extend_from_slice(bytes.get(from..start).unwrap_or_default());
            encode([column], &[*slot], out);
            from = *end;
        }
        start = *end;
    }
    out.extend_from_slice(bytes.get(from..).unwrap_or_default());
}

/// Reads what [`encode`] wrote and this process has in hand since: nested values are passed over without a look into them,
/// and so are the first `known` columns, whose slots stay as they are. Where each column ends goes into `ends`. Bytes from
/// elsewhere are for [`decode`].
///
/// # Errors
/// When the bytes are not an encoding of the columns, as far as they are looked at.
pub fn decode_own<'a, 't: 'a>(
    columns: impl IntoIterator<Item = &'t ColumnType>,
    known: usize,
    bytes: &'a [u8],
    slots: &mut [Datum<'a>],
    ends: &mut [usize],
) -> Result<(), DecodeError> {
    let mut cursor = Cursor::new(bytes);
    for (at, ((column, slot), end)) in columns.into_iter().zip(slots).zip(ends).enumerate() {
        if at < known {
            skip_column(column, true, &mut cursor)?;
        } else {
            *slot = read::<true>(column, true, &mut cursor)?;
        }
        *end = cursor.at();
    }
    cursor.finish()
}

/// The elements of an encoded array, in order.
///
/// # Errors
/// Each item: when the bytes are not an encoding of the array.
pub fn elements<'a>(
    element: &'a ColumnType,
    encoded: &'a [u8],
) -> impl Iterator<Item = Result<Datum<'a>, DecodeError>> + 'a {
    let mut entries = Entries::new(element, false, encoded);
    std::iter::from_fn(move || entries.next().map(|entry| entry.map(|(_, datum)| datum)))
}

/// The entries of an encoded map, in order.
///
/// # Errors
/// Each item: when the bytes are not an encoding of the map.
pub fn entries<'a>(
    value: &'a ColumnType,
    encoded: &'a [u8],
) -> impl Iterator<Item = Result<(&'a str, Datum<'a>), DecodeError>> + 'a {
    let mut entries = Entries::new(value, true, encoded);
    std::iter::from_fn(move || entries.next())
}

/// One field of an encoded record.
///
/// # Errors
/// When the bytes are not an encoding of the record.
pub fn field<'a>(record: &'a RecordType, encoded: &'a [u8], field: usize) -> Result<Datum<'a>, DecodeError> {
    let mut cursor = Cursor::new(encoded);
    for (at, field_type) in record.fields.iter().enumerate() {
        if at == field {
            return read_column(&field_type.column, field_type.null_first, &mut cursor);
        }
        check_column(&field_type.column, field_type.null_first, &mut cursor)?;
    }
    Err(malformed(cursor.at(), "the record has no such field"))
}

/// The value under a key of an encoded map; NULL when there is none. The last one wins where a key stands twice.
///
/// # Errors
/// When the bytes are not an encoding of the map.
pub fn entry<'a>(value: &'a ColumnType, encoded: &'a [u8], key: &str) -> Result<Datum<'a>, DecodeError> {
    let mut found = Datum::Null;
    for entry in entries(value, encoded) {
        let (name, datum) = entry?;
        if name == key {
            found = datum;
        }
    }
    Ok(found)
}

/// How many elements an encoded array or map has, without looking into them further than needed: a canonical encoding
/// has its count in front.
///
/// # Errors
/// When the bytes are not an encoding of it.
pub fn count(element: &ColumnType, is_map: bool, encoded: &[u8]) -> Result<u64, DecodeError> {
    let mut entries = Entries::new(element, is_map, encoded);
    let mut total = 0;
    while entries.open()? {
        let block = std::mem::take(&mut entries.left);
        total += block;
        if entries.cursor.canonical {
            return Ok(total);
        }
        entries.skip(block)?;
    }
    Ok(total)
}

/// A copy of a datum that lives in the arena.
#[must_use]
pub fn keep<'a>(datum: Datum<'_>, arena: &'a Bump) -> Datum<'a> {
    match datum {
        Datum::Null => Datum::Null,
        Datum::Boolean(v) => Datum::Boolean(v),
        Datum::Long(v) => Datum::Long(v),
        Datum::Double(v) => Datum::Double(v),
        Datum::Decimal(v) => Datum::Decimal(v),
        Datum::Text(v) => Datum::Text(arena.alloc_str(v)),
        Datum::Bytes(v) => Datum::Bytes(arena.alloc_slice_copy(v)),
        Datum::Encoded(v) => Datum::Encoded(arena.alloc_slice_copy(v)),
    }
}

/// Walks over the blocks of an array or a map.
struct Entries<'a> {
    element: &'a ColumnType,
    is_map: bool,
    cursor: Cursor<'a>,
    left: u64,
    over: bool,
}

// === impl Entries ===

impl<'a> Entries<'a> {
    fn new(element: &'a ColumnType, is_map: bool, encoded: &'a [u8]) -> Entries<'a> {
        Entries { element, is_map, cursor: Cursor::new(encoded), left: 0, over: false }
    }

    /// Goes to the next block if this one is used up; false at the end.
    fn open(&mut self) -> Result<bool, DecodeError> {
        if self.left == 0 && !self.over {
            self.left = self.cursor.block()?;
            self.over = self.left == 0;
            if self.over {
                self.cursor.finish()?;
            }
        }
        Ok(!self.over)
    }

    fn skip(&mut self, count: u64) -> Result<(), DecodeError> {
        for _ in 0..count {
            if self.is_map {
                self.cursor.text()?;
            }
            check_column(self.element, true, &mut self.cursor)?;
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Result<(&'a str, Datum<'a>), DecodeError>> {
        let entry = self.open().and_then(|more| if more { self.read().map(Some) } else { Ok(None) });
        if entry.is_err() {
            self.over = true;
        }
        entry.transpose()
    }

    fn read(&mut self) -> Result<(&'a str, Datum<'a>), DecodeError> {
        self.left -= 1;
        let name = if self.is_map { self.cursor.text()? } else { "" };
        Ok((name, read_column(self.element, true, &mut self.cursor)?))
    }
}

/// Reads a column; `null_first` says where null stands, if it is nullable.
#[inline]
pub(crate) fn read_column<'a>(
    column: &'a ColumnType,
    null_first: bool,
    cursor: &mut Cursor<'a>,
) -> Result<Datum<'a>, DecodeError> {
    read::<false>(column, null_first, cursor)
}

/// [`read_column`]. `OWN`: what is nested is not checked.
#[inline]
fn read<'a, const OWN: bool>(
    column: &'a ColumnType,
    null_first: bool,
    cursor: &mut Cursor<'a>,
) -> Result<Datum<'a>, DecodeError> {
    if let Type::Union(_) = column.ty {
        let start = cursor.at();
        let found = if OWN {
            skip_column(column, null_first, cursor)
        } else {
            check_column(column, null_first, cursor)
        };
        return Ok(match found? {
            Presence::Null => Datum::Null,
            Presence::Value => Datum::Encoded(cursor.since(start)),
        });
    }
    if column.nullable && is_null(null_first, cursor)? {
        return Ok(Datum::Null);
    }
    match &column.ty {
        Type::Array(_) | Type::Map(_) | Type::Record(_) => {
            let start = cursor.at();
            if OWN {
                skip(&column.ty, cursor)?
            } else {
                check(&column.ty, cursor)?
            }
            Ok(Datum::Encoded(cursor.since(start)))
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
        | Type::LocalTimestampMicros
        | Type::Union(_)) => read_scalar(scalar, cursor),
    }
}

/// Whether there was a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Null,
    Value,
}

/// Reads the branch of a union of null and one other type.
#[inline]
pub(crate) fn is_null(null_first: bool, cursor: &mut Cursor<'_>) -> Result<bool, DecodeError> {
    Ok((cursor.choice(2, "a union has no such branch")? == 0) == null_first)
}

/// Moves over a column, checking all of it.
pub(crate) fn check_column<'a>(
    column: &'a ColumnType,
    null_first: bool,
    cursor: &mut Cursor<'a>,
) -> Result<Presence, DecodeError> {
    match presence(column, null_first, cursor)? {
        Some(ty) => check(ty, cursor).map(|()| Presence::Value),
        None => Ok(Presence::Null),
    }
}

/// Moves over a column of which it is known that it is one.
#[inline]
fn skip_column<'a>(
    column: &'a ColumnType,
    null_first: bool,
    cursor: &mut Cursor<'a>,
) -> Result<Presence, DecodeError> {
    match presence(column, null_first, cursor)? {
        Some(ty) => skip(ty, cursor).map(|()| Presence::Value),
        None => Ok(Presence::Null),
    }
}

/// The type of the value that follows, if there is one.
#[inline]
fn presence<'a>(
    column: &'a ColumnType,
    null_first: bool,
    cursor: &mut Cursor<'a>,
) -> Result<Option<&'a Type>, DecodeError> {
    if let Type::Union(branches) = &column.ty {
        let nulls = usize::from(column.nullable);
        let branch = cursor.choice(branches.len() + nulls, "a union has no such branch")?;
        return Ok(branch.checked_sub(nulls).and_then(|at| branches.get(at)).map(|branch| &branch.ty));
    }
    let is_null = column.nullable && is_null(null_first, cursor)?;
    Ok((!is_null).then_some(&column.ty))
}

fn check<'a>(ty: &'a Type, cursor: &mut Cursor<'a>) -> Result<(), DecodeError> {
    match ty {
        Type::Array(element) => {
            cursor.blocks(|cursor| check_column(element, true, cursor).map(drop))?;
        }
        Type::Map(value) => {
            cursor.entries(|cursor, _| check_column(value, true, cursor).map(drop))?;
        }
        Type::Record(record) => {
            for Field { column, null_first, .. } in &record.fields {
                check_column(column, *null_first, cursor)?;
            }
        }
        Type::Union(branches) => {
            let branch = cursor.choice(branches.len(), "a union has no such branch")?;
            if let Some(branch) = branches.get(branch) {
                check(&branch.ty, cursor)?;
            }
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
        | Type::LocalTimestampMicros) => check_scalar(scalar, cursor)?,
    }
    Ok(())
}

/// Moves over a value of which it is known that it is one of the type: only as far as that needs.
fn skip<'a>(ty: &'a Type, cursor: &mut Cursor<'a>) -> Result<(), DecodeError> {
    match ty {
        Type::String | Type::Bytes | Type::Uuid | Type::Decimal { fixed: None, .. } => cursor.pass_chunk(),
        Type::Int
        | Type::Long
        | Type::Enum(_)
        | Type::Date
        | Type::TimeMillis
        | Type::TimeMicros
        | Type::TimestampMillis
        | Type::TimestampMicros
        | Type::LocalTimestampMillis
        | Type::LocalTimestampMicros => cursor.pass_number(),
        Type::Boolean => cursor.pass(1),
        Type::Float => cursor.pass(4),
        Type::Double => cursor.pass(8),
        Type::Fixed(fixed) | Type::Decimal { fixed: Some(fixed), .. } => cursor.pass(fixed.size),
        Type::Array(element) => {
            cursor.blocks(|cursor| skip_column(element, true, cursor).map(drop))?;
            Ok(())
        }
        Type::Map(value) => {
            cursor.blocks(|cursor| {
                cursor.pass_chunk()?;
                skip_column(value, true, cursor).map(drop)
            })?;
            Ok(())
        }
        Type::Record(record) => {
            for Field { column, null_first, .. } in &record.fields {
                skip_column(column, *null_first, cursor)?;
            }
            Ok(())
        }
        Type::Union(branches) => {
            let branch = cursor.choice(branches.len(), "a union has no such branch")?;
            branches.get(branch).map_or(Ok(()), |branch| skip(&branch.ty, cursor))
        }
    }
}
