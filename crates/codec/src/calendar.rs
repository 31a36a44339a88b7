//! Days, times of day and RFC 3339, in the proleptic Gregorian calendar from year 1 to 9999. No time zones but UTC.

use std::ops::RangeInclusive;

use crate::types::Type;

/// The days of the years 1 to 9999, counted from 1970-01-01.
pub(crate) const DAYS: RangeInclusive<i64> = -719_162..=2_932_896;

/// Microseconds of a day.
pub(crate) const DAY_MICROS: i64 = 86_400_000_000;

/// The microseconds of the years 1 to 9999.
pub(crate) const MICROS: RangeInclusive<i64> =
    *DAYS.start() * DAY_MICROS..=*DAYS.end() * DAY_MICROS + DAY_MICROS - 1;

/// The milliseconds of the years 1 to 9999.
pub(crate) const MILLIS: RangeInclusive<i64> =
    *DAYS.start() * 86_400_000..=*DAYS.end() * 86_400_000 + 86_400_000 - 1;

/// What is wrong with a number of a date or time type.
pub(crate) fn time_problem(ty: &Type, value: i64) -> Option<&'static str> {
    let (ok, what) = match ty {
        Type::Date => (DAYS.contains(&value), "a date lies outside the years 1 to 9999"),
        Type::TimeMillis => ((0..86_400_000).contains(&value), "a time lies outside the day"),
        Type::TimeMicros => ((0..DAY_MICROS).contains(&value), "a time lies outside the day"),
        Type::TimestampMillis | Type::LocalTimestampMillis => {
            (MILLIS.contains(&value), "a timestamp lies outside the years 1 to 9999")
        }
        Type::TimestampMicros | Type::LocalTimestampMicros => {
            (MICROS.contains(&value), "a timestamp lies outside the years 1 to 9999")
        }
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
        | Type::Array(_)
        | Type::Map(_)
        | Type::Record(_)
        | Type::Union(_) => (true, ""),
    };
    (!ok).then_some(what)
}

/// The day of a date, if there is such a date in the years 1 to 9999.
fn date(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=9999).contains(&year) || !(1..=last).contains(&day) {
        return None;
    }
    Some(days_of(year, month, day))
}

