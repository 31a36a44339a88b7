//! Sums that cannot overflow, and their means: 192 bits, where a value has at most 127 and there are fewer than 2^63 of
//! them. So every addition can be taken back, and a sum is never another number than it is.

/// An exact sum of whole numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exact {
    /// The lower 128 bits, low word first: words, so that a sum needs no alignment of sixteen bytes.
    words: [u64; 2],
    /// The upper 64 bits, with the sign.
    high: i64,
}

/// A number of 256 bits without a sign, low half first: what a mean is divided in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wide {
    low: u128,
    high: u128,
}

// === impl Exact ===

impl From<i128> for Exact {
    #[inline]
    fn from(value: i128) -> Exact {
        Exact::of(value as u128, (value >> 127) as i64)
    }
}

impl Exact {
    /// Nothing.
    pub const ZERO: Exact = Exact { words: [0, 0], high: 0 };

    #[inline]
    fn of(low: u128, high: i64) -> Exact {
        Exact { words: [low as u64, (low >> 64) as u64], high }
    }

    #[inline]
    fn low(self) -> u128 {
        let [low, middle] = self.words;
        u128::from(middle) << 64 | u128::from(low)
    }

    /// The sum of both.
    #[must_use]
    #[inline]
    pub fn plus(self, other: Exact) -> Exact {
        let (low, carry) = self.low().overflowing_add(other.low());
        Exact::of(low, self.high.wrapping_add(other.high).wrapping_add(i64::from(carry)))
    }

    /// The number, if it has at most 127 bits.
    #[must_use]
    #[inline]
    pub fn narrow(self) -> Option<i128> {
        let value = self.low() as i128;
        (self.high == (value >> 127) as i64).then_some(value)
    }

    /// The lower 128 bits as a number, and the upper 64.
    #[must_use]
    pub fn parts(self) -> (i128, i64) {
        (self.low() as i128, self.high)
    }

    /// Reads what [`Exact::parts`] gave.
    #[must_use]
    pub fn from_parts(low: i128, high: i64) -> Exact {
        Exact::of(low as u128, high)
    }

    /// The double nearest to the sum, of numbers with `scale` digits (at most 38) behind the point, divided by `count`.
    #[must_use]
    pub fn mean(self, scale: u8, count: i64) -> f64 {
        let unit = 10_u128.pow(u32::from(scale.min(38)));
        let parts = u128::from(count.unsigned_abs().max(1));
        let small = 1_i128 << 53;
        if let (Some(sum), Some(divisor)) = (self.narrow(), unit.checked_mul(parts))
            && (-small..=small).contains(&sum)
            && divisor <= small as u128
        {
            // Both are exact doubles, so their quotient is the nearest one.
            return sum as f64 / divisor as f64 * if count < 0 { -1.0 } else { 1.0 };
        }
        let negative = (self.high < 0) != (count < 0);
        let mean = ratio(self.magnitude(), Wide::product(unit, parts));
        if negative { -mean } else { mean }
    }

    /// The double nearest to the variance of `count` numbers, which is above `fewer`: of a whole population if that is 0,
    /// of a sample if 1. This is the sum of their squares; they have `scale` digits (at most 19) behind the point, and at
    /// most 64 bits.
    #[must_use]
    pub fn variance(self, sum: Exact, scale: u8, count: i64, fewer: i64) -> f64 {
        let (all, divisor) = (count.unsigned_abs(), (count - fewer).unsigned_abs());
        let (sum, squares) = (sum.magnitude(), self.magnitude());
        // (n Σx² - (Σx)²) / (n (n - fewer)) has no rounding in it up to the one division. Of numbers that there are it is
        // never below zero.
        let spread = squares.times(all).minus(Wide::product(sum.low, sum.low)).unwrap_or(Wide::ZERO);
        let unit = 10_u128.pow(u32::from(scale.min(19)));
        let unit = unit.saturating_mul(unit);
        ratio(spread, Wide::product(u128::from(all) * u128::from(divisor), unit))
    }

