//! Durations (`5 minutes`, `1 hour 30 minutes`, `500 ms`) and sizes (`128 MB`) as written in options and intervals.
//!
//! Durations are microseconds, as all times in the engine. Sizes are bytes; MB is 1,048,576 bytes, as in Spark.

/// Microseconds in one unit, by all its spellings.
const DURATION_UNITS: [(&[&str], i64); 7] = [
    (&["us", "microsecond", "microseconds"], 1),
    (&["ms", "millisecond", "milliseconds"], 1_000),
    (&["s", "sec", "secs", "second", "seconds"], 1_000_000),
    (&["m", "min", "mins", "minute", "minutes"], 60_000_000),
    (&["h", "hour", "hours"], 3_600_000_000),
    (&["d", "day", "days"], 86_400_000_000),
    (&["w", "week", "weeks"], 604_800_000_000),
];

/// Bytes in one unit, by all its spellings.
const SIZE_UNITS: [(&[&str], u64); 5] = [
    (&["b", "byte", "bytes"], 1),
    (&["k", "kb", "kib"], 1 << 10),
    (&["m", "mb", "mib"], 1 << 20),
    (&["g", "gb", "gib"], 1 << 30),
    (&["t", "tb", "tib"], 1 << 40),
];

/// A duration in microseconds: one or more numbers with a unit each, such as `5 minutes` or `1h 30m`.
/// `None` if the text is anything else, or doesn't fit. Negative durations are refused.
pub fn parse_duration_micros(text: &str) -> Option<i64> {
    let mut total = 0_i64;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let after = after.trim_start();
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let unit = duration_unit(&after[..end])?;
        total = total.checked_add(scale(number, unit)?)?;
        rest = after[end..].trim_start_matches(|c: char| c.is_whitespace() || c == ',');
    }
    Some(total)
}

/// Microseconds in a unit of time, by name (`SECOND`, `minutes`, `ms`); months and years have no fixed length.
pub(crate) fn duration_unit(name: &str) -> Option<i64> {
    let name = name.to_ascii_lowercase();
    DURATION_UNITS.iter().find(|(names, _)| names.contains(&name.as_str())).map(|(_, micros)| *micros)
}

/// `number` × `unit`, exactly to the microsecond, for decimal numbers such as `1.5`.
pub(crate) fn scale(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(unit)?;
    if !fraction.is_empty() {
        if fraction.len() > 9 {
            return None;
        }
        let numerator: i64 = fraction.parse().ok()?;
        let part = i128::from(numerator) * i128::from(unit) / 10_i128.pow(u32::try_from(fraction.len()).ok()?);
        total = total.checked_add(i64::try_from(part).ok()?)?;
    }
    Some(total)
}

/// A size in bytes, such as `128 MB`, `64k` or `1048576`. `None` if the text is anything else, or doesn't fit.
pub fn parse_size_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text.trim())?;
    let unit = unit.trim().to_ascii_lowercase();
    let bytes =
        if unit.is_empty() { 1 } else { SIZE_UNITS.iter().find(|(names, _)| names.contains(&unit.as_str()))?.1 };
    u64::try_from(scale(number, i64::try_from(bytes).ok()?)?).ok()
}

/// The digits (with at most one point) that a text begins with, and the rest.
fn split_number(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    (!number.is_empty() && number.matches('.').count() <= 1).then_some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("5 minutes", Some(300_000_000)),
            ("1h 30m", Some(5_400_000_000)),
            ("1 hour, 30 minutes", Some(5_400_000_000)),
            ("0.5 s", Some(500_000)),
            ("250ms", Some(250_000)),
            ("0 s", Some(0)),
            ("5", None),
            ("five minutes", None),
            ("-1 s", None),
            ("1 month", None),
            ("1.2.3 s", None),
            ("99999999999999 days", None),
            ("", None),
        ] {
            assert_eq!(parse_duration_micros(text), expected, "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("128 MB", Some(134_217_728)),
            ("64k", Some(65_536)),
            ("1.5 GiB", Some(1_610_612_736)),
            ("1048576", Some(1_048_576)),
            ("12 potatoes", None),
            ("-1", None),
            ("99999999 TB", None),
        ] {
            assert_eq!(parse_size_bytes(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text(text in any::<String>()) {
            let _ = (parse_duration_micros(&text), parse_size_bytes(&text));
        }
    }
}
