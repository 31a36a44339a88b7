//! Arithmetic: exact and checked for integers and decimals, finite for doubles.

use tidefold_codec::{Datum, Type};

use super::EvalError;

/// Arithmetic. Overflow and division by zero are errors (in views: NULL). Integer division cuts towards zero; `%` has the
/// dividend's sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ArithmeticOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// 10 to the power of the place.
const POWERS: [i128; 39] = {
    let mut powers = [1_i128; 39];
    let mut at = 1;
    while at < 39 {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// `left op right`; `types` are those of the left side, the right side and the result.
///
/// # Errors
/// When the result is out of range, or does not exist.
#[inline]
pub fn arithmetic<'a>(
    op: ArithmeticOp,
    left: Datum<'a>,
    right: Datum<'a>,
    types: (&Type, &Type, &Type),
) -> Result<Datum<'a>, EvalError> {
    match (left, right) {
        (Datum::Long(a), Datum::Long(b)) => long(long_op(op, a, b)?, types.2),
        (Datum::Null, _) | (_, Datum::Null) => Ok(Datum::Null),
        (Datum::Double(a), Datum::Double(b)) => double(double_op(op, a, b)?),
        (Datum::Decimal(a), Datum::Decimal(b)) => {
            let scales = (scale(types.0), scale(types.1), scale(types.2));
            decimal(decimal_op(op, a, b, scales)?, types.2)
        }
        _ => Err(EvalError::Damaged),
    }
}

fn long_op(op: ArithmeticOp, a: i64, b: i64) -> Result<i64, EvalError> {
    let value = match op {
        ArithmeticOp::Add => a.checked_add(b),
        ArithmeticOp::Subtract => a.checked_sub(b),
        ArithmeticOp::Multiply => a.checked_mul(b),
        ArithmeticOp::Divide | ArithmeticOp::Remainder if b == 0 => return Err(EvalError::DivisionByZero),
        ArithmeticOp::Divide => a.checked_div(b),
        // The smallest number has remainder 0 by -1, though the quotient does not fit.
        ArithmeticOp::Remainder => Some(a.wrapping_rem(b)),
    };
    value.ok_or(EvalError::Overflow)
}

fn double_op(op: ArithmeticOp, a: f64, b: f64) -> Result<f64, EvalError> {
    match op {
        ArithmeticOp::Add => Ok(a + b),
        ArithmeticOp::Subtract => Ok(a - b),
        ArithmeticOp::Multiply => Ok(a * b),
        ArithmeticOp::Divide | ArithmeticOp::Remainder if b == 0.0 => Err(EvalError::DivisionByZero),
        ArithmeticOp::Divide => Ok(a / b),
        ArithmeticOp::Remainder => Ok(a % b),
    }
}

fn decimal_op(op: ArithmeticOp, a: i128, b: i128, scales: (u8, u8, u8)) -> Result<i128, EvalError> {
    match op {
        ArithmeticOp::Add => a.checked_add(b).ok_or(EvalError::Overflow),
        ArithmeticOp::Subtract => a.checked_sub(b).ok_or(EvalError::Overflow),
        ArithmeticOp::Multiply => a.checked_mul(b).ok_or(EvalError::Overflow),
        ArithmeticOp::Divide | ArithmeticOp::Remainder if b == 0 => Err(EvalError::DivisionByZero),
        ArithmeticOp::Remainder => Ok(a.wrapping_rem(b)),
        ArithmeticOp::Divide => {
            let (left, right, result) = scales;
            let digits = (u32::from(result) + u32::from(right)).checked_sub(u32::from(left));
            quotient(a, b, digits.ok_or(EvalError::Damaged)?)
        }
    }
}

