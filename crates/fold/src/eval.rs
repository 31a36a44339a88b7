//! Evaluates the app's expressions over slots, without allocating for a node: only texts that an expression makes go
//! into the arena.
//!
//! Operands are evaluated from left to right, all of them, except where AND, OR, IN, CASE and COALESCE are decided
//! earlier. An operand that fails fails the whole expression; NULL follows SQL's three-valued logic.

use bumpalo::Bump;
use tidefold_app::expr::{Constant, Expr, Node};
use tidefold_app::functions::row::{Form, Function, Given, Nulls};
use tidefold_app::values::{EvalError, cast, compare, number, text};
use tidefold_codec::{Datum, Type, columns};

/// Up to so many arguments are evaluated on the stack.
const FEW: usize = 4;

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
#[inline]
pub fn eval<'a>(expr: &'a Expr, env: &Env<'a>) -> Result<Datum<'a>, EvalError> {
    // Most of what is evaluated is one of these, which are not worth a call.
    if let Node::State(at) = &expr.node {
        return slot(env.state, *at);
    }
    if let Node::Constant(value) = &expr.node {
        return Ok(constant(value));
    }
    evaluate(expr, env)
}

fn evaluate<'a>(expr: &'a Expr, env: &Env<'a>) -> Result<Datum<'a>, EvalError> {
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
        Node::Arithmetic(op, left, right) => {
            let types = (&left.column.ty, &right.column.ty, &expr.column.ty);
            number::arithmetic(*op, eval(left, env)?, eval(right, env)?, types)
        }
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
            Datum::Boolean(_)
            | Datum::Long(_)
            | Datum::Double(_)
            | Datum::Decimal(_)
            | Datum::Bytes(_)
            | Datum::Encoded(_) => Err(EvalError::Damaged),
        },
        Node::Case(arms, otherwise) => case(arms, otherwise.as_deref(), env),
        Node::Switch(inner, arms, otherwise) => switch(inner, arms, otherwise.as_deref(), env),
        Node::Coalesce(list) => coalesce(list, env),
        Node::Call(function, arguments) => call(function, arguments, expr, env),
        Node::Cast(inner) => cast::cast(eval(inner, env)?, &inner.column.ty, &expr.column.ty, env.arena),
    }
}

/// Whether a condition is TRUE; FALSE and NULL are not.
///
/// # Errors
/// When it has no value.
#[inline]
pub fn matches<'a>(expr: &'a Expr, env: &Env<'a>) -> Result<bool, EvalError> {
    Ok(truth(eval(expr, env)?)? == Some(true))
}

/// The value of an expression, where it has one that is not NULL.
#[inline]
pub(crate) fn value<'a>(expr: &'a Expr, env: &Env<'a>) -> Option<Datum<'a>> {
    match eval(expr, env) {
        Ok(Datum::Null) | Err(_) => None,
        Ok(datum) => Some(datum),
    }
}

// === leaves ===

#[inline]
fn slot<'a>(slots: &[Datum<'a>], at: usize) -> Result<Datum<'a>, EvalError> {
    slots.get(at).copied().ok_or(EvalError::Damaged)
}

#[inline]
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

#[inline]
fn truth(value: Datum<'_>) -> Result<Option<bool>, EvalError> {
    match value {
        Datum::Boolean(value) => Ok(Some(value)),
        Datum::Null => Ok(None),
        Datum::Long(_)
        | Datum::Double(_)
        | Datum::Decimal(_)
        | Datum::Text(_)
        | Datum::Bytes(_)
        | Datum::Encoded(_) => Err(EvalError::Damaged),
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
    function: &Function,
    arguments: &'a [Expr],
    expr: &'a Expr,
    env: &Env<'a>,
) -> Result<Datum<'a>, EvalError> {
    let (Form::Evaluated(compute), Some(first)) = (function.form, arguments.first()) else {
        return Err(EvalError::Damaged);
    };
    let mut few = [Datum::Null; FEW];
    let values = match few.get_mut(..arguments.len()) {
        Some(few) => few,
        None => env.arena.alloc_slice_fill_copy(arguments.len(), Datum::Null),
    };
    let mut null = false;
    for (value, argument) in values.iter_mut().zip(arguments) {
        *value = eval(argument, env)?;
        null |= value.is_null();
    }
    if null && function.nulls == Nulls::Strict {
        return Ok(Datum::Null);
    }
    compute(&Given { values, from: &first.column.ty, to: &expr.column.ty, arena: env.arena })
}