    fn magnitude(self) -> Wide {
        if self.high >= 0 {
            return Wide { low: self.low(), high: self.high as u128 };
        }
        let (low, carry) = (!self.low()).overflowing_add(1);
        Wide { low, high: u128::from(!self.high as u64) + u128::from(carry) }
    }
}

/// The double nearest to `a / b`, ties to even. Both have at most 254 bits, and `b` is not zero.
fn ratio(a: Wide, b: Wide) -> f64 {
    if a == Wide::ZERO {
        return 0.0;
    }
    // By long division, bit by bit from the top and on behind the point, until there are 65 bits: more than a double's 53,
    // so one more bit for whatever is left makes the one rounding right.
    let (mut rest, mut quotient, mut at) = (Wide::ZERO, 0_u128, i64::from(a.bits()));
    while quotient >> 64 == 0 {
        at -= 1;
        rest = rest.doubled(u32::try_from(at).is_ok_and(|at| a.bit(at)));
        quotient <<= 1;
        if let Some(left) = rest.minus(b) {
            rest = left;
            quotient |= 1;
        }
    }
    let more = rest != Wide::ZERO || (0..at.max(0)).any(|below| a.bit(below as u32));
    let scale = f64::from_bits(((1_023 + at - 1) as u64) << 52);
    (quotient << 1 | u128::from(more)) as f64 * scale
}

// === impl Wide ===

impl Wide {
    const ZERO: Wide = Wide { low: 0, high: 0 };

    /// The product, which has to fit.
    fn product(a: u128, b: u128) -> Wide {
        let half = |value: u128| (value >> 64, value & u128::from(u64::MAX));
        let ((a1, a0), (b1, b0)) = (half(a), half(b));
        let (middle, carry) = (a1 * b0).overflowing_add(a0 * b1);
        let (low, more) = (a0 * b0).overflowing_add(middle << 64);
        let high = a1 * b1 + (middle >> 64) + (u128::from(carry) << 64) + u128::from(more);
        Wide { low, high }
    }

    fn bits(self) -> u32 {
        if self.high == 0 { 128 - self.low.leading_zeros() } else { 256 - self.high.leading_zeros() }
    }

    fn bit(self, at: u32) -> bool {
        let half = if at < 128 { self.low >> at } else { self.high >> (at - 128) };
        half & 1 == 1
    }

    /// Twice the number, which has to fit, and one if so.
    fn doubled(self, one: bool) -> Wide {
        Wide { low: self.low << 1 | u128::from(one), high: self.high << 1 | self.low >> 127 }
    }

    /// The product, which has to fit.
    fn times(self, factor: u64) -> Wide {
        let low = Wide::product(self.low, u128::from(factor));
        Wide { low: low.low, high: low.high.wrapping_add(self.high.wrapping_mul(u128::from(factor))) }
    }

