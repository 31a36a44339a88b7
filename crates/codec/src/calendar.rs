//! Days, times of day and RFC 3339, in the proleptic Gregorian calendar from year 1 to 9999. No time zones but UTC.

use std::ops::RangeInclusive;

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

/// `YYYY-MM-DD` to days.
pub(crate) fn parse_date(text: &[u8]) -> Option<i64> {
    match text {
        [year @ .., b'-', m1, m2, b'-', d1, d2] if year.len() == 4 => {
            date(number(year)?, number(&[*m1, *m2])?, number(&[*d1, *d2])?)
        }
        _ => None,
    }
}

/// `HH:MM:SS[.digits]` to microseconds; digits past the sixth are cut.
pub(crate) fn parse_time(text: &[u8]) -> Option<i64> {
    let (clock, fraction) = text.split_at_checked(8)?;
    let &[h1, h2, b':', m1, m2, b':', s1, s2] = clock else { return None };
    let (hour, minute, second) = (number(&[h1, h2])?, number(&[m1, m2])?, number(&[s1, s2])?);
    if hour > 23 || minute > 59 || second > 59 {
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
    let mut micros = 0;
    for at in 0..6.max(digits.len()) {
        let digit = digits.get(at).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        if at < 6 {
            micros = micros * 10 + i64::from(digit - b'0');
        }
    }
    Some(micros)
}

/// Date, `T` and time to microseconds.
pub(crate) fn parse_local(text: &[u8]) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let (mark, time) = rest.split_first()?;
    if !matches!(mark, b'T' | b't' | b' ') {
        return None;
    }
    Some(parse_date(date)? * DAY_MICROS + parse_time(time)?)
}

/// Date, `T`, time and `Z` or an offset to microseconds.
pub(crate) fn parse_rfc3339(text: &[u8]) -> Option<i64> {
    let (local, offset) = match text {
        [local @ .., b'Z' | b'z'] => (local, 0),
        [local @ .., sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (local, (hours * 60 + minutes) * if *sign == b'-' { -60_000_000 } else { 60_000_000 })
        }
        _ => return None,
    };
    let micros = parse_local(local)? - offset;
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
