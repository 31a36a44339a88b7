//! The calendar: proleptic Gregorian, UTC, no zones.

use tidefold_app::expr::{DatePart, TruncUnit};
use tidefold_codec::{Datum, Type};

use super::EvalError;

const DAY_SECONDS: i64 = 86_400;

/// `date_trunc`. The first moments of the type's range, which have no truncated value in it, give the smallest.
pub(super) fn truncate<'a>(unit: TruncUnit, value: Datum<'a>, ty: &Type) -> Result<Datum<'a>, EvalError> {
    let Datum::Long(value) = value else { return Err(EvalError::Damaged) };
    let units = units_per_day(ty).ok_or(EvalError::Damaged)?;
    let cut = |size: i64| i128::from(value) - i128::from(value.rem_euclid(size.max(1)));
    let truncated = match unit {
        TruncUnit::Second => cut(units / DAY_SECONDS),
        TruncUnit::Minute => cut(units / 1_440),
        TruncUnit::Hour => cut(units / 24),
        TruncUnit::Day => cut(units),
        TruncUnit::Week | TruncUnit::Month | TruncUnit::Quarter | TruncUnit::Year => {
            i128::from(truncate_days(unit, value.div_euclid(units))) * i128::from(units)
        }
    };
    let smallest = if *ty == Type::Date { i64::from(i32::MIN) } else { i64::MIN };
    Ok(Datum::Long(i64::try_from(truncated).unwrap_or(i64::MIN).max(smallest)))
}

fn truncate_days(unit: TruncUnit, days: i64) -> i64 {
    let (year, month, _) = civil(days);
    match unit {
        TruncUnit::Week => days - weekday(days),
        TruncUnit::Month => days_of(year, month, 1),
        TruncUnit::Quarter => days_of(year, (month - 1) / 3 * 3 + 1, 1),
        TruncUnit::Year => days_of(year, 1, 1),
        _ => days,
    }
}

/// `extract`.
pub(super) fn part<'a>(part: DatePart, value: Datum<'a>, ty: &Type) -> Result<Datum<'a>, EvalError> {
    let Datum::Long(value) = value else { return Err(EvalError::Damaged) };
    let (days, second) = match ty {
        Type::TimeMillis => (0, value / 1_000),
        Type::TimeMicros => (0, value / 1_000_000),
        _ => {
            let units = units_per_day(ty).ok_or(EvalError::Damaged)?;
            let rest = value.rem_euclid(units);
            (value.div_euclid(units), if units < DAY_SECONDS { 0 } else { rest / (units / DAY_SECONDS) })
        }
    };
    let (year, month, day) = civil(days);
    Ok(Datum::Long(match part {
        DatePart::Year => year,
        DatePart::Quarter => (month - 1) / 3 + 1,
        DatePart::Month => month,
        DatePart::Week => iso_week(days),
        DatePart::Day => day,
        DatePart::DayOfWeek => (weekday(days) + 1) % 7,
        DatePart::DayOfYear => days - days_of(year, 1, 1) + 1,
        DatePart::Hour => second / 3_600,
        DatePart::Minute => second / 60 % 60,
        DatePart::Second => second % 60,
        DatePart::Epoch => days.saturating_mul(DAY_SECONDS).saturating_add(second),
    }))
}

/// How many of the type's base units a day has; 1 of a date. `None` of a type that has no days.
pub(super) fn units_per_day(ty: &Type) -> Option<i64> {
    match ty {
        Type::Date => Some(1),
        Type::TimestampMillis | Type::LocalTimestampMillis => Some(DAY_SECONDS * 1_000),
        Type::TimestampMicros | Type::LocalTimestampMicros => Some(DAY_SECONDS * 1_000_000),
        _ => None,
    }
}

/// Days since Monday.
fn weekday(days: i64) -> i64 {
    // 1970-01-01 was a Thursday.
    (days.rem_euclid(7) + 3) % 7
}

/// The ISO week: the one that has the year's first Thursday is the first.
fn iso_week(days: i64) -> i64 {
    let thursday = days - weekday(days) + 3;
    let (year, _, _) = civil(thursday);
    (thursday - days_of(year, 1, 1)) / 7 + 1
}

/// Year, month and day, from days since 1970-01-01. Days are at most a long's microseconds divided by a day, or an int,
/// so nothing here overflows; years start in March inside, which puts the leap day last.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days.clamp(-200_000_000_000, 200_000_000_000) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days since 1970-01-01.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}
