//! Comparisons, and LIKE.

use std::cmp::Ordering;

use tidefold_codec::Datum;

use super::EvalError;

/// Comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum CompareOp {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A LIKE pattern, split once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LikePattern {
    /// What has to match, in order.
    pub parts: Vec<LikePart>,
}

/// A piece of a LIKE pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LikePart {
    /// This text.
    Text(Box<str>),
    /// `_`: any one character.
    One,
    /// `%`: any text.
    Any,
}

/// The order of two values of one type; `None` if one is NULL. Texts compare by their bytes.
///
/// # Errors
/// When they are not of one type.
#[inline]
pub fn order(left: Datum<'_>, right: Datum<'_>) -> Result<Option<Ordering>, EvalError> {
    Ok(Some(match (left, right) {
        (Datum::Text(left), Datum::Text(right)) => left.as_bytes().cmp(right.as_bytes()),
        (Datum::Long(left), Datum::Long(right)) => left.cmp(&right),
        (Datum::Null, _) | (_, Datum::Null) => return Ok(None),
        (Datum::Boolean(left), Datum::Boolean(right)) => left.cmp(&right),
        (Datum::Decimal(left), Datum::Decimal(right)) => left.cmp(&right),
        (Datum::Double(left), Datum::Double(right)) => left.partial_cmp(&right).ok_or(EvalError::Damaged)?,
        (Datum::Bytes(left), Datum::Bytes(right)) => left.cmp(right),
        _ => return Err(EvalError::Damaged),
    }))
}

/// Whether the comparison holds for this order.
#[must_use]
#[inline]
pub fn holds(op: CompareOp, order: Ordering) -> bool {
    match op {
        CompareOp::Equal => order.is_eq(),
        CompareOp::NotEqual => order.is_ne(),
        CompareOp::Less => order.is_lt(),
        CompareOp::LessOrEqual => order.is_le(),
        CompareOp::Greater => order.is_gt(),
        CompareOp::GreaterOrEqual => order.is_ge(),
    }
}

/// Whether the whole of the text fits the pattern. After `%` the next pieces are tried at each later place; the last
/// `%` is the only one that ever has to be tried again, so the time is at most text times pattern.
#[must_use]
pub fn like(text: &str, pattern: &LikePattern) -> bool {
    let parts = &pattern.parts;
    let mut rest = text;
    let mut at = 0;
    let mut retry: Option<(usize, &str)> = None;
    loop {
        let fits = match parts.get(at) {
            Some(LikePart::Any) => {
                at += 1;
                retry = Some((at, rest));
                continue;
            }
            Some(LikePart::Text(piece)) => rest.strip_prefix(&**piece),
            Some(LikePart::One) => after_one(rest),
            None if rest.is_empty() => return true,
            None => None,
        };
        if let Some(after) = fits {
            rest = after;
            at += 1;
            continue;
        }
        let Some((again, from)) = retry else { return false };
        let Some(after) = after_one(from) else { return false };
        retry = Some((again, after));
        (at, rest) = (again, after);
    }
}

fn after_one(text: &str) -> Option<&str> {
    let mut characters = text.chars();
    characters.next().map(|_| characters.as_str())
}
