//! Avro's binary form, one value at a time: a cursor over a datum, and the scalar types read and written.
//!
//! Reading accepts every well-formed encoding and notes whether it was the *canonical* one: numbers in the fewest
//! bytes, arrays and maps in one block without a size, a map's keys in ascending order and each once, decimals in the fewest bytes, uuids in lower case, no negative
//! zero. What is kept is canonical, so that equal values have equal bytes.

use crate::calendar::time_problem;
use crate::datum::Datum;
use crate::decode::DecodeError;
use crate::number;
use crate::types::Type;

/// Elements without any bytes cost a writer nothing; so many are believed in one datum.
const WEIGHTLESS_ELEMENTS: u32 = 1_000_000;

/// A place in a datum.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether all that was read was canonical.
    pub(crate) canonical: bool,
    weightless: u32,
}

/// Where encoded bytes go: a vector, or one in an arena.
pub(crate) trait Sink {
    /// Appends a byte.
    fn put(&mut self, byte: u8);
    /// Appends bytes.
    fn put_all(&mut self, bytes: &[u8]);
    /// How many bytes there are.
    fn size(&self) -> usize;
}

// === impl Sink ===

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, byte: u8) {
        self.push(byte);
    }

    #[inline]
    fn put_all(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn size(&self) -> usize {
        self.len()
    }
}

impl Sink for bumpalo::collections::Vec<'_, u8> {
    fn put(&mut self, byte: u8) {
        self.push(byte);
    }

    fn put_all(&mut self, bytes: &[u8]) {
        self.extend_from_slice_copy(bytes);
    }

    fn size(&self) -> usize {
        self.len()
    }
}

// === impl Cursor ===

