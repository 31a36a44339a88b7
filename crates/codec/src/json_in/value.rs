//! Values: each written as it is read.

use std::borrow::Cow;

use super::form::{ColumnForm, Form, JsonLimits, Ranges, RecordForm, Violation};
use super::path::{Path, cut};
use super::reader::{Number, Reader, Syntax};
use crate::base64;
use crate::calendar::time_problem;
use crate::datum::Datum;
use crate::nearest::nearest;
use crate::number::{NumberProblem, parse_decimal};
use crate::schema::kind;
use crate::text::{self, TextProblem};
use crate::types::Type;
use crate::wire::{write_chunk, write_long, write_scalar};

/// One body on its way to a datum.
pub(super) struct Encoding<'e, 'j> {
    pub(super) reader: Reader<'j>,
    pub(super) out: &'e mut Vec<u8>,
    pub(super) violations: Vec<Violation>,
    limits: JsonLimits,
    depth: usize,
}

/// Why reading cannot go on; the mistake is among the violations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The text makes no sense from here.
    Text,
    /// There are as many mistakes as are reported.
    Full,
}

/// A mistake in a scalar: its rule and what is to be said.
pub(super) type Mistake = (&'static str, String);

/// How freely a scalar is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taking {
    /// Any form that the type accepts.
    Freely,
    /// Only the form in which it would be written: the choice of a union's branch depends on it.
    Strictly,
}

// === impl Encoding ===

impl<'e, 'j> Encoding<'e, 'j> {
    pub(super) fn new(text: &'j str, out: &'e mut Vec<u8>, limits: JsonLimits) -> Encoding<'e, 'j> {
        Encoding { reader: Reader::new(text), out, violations: Vec::new(), limits, depth: 0 }
    }

    /// Reads the whole text as one object.
    pub(super) fn body(&mut self, form: &RecordForm, ranges: &mut Ranges) {
        let path = Path::Root;
        let first = self.reader.peek();
        let read = if first == b'{' {
            self.record(form, &path, ranges)
        } else {
            self.wrong(first, || format!("{}, an object", form.name), &path)
        };
        if read.is_ok() {
            let end = self.reader.end();
            let _ = self.syntax(&path, end);
        }
    }

    pub(super) fn violate(
        &mut self,
        path: &Path<'_>,
        code: &'static str,
        detail: String,
    ) -> Result<(), Stop> {
        if self.violations.len() < self.limits.violations {
            self.violations.push(path.violation(code, detail));
        }
        if self.violations.len() < self.limits.violations { Ok(()) } else { Err(Stop::Full) }
    }

    /// Turns a broken text into a violation.
    #[inline]
    pub(super) fn syntax<T>(&mut self, path: &Path<'_>, read: Result<T, Syntax>) -> Result<T, Stop> {
        read.map_err(|syntax| {
            let _ = self.violate(path, "invalid_json", format!("byte {}: {}", syntax.at, syntax.what));
            Stop::Text
        })
    }

    #[inline]
    pub(super) fn string(&mut self, path: &Path<'_>) -> Result<Cow<'j, str>, Stop> {
        let read = self.reader.string();
        self.syntax(path, read)
    }

    #[inline]
    pub(super) fn expect(&mut self, mark: u8, what: &'static str, path: &Path<'_>) -> Result<(), Stop> {
        let read = self.reader.expect(mark, what);
        self.syntax(path, read)
    }

    /// Into an array or an object.
    #[inline]
    pub(super) fn enter(&mut self, path: &Path<'_>) -> Result<(), Stop> {
        self.depth += 1;
        if self.depth > self.limits.depth {
            let detail = format!("arrays and objects nest deeper than {}", self.limits.depth);
            let _ = self.violate(path, "too_deep", detail);
            return Err(Stop::Text);
        }
        Ok(())
    }

    #[inline]
    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// How deep it is, to come back to.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    pub(super) fn set_depth(&mut self, depth: usize) {
        self.depth = depth;
    }

    #[inline]
    pub(super) fn column(&mut self, form: &ColumnForm, path: &Path<'_>) -> Result<(), Stop> {
        let first = self.reader.peek();
        if let Some((null, value)) = form.optional {
            if first == b'n' {
                let read = self.reader.literal();
                self.syntax(path, read)?;
                write_long(null, self.out);
                return Ok(());
            }
            if !matches!(form.ty, Form::Union(_)) {
                write_long(value, self.out);
                if first == b'{' {
                    return self.nullable_object(&form.ty, path);
                }
            }
        }
        self.value(&form.ty, first, path)
    }

