//! Evaluates the app's expressions over slots, without allocating for a node.

use bumpalo::Bump;
use tidefold_app::expr::Expr;
use tidefold_codec::Datum;

/// What an expression sees. Everything lives as long as the fold of one record.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a> {
    /// The entity's columns before the message; all NULL where it does not exist. Empty in a view over events.
    pub state: &'a [Datum<'a>],
    /// The message's fields, by place in its record. Empty in a view over an entity.
    pub message: &'a [Datum<'a>],
    /// The values of the transition's earlier `let`s.
    pub lets: &'a [Datum<'a>],
    /// The element UNNEST stands on.
    pub element: Datum<'a>,
    /// Its place, from 1.
    pub ordinality: i64,
    /// `ce_time`.
    pub event_time_micros: Option<i64>,
    /// `tidefold-append-time`.
    pub append_time_micros: Option<i64>,
    /// The authenticated principal.
    pub caller: Option<&'a str>,
    /// Where texts that an expression makes are kept.
    pub arena: &'a Bump,
}

/// Why an expression has no value. In a view this is NULL; in `set`, `let` and `require` the record is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// A number left its type's range.
    #[error("a number is out of the range of its type")]
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

impl<'a> Env<'a> {
    /// An environment with nothing in it but the arena.
    #[must_use]
    pub fn new(arena: &'a Bump) -> Env<'a> {
        Env {
            state: &[],
            message: &[],
            lets: &[],
            element: Datum::Null,
            ordinality: 0,
            event_time_micros: None,
            append_time_micros: None,
            caller: None,
            arena,
        }
    }
}

/// The value of an expression.
///
/// # Errors
/// When it has none.
pub fn eval<'a>(expr: &'a Expr, env: &Env<'a>) -> Result<Datum<'a>, EvalError> {
    let _ = (expr, env);
    unimplemented!()
}

/// Whether a condition is TRUE; FALSE and NULL are not.
///
/// # Errors
/// When it has no value.
pub fn matches<'a>(expr: &'a Expr, env: &Env<'a>) -> Result<bool, EvalError> {
    Ok(eval(expr, env)? == Datum::Boolean(true))
}