impl<'a> Cursor<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0, canonical: true, weightless: WEIGHTLESS_ELEMENTS }
    }

    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Goes back (or on) to a place it has been at.
    pub(crate) fn seek(&mut self, at: usize) {
        self.at = at;
    }

    /// Reads on with `look` and comes back to this place.
    pub(crate) fn look_ahead<T>(
        &mut self,
        look: impl FnOnce(&mut Cursor<'a>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let mut ahead = self.clone();
        look(&mut ahead)
    }

    /// What was read since `start`.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    /// Nothing may be left.
    #[inline]
    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => Err(DecodeError::Trailing(left)),
        }
    }

    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let taken = self.at.checked_add(length).and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or(DecodeError::Truncated { at: self.bytes.len() })?;
        self.at += length;
        Ok(taken)
    }

    /// A fixed number of bytes, as an array.
    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let truncated = DecodeError::Truncated { at: self.bytes.len() };
        self.take(N)?.try_into().map_err(|_| truncated)
    }

    /// A zigzag number.
    #[inline]
    pub(crate) fn long(&mut self) -> Result<i64, DecodeError> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(i64::from(byte >> 1) ^ -i64::from(byte & 1))
            }
            _ => self.long_number(),
        }
    }

    fn long_number(&mut self) -> Result<i64, DecodeError> {
        let start = self.at;
        let mut value = 0u64;
        let mut shift = 0;
        loop {
            let byte = *self.bytes.get(self.at).ok_or(DecodeError::Truncated { at: self.bytes.len() })?;
            self.at += 1;
            if shift == 63 && byte > 1 {
                return Err(malformed(start, "a number has more than 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                self.canonical &= byte != 0;
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
            shift += 7;
        }
    }

    #[inline]
    pub(crate) fn int(&mut self) -> Result<i64, DecodeError> {
        let start = self.at;
        let value = self.long()?;
        if i32::try_from(value).is_err() {
            return Err(malformed(start, "an int has more than 32 bits"));
        }
        Ok(value)
    }

    /// A length and as many bytes.
    #[inline]
    pub(crate) fn chunk(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = self.at;
        let length = self.long()?;
        let length = usize::try_from(length).map_err(|_| malformed(start, "a length is negative"))?;
        self.take(length)
    }

    #[inline]
    pub(crate) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let start = self.at;
        std::str::from_utf8(self.chunk()?).map_err(|_| malformed(start, "a string is not UTF-8"))
    }

    /// Moves past so many bytes.
    #[inline]
    pub(crate) fn pass(&mut self, length: usize) -> Result<(), DecodeError> {
        match self.at.checked_add(length) {
            Some(end) if end <= self.bytes.len() => {
                self.at = end;
                Ok(())
            }
            _ => Err(DecodeError::Truncated { at: self.bytes.len() }),
        }
    }

    /// Moves past a number, whatever it is.
    #[inline]
    pub(crate) fn pass_number(&mut self) -> Result<(), DecodeError> {
        loop {
            match self.bytes.get(self.at) {
                Some(byte) => {
                    self.at += 1;
                    if *byte < 0x80 {
                        return Ok(());
                    }
                }
                None => return Err(DecodeError::Truncated { at: self.bytes.len() }),
            }
        }
    }

    /// Moves past a length and as many bytes.
    #[inline]
    pub(crate) fn pass_chunk(&mut self) -> Result<(), DecodeError> {
        let start = self.at;
        let length = self.long()?;
        self.pass(usize::try_from(length).map_err(|_| malformed(start, "a length is negative"))?)
    }

    /// A branch of a union or a symbol of an enum, below `count`.
    #[inline]
    pub(crate) fn choice(&mut self, count: usize, what: &'static str) -> Result<usize, DecodeError> {
        let start = self.at;
        let index = self.long()?;
        usize::try_from(index).ok().filter(|index| *index < count).ok_or(malformed(start, what))
    }

    /// The elements of an array or the entries of a map: `each` reads one.
    #[inline]
    pub(crate) fn blocks(
        &mut self,
        mut each: impl FnMut(&mut Cursor<'a>) -> Result<(), DecodeError>,
    ) -> Result<u64, DecodeError> {
        let (mut total, mut blocks) = (0u64, 0);
        loop {
            let count = self.block()?;
            if count == 0 {
                return Ok(total);
            }
            blocks += 1;
            self.canonical &= blocks == 1;
            for _ in 0..count {
                let start = self.at;
                each(self)?;
                if self.at == start {
                    self.weightless = self
                        .weightless
                        .checked_sub(1)
                        .ok_or(malformed(start, "more than 1,000,000 elements without any bytes"))?;
                }
            }
            total += count;
        }
    }

    /// The entries of a map: `each` reads one's value. Keys are in the order of their bytes in a canonical map.
    #[inline]
    pub(crate) fn entries(
        &mut self,
        mut each: impl FnMut(&mut Cursor<'a>, &'a str) -> Result<(), DecodeError>,
    ) -> Result<u64, DecodeError> {
        let mut last: Option<&'a str> = None;
        self.blocks(|cursor| {
            let key = cursor.text()?;
            cursor.canonical &= last.is_none_or(|last| last < key);
            last = Some(key);
            each(cursor, key)
        })
    }

    /// A block's count; a size before it is not needed.
    pub(crate) fn block(&mut self) -> Result<u64, DecodeError> {
        let start = self.at;
        let count = self.long()?;
        if count < 0 {
            self.canonical = false;
            if self.long()? < 0 {
                return Err(malformed(start, "a block's size is negative"));
            }
        }
        Ok(count.unsigned_abs())
    }
}

#[cold]
pub(crate) fn malformed(at: usize, what: &'static str) -> DecodeError {
    DecodeError::Malformed { at, what }
}

/// Checks a value of a scalar type and moves past it.
#[inline]
pub(crate) fn check_scalar<'a>(ty: &'a Type, cursor: &mut Cursor<'a>) -> Result<(), DecodeError> {
    if let Type::String = ty {
        return cursor.text().map(drop);
    }
    if let Type::Long = ty {
        return cursor.long().map(drop);
    }
    read_scalar(ty, cursor).map(drop)
}

/// Reads a value of a scalar type. A uuid comes as it stands, in either case.
#[inline]
pub(crate) fn read_scalar<'a>(ty: &'a Type, cursor: &mut Cursor<'a>) -> Result<Datum<'a>, DecodeError> {
    let start = cursor.at();
    Ok(match ty {
        Type::String => Datum::Text(cursor.text()?),
        Type::Long => Datum::Long(cursor.long()?),
        Type::Int => Datum::Long(cursor.int()?),
        Type::Boolean => match cursor.array()? {
            [0] => Datum::Boolean(false),
            [1] => Datum::Boolean(true),
            _ => return Err(malformed(start, "a boolean is neither 0 nor 1")),
        },
        Type::Enum(symbols) => {
            let at = cursor.choice(symbols.symbols.len(), "an enum has no such symbol")?;
            Datum::Text(symbols.symbols.get(at).map(String::as_str).unwrap_or_default())
        }
        Type::Bytes => Datum::Bytes(cursor.chunk()?),
        Type::Fixed(fixed) => Datum::Bytes(cursor.take(fixed.size)?),
        Type::Float
        | Type::Double
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
        | Type::Union(_) => return read_rare(ty, cursor),
    })
}

fn read_rare<'a>(ty: &'a Type, cursor: &mut Cursor<'a>) -> Result<Datum<'a>, DecodeError> {
    let start = cursor.at();
    let value = match ty {
        Type::Float => return float(f64::from(f32::from_le_bytes(cursor.array()?)), start, cursor),
        Type::Double => return float(f64::from_le_bytes(cursor.array()?), start, cursor),
        Type::Decimal { precision, fixed: None, .. } => {
            let bytes = cursor.chunk()?;
            let (value, minimal) = decimal(bytes, *precision, start)?;
            cursor.canonical &= minimal;
            return Ok(Datum::Decimal(value));
        }
        Type::Decimal { precision, fixed: Some(fixed), .. } => {
            return Ok(Datum::Decimal(decimal(cursor.take(fixed.size)?, *precision, start)?.0));
        }
        Type::Uuid => {
            let text = cursor.text()?;
            if !is_uuid(text) {
                return Err(malformed(start, "a uuid is not 36 characters as 8-4-4-4-12"));
            }
            cursor.canonical &= !text.bytes().any(|byte| byte.is_ascii_uppercase());
            return Ok(Datum::Text(text));
        }
        Type::Date | Type::TimeMillis => cursor.int()?,
        Type::TimeMicros
        | Type::TimestampMillis
        | Type::TimestampMicros
        | Type::LocalTimestampMillis
        | Type::LocalTimestampMicros => cursor.long()?,
        Type::Boolean
        | Type::Int
        | Type::Long
        | Type::Bytes
        | Type::String
        | Type::Fixed(_)
        | Type::Enum(_)
        | Type::Array(_)
        | Type::Map(_)
        | Type::Record(_)
        | Type::Union(_) => {
            return Err(malformed(start, "a value of a complex type stands where a scalar is read"));
        }
    };
    match time_problem(ty, value) {
        None => Ok(Datum::Long(value)),
        Some(what) => Err(malformed(start, what)),
    }
}

/// Negative zero is zero: SQL cannot tell them apart, so bytes must not.
fn float<'a>(value: f64, start: usize, cursor: &mut Cursor<'a>) -> Result<Datum<'a>, DecodeError> {
    if !value.is_finite() {
        return Err(malformed(start, "a float is NaN or infinite"));
    }
    cursor.canonical &= value != 0.0 || value.is_sign_positive();
    Ok(Datum::Double(value + 0.0))
}