    /// The difference; `None` below zero.
    fn minus(self, other: Wide) -> Option<Wide> {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        let high = self.high.checked_sub(other.high)?.checked_sub(u128::from(borrow))?;
        Some(Wide { low, high })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_bigint::BigInt;
    use proptest::prelude::*;

    fn big(value: Exact) -> BigInt {
        let (low, high) = value.parts();
        (BigInt::from(high) << 128) + BigInt::from(low as u128)
    }

    /// The nearest double by decimal digits, which the standard library rounds.
    fn oracle(sum: &BigInt, scale: u8, count: i64) -> f64 {
        quotient(sum, &(BigInt::from(10).pow(scale.into()) * count))
    }

    fn quotient(a: &BigInt, b: &BigInt) -> f64 {
        let digits = 200_u32;
        let (numerator, divisor) = (a * BigInt::from(10).pow(digits), b.clone());
        let (quotient, rest) = (&numerator / &divisor, &numerator % &divisor);
        let sticky = if rest == BigInt::from(0) { "" } else { "1" };
        format!("{quotient}{sticky}e-{}", digits as usize + sticky.len()).parse().unwrap_or(f64::NAN)
    }

    fn value() -> impl Strategy<Value = i128> {
        prop_oneof![
            any::<i128>(),
            any::<i64>().prop_map(i128::from),
            (-9..10_i128),
            (0..127_u32, -2..3_i128).prop_map(|(bit, near)| (1_i128 << bit) + near),
            Just(10_i128.pow(38) - 1),
            Just(1 - 10_i128.pow(38)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn sums_are_those_of_numbers_without_bounds(values in prop::collection::vec(value(), 0..40), copies in 0..40_u32) {
            let mut sum = values.iter().fold(Exact::ZERO, |sum, value| sum.plus((*value).into()));
            let mut wanted: BigInt = values.iter().map(|value| BigInt::from(*value)).sum();
            prop_assert_eq!(big(sum), wanted.clone());
            for _ in 0..copies {
                sum = sum.plus(sum);
                wanted *= 2;
                if wanted.bits() > 188 { break }
            }
            prop_assert_eq!(big(sum), wanted.clone());
            prop_assert_eq!(sum.narrow(), i128::try_from(&wanted).ok());
            let (low, high) = sum.parts();
            prop_assert_eq!(Exact::from_parts(low, high), sum);
        }

        #[test]
        fn a_mean_is_the_nearest_double(values in prop::collection::vec(value(), 1..9), scale in 0..39_u8, count in prop_oneof![1..20_i64, 1..i64::MAX]) {
            let sum = values.iter().fold(Exact::ZERO, |sum, value| sum.plus((*value).into()));
            prop_assert_eq!(sum.mean(scale, count), oracle(&big(sum), scale, count));
        }
    }

    /// Numbers whose squares fit.
    fn squarable() -> impl Strategy<Value = i128> {
        let most = 10_i128.pow(19) - 1;
        prop_oneof![any::<i64>().prop_map(i128::from), -3..4_i128, Just(most), Just(-most)]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_variance_is_the_nearest_double(values in prop::collection::vec(squarable(), 2..9), scale in 0..20_u8, copies in 0..60_u32, fewer in 0..2_i64) {
            let all = |of: fn(i128) -> i128| values.iter().fold(Exact::ZERO, |sum, value| sum.plus(of(*value).into()));
            let (mut sum, mut squares) = (all(|value| value), all(|value| value * value));
            let mut count = values.len() as i64;
            // As many of each as a group may have.
            for _ in 0..copies.min(62 - count.ilog2() - 1) {
                (sum, squares, count) = (sum.plus(sum), squares.plus(squares), count * 2);
            }
            let n = BigInt::from(count);
            let spread = &n * big(squares) - big(sum) * big(sum);
            let unit = BigInt::from(10).pow(2 * u32::from(scale));
            let divisor = &n * (count - fewer) * unit;
            prop_assert_eq!(squares.variance(sum, scale, count, fewer), quotient(&spread, &divisor));
        }

        #[test]
        fn what_is_taken_back_leaves_no_variance(values in prop::collection::vec(squarable(), 1..20), kept in squarable()) {
            let (mut sum, mut squares) = (Exact::from(kept), Exact::from(kept * kept));
            for sign in [1, -1] {
                for value in &values {
                    sum = sum.plus((value * sign).into());
                    squares = squares.plus((value * value * sign).into());
                }
            }
            prop_assert_eq!(squares.variance(sum, 0, 1, 0), 0.0);
        }
    }

    #[test]
    fn means_at_the_bounds() {
        let four = [1_i128 << 126; 4].iter().fold(Exact::ZERO, |sum, value| sum.plus((*value).into()));
        assert_eq!(four.mean(0, 4), 8.507059173023462e37);
        assert_eq!(Exact::from(10_i128.pow(38) - 1).plus((10_i128.pow(38) - 1).into()).mean(0, 2), 1e38);
        assert_eq!(Exact::ZERO.mean(38, 7), 0.0);
        assert_eq!(Exact::from(-1).mean(38, i64::MAX), -1e-38 / i64::MAX as f64);
    }
}
