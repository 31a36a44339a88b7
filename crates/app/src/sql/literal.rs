//! Literals: numbers, strings, intervals.

use sqlparser::ast::{Expr as Ast, Interval, Value};
use tidefold_codec::Type;

use super::types::{decimal, made};
use crate::expr::{Constant, Expr, Node};

/// Rule, message, help.
pub(super) type Refusal = (&'static str, String, String);

/// A literal. NULL is given the type string until something gives it another.
pub(super) fn value(value: &Value) -> Result<Expr, Refusal> {
    match value {
        Value::Number(text, _) => number(text),
        Value::SingleQuotedString(text) => {
            Ok(Expr::constant(Constant::Text(text.as_str().into()), Type::String))
        }
        Value::Boolean(value) => Ok(Expr::constant(Constant::Boolean(*value), Type::Boolean)),
        Value::Null => Ok(Expr::constant(Constant::Null, Type::String)),
        Value::Placeholder(text) => Err((
            "unsupported-syntax",
            format!("`{text}` is a placeholder; there are no parameters here"),
            "write the value, or name `state.x` or `msg.x`".to_owned(),
        )),
        _ => Err((
            "unsupported-syntax",
            "this kind of literal is not part of the language".to_owned(),
            "a string is written 'in single quotes', with '' for a quote in it".to_owned(),
        )),
    }
}

/// A number: int or long if it is whole and fits, else an exact decimal; with an exponent a double.
fn number(text: &str) -> Result<Expr, Refusal> {
    let plain: String = text.chars().filter(|character| *character != '_').collect();
    let too_large = || {
        let help = "an exact number has at most 38 digits; a double is written with an exponent: 1e40";
        ("literal-range", format!("{text} is too large"), help.to_owned())
    };
    if plain.contains(['x', 'X', 'o', 'O', 'b', 'B']) {
        let message = format!("{text} is not a decimal number");
        return Err(("unsupported-syntax", message, "write it with the digits 0 to 9".to_owned()));
    }
    if plain.contains(['e', 'E']) {
        let value: f64 = plain.parse().map_err(|_| too_large())?;
        if !value.is_finite() {
            return Err(("literal-range", format!("{text} is out of the range of double"), String::new()));
        }
        return Ok(Expr::constant(Constant::Double(value), Type::Double));
    }
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let unscaled: i128 = format!("0{whole}{fraction}").parse().map_err(|_| too_large())?;
    if !plain.contains('.') || fraction.is_empty() {
        return integer(unscaled).ok_or_else(too_large);
    }
    let scale = u32::try_from(fraction.len()).unwrap_or(u32::MAX);
    let ty = decimal(count_digits(unscaled).max(scale), scale).ok_or_else(too_large)?;
    Ok(Expr::constant(Constant::Decimal(unscaled), ty))
}

/// A whole number as the smallest of int, long and decimal.
fn integer(value: i128) -> Option<Expr> {
    if let Ok(value) = i32::try_from(value) {
        return Some(Expr::constant(Constant::Long(value.into()), Type::Int));
    }
    if let Ok(value) = i64::try_from(value) {
        return Some(Expr::constant(Constant::Long(value), Type::Long));
    }
    Some(Expr::constant(Constant::Decimal(value), decimal(count_digits(value), 0)?))
}

fn count_digits(value: i128) -> u32 {
    value.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1)
}

/// Minus a literal.
pub(super) fn negative(expr: &Expr) -> Option<Expr> {
    match (&expr.node, &expr.column.ty) {
        (Node::Constant(Constant::Long(value)), Type::Int | Type::Long) => integer(-i128::from(*value)),
        (Node::Constant(Constant::Decimal(value)), Type::Decimal { scale: 0, .. }) => integer(-value),
        (Node::Constant(Constant::Decimal(value)), ty) => {
            Some(made(Node::Constant(Constant::Decimal(-value)), ty, false))
        }
        (Node::Constant(Constant::Double(value)), Type::Double) => {
            Some(Expr::constant(Constant::Double(-value + 0.0), Type::Double))
        }
        _ => None,
    }
}

/// An interval, in microseconds.
pub(super) fn interval(interval: &Interval) -> Result<i64, Refusal> {
    let bad = |message: &str| {
        let help = "write INTERVAL '15 minutes'; units are microseconds, milliseconds, seconds, minutes, hours, \
                    days and weeks";
        ("bad-interval", message.to_owned(), help.to_owned())
    };
    let text = match &*interval.value {
        Ast::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::Number(text, _) => text.clone(),
            _ => return Err(bad("an interval is a constant")),
        },
        _ => return Err(bad("an interval is a constant")),
    };
    if interval.last_field.is_some() {
        return Err(bad("an interval has one unit"));
    }
    let text = match &interval.leading_field {
        Some(field) => format!("{text} {field}"),
        None => text,
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() || !words.len().is_multiple_of(2) {
        return Err(bad("an interval is numbers with their units"));
    }
    let mut total: i64 = 0;
    for pair in words.chunks_exact(2) {
        let [count, unit] = pair else { continue };
        let count: i64 = count.parse().map_err(|_| bad("an interval counts in whole numbers"))?;
        let unit = unit.to_ascii_lowercase();
        let micros = match unit.strip_suffix('s').unwrap_or(&unit) {
            "microsecond" => 1,
            "millisecond" => 1_000,
            "second" | "sec" => 1_000_000,
            "minute" | "min" => 60_000_000,
            "hour" => 3_600_000_000,
            "day" => 86_400_000_000,
            "week" => 604_800_000_000,
            "month" | "year" | "quarter" => return Err(bad("months and years have no fixed length")),
            other => return Err(bad(&format!("`{other}` is not a unit of time"))),
        };
        total = count
            .checked_mul(micros)
            .and_then(|micros| total.checked_add(micros))
            .ok_or_else(|| bad("the interval is too long"))?;
    }
    Ok(total)
}