pub(crate) fn decimal(bytes: &[u8], precision: u8, start: usize) -> Result<(i128, bool), DecodeError> {
    number::from_big_endian(bytes)
        .filter(|(value, _)| number::fits(*value, precision))
        .ok_or(malformed(start, "a decimal is empty or has too many digits"))
}

/// Whether a text is 36 characters as 8-4-4-4-12, in either case.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Appends a zigzag number.
#[inline]
pub(crate) fn write_long(value: i64, out: &mut impl Sink) {
    let number = ((value << 1) ^ (value >> 63)) as u64;
    if number < 0x80 {
        return out.put(number as u8);
    }
    write_bytes_of(number, out);
}

/// Appends a number, seven bits a byte, the lowest first.
fn write_bytes_of(mut rest: u64, out: &mut impl Sink) {
    let (mut bytes, mut size) = ([0; 10], 0);
    for byte in &mut bytes {
        size += 1;
        if rest < 0x80 {
            *byte = rest as u8;
            break;
        }
        *byte = rest as u8 | 0x80;
        rest >>= 7;
    }
    out.put_all(bytes.get(..size).unwrap_or_default());
}

/// Appends a length and the bytes.
#[inline]
pub(crate) fn write_chunk(bytes: &[u8], out: &mut impl Sink) {
    write_long(bytes.len() as i64, out);
    out.put_all(bytes);
}

/// Appends a datum in the form of its type. What does not fit the type is not written: callers check.
#[inline]
pub(crate) fn write_scalar(ty: &Type, datum: Datum<'_>, out: &mut impl Sink) {
    // Most of what is written is one of these.
    match (ty, datum) {
        (Type::String, Datum::Text(text)) => write_chunk(text.as_bytes(), out),
        (_, Datum::Long(value)) => write_long(value, out),
        (_, Datum::Encoded(bytes)) => out.put_all(bytes),
        _ => write_other(ty, datum, out),
    }
}

fn write_other(ty: &Type, datum: Datum<'_>, out: &mut impl Sink) {
    match (ty, datum) {
        (Type::Boolean, Datum::Boolean(value)) => out.put(u8::from(value)),
        (Type::Enum(symbols), Datum::Text(text)) => {
            let place = symbols.symbols.iter().position(|symbol| symbol == text);
            debug_assert!(place.is_some(), "{text} is no symbol of {}", symbols.full_name);
            write_long(place.unwrap_or_default() as i64, out);
        }
        (Type::Uuid, Datum::Text(text)) => {
            write_long(text.len() as i64, out);
            text.bytes().for_each(|byte| out.put(byte.to_ascii_lowercase()));
        }
        (Type::Fixed(_), Datum::Bytes(bytes)) => out.put_all(bytes),
        (Type::Float, Datum::Double(value)) => out.put_all(&(value as f32 + 0.0).to_le_bytes()),
        (Type::Decimal { fixed, .. }, Datum::Decimal(value)) => {
            write_decimal(value, fixed.as_ref().map(|fixed| fixed.size), out);
        }
        (_, Datum::Text(text)) => write_chunk(text.as_bytes(), out),
        (_, Datum::Double(value)) => out.put_all(&(value + 0.0).to_le_bytes()),
        (_, Datum::Bytes(bytes)) => write_chunk(bytes, out),
        _ => debug_assert!(false, "{datum:?} is not of type {ty:?}"),
    }
}

fn write_decimal(value: i128, fixed: Option<usize>, out: &mut impl Sink) {
    let bytes = value.to_be_bytes();
    let sign = if value < 0 { 0xff } else { 0 };
    match fixed {
        None => write_chunk(bytes.get(number::surplus_bytes(&bytes)..).unwrap_or_default(), out),
        Some(size) => {
            (16..size).for_each(|_| out.put(sign));
            out.put_all(bytes.get(16usize.saturating_sub(size)..).unwrap_or_default());
        }
    }
}
