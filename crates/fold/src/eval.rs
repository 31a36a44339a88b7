//! Evaluates the app's expressions over slots, without allocating for a node: only texts that an expression makes go
//! into the arena.
//!
//! Operands are evaluated from left to right, all of them, except where AND, OR, IN, CASE and COALESCE are decided
//! earlier. An operand that fails fails the whole expression; NULL follows SQL's three-valued logic.

mod cast;
mod compare;
mod number;
mod text;
mod time;

use bumpalo::Bump;
use tidefold_app::expr::{Constant, Expr, Function, Node};
use tidefold_codec::{Datum, Type, columns};

/// The longest text an expression makes, in bytes.
pub const MAX_TEXT_BYTES: usize = 1 << 20;

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

// === impl Env ===

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
    match &expr.node {
        Node::State(at) => slot(env.state, *at),
        Node::Constant(value) => Ok(constant(value)),
        Node::Message(at) => slot(env.message, *at),
        Node::Compare(op, left, right) => {
            let (left, right) = (eval(left, env)?, eval(right, env)?);
            Ok(boolean(compare::order(left, right)?.map(|order| compare::holds(*op, order))))
        }
        Node::And(list) => junction(list, env, false),
        Node::Or(list) => junction(list, env, true),
        Node::Not(inner) => Ok(boolean(truth(eval(inner, env)?)?.map(|value| !value))),
        Node::IsNull(inner) => Ok(Datum::Boolean(eval(inner, env)?.is_null())),
        Node::In(inner, list) => is_in(inner, list, env),
        Node::Arithmetic(op, left, right) => number::arithmetic(*op, expr, left, right, env),
        Node::Let(at) => slot(env.lets, *at),
        Node::Element => Ok(env.element),
        Node::Ordinality => Ok(Datum::Long(env.ordinality)),
        Node::EventTime => moment(env.event_time_micros, &expr.column.ty),
        Node::AppendTime => moment(env.append_time_micros, &expr.column.ty),
        Node::Caller => Ok(env.caller.map_or(Datum::Null, Datum::Text)),
        Node::Field(inner, at) => field(inner, *at, env),
        Node::Negate(inner) => number::negate(eval(inner, env)?, &expr.column.ty),
        Node::Concat(left, right) => text::concat(eval(left, env)?, eval(right, env)?, env.arena),
        Node::IsTrue(inner) => Ok(Datum::Boolean(truth(eval(inner, env)?)? == Some(true))),
        Node::IsFalse(inner) => Ok(Datum::Boolean(truth(eval(inner, env)?)? == Some(false))),
        Node::IsDistinct(left, right) => is_distinct(eval(left, env)?, eval(right, env)?),
        Node::Between(inner, low, high) => between(inner, low, high, env),
        Node::Like(inner, pattern) => match eval(inner, env)? {
            Datum::Null => Ok(Datum::Null),
            Datum::Text(value) => Ok(Datum::Boolean(compare::like(value, pattern))),
            _ => Err(EvalError::Damaged),
        },
        Node::Case(arms, otherwise) => case(arms, otherwise.as_deref(), env),
        Node::Switch(inner, arms, otherwise) => switch(inner, arms, otherwise.as_deref(), env),
        Node::Coalesce(list) => coalesce(list, env),
        Node::Call(function, arguments) => call(*function, arguments, expr, env),
        Node::Cast(inner) => cast::cast(eval(inner, env)?, &inner.column.ty, &expr.column.ty, env.arena),
    }
}

/// Whether a condition is TRUE; FALSE and NULL are not.
///
/// # Errors
/// When it has no value.
pub fn matches<'a>(expr: &'a Expr, env: &Env<'a>) -> Result<bool, EvalError> {
    Ok(truth(eval(expr, env)?)? == Some(true))
}

// === leaves ===

fn slot<'a>(slots: &[Datum<'a>], at: usize) -> Result<Datum<'a>, EvalError> {
    slots.get(at).copied().ok_or(EvalError::Damaged)
}

