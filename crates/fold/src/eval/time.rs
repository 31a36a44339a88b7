//! The calendar: proleptic Gregorian, UTC, no zones.

use tidefold_app::expr::DatePart;
use tidefold_codec::calendar::{civil, days_of, weekday};
use tidefold_codec::truncate::{self, DAY_SECONDS, TruncUnit, units_per_day};
use tidefold_codec::{Datum, Type};

use super::EvalError;
use super::number::long;

/// `date_trunc`.
pub(super) fn truncate<'a>(unit: TruncUnit, value: Datum<'a>, ty: &Type) -> Result<Datum<'a>, EvalError> {
    let Datum::Long(value) = value else { return Err(EvalError::Damaged) };
    long(truncate::truncate(unit, value, ty).ok_or(EvalError::Damaged)?, ty)
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

/// The ISO week: the one that has the year's first Thursday is the first.
fn iso_week(days: i64) -> i64 {
    let thursday = days - weekday(days) + 3;
    let (year, _, _) = civil(thursday);
    (thursday - days_of(year, 1, 1)) / 7 + 1
}