    pub(super) fn value(&mut self, form: &Form, first: u8, path: &Path<'_>) -> Result<(), Stop> {
        match (form, first) {
            (Form::Scalar(ty), _) => self.scalar(ty, first, path),
            (Form::Array(element), b'[') => self.array(element, path),
            (Form::Map(value), b'{') => self.map(value, path),
            (Form::Record(record), b'{') => self.record(record, path, &mut Ranges::new()),
            (Form::Union(union), _) => self.union(union, first, path),
            _ => self.wrong(first, || form.describe(), path),
        }
    }

    /// A value of another kind than allowed.
    pub(super) fn wrong(
        &mut self,
        first: u8,
        expected: impl FnOnce() -> String,
        path: &Path<'_>,
    ) -> Result<(), Stop> {
        let found = match first {
            b'n' => "null",
            b't' | b'f' => "a boolean",
            b'"' => "a string",
            b'[' => "an array",
            b'{' => "an object",
            b'-' | b'0'..=b'9' => "a number",
            _ => {
                let nothing = Err(self.reader.error("a value is missing here"));
                return self.syntax(path, nothing);
            }
        };
        let before = self.violations.len();
        let code = if first == b'n' { "null_not_allowed" } else { "wrong_type" };
        let told = self.violate(path, code, format!("found {found}; expected {}", expected()));
        debug_assert!(self.violations.len() > before || told.is_err());
        told?;
        self.skip(path)
    }

    /// Moves over a value of any kind.
    pub(super) fn skip(&mut self, path: &Path<'_>) -> Result<(), Stop> {
        let first = self.reader.peek();
        match first {
            b'"' => self.string(path).map(drop),
            b'-' | b'0'..=b'9' => {
                let read = self.reader.number();
                self.syntax(path, read).map(drop)
            }
            b'{' | b'[' => self.skip_nested(first == b'{', path),
            _ => {
                let read = self.reader.literal();
                self.syntax(path, read)
            }
        }
    }

    fn skip_nested(&mut self, object: bool, path: &Path<'_>) -> Result<(), Stop> {
        self.enter(path)?;
        let (open, close) = if object { (b'{', b'}') } else { (b'[', b']') };
        self.reader.eat(open);
        if !self.reader.eat(close) {
            loop {
                if object {
                    self.string(path)?;
                    self.expect(b':', "`:` is missing here", path)?;
                }
                self.skip(path)?;
                if !self.more(close, path)? {
                    break;
                }
            }
        }
        self.leave();
        Ok(())
    }

    /// Whether another element follows; moves over the comma or the end.
    #[inline]
    pub(super) fn more(&mut self, close: u8, path: &Path<'_>) -> Result<bool, Stop> {
        if self.reader.eat(b',') {
            return Ok(true);
        }
        self.expect(close, "`,` or the end is missing here", path)?;
        Ok(false)
    }

    #[inline]
    fn scalar(&mut self, ty: &Type, first: u8, path: &Path<'_>) -> Result<(), Stop> {
        let taken = match first {
            b'"' => {
                let text = self.string(path)?;
                take_text(ty, &text, Taking::Freely, self.out)
            }
            b'-' | b'0'..=b'9' => {
                let number = self.reader.number();
                let number = self.syntax(path, number)?;
                take_number(ty, number, Taking::Freely, self.out)
            }
            b't' | b'f' if *ty == Type::Boolean => {
                let read = self.reader.literal();
                self.syntax(path, read)?;
                self.out.push(u8::from(first == b't'));
                return Ok(());
            }
            _ => return self.wrong(first, || text::expected(ty), path),
        };
        match taken {
            Ok(()) => Ok(()),
            Err((code, detail)) => self.violate(path, code, detail),
        }
    }
}