fn constant(value: &Constant) -> Datum<'_> {
    match value {
        Constant::Null => Datum::Null,
        Constant::Boolean(value) => Datum::Boolean(*value),
        Constant::Long(value) => Datum::Long(*value),
        Constant::Double(value) => Datum::Double(*value),
        Constant::Decimal(value) => Datum::Decimal(*value),
        Constant::Text(value) => Datum::Text(value),
    }
}

fn moment<'a>(micros: Option<i64>, ty: &Type) -> Result<Datum<'a>, EvalError> {
    match micros {
        None => Ok(Datum::Null),
        Some(micros) if *ty == Type::TimestampMillis => number::long(micros.div_euclid(1_000), ty),
        Some(micros) => number::long(micros, ty),
    }
}

fn field<'a>(inner: &'a Expr, at: usize, env: &Env<'a>) -> Result<Datum<'a>, EvalError> {
    match (eval(inner, env)?, &inner.column.ty) {
        (Datum::Null, _) => Ok(Datum::Null),
        (Datum::Encoded(bytes), Type::Record(record)) => {
            columns::field(record, bytes, at).map_err(|_| EvalError::Damaged)
        }
        _ => Err(EvalError::Damaged),
    }
}

// === logic ===

fn truth(value: Datum<'_>) -> Result<Option<bool>, EvalError> {
    match value {
        Datum::Boolean(value) => Ok(Some(value)),
        Datum::Null => Ok(None),
        _ => Err(EvalError::Damaged),
    }
}

fn boolean<'a>(value: Option<bool>) -> Datum<'a> {
    value.map_or(Datum::Null, Datum::Boolean)
}

/// AND (decided by FALSE) and OR (decided by TRUE).
fn junction<'a>(list: &'a [Expr], env: &Env<'a>, decided_by: bool) -> Result<Datum<'a>, EvalError> {
    let mut unknown = false;
    for operand in list {
        match truth(eval(operand, env)?)? {
            Some(value) if value == decided_by => return Ok(Datum::Boolean(decided_by)),
            Some(_) => {}
            None => unknown = true,
        }
    }
    Ok(if unknown { Datum::Null } else { Datum::Boolean(!decided_by) })
}

fn is_in<'a>(inner: &'a Expr, list: &'a [Expr], env: &Env<'a>) -> Result<Datum<'a>, EvalError> {
    let value = eval(inner, env)?;
    if value.is_null() {
        return Ok(Datum::Null);
    }
    let mut unknown = false;
    for item in list {
        match compare::order(value, eval(item, env)?)? {
            Some(order) if order.is_eq() => return Ok(Datum::Boolean(true)),
            Some(_) => {}
            None => unknown = true,
        }
    }
    Ok(if unknown { Datum::Null } else { Datum::Boolean(false) })
}

fn is_distinct<'a>(left: Datum<'a>, right: Datum<'a>) -> Result<Datum<'a>, EvalError> {
    let distinct = match compare::order(left, right)? {
        Some(order) => order.is_ne(),
        None => left.is_null() != right.is_null(),
    };
    Ok(Datum::Boolean(distinct))
}

fn between<'a>(
    inner: &'a Expr,
    low: &'a Expr,
    high: &'a Expr,
    env: &Env<'a>,
) -> Result<Datum<'a>, EvalError> {
    let (value, low, high) = (eval(inner, env)?, eval(low, env)?, eval(high, env)?);
    let above = compare::order(value, low)?.map(std::cmp::Ordering::is_ge);
    let below = compare::order(value, high)?.map(std::cmp::Ordering::is_le);
    Ok(match (above, below) {
        (Some(false), _) | (_, Some(false)) => Datum::Boolean(false),
        (Some(true), Some(true)) => Datum::Boolean(true),
        _ => Datum::Null,
    })
}

fn case<'a>(
    arms: &'a [(Expr, Expr)],
    otherwise: Option<&'a Expr>,
    env: &Env<'a>,
) -> Result<Datum<'a>, EvalError> {
    for (when, then) in arms {
        if matches(when, env)? {
            return eval(then, env);
        }
    }
    otherwise.map_or(Ok(Datum::Null), |expr| eval(expr, env))
}

