//! Texts: what an expression makes of them goes into the arena, at most [`MAX_TEXT_BYTES`] long.

use bumpalo::Bump;
use bumpalo::collections::String as ArenaString;
use tidefold_codec::Datum;

use super::EvalError;

/// The longest text an expression makes, in bytes.
pub const MAX_TEXT_BYTES: usize = 1 << 20;

/// `a || b`.
///
/// # Errors
/// When the text is too long.
pub fn concat<'a>(left: Datum<'a>, right: Datum<'a>, arena: &'a Bump) -> Result<Datum<'a>, EvalError> {
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
