//! What operators, casts and functions do with values: plain functions from slots to a slot, or to why there is none.
//!
//! They stand here and not in the fold, so that a function of the language is one row with its evaluator beside it
//! ([`crate::functions`]). Who evaluates an expression over a record is the fold; nothing here walks one.

pub mod cast;
pub mod compare;
pub mod number;
pub mod text;

/// Why an expression has no value. In a view this is NULL; in `set`, `let` and `require` the record is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// A number left its type's range.
    #[error("a number or time is out of the range of its type")]
    Overflow,
    /// Division or remainder by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// A CAST of a value that the target type cannot say.
    #[error("a value cannot be cast to its type")]
    BadCast,
    /// A text grew past the longest text an expression may make.
    #[error("a text is longer than an expression may make it")]
    TextTooLong,
    /// A slot does not hold what the expression's type says: the record or row was decoded with another type.
    #[error("a value is not of the type the expression was checked with")]
    Damaged,
}

// === impl EvalError ===

impl EvalError {
    /// A snake_case name for verdicts and counters.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            EvalError::Overflow => "overflow",
            EvalError::DivisionByZero => "division_by_zero",
            EvalError::BadCast => "bad_cast",
            EvalError::TextTooLong => "text_too_long",
            EvalError::Damaged => "damaged_value",
        }
    }
}