fn switch<'a>(
    inner: &'a Expr,
    arms: &'a [(Expr, Expr)],
    otherwise: Option<&'a Expr>,
    env: &Env<'a>,
) -> Result<Datum<'a>, EvalError> {
    let value = eval(inner, env)?;
    for (when, then) in arms {
        if compare::order(value, eval(when, env)?)?.is_some_and(std::cmp::Ordering::is_eq) {
            return eval(then, env);
        }
    }
    otherwise.map_or(Ok(Datum::Null), |expr| eval(expr, env))
}

fn coalesce<'a>(list: &'a [Expr], env: &Env<'a>) -> Result<Datum<'a>, EvalError> {
    for expr in list {
        let value = eval(expr, env)?;
        if !value.is_null() {
            return Ok(value);
        }
    }
    Ok(Datum::Null)
}

// === calls ===

fn call<'a>(
    function: Function,
    arguments: &'a [Expr],
    expr: &'a Expr,
    env: &Env<'a>,
) -> Result<Datum<'a>, EvalError> {
    match function {
        Function::Least => return extreme(arguments, env, std::cmp::Ordering::Less),
        Function::Greatest => return extreme(arguments, env, std::cmp::Ordering::Greater),
        _ => {}
    }
    let first_expr = arguments.first().ok_or(EvalError::Damaged)?;
    let ty = &first_expr.column.ty;
    let first = eval(first_expr, env)?;
    let mut rest = [Datum::Null; 2];
    for (value, expr) in rest.iter_mut().zip(arguments.get(1..).unwrap_or_default()) {
        *value = eval(expr, env)?;
    }
    let [second, third] = rest;
    if function == Function::NullIf {
        let equal = compare::order(first, second)?.is_some_and(std::cmp::Ordering::is_eq);
        return Ok(if equal { Datum::Null } else { first });
    }
    let given = arguments.len().saturating_sub(1).min(2);
    if first.is_null() || rest.iter().take(given).any(Datum::is_null) {
        return Ok(Datum::Null);
    }
    match function {
        Function::Abs => number::absolute(first, &expr.column.ty),
        Function::Round => number::round(first, ty, second, &expr.column.ty),
        Function::Floor => number::floor(first, ty, &expr.column.ty),
        Function::Ceil => number::ceil(first, ty, &expr.column.ty),
        Function::DateTrunc(unit) => time::truncate(unit, first, ty),
        Function::DatePart(part) => time::part(part, first, ty),
        Function::ToDate => cast::cast(first, ty, &Type::Date, env.arena),
        Function::Cardinality => cardinality(first, ty),
        Function::MapValue => match (first, second, ty) {
            (Datum::Encoded(bytes), Datum::Text(key), Type::Map(value)) => {
                columns::entry(value, bytes, key).map_err(|_| EvalError::Damaged)
            }
            _ => Err(EvalError::Damaged),
        },
        _ => text::call(function, first, second, third, given, env.arena),
    }
}

fn cardinality<'a>(value: Datum<'a>, ty: &'a Type) -> Result<Datum<'a>, EvalError> {
    let (element, is_map) = match ty {
        Type::Array(element) => (element, false),
        Type::Map(element) => (element, true),
        _ => return Err(EvalError::Damaged),
    };
    let Datum::Encoded(bytes) = value else { return Err(EvalError::Damaged) };
    let count = columns::count(element, is_map, bytes).map_err(|_| EvalError::Damaged)?;
    i64::try_from(count).map(Datum::Long).map_err(|_| EvalError::Overflow)
}

/// `least` and `greatest`: every argument is evaluated; NULL if any is.
fn extreme<'a>(
    arguments: &'a [Expr],
    env: &Env<'a>,
    wanted: std::cmp::Ordering,
) -> Result<Datum<'a>, EvalError> {
    let mut best: Option<Datum<'a>> = None;
    let mut unknown = false;
    for argument in arguments {
        let value = eval(argument, env)?;
        unknown |= value.is_null();
        best = Some(match best {
            Some(best) if compare::order(value, best)? != Some(wanted) => best,
            _ => value,
        });
    }
    Ok(if unknown { Datum::Null } else { best.unwrap_or(Datum::Null) })
}
