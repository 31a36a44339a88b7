//! Values of the writer as values of the reader: into a slot, or into bytes in the reader's form.

use bumpalo::Bump;
use bumpalo::collections::Vec as ArenaVec;
use smallvec::SmallVec;

use super::error::DecodeError;
use super::resolve::{RecordResolve, Resolve, Source};
use super::shape::Shape;
use crate::calendar::time_problem;
use crate::datum::Datum;
use crate::types::Type;
use crate::wire::{Cursor, Sink, is_uuid, malformed, read_scalar, write_chunk, write_long, write_scalar};

/// A reader's defaults can make a value larger than the writer's; so large it may become.
const REWRITTEN_BYTES: usize = 64 << 20;

const TOO_LARGE: &str = "with the reader's defaults it has more than 64 MiB";
const NO_BRANCH: &str = "a union has no such branch";

// === impl Resolve ===

impl Resolve {
    /// Reads a value into a slot.
    #[inline]
    pub(super) fn read<'a>(
        &'a self,
        cursor: &mut Cursor<'a>,
        arena: &'a Bump,
    ) -> Result<Datum<'a>, DecodeError> {
        match self {
            Resolve::Scalar(Type::Uuid) => Ok(lower_case(read_scalar(&Type::Uuid, cursor)?, arena)),
            Resolve::Scalar(ty) => read_scalar(ty, cursor),
            Resolve::Union(branches) => {
                let branch = cursor.choice(branches.len(), NO_BRANCH)?;
                match branches.get(branch) {
                    Some(branch) => branch.read(cursor, arena),
                    None => Ok(Datum::Null),
                }
            }
            Resolve::Null { .. } => Ok(Datum::Null),
            Resolve::Branch { value, optional: true, .. } => value.read(cursor, arena),
            Resolve::Convert { from, to } => {
                let value = convert(from, to, cursor)?;
                Ok(if *to == Type::Uuid { lower_case(value, arena) } else { value })
            }
            Resolve::Enum { .. } => self.symbol(cursor),
            Resolve::Alike { shape, rewrite } => {
                let start = cursor.at();
                let before = std::mem::replace(&mut cursor.canonical, true);
                shape.check(cursor)?;
                if cursor.canonical {
                    cursor.canonical = before;
                    return Ok(Datum::Encoded(cursor.since(start)));
                }
                cursor.seek(start);
                rewrite.build(cursor, arena)
            }
            Resolve::Array { .. }
            | Resolve::Map { .. }
            | Resolve::Record(_)
            | Resolve::Branch { .. }
            | Resolve::Never => self.build(cursor, arena),
        }
    }

    pub(super) fn build<'a>(
        &'a self,
        cursor: &mut Cursor<'a>,
        arena: &'a Bump,
    ) -> Result<Datum<'a>, DecodeError> {
        let mut out = ArenaVec::new_in(arena);
        self.rewrite(cursor, &mut out)?;
        Ok(Datum::Encoded(out.into_bump_slice()))
    }

    fn symbol<'a>(&'a self, cursor: &mut Cursor<'a>) -> Result<Datum<'a>, DecodeError> {
        let start = cursor.at();
        let Resolve::Enum { symbols, to } = self else { return Ok(Datum::Null) };
        let symbol = cursor.choice(symbols.len(), "an enum has no such symbol")?;
        let symbol = symbols.get(symbol).copied().flatten().and_then(|place| to.symbols.get(place));
        symbol
            .map(|symbol| Datum::Text(symbol.as_str()))
            .ok_or(malformed(start, "the reader's enum does not have the symbol, and no default"))
    }

    /// Reads a value and appends it in the reader's form, canonically.
    fn rewrite<'a>(&'a self, cursor: &mut Cursor<'a>, out: &mut impl Sink) -> Result<(), DecodeError> {
        match self {
            Resolve::Scalar(ty) => write_scalar(ty, read_scalar(ty, cursor)?, out),
            Resolve::Convert { from, to } => write_scalar(to, convert(from, to, cursor)?, out),
            Resolve::Enum { to, .. } => {
                if let Datum::Text(symbol) = self.symbol(cursor)? {
                    let place = to.symbols.iter().position(|known| known == symbol);
                    write_long(place.unwrap_or_default() as i64, out);
                }
            }
            Resolve::Alike { rewrite, .. } => return rewrite.rewrite(cursor, out),
            Resolve::Array { shape, element } => return elements(cursor, out, shape, element),
            Resolve::Map { value, .. } => return entries(cursor, out, value),
            Resolve::Record(record) => return record.rewrite(cursor, out),
            Resolve::Union(branches) => {
                let branch = cursor.choice(branches.len(), NO_BRANCH)?;
                return branches.get(branch).map_or(Ok(()), |branch| branch.rewrite(cursor, out));
            }
            Resolve::Null { branch } => write_long(*branch, out),
            Resolve::Branch { branch, value, .. } => {
                write_long(*branch, out);
                return value.rewrite(cursor, out);
            }
            Resolve::Never => {
                let what = "a branch of the writer's union has no place in the reader's type";
                return Err(malformed(cursor.at(), what));
            }
        }
        Ok(())
    }
}

