//! Texts.

use bumpalo::Bump;
use bumpalo::collections::String as ArenaString;
use tidefold_codec::Datum;

use super::row::{Count, Fails, Form, Function, Given, Gives, Nulls, Takes};
use crate::values::EvalError;
use crate::values::text::MAX_TEXT_BYTES;

/// ASCII letters to small ones.
pub static LOWER: Function = Function {
    name: "lower",
    aliases: &[],
    usage: "`lower(s)`",
    takes: &[Takes::String],
    count: Count::All,
    gives: Gives::String,
    nulls: Nulls::Strict,
    fails: Fails::Never,
    form: Form::Evaluated(lower),
    doc: "in small letters; ASCII letters only",
};

/// ASCII letters to large ones.
pub static UPPER: Function = Function {
    name: "upper",
    usage: "`upper(s)`",
    form: Form::Evaluated(upper),
    doc: "in capitals; ASCII letters only",
    ..LOWER
};

/// How long it is.
pub static LENGTH: Function = Function {
    name: "length",
    usage: "`length(s)`",
    takes: &[Takes::StringOrBytes],
    gives: Gives::Long,
    form: Form::Evaluated(length),
    doc: "characters of a string, bytes of bytes; long",
    ..LOWER
};

/// Without spaces.
pub static TRIM: Function = Function {
    name: "trim",
    usage: "`trim(s)`",
    form: Form::Evaluated(|given| Ok(Datum::Text(given.text(0)?.trim_matches(' ')))),
    doc: "without spaces at both ends",
    ..LOWER
};

/// A piece.
pub static SUBSTR: Function = Function {
    name: "substr",
    aliases: &["substring"],
    usage: "`substr(s, from[, count])`",
    takes: &[Takes::String, Takes::Long, Takes::Long],
    count: Count::LastMayLack,
    form: Form::Evaluated(substr),
    doc: "characters from place 1; what lies outside the string is empty. Also `substring(s FROM 2 FOR 3)`",
    ..LOWER
};

/// How it starts.
pub static STARTS_WITH: Function = Function {
    name: "starts_with",
    usage: "`starts_with(s, prefix)`",
    takes: &[Takes::String, Takes::String],
    gives: Gives::Boolean,
    form: Form::Evaluated(|given| Ok(Datum::Boolean(given.text(0)?.starts_with(given.text(1)?)))),
    doc: "boolean",
    ..LOWER
};

/// Pieces by others.
pub static REPLACE: Function = Function {
    name: "replace",
    usage: "`replace(s, from, to)`",
    takes: &[Takes::String, Takes::String, Takes::String],
    fails: Fails::TextTooLong,
    form: Form::Evaluated(|given| replace(given.text(0)?, given.text(1)?, given.text(2)?, given.arena)),
    doc: "every `from` by `to`; an empty `from` changes nothing",
    ..LOWER
};

fn lower<'a>(given: &Given<'a, '_>) -> Result<Datum<'a>, EvalError> {
    let text = given.text(0)?;
    if !text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Ok(Datum::Text(text));
    }
    let copy = given.arena.alloc_str(text);
    copy.make_ascii_lowercase();
    Ok(Datum::Text(copy))
}

fn upper<'a>(given: &Given<'a, '_>) -> Result<Datum<'a>, EvalError> {
    let text = given.text(0)?;
    if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Ok(Datum::Text(text));
    }
    let copy = given.arena.alloc_str(text);
    copy.make_ascii_uppercase();
    Ok(Datum::Text(copy))
}

fn length<'a>(given: &Given<'a, '_>) -> Result<Datum<'a>, EvalError> {
    let length = match given.value(0) {
        Datum::Bytes(bytes) => bytes.len(),
        _ => given.text(0)?.chars().count(),
    };
    Ok(Datum::Long(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn substr<'a>(given: &Given<'a, '_>) -> Result<Datum<'a>, EvalError> {
    let count = if given.values.len() > 2 { Some(given.long(2)?) } else { None };
    Ok(Datum::Text(substring(given.text(0)?, given.long(1)?, count)))
}

/// The characters at places `from..from + count`, counted from 1; places outside the text are empty.
fn substring(text: &str, from: i64, count: Option<i64>) -> &str {
    let end = count.map_or(i64::MAX, |count| from.saturating_add(count)).max(1);
    let start = from.clamp(1, end);
    let byte = |place: i64, text: &str| {
        let skip = usize::try_from(place).unwrap_or(usize::MAX);
        text.char_indices().nth(skip).map_or(text.len(), |(at, _)| at)
    };
    let rest = text.get(byte(start - 1, text)..).unwrap_or_default();
    rest.get(..byte(end - start, rest)).unwrap_or_default()
}

fn replace<'a>(text: &'a str, from: &str, to: &str, arena: &'a Bump) -> Result<Datum<'a>, EvalError> {
    if from.is_empty() || !text.contains(from) {
        return Ok(Datum::Text(text));
    }
    let mut out = ArenaString::with_capacity_in(text.len().min(MAX_TEXT_BYTES), arena);
    for (at, piece) in text.split(from).enumerate() {
        if at > 0 {
            out.push_str(to);
        }
        out.push_str(piece);
        if out.len() > MAX_TEXT_BYTES {
            return Err(EvalError::TextTooLong);
        }
    }
    Ok(Datum::Text(out.into_bump_str()))
}