/// Days since 1970-01-01. The date has to be one.
#[must_use]
pub fn days_of(year: i64, month: i64, day: i64) -> i64 {
    // Years start in March, so that the leap day is the last; eras of 400 years have 146,097 days.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Days since Monday.
#[must_use]
pub fn weekday(days: i64) -> i64 {
    // 1970-01-01 was a Thursday.
    (days.rem_euclid(7) + 3) % 7
}

/// Year, month and day, from days since 1970-01-01. Days are at most a long's microseconds divided by a day, or an int;
/// what lies far beyond is cut to the nearest.
#[must_use]
pub fn civil(days: i64) -> (i64, i64, i64) {
    let days = days.clamp(-200_000_000_000, 200_000_000_000) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

/// The number of two digits.
#[inline]
fn pair(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
}

/// `YYYY-MM-DD` to days.
pub(crate) fn parse_date(text: &[u8]) -> Option<i64> {
    match text {
        &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] => {
            date(pair(y1, y2)? * 100 + pair(y3, y4)?, pair(m1, m2)?, pair(d1, d2)?)
        }
        _ => None,
    }
}

/// `HH:MM:SS[.digits]` to microseconds; digits past the sixth are cut. A time of day has no leap second: whether it could
/// be one depends on a day and a zone.
pub(crate) fn parse_time(text: &[u8]) -> Option<i64> {
    parse_clock(text, 59)
}

fn parse_clock(text: &[u8], last_second: i64) -> Option<i64> {
    let (clock, fraction) = text.split_at_checked(8)?;
    let &[h1, h2, b':', m1, m2, b':', s1, s2] = clock else { return None };
    let (hour, minute, second) = (pair(h1, h2)?, pair(m1, m2)?, pair(s1, s2)?);
    if hour > 23 || minute > 59 || second > last_second {
        return None;
    }
    let micros = match fraction {
        [] => 0,
        [b'.', digits @ ..] if !digits.is_empty() => fraction_micros(digits)?,
        _ => return None,
    };
    Some(((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
}

fn fraction_micros(digits: &[u8]) -> Option<i64> {
    let (kept, cut) = digits.split_at(digits.len().min(6));
    if !cut.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let missing = (kept.len()..6).fold(1, |unit, _| unit * 10);
    Some(number(kept)? * missing)
}

/// Date, `T` and time to microseconds.
pub(crate) fn parse_local(text: &[u8]) -> Option<i64> {
    parse_moment(text, 59)
}

fn parse_moment(text: &[u8], last_second: i64) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let (mark, time) = rest.split_first()?;
    if !matches!(mark, b'T' | b't' | b' ') {
        return None;
    }
    Some(parse_date(date)? * DAY_MICROS + parse_clock(time, last_second)?)
}

/// Date, `T`, time and `Z` or an offset to microseconds.
///
/// A leap second (RFC 3339, section 5.7) is the last instant before it, since no type here has a place for it. It is one
/// only where UTC can have one: behind 23:59:59 UTC on the last day of a month, whatever the offset.
pub(crate) fn parse_rfc3339(text: &[u8]) -> Option<i64> {
    let (local, offset) = match text {
        [local @ .., b'Z' | b'z'] => (local, 0),
        [local @ .., sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (pair(*h1, *h2)?, pair(*m1, *m2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (local, (hours * 60 + minutes) * if *sign == b'-' { -60_000_000 } else { 60_000_000 })
        }
        _ => return None,
    };
    let mut micros = parse_moment(local, 60)? - offset;
    if local.get(17..19) == Some(b"60") {
        let end = micros - micros.rem_euclid(1_000_000);
        let (_, _, day) = civil(end.div_euclid(DAY_MICROS));
        if end.rem_euclid(DAY_MICROS) != 0 || day != 1 {
            return None;
        }
        micros = end - 1;
    }
    MICROS.contains(&micros).then_some(micros)
}

fn two(value: i64, out: &mut Vec<u8>) {
    out.push(b'0' + (value / 10 % 10) as u8);
    out.push(b'0' + (value % 10) as u8);
}

/// Appends `YYYY-MM-DD`.
pub(crate) fn write_date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil(days);
    two(year / 100, out);
    two(year % 100, out);
    out.push(b'-');
    two(month, out);
    out.push(b'-');
    two(day, out);
}

/// Appends `HH:MM:SS` and three or six more digits where they are not zero.
pub(crate) fn write_time(micros: i64, out: &mut Vec<u8>) {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    two(seconds / 3600, out);
    out.push(b':');
    two(seconds / 60 % 60, out);
    out.push(b':');
    two(seconds % 60, out);
    if fraction != 0 {
        out.push(b'.');
        let places: &[i64] = if fraction % 1000 == 0 {
            &[100_000, 10_000, 1000]
        } else {
            &[100_000, 10_000, 1000, 100, 10, 1]
        };
        out.extend(places.iter().map(|place| b'0' + (fraction / place % 10) as u8));
    }
}

/// Appends date, `T` and time.
pub(crate) fn write_local(micros: i64, out: &mut Vec<u8>) {
    write_date(micros.div_euclid(DAY_MICROS), out);
    out.push(b'T');
    write_time(micros.rem_euclid(DAY_MICROS), out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<String> {
        let mut out = Vec::new();
        write_local(parse_rfc3339(text.as_bytes())?, &mut out);
        String::from_utf8(out).ok()
    }

    #[test]
    fn a_leap_second_is_the_last_instant_before_it() {
        for text in [
            "2016-12-31T23:59:60Z",
            "2016-12-31t23:59:60z",
            "2016-12-31 23:59:60.999999999Z",
            "2016-12-31T15:59:60-08:00",
            "2017-01-01T05:29:60.25+05:30",
            "2017-01-01T12:44:60+12:45",
        ] {
            assert_eq!(read(text).as_deref(), Some("2016-12-31T23:59:59.999999"), "{text}");
        }
        assert_eq!(read("9999-12-31T23:59:60Z").as_deref(), Some("9999-12-31T23:59:59.999999"));
    }

    #[test]
    fn what_can_be_no_leap_second_is_refused() {
        for text in [
            "2016-12-31T23:59:61Z",
            "2016-12-31T23:58:60Z",
            "2016-12-31T22:59:60Z",
            "2016-12-30T23:59:60Z",
            "2016-12-31T23:59:60+01:00",
            "2017-01-01T00:59:60+00:30",
            "2017-02-29T23:59:60Z",
            "2016-12-31T23:59:60",
            "2016-12-31T23:59:60.Z",
            "2016-12-31T23:59:6Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(parse_time(b"23:59:60"), None);
        assert_eq!(parse_local(b"2016-12-31T23:59:60"), None);
    }

    proptest! {
        /// Of every minute in every zone: the 60th second is taken where the next one begins a month in UTC.
        #[test]
        fn a_leap_second_stands_at_the_end_of_a_month_only(
            day in -200_000_i64..2_900_000, of_day in 0_i64..1440, offset in -1439_i64..1440, edge: bool
        ) {
            // Half of the cases end a month, which chance alone would hardly hit.
            let (year, month, _) = civil(day);
            let utc = if edge { days_of(year, month, 1) * 1440 - 1 } else { day * 1440 + of_day };
            let local = utc + offset;
            let mut text = Vec::new();
            write_local(local * 60_000_000, &mut text);
            text.splice(17..19, *b"60");
            let (sign, far) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
            text.extend_from_slice(format!("{sign}{:02}:{:02}", far / 60, far % 60).as_bytes());
            let next = utc + 1;
            let legal = next % 1440 == 0 && civil(next.div_euclid(1440)).2 == 1;
            let expected = legal.then_some(next * 60_000_000 - 1);
            prop_assert_eq!(parse_rfc3339(&text), expected, "{}", String::from_utf8_lossy(&text));
        }
    }
}
