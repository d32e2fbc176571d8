//! Dates and timestamps from ISO 8601 text in its usual forms.
//!
//! `2023-12-22`, `2023-12-22T22:07:37`, `2023-12-22 22:07:37.780123`, `2023-12-22T22:07Z`, `…+01:00`, `…+0100`, `…+01`.
//! Without a zone the time is UTC. Digits behind the microsecond are cut off. A day that there isn't (30 February) and
//! a time past 23:59:59 are no timestamps.

const MICROS: i64 = 1_000_000;

/// Days from 1970-01-01 of a day in the proleptic Gregorian calendar, counted in eras of 400 years that begin with
/// March, so that the leap day is a year's last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn two_digits(text: &[u8]) -> Option<i64> {
    let (tens, ones) = (text.first()?.wrapping_sub(b'0'), text.get(1)?.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| i64::from(tens) * 10 + i64::from(ones))
}

/// Reads `yyyy-MM-dd` at the beginning: (days, the rest).
fn leading_date(text: &[u8]) -> Option<(i64, &[u8])> {
    let (date, rest) = text.split_at_checked(10)?;
    let year = two_digits(date)? * 100 + two_digits(&date[2..])?;
    let month = two_digits(&date[5..])?;
    let day = two_digits(&date[8..])?;
    let fits = date[4] == b'-' && date[7] == b'-' && (1..=12).contains(&month);
    (fits && day >= 1 && day <= days_in_month(year, month)).then(|| (days(year, month, day), rest))
}

/// A DATE: days from 1970-01-01.
pub(crate) fn date(text: &[u8]) -> Option<i32> {
    let (days, rest) = leading_date(text.trim_ascii())?;
    if rest.is_empty() { i32::try_from(days).ok() } else { None }
}

/// A TIMESTAMP: microseconds from 1970-01-01 in UTC.
pub(crate) fn timestamp(text: &[u8]) -> Option<i64> {
    let (days, rest) = leading_date(text.trim_ascii())?;
    let midnight = days * 86_400 * MICROS;
    let Some((&parting, time)) = rest.split_first() else {
        return Some(midnight);
    };
    if !matches!(parting, b'T' | b't' | b' ') {
        return None;
    }
    let (hour, minute) = (two_digits(time)?, two_digits(time.get(3..)?)?);
    if time[2] != b':' || hour > 23 || minute > 59 {
        return None;
    }
    let (second, fraction, rest) = seconds(&time[5..])?;
    let offset = zone(rest)?;
    Some(midnight + ((hour * 60 + minute - offset) * 60 + second) * MICROS + fraction)
}

/// Reads `:SS` and a fraction, if they are there: (seconds, microseconds, the rest).
fn seconds(text: &[u8]) -> Option<(i64, i64, &[u8])> {
    if text.first() != Some(&b':') {
        return Some((0, 0, text));
    }
    let second = two_digits(&text[1..])?;
    if second > 59 {
        return None;
    }
    let rest = &text[3..];
    if !matches!(rest.first(), Some(b'.' | b',')) {
        return Some((second, 0, rest));
    }
    let mut micros = 0;
    let mut unit = MICROS;
    let mut digits = 0;
    for &byte in &rest[1..] {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        unit /= 10;
        micros += i64::from(digit) * unit;
        digits += 1;
    }
    (1..=9).contains(&digits).then(|| (second, micros, &rest[1 + digits..]))
}

/// Reads a zone to the end of the text: minutes east of UTC.
fn zone(text: &[u8]) -> Option<i64> {
    let (&first, rest) = match text.split_first() {
        None => return Some(0),
        Some(parts) => parts,
    };
    let east = match first {
        b'Z' | b'z' => return rest.is_empty().then_some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = two_digits(rest)?;
    let minutes = match &rest[2..] {
        [] => 0,
        [b':', minutes @ ..] | minutes if minutes.len() == 2 => two_digits(minutes)?,
        _ => return None,
    };
    (hours <= 18 && minutes <= 59).then_some(east * (hours * 60 + minutes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn timestamps() {
        // 2023-12-22T22:07:37Z
        const SECOND: i64 = 1_703_282_857 * MICROS;
        for (text, value) in [
            ("2023-12-22T22:07:37.780123", Some(SECOND + 780_123)),
            ("2023-12-22 22:07:37.78", Some(SECOND + 780_000)),
            ("2023-12-22T22:07:37", Some(SECOND)),
            ("2023-12-22T22:07:37Z", Some(SECOND)),
            ("2023-12-22T23:07:37+01:00", Some(SECOND)),
            ("2023-12-22T23:07:37.780123+0100", Some(SECOND + 780_123)),
            ("2023-12-22T19:07:37-03", Some(SECOND)),
            ("2023-12-22T22:07:37.780123999Z", Some(SECOND + 780_123)),
            (" 2023-12-22T22:07 ", Some(SECOND - 37 * MICROS)),
            ("1970-01-01", Some(0)),
            ("1969-12-31T23:59:59.999999", Some(-1)),
            ("0001-01-01", Some(-62_135_596_800 * MICROS)),
            ("9999-12-31", Some(253_402_214_400 * MICROS)),
            ("2024-02-29", Some(1_709_164_800 * MICROS)),
            ("2023-02-29", None),
            ("2023-13-01", None),
            ("2023-12-22T24:00:00", None),
            ("2023-12-22T22:07:60", None),
            ("2023-12-22T22:07:37.", None),
            ("2023-12-22T22:07:37.1234567890", None),
            ("2023-12-22T22:07:37 UTC", None),
            ("2023-12-22T", None),
            ("22/12/2023 22:07", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(timestamp(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn dates() {
        assert_eq!(date(b"1970-01-02"), Some(1));
        assert_eq!(date(b"2023-12-22"), Some(19_713));
        assert_eq!(date(b"2023-12-22T00:00:00"), None);
        assert_eq!(date(b"2023-12-32"), None);
    }

    #[test]
    fn days_follow_each_other_for_a_thousand_years() {
        let mut expected = days(1600, 1, 1);
        for year in 1600..2600 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    assert_eq!(days(year, month, day), expected, "{year}-{month}-{day}");
                    expected += 1;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[0-9TZ:+. -]{0,40}", bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (date(text.as_bytes()), timestamp(text.as_bytes()), date(&bytes), timestamp(&bytes));
        }
    }
}