/// Appends a text as a value of a type; on error part of it may have been appended.
pub(super) fn take_text(ty: &Type, text: &str, taking: Taking, out: &mut Vec<u8>) -> Result<(), Mistake> {
    match ty {
        Type::String => {
            write_chunk(text.as_bytes(), out);
            return Ok(());
        }
        Type::Bytes | Type::Fixed(_) => return take_base64(ty, text, out),
        Type::Boolean | Type::Int | Type::Float | Type::Double => return Err(not("a string", ty)),
        Type::Long if taking == Taking::Strictly => return Err(not("a string", ty)),
        Type::Long
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
        | Type::Union(_) => {}
    }
    let (code, detail) = match text::read(ty, text) {
        Ok(datum) => {
            write_scalar(ty, datum, out);
            return Ok(());
        }
        Err(TextProblem::Range) => {
            ("out_of_range", format!("`{}` does not fit {}", cut(text), text::expected(ty)))
        }
        Err(TextProblem::Format) if *ty == Type::Long => return Err(not("a string", ty)),
        Err(TextProblem::Format) => {
            ("bad_format", format!("`{}` is not a {}", cut(text), text::expected(ty)))
        }
        Err(TextProblem::Symbol) => ("unknown_symbol", unknown_symbol(ty, text)),
    };
    Err((code, detail))
}

fn unknown_symbol(ty: &Type, text: &str) -> String {
    let known = match ty {
        Type::Enum(symbols) => symbols.symbols.as_slice(),
        _ => &[],
    };
    match nearest(text, known.iter().map(String::as_str)) {
        Some(near) => {
            format!("`{}` is no symbol of {}; did you mean `{near}`?", cut(text), text::expected(ty))
        }
        None => format!("`{}` is no symbol of {}", cut(text), text::expected(ty)),
    }
}

fn take_base64(ty: &Type, text: &str, out: &mut Vec<u8>) -> Result<(), Mistake> {
    let padding = text.bytes().rev().take(2).take_while(|byte| *byte == b'=').count();
    let size = (text.len() / 4 * 3).saturating_sub(padding);
    match ty {
        Type::Fixed(fixed) if fixed.size != size => {
            return Err((
                "out_of_range",
                format!("these are {size} bytes; {} has {}", fixed.full_name, fixed.size),
            ));
        }
        Type::Fixed(_) => {}
        _ => write_long(size as i64, out),
    }
    base64::decode(text.as_bytes(), out)
        .ok_or_else(|| ("bad_format", format!("`{}` is not base64 with padding", cut(text))))
}

/// Appends a number as a value of a type; on error part of it may have been appended.
pub(super) fn take_number(
    ty: &Type,
    number: Number<'_>,
    taking: Taking,
    out: &mut Vec<u8>,
) -> Result<(), Mistake> {
    let range = || ("out_of_range", format!("{} does not fit {}", cut(number.text), text::expected(ty)));
    let datum = match ty {
        Type::Int | Type::Long => {
            let value = whole(number).map_err(|problem| match problem {
                NumberProblem::Range => range(),
                _ => (
                    "wrong_type",
                    format!("{} is not a whole number; expected {}", cut(number.text), text::expected(ty)),
                ),
            })?;
            if *ty == Type::Int && i32::try_from(value).is_err() {
                return Err(range());
            }
            Datum::Long(value)
        }
        Type::Float | Type::Double => text::read_float(ty, number.text).map_err(|_| range())?,
        Type::Decimal { .. } if taking == Taking::Freely => {
            text::read(ty, number.text).map_err(|_| range())?
        }
        Type::TimestampMillis
        | Type::TimestampMicros
        | Type::LocalTimestampMillis
        | Type::LocalTimestampMicros
            if taking == Taking::Freely =>
        {
            match whole(number) {
                Ok(value) if time_problem(ty, value).is_none() => Datum::Long(value),
                _ => return Err(range()),
            }
        }
        Type::Boolean
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
        | Type::Union(_) => return Err(not("a number", ty)),
    };
    write_scalar(ty, datum, out);
    Ok(())
}

/// The number as an integer, exactly.
fn whole(number: Number<'_>) -> Result<i64, NumberProblem> {
    match number.integer {
        Some(value) => Ok(value),
        None => {
            let value = parse_decimal(number.text.as_bytes(), 0)?;
            i64::try_from(value).map_err(|_| NumberProblem::Range)
        }
    }
}

fn not(found: &str, ty: &Type) -> Mistake {
    debug_assert!(!kind(ty).is_empty());
    ("wrong_type", format!("found {found}; expected {}", text::expected(ty)))
}
