//! Exact decimal numbers: text to unscaled i128 and back, and their bytes in Avro.

/// Why a number text is not the wanted number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberProblem {
    /// It is no number.
    Format,
    /// It has digits behind the last place.
    Inexact,
    /// It is too large.
    Range,
}

/// Ten to the power of `digits`, at most 38.
pub(crate) fn power_of_ten(digits: u8) -> i128 {
    10i128.pow(u32::from(digits.min(38)))
}

/// Whether a decimal has at most `precision` digits.
pub(crate) fn fits(unscaled: i128, precision: u8) -> bool {
    unscaled.unsigned_abs() < power_of_ten(precision).unsigned_abs()
}

/// Reads a JSON number text (with fraction and exponent, if any) as a number of `scale` places, exactly.
pub(crate) fn parse_decimal(text: &[u8], scale: u8) -> Result<i128, NumberProblem> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let mut unscaled: i128 = 0;
    let mut zeros: i64 = 0; // zeros not yet multiplied in: a later digit needs them, trailing ones may cancel
    let (mut places, mut at, mut point, mut seen) = (0i64, 0usize, false, 0usize);
    while let Some(&byte) = digits.get(at) {
        match byte {
            b'0'..=b'9' => {
                seen += 1;
                places += i64::from(point);
                if byte == b'0' {
                    zeros += i64::from(unscaled != 0);
                } else {
                    unscaled = shift(unscaled, zeros + 1)?
                        .checked_add(i128::from(byte - b'0'))
                        .ok_or(NumberProblem::Range)?;
                    zeros = 0;
                }
            }
            b'.' if !point && seen > 0 => {
                point = true;
                seen = 0;
            }
            _ => break,
        }
        at += 1;
    }
    if seen == 0 {
        return Err(NumberProblem::Format);
    }
    let exponent = exponent(digits.get(at..).unwrap_or_default())?;
    let power = zeros.saturating_add(exponent).saturating_sub(places).saturating_add(i64::from(scale));
    let unscaled = shift(unscaled, power)?;
    Ok(if negative { -unscaled } else { unscaled })
}

/// Times ten to the power; a negative power must divide exactly.
fn shift(unscaled: i128, power: i64) -> Result<i128, NumberProblem> {
    if unscaled == 0 {
        return Ok(0);
    }
    if power > 38 {
        return Err(NumberProblem::Range);
    }
    if power < -38 {
        return Err(NumberProblem::Inexact);
    }
    let factor = power_of_ten(power.unsigned_abs() as u8);
    if power >= 0 {
        unscaled.checked_mul(factor).ok_or(NumberProblem::Range)
    } else if unscaled % factor == 0 {
        Ok(unscaled / factor)
    } else {
        Err(NumberProblem::Inexact)
    }
}

fn exponent(text: &[u8]) -> Result<i64, NumberProblem> {
    let (negative, digits) = match text {
        [] => return Ok(0),
        [b'e' | b'E', b'-', digits @ ..] => (true, digits),
        [b'e' | b'E', b'+', digits @ ..] | [b'e' | b'E', digits @ ..] => (false, digits),
        _ => return Err(NumberProblem::Format),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NumberProblem::Format);
    }
    let value =
        digits.iter().fold(0i64, |sum, digit| (sum * 10 + i64::from(digit - b'0')).min(1_000_000_000));
    Ok(if negative { -value } else { value })
}

/// Reads an integer as JSON writes it: no plus, no leading zeros.
pub(crate) fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() || (digits.len() > 1 && digits.first() == Some(&b'0')) {
        return None;
    }
    digits.iter().try_fold(0i64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        let value = value.checked_mul(10)?;
        if negative { value.checked_sub(digit) } else { value.checked_add(digit) }
    })
}

/// Appends an integer.
pub(crate) fn write_integer(value: i64, out: &mut Vec<u8>) {
    write_digits(value < 0, u128::from(value.unsigned_abs()), 0, out);
}

/// Appends a decimal with all its places.
pub(crate) fn write_decimal(unscaled: i128, scale: u8, out: &mut Vec<u8>) {
    write_digits(unscaled < 0, unscaled.unsigned_abs(), usize::from(scale), out);
}

fn write_digits(negative: bool, mut value: u128, scale: usize, out: &mut Vec<u8>) {
    if negative {
        out.push(b'-');
    }
    let start = out.len();
    let mut places = 0;
    while value > 0 || places <= scale {
        if places == scale && scale > 0 {
            out.push(b'.');
        }
        if let Ok(small) = u64::try_from(value) {
            out.push(b'0' + (small % 10) as u8);
            value = u128::from(small / 10);
        } else {
            out.push(b'0' + (value % 10) as u8);
            value /= 10;
        }
        places += 1;
    }
    if let Some(written) = out.get_mut(start..) {
        written.reverse();
    }
}

/// A two's complement number, big-endian; `None` when it is empty or wider than 128 bits. Also whether it is in the
/// fewest bytes.
pub(crate) fn from_big_endian(bytes: &[u8]) -> Option<(i128, bool)> {
    let first = *bytes.first()?;
    let sign: u8 = if first & 0x80 != 0 { 0xff } else { 0 };
    let surplus = bytes.len().saturating_sub(16);
    let (head, tail) = bytes.split_at_checked(surplus)?;
    if head.iter().any(|byte| *byte != sign) {
        return None;
    }
    if surplus > 0 && tail.first().is_some_and(|byte| (byte ^ sign) & 0x80 != 0) {
        return None;
    }
    let minimal = bytes.get(1).is_none_or(|second| first != sign || (second ^ sign) & 0x80 != 0);
    let mut value: i128 = if sign == 0 { 0 } else { -1 };
    for byte in tail {
        value = value << 8 | i128::from(*byte);
    }
    Some((value, minimal))
}

/// How many of the sixteen big-endian bytes of a number can be left out in front.
pub(crate) fn surplus_bytes(bytes: &[u8; 16]) -> usize {
    bytes
        .windows(2)
        .take_while(|pair| match pair {
            [0, second] => second & 0x80 == 0,
            [0xff, second] => second & 0x80 != 0,
            _ => false,
        })
        .count()
}