/// All blocks as one. Its count stands in front, so the elements are counted before they are read.
fn elements<'a>(
    cursor: &mut Cursor<'a>,
    out: &mut impl Sink,
    shape: &'a Shape,
    element: &'a Resolve,
) -> Result<(), DecodeError> {
    let count = cursor.look_ahead(|cursor| shape.count(cursor))?;
    if count > 0 {
        write_long(count as i64, out);
    }
    cursor.blocks(|cursor| element.rewrite(cursor, out))?;
    out.put(0);
    Ok(())
}

/// All blocks as one, in the order of the keys. Where a key stands twice its last entry counts, as for every reader that
/// keeps maps in memory.
fn entries<'a>(cursor: &mut Cursor<'a>, out: &mut impl Sink, value: &'a Resolve) -> Result<(), DecodeError> {
    let mut places = Vec::new();
    let mut bytes = Vec::new();
    cursor.entries(|cursor, key| {
        let start = bytes.len();
        value.rewrite(cursor, &mut bytes)?;
        if bytes.len() > REWRITTEN_BYTES {
            return Err(malformed(cursor.at(), TOO_LARGE));
        }
        places.push((key, start..bytes.len()));
        Ok(())
    })?;
    places.sort_by_key(|(key, _)| *key);
    // The sort is stable, so the last of equal keys is the last that was written.
    let last_of_key = |at: usize| {
        let next = places.get(at + 1);
        places.get(at).filter(|(key, _)| next.is_none_or(|(next, _)| next != key))
    };
    let kept: Vec<_> = (0..places.len()).filter_map(last_of_key).collect();
    if !kept.is_empty() {
        write_long(kept.len() as i64, out);
    }
    for (key, range) in kept {
        write_chunk(key.as_bytes(), out);
        out.put_all(bytes.get(range.clone()).unwrap_or_default());
    }
    out.put(0);
    Ok(())
}

// === impl RecordResolve ===

impl RecordResolve {
    fn rewrite<'a>(&'a self, cursor: &mut Cursor<'a>, out: &mut impl Sink) -> Result<(), DecodeError> {
        let mut starts: SmallVec<[usize; 16]> = SmallVec::new();
        let end = cursor.look_ahead(|cursor| {
            for field in &self.fields {
                starts.push(cursor.at());
                field.check(cursor)?;
            }
            Ok(cursor.at())
        })?;
        for source in &self.sources {
            match source {
                Source::Default(datum) => out.put_all(datum),
                Source::Writer(place, resolve) => {
                    cursor.seek(starts.get(*place).copied().unwrap_or_default());
                    resolve.rewrite(cursor, out)?;
                }
            }
            if out.size() > REWRITTEN_BYTES {
                return Err(malformed(end, TOO_LARGE));
            }
        }
        cursor.seek(end);
        Ok(())
    }
}

fn lower_case<'a>(value: Datum<'a>, arena: &'a Bump) -> Datum<'a> {
    match value {
        Datum::Text(text) if text.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            let text = arena.alloc_str(text);
            text.make_ascii_lowercase();
            Datum::Text(text)
        }
        other => other,
    }
}

/// Reads a scalar of one type as another.
fn convert<'a>(from: &'a Type, to: &Type, cursor: &mut Cursor<'a>) -> Result<Datum<'a>, DecodeError> {
    let start = cursor.at();
    let value = read_scalar(from, cursor)?;
    let problem = match (to, value) {
        (Type::Float, Datum::Long(value)) => return Ok(Datum::Double(f64::from(value as f32))),
        (Type::Double, Datum::Long(value)) => return Ok(Datum::Double(value as f64)),
        (Type::Bytes, Datum::Text(text)) => return Ok(Datum::Bytes(text.as_bytes())),
        (Type::String | Type::Uuid, Datum::Bytes(bytes)) => match std::str::from_utf8(bytes) {
            Ok(text) if *to == Type::String || is_uuid(text) => return Ok(Datum::Text(text)),
            Ok(_) => Some("a uuid is not 36 characters as 8-4-4-4-12"),
            Err(_) => Some("a string is not UTF-8"),
        },
        (Type::Decimal { precision, .. }, Datum::Decimal(value)) => (!crate::number::fits(value, *precision))
            .then_some("a decimal has too many digits for the reader"),
        (_, Datum::Long(value)) => time_problem(to, value),
        _ => None,
    };
    match problem {
        None => Ok(value),
        Some(what) => Err(malformed(start, what)),
    }
}
