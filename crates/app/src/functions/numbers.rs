//! Numbers.

use tidefold_codec::Datum;

use super::row::{Count, Fails, Form, Function, Given, Gives, Nulls, Takes};
use crate::values::EvalError;
use crate::values::number::{decimal, double, negate, power, rescale, scale};

const OF_A_NUMBER: Function = Function {
    name: "",
    aliases: &[],
    usage: "",
    takes: &[Takes::Number],
    count: Count::All,
    gives: Gives::Rounded,
    nulls: Nulls::Strict,
    fails: Fails::OverflowOf38Digits,
    form: Form::Remainder,
    doc: "",
};

/// Without its sign.
pub static ABS: Function = Function {
    name: "abs",
    usage: "`abs(n)`",
    gives: Gives::Argument,
    fails: Fails::Overflow,
    form: Form::Evaluated(absolute),
    doc: "without its sign; as the argument",
    ..OF_A_NUMBER
};

/// The operator `%`.
pub static MOD: Function = Function {
    name: "mod",
    usage: "`mod(a, b)`",
    takes: &[Takes::Number, Takes::Number],
    fails: Fails::DivisionByZero,
    doc: "as `a % b`",
    ..OF_A_NUMBER
};

/// To so many digits.
pub static ROUND: Function = Function {
    name: "round",
    usage: "`round(x[, digits])`",
    takes: &[Takes::Number, Takes::Digits],
    count: Count::LastMayLack,
    form: Form::Evaluated(round),
    doc: "half away from zero; a decimal gets the scale `digits` (else 0), a double stays double: times ten to the \
          `digits`, rounded, divided again",
    ..OF_A_NUMBER
};

/// Down.
pub static FLOOR: Function = Function {
    name: "floor",
    usage: "`floor(x)`",
    form: Form::Evaluated(floor),
    doc: "the next whole number below; a decimal gets the scale 0, a double stays double",
    ..OF_A_NUMBER
};

/// Up.
pub static CEIL: Function = Function {
    name: "ceil",
    aliases: &["ceiling"],
    usage: "`ceil(x)`",
    form: Form::Evaluated(ceil),
    doc: "the next whole number above; a decimal gets the scale 0, a double stays double",
    ..OF_A_NUMBER
};

fn absolute<'a>(given: &Given<'a, '_>) -> Result<Datum<'a>, EvalError> {
    match given.value(0) {
        Datum::Long(value) if value < 0 => negate(Datum::Long(value), given.to),
        Datum::Decimal(value) if value < 0 => negate(Datum::Decimal(value), given.to),
        Datum::Double(value) => double(value.abs()),
        other @ (Datum::Long(_) | Datum::Decimal(_)) => Ok(other),
        Datum::Null | Datum::Boolean(_) | Datum::Text(_) | Datum::Bytes(_) | Datum::Encoded(_) => {
            Err(EvalError::Damaged)
        }
    }
}

fn round<'a>(given: &Given<'a, '_>) -> Result<Datum<'a>, EvalError> {
    match given.value(0) {
        Datum::Double(value) => {
            let digits = if let Datum::Long(digits) = given.value(1) { digits } else { 0 };
            let factor = 10_f64.powi(i32::try_from(digits).map_err(|_| EvalError::Damaged)?);
            let scaled = value * factor;
            // A double that large has no digits to round.
            double(if scaled.is_finite() && scaled.abs() < 9.0e15 { scaled.round() / factor } else { value })
        }
        Datum::Decimal(value) => decimal(rescale(value, scale(given.from), scale(given.to))?, given.to),
        whole @ Datum::Long(_) => Ok(whole),
        Datum::Null | Datum::Boolean(_) | Datum::Text(_) | Datum::Bytes(_) | Datum::Encoded(_) => {
            Err(EvalError::Damaged)
        }
    }
}

fn floor<'a>(given: &Given<'a, '_>) -> Result<Datum<'a>, EvalError> {
    match given.value(0) {
        Datum::Double(value) => double(value.floor()),
        Datum::Decimal(value) => decimal(value.div_euclid(power(scale(given.from))?), given.to),
        whole @ Datum::Long(_) => Ok(whole),
        Datum::Null | Datum::Boolean(_) | Datum::Text(_) | Datum::Bytes(_) | Datum::Encoded(_) => {
            Err(EvalError::Damaged)
        }
    }
}

fn ceil<'a>(given: &Given<'a, '_>) -> Result<Datum<'a>, EvalError> {
    match given.value(0) {
        Datum::Double(value) => double(value.ceil()),
        Datum::Decimal(value) => {
            let unit = power(scale(given.from))?;
            decimal(value.div_euclid(unit) + i128::from(value.rem_euclid(unit) != 0), given.to)
        }
        whole @ Datum::Long(_) => Ok(whole),
        Datum::Null | Datum::Boolean(_) | Datum::Text(_) | Datum::Bytes(_) | Datum::Encoded(_) => {
            Err(EvalError::Damaged)
        }
    }
}
