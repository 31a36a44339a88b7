//! The calendar: proleptic Gregorian, UTC, no zones.

use tidefold_codec::calendar::{civil, days_of, weekday};
use tidefold_codec::truncate::{DAY_SECONDS, TruncUnit, truncate, units_per_day};
use tidefold_codec::{Datum, Type};

use super::row::{Count, Fails, Form, Function, Given, Gives, Nulls, Takes};
use crate::values::EvalError;
use crate::values::number::long;

/// What `extract` takes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum DatePart {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    DayOfWeek,
    DayOfYear,
    Hour,
    Minute,
    Second,
    Epoch,
}

/// The units of `date_trunc` by name.
pub const UNITS: [(&str, TruncUnit); 8] = [
    ("second", TruncUnit::Second),
    ("minute", TruncUnit::Minute),
    ("hour", TruncUnit::Hour),
    ("day", TruncUnit::Day),
    ("week", TruncUnit::Week),
    ("month", TruncUnit::Month),
    ("quarter", TruncUnit::Quarter),
    ("year", TruncUnit::Year),
];

/// The parts of a time by name.
pub const PARTS: [(&str, DatePart); 13] = [
    ("year", DatePart::Year),
    ("quarter", DatePart::Quarter),
    ("month", DatePart::Month),
    ("week", DatePart::Week),
    ("day", DatePart::Day),
    ("dow", DatePart::DayOfWeek),
    ("dayofweek", DatePart::DayOfWeek),
    ("doy", DatePart::DayOfYear),
    ("dayofyear", DatePart::DayOfYear),
    ("hour", DatePart::Hour),
    ("minute", DatePart::Minute),
    ("second", DatePart::Second),
    ("epoch", DatePart::Epoch),
];

/// The start of a unit.
pub static DATE_TRUNC: Function = Function {
    name: "date_trunc",
    aliases: &[],
    usage: "`date_trunc('unit', t)`",
    takes: &[Takes::Unit, Takes::Day],
    count: Count::All,
    gives: Gives::Argument,
    nulls: Nulls::Strict,
    fails: Fails::Never,
    form: Form::Evaluated(date_trunc),
    doc: "second, minute, hour, day, week (Monday), month, quarter, year; a date from day on",
};

/// A part of a time.
pub static DATE_PART: Function = Function {
    name: "date_part",
    aliases: &["extract"],
    usage: "`extract(part FROM t)`, `date_part('part', t)`",
    takes: &[Takes::Part, Takes::Time],
    gives: Gives::Long,
    form: Form::Evaluated(date_part),
    doc: "year, quarter, month, week (ISO), day, dow (0 is Sunday), doy, hour, minute, second, epoch; long, cut down",
    ..DATE_TRUNC
};

/// The day of a timestamp.
pub static TO_DATE: Function = Function {
    name: "to_date",
    usage: "`to_date(t)`",
    takes: &[Takes::Timestamp],
    gives: Gives::Date,
    form: Form::Evaluated(to_date),
    doc: "the UTC day of a timestamp",
    ..DATE_TRUNC
};

// === impl DatePart ===

impl DatePart {
    /// Whether a value of the type has this part.
    #[must_use]
    pub fn is_of(self, ty: &Type) -> bool {
        let clock = match self {
            DatePart::Hour | DatePart::Minute | DatePart::Second => true,
            DatePart::Year
            | DatePart::Quarter
            | DatePart::Month
            | DatePart::Week
            | DatePart::Day
            | DatePart::DayOfWeek
            | DatePart::DayOfYear => false,
            DatePart::Epoch => return !matches!(ty, Type::TimeMillis | Type::TimeMicros),
        };
        match (ty, clock) {
            (Type::Date, clock) => !clock,
            (Type::TimeMillis | Type::TimeMicros, clock) => clock,
            _ => true,
        }
    }
}

fn date_trunc<'a>(given: &Given<'a, '_>) -> Result<Datum<'a>, EvalError> {
    let unit = given.named(1, &UNITS)?;
    long(truncate(unit, given.long(0)?, given.from).ok_or(EvalError::Damaged)?, given.to)
}

fn to_date<'a>(given: &Given<'a, '_>) -> Result<Datum<'a>, EvalError> {
    let units = units_per_day(given.from).ok_or(EvalError::Damaged)?;
    long(given.long(0)?.div_euclid(units), given.to)
}

fn date_part<'a>(given: &Given<'a, '_>) -> Result<Datum<'a>, EvalError> {
    let value = given.long(0)?;
    let (days, second) = match given.from {
        Type::TimeMillis => (0, value / 1_000),
        Type::TimeMicros => (0, value / 1_000_000),
        ty @ (Type::Boolean
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
        | Type::Date
        | Type::TimestampMillis
        | Type::TimestampMicros
        | Type::LocalTimestampMillis
        | Type::LocalTimestampMicros
        | Type::Array(_)
        | Type::Map(_)
        | Type::Record(_)
        | Type::Union(_)) => {
            let units = units_per_day(ty).ok_or(EvalError::Damaged)?;
            let rest = value.rem_euclid(units);
            (value.div_euclid(units), if units < DAY_SECONDS { 0 } else { rest / (units / DAY_SECONDS) })
        }
    };
    let (year, month, day) = civil(days);
    Ok(Datum::Long(match given.named(1, &PARTS)? {
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
