//! `date_trunc`: the fold evaluates it, and buckets by time are made of it.

use crate::Type;
use crate::calendar::{civil, days_of, weekday};

/// What `date_trunc` cuts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TruncUnit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

/// Seconds of a day.
pub const DAY_SECONDS: i64 = 86_400;

/// The start of the unit that a timestamp or date lies in; `None` of another type. The first moments of the type's range,
/// which have no truncated value in it, give the smallest.
#[must_use]
pub fn truncate(unit: TruncUnit, value: i64, ty: &Type) -> Option<i64> {
    let units = units_per_day(ty)?;
    let cut = |size: i64| value.checked_sub(value.rem_euclid(size.max(1)));
    let truncated = match unit {
        TruncUnit::Second => cut(units / DAY_SECONDS),
        TruncUnit::Minute => cut(units / 1_440),
        TruncUnit::Hour => cut(units / 24),
        TruncUnit::Day => cut(units),
        TruncUnit::Week | TruncUnit::Month | TruncUnit::Quarter | TruncUnit::Year => {
            truncate_days(unit, value.div_euclid(units)).checked_mul(units)
        }
    };
    let smallest = if *ty == Type::Date { i64::from(i32::MIN) } else { i64::MIN };
    Some(truncated.unwrap_or(i64::MIN).max(smallest))
}

fn truncate_days(unit: TruncUnit, days: i64) -> i64 {
    let (year, month, _) = civil(days);
    match unit {
        TruncUnit::Week => days - weekday(days),
        TruncUnit::Month => days_of(year, month, 1),
        TruncUnit::Quarter => days_of(year, (month - 1) / 3 * 3 + 1, 1),
        TruncUnit::Year => days_of(year, 1, 1),
        TruncUnit::Second | TruncUnit::Minute | TruncUnit::Hour | TruncUnit::Day => days,
    }
}

/// How many of the type's base units a day has; 1 of a date. `None` of a type that has no days.
#[must_use]
pub fn units_per_day(ty: &Type) -> Option<i64> {
    match ty {
        Type::Date => Some(1),
        Type::TimestampMillis | Type::LocalTimestampMillis => Some(DAY_SECONDS * 1_000),
        Type::TimestampMicros | Type::LocalTimestampMicros => Some(DAY_SECONDS * 1_000_000),
        Type::Boolean
        | Type::Int
        | Type::Long
        | Type::Float
        | Type::Double
        | Type::Bytes
        | Type::String
        | Type::Fixed(_)
        | Type::Enum(_)
        | Type::Decimal { .. }
        | Type::Uuid
        | Type::TimeMillis
        | Type::TimeMicros
        | Type::Array(_)
        | Type::Map(_)
        | Type::Record(_)
        | Type::Union(_) => None,
    }
}
