//! Which of several values.

use std::cmp::Ordering;

use tidefold_codec::Datum;

use super::row::{Count, Fails, Form, Function, Given, Gives, Nulls, Takes};
use crate::values::EvalError;
use crate::values::compare::order;

/// The smallest.
pub static LEAST: Function = Function {
    name: "least",
    aliases: &[],
    usage: "`least(a, b, …)`",
    takes: &[Takes::Comparable],
    count: Count::Repeated,
    gives: Gives::Argument,
    nulls: Nulls::Strict,
    fails: Fails::Never,
    form: Form::Evaluated(|given| extreme(given, Ordering::Less)),
    doc: "the smallest",
};

/// The largest.
pub static GREATEST: Function = Function {
    name: "greatest",
    usage: "`greatest(a, b, …)`",
    form: Form::Evaluated(|given| extreme(given, Ordering::Greater)),
    doc: "the largest",
    ..LEAST
};

/// The first value.
pub static COALESCE: Function = Function {
    name: "coalesce",
    aliases: &[],
    usage: "`coalesce(a, b, …)`",
    takes: &[Takes::Alike],
    count: Count::Repeated,
    gives: Gives::Argument,
    nulls: Nulls::OfAll,
    fails: Fails::Never,
    form: Form::Coalesce,
    doc: "the first that is not NULL",
};

/// NULL instead of a value.
pub static NULLIF: Function = Function {
    name: "nullif",
    aliases: &[],
    usage: "`nullif(a, b)`",
    takes: &[Takes::Comparable, Takes::Comparable],
    count: Count::All,
    gives: Gives::Argument,
    nulls: Nulls::OfItsOwn,
    fails: Fails::Never,
    form: Form::Evaluated(nullif),
    doc: "NULL if they are equal, else `a`",
};

fn extreme<'a>(given: &Given<'a, '_>, wanted: Ordering) -> Result<Datum<'a>, EvalError> {
    let (mut best, rest) = match given.values.split_first() {
        Some((first, rest)) => (*first, rest),
        None => return Err(EvalError::Damaged),
    };
    for value in rest {
        if order(*value, best)? == Some(wanted) {
            best = *value;
        }
    }
    Ok(best)
}

fn nullif<'a>(given: &Given<'a, '_>) -> Result<Datum<'a>, EvalError> {
    let (first, second) = (given.value(0), given.value(1));
    let equal = order(first, second)?.is_some_and(Ordering::is_eq);
    Ok(if equal { Datum::Null } else { first })
}
