//! Texts: what an expression makes of them goes into the arena, at most [`MAX_TEXT_BYTES`] long.

use bumpalo::Bump;
use bumpalo::collections::String as ArenaString;
use tidefold_app::expr::Function;
use tidefold_codec::Datum;

use super::{EvalError, MAX_TEXT_BYTES};

/// `a || b`.
pub(super) fn concat<'a>(left: Datum<'a>, right: Datum<'a>, arena: &'a Bump) -> Result<Datum<'a>, EvalError> {
    match (left, right) {
        (Datum::Null, _) | (_, Datum::Null) => Ok(Datum::Null),
        (Datum::Text(left), Datum::Text("")) => Ok(Datum::Text(left)),
        (Datum::Text(""), Datum::Text(right)) => Ok(Datum::Text(right)),
        (Datum::Text(left), Datum::Text(right)) => {
            if left.len() + right.len() > MAX_TEXT_BYTES {
                return Err(EvalError::TextTooLong);
            }
            let mut text = ArenaString::with_capacity_in(left.len() + right.len(), arena);
            text.push_str(left);
            text.push_str(right);
            Ok(Datum::Text(text.into_bump_str()))
        }
        _ => Err(EvalError::Damaged),
    }
}

/// The text functions; no argument is NULL, `given` of `second` and `third` are there.
pub(super) fn call<'a>(
    function: Function,
    first: Datum<'a>,
    second: Datum<'a>,
    third: Datum<'a>,
    given: usize,
    arena: &'a Bump,
) -> Result<Datum<'a>, EvalError> {
    if let (Function::Length, Datum::Bytes(bytes)) = (function, first) {
        return Ok(length(bytes.len()));
    }
    let Datum::Text(text) = first else { return Err(EvalError::Damaged) };
    Ok(match (function, second, third) {
        (Function::Length, ..) => length(text.chars().count()),
        (Function::Lower, ..) if text.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            let copy = arena.alloc_str(text);
            copy.make_ascii_lowercase();
            Datum::Text(copy)
        }
        (Function::Upper, ..) if text.bytes().any(|byte| byte.is_ascii_lowercase()) => {
            let copy = arena.alloc_str(text);
            copy.make_ascii_uppercase();
            Datum::Text(copy)
        }
        (Function::Lower | Function::Upper, ..) => Datum::Text(text),
        (Function::Trim, ..) => Datum::Text(text.trim_matches(' ')),
        (Function::StartsWith, Datum::Text(prefix), _) => Datum::Boolean(text.starts_with(prefix)),
        (Function::Substr, Datum::Long(from), Datum::Long(count)) if given == 2 => {
            Datum::Text(substring(text, from, Some(count)))
        }
        (Function::Substr, Datum::Long(from), _) => Datum::Text(substring(text, from, None)),
        (Function::Replace, Datum::Text(from), Datum::Text(to)) => replace(text, from, to, arena)?,
        _ => return Err(EvalError::Damaged),
    })
}

fn length<'a>(length: usize) -> Datum<'a> {
    Datum::Long(i64::try_from(length).unwrap_or(i64::MAX))
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
