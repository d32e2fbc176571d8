//! The forms of date and time that Spark's casts accept, with no pattern:
//!
//! ```text
//! [+-]yyyy*  |  …-[m]m  |  …-[m]m-[d]d  |  …-[m]m-[d]d{ |T}  |  …-[m]m-[d]d{ |T}[h]h:[m]m:[s]s[.fraction][zone]
//! ```
//!
//! `T[h]h:[m]m:[s]s[.fraction][zone]` and `[h]h:[m]m:[s]s…`, which mean today, are not supported: a job has no today.
//!
//! Minutes and seconds may be missing; a fraction may have any number of digits, of which six count; white space around
//! is ignored; a zone is `Z`, `+h:mm`, `UTC+2`, `Europe/Madrid`. A date may be followed by `T` or a space and anything.

use super::calendar::checked_days;
use super::zone::Zone;
use super::{MICROS_PER_DAY, MICROS_PER_SECOND};

/// The white space that Spark's casts ignore around a value: ASCII white space and control characters.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ' || c == '\u{7f}')
}

/// `CAST(text AS TIMESTAMP)` in microseconds since 1970-01-01 UTC.
pub(crate) fn timestamp(text: &str, session: &Zone) -> Option<i64> {
    let (days, rest) = leading_date(trim(text))?;
    let Some(rest) = rest.strip_prefix(['T', ' ']) else {
        let midnight = days.checked_mul(MICROS_PER_DAY)?;
        return rest.is_empty().then(|| session.to_utc(midnight));
    };
    let (micros, rest) = if rest.is_empty() { (0, rest) } else { leading_time(rest)? };
    let local = days.checked_mul(MICROS_PER_DAY)?.checked_add(micros)?;
    match rest.trim() {
        "" => Some(session.to_utc(local)),
        zone => Some(Zone::by_name(zone)?.to_utc(local)),
    }
}

/// `CAST(text AS DATE)` in days since 1970-01-01.
pub(crate) fn date(text: &str) -> Option<i32> {
    let (days, rest) = leading_date(trim(text))?;
    (rest.is_empty() || rest.starts_with(['T', ' '])).then(|| i32::try_from(days).ok()).flatten()
}

/// Days, and what follows the date.
fn leading_date(text: &str) -> Option<(i64, &str)> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (year, rest) = digits(unsigned, 4, 7)?;
    let year = if negative { -year } else { year };
    let Some(rest) = rest.strip_prefix('-') else {
        // Only a whole date may be followed by a time.
        return rest.is_empty().then(|| checked_days(year, 1, 1)).flatten().map(|days| (days, rest));
    };
    let (month, rest) = digits(rest, 1, 2)?;
    let Some(rest) = rest.strip_prefix('-') else {
        return rest.is_empty().then(|| checked_days(year, month, 1)).flatten().map(|days| (days, rest));
    };
    let (day, rest) = digits(rest, 1, 2)?;
    checked_days(year, month, day).map(|days| (days, rest))
}

/// Microseconds of the day, and what follows.
fn leading_time(text: &str) -> Option<(i64, &str)> {
    let (hour, mut rest) = digits(text, 1, 2)?;
    let (mut minute, mut second, mut micros) = (0, 0, 0);
    if let Some(after) = rest.strip_prefix(':') {
        (minute, rest) = digits(after, 1, 2)?;
        if let Some(after) = rest.strip_prefix(':') {
            (second, rest) = digits(after, 1, 2)?;
            if let Some(after) = rest.strip_prefix('.') {
                (micros, rest) = fraction(after);
            }
        }
    }
    let valid = hour < 24 && minute < 60 && second < 60;
    valid.then_some(((hour * 3600 + minute * 60 + second) * MICROS_PER_SECOND + micros, rest))
}

/// `min` to `max` digits at the start and nothing more of them.
fn digits(text: &str, min: usize, max: usize) -> Option<(i64, &str)> {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    if !(min..=max).contains(&count) {
        return None;
    }
    Some((text[..count].parse().ok()?, &text[count..]))
}

/// A fraction of a second in microseconds; further digits are cut off.
fn fraction(text: &str) -> (i64, &str) {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    let micros =
        (0..6).fold(0, |value, i| value * 10 + if i < count { i64::from(text.as_bytes()[i] - b'0') } else { 0 });
    (micros, &text[count..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_and_refused() {
        let utc = Zone::utc();
        let second = |s: i64| Some(s * MICROS_PER_SECOND);
        for (text, expected) in [
            ("1970-01-01 00:00:01", second(1)),
            (" 1970-01-01T0:0:1.5 ", Some(1_500_000)),
            ("1970-01-01T00:00:01Z", second(1)),
            ("1970-01-01 01:00:00+01:00", Some(0)),
            ("1970", Some(0)),
            ("1970-1", Some(0)),
            ("1970-1-1", Some(0)),
            ("1970-01-01T", Some(0)),
            ("1970-01-01 00:00:00.123456789", Some(123_456)),
            ("1970-02-30", None),
            ("x", None),
            ("", None),
            ("1970-01-01 25:00:00", None),
            ("1970-01-01x", None),
        ] {
            assert_eq!(timestamp(text, &utc), expected, "{text}");
        }
        assert_eq!(date("1970-01-02 anything"), Some(1));
        assert_eq!(date("1970-01-02anything"), None);
    }
}