/// `a / b` with this many more digits, rounded half away from zero; digit by digit, so that only a result that does
/// not fit overflows.
fn quotient(a: i128, b: i128, digits: u32) -> Result<i128, EvalError> {
    let negative = (a < 0) != (b < 0);
    let (a, b) = (a.unsigned_abs(), b.unsigned_abs());
    let (mut value, mut rest) = (a / b, a % b);
    for _ in 0..digits {
        let (digit, left) = next_digit(rest, b);
        rest = left;
        value = value.checked_mul(10).and_then(|v| v.checked_add(digit)).ok_or(EvalError::Overflow)?;
    }
    // `rest >= b - rest` is `2 * rest >= b` without the overflow.
    let value = if rest >= b - rest { value.saturating_add(1) } else { value };
    let value = i128::try_from(value).map_err(|_| EvalError::Overflow)?;
    Ok(if negative { -value } else { value })
}

/// The next digit of a quotient: `10 * rest / b` and what is left, for `rest < b`, both at most 2^127. The product may be
/// wider than 128 bits, so it is built by doubling, with what goes into `b` taken out each time.
fn next_digit(rest: u128, b: u128) -> (u128, u128) {
    if let Some(more) = rest.checked_mul(10) {
        return (more / b, more % b);
    }
    let (mut digit, mut left) = (0, 0);
    let take = |digit: &mut u128, left: &mut u128| {
        if *left >= b {
            *left -= b;
            *digit += 1;
        }
    };
    for bit in [true, false, true, false] {
        left *= 2;
        digit *= 2;
        take(&mut digit, &mut left);
        if bit {
            left += rest;
            take(&mut digit, &mut left);
        }
    }
    (digit, left)
}

/// `-x`.
///
/// # Errors
/// When it is out of range.
pub fn negate<'a>(value: Datum<'a>, ty: &Type) -> Result<Datum<'a>, EvalError> {
    match value {
        Datum::Null => Ok(Datum::Null),
        Datum::Long(value) => long(value.checked_neg().ok_or(EvalError::Overflow)?, ty),
        Datum::Double(value) => double(-value),
        Datum::Decimal(value) => decimal(value.checked_neg().ok_or(EvalError::Overflow)?, ty),
        Datum::Boolean(_) | Datum::Text(_) | Datum::Bytes(_) | Datum::Encoded(_) => Err(EvalError::Damaged),
    }
}

/// An integer, date or time that is in its type's range.
///
/// # Errors
/// When it is out of range.
#[inline]
pub fn long<'a>(value: i64, ty: &Type) -> Result<Datum<'a>, EvalError> {
    Datum::long(value, ty).ok_or(EvalError::Overflow)
}

/// A finite double.
///
/// # Errors
/// When it is out of range.
pub fn double<'a>(value: f64) -> Result<Datum<'a>, EvalError> {
    Datum::double(value, &Type::Double).ok_or(EvalError::Overflow)
}

/// A decimal that has no more digits than its type.
///
/// # Errors
/// When it is out of range.
pub fn decimal<'a>(value: i128, ty: &Type) -> Result<Datum<'a>, EvalError> {
    match ty {
        Type::Decimal { .. } => Datum::decimal(value, ty).ok_or(EvalError::Overflow),
        _ => Err(EvalError::Damaged),
    }
}

/// The unscaled number at another scale, rounded half away from zero.
///
/// # Errors
/// When it is out of range.
pub fn rescale(value: i128, from: u8, to: u8) -> Result<i128, EvalError> {
    if to >= from {
        return value.checked_mul(power(to - from)?).ok_or(EvalError::Overflow);
    }
    quotient(value, power(from - to)?, 0)
}

/// 10 to the power of `digits`.
///
/// # Errors
/// When it is out of range.
pub fn power(digits: u8) -> Result<i128, EvalError> {
    POWERS.get(usize::from(digits)).copied().ok_or(EvalError::Overflow)
}

/// The scale of a decimal type; 0 of every other.
#[must_use]
pub fn scale(ty: &Type) -> u8 {
    if let Type::Decimal { scale, .. } = ty { *scale } else { 0 }
}
