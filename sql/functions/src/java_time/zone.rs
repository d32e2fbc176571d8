//! The session's time zone: UTC, a fixed offset, or a region with its rules.

use arrow::array::timezone::Tz;
use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeZone};

use super::{MICROS_PER_DAY, MICROS_PER_SECOND};

/// A time zone with the name it was given by.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    name: String,
    /// `None` is UTC, which needs no lookup.
    rules: Option<Tz>,
}

impl Zone {
    pub(crate) fn utc() -> Zone {
        Zone { name: "UTC".to_string(), rules: None }
    }

    /// A zone by name: `UTC`, `Z`, `+02:00`, `GMT+2`, `Europe/Madrid`.
    pub(crate) fn by_name(name: &str) -> Option<Zone> {
        let trimmed = name.trim();
        if matches!(trimmed, "" | "UTC" | "Z" | "GMT" | "UT" | "Etc/UTC" | "+00:00" | "+00" | "+0000") {
            return Some(Zone { name: if trimmed.is_empty() { "UTC" } else { trimmed }.to_string(), rules: None });
        }
        let offset = ["UTC", "GMT", "UT"].iter().find_map(|p| trimmed.strip_prefix(p)).unwrap_or(trimmed);
        if let Some(seconds) = parse_offset(offset) {
            return Some(Zone::fixed(seconds));
        }
        let rules = trimmed.parse::<Tz>().ok()?;
        Some(Zone { name: trimmed.to_string(), rules: Some(rules) })
    }

    /// A zone that is always `seconds` east of UTC (less than 24 hours).
    pub(crate) fn fixed(seconds: i32) -> Zone {
        let (sign, s) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs());
        let name = format!("{sign}{:02}:{:02}", s / 3600, s / 60 % 60);
        // Offsets with seconds have no name in arrow; they are rounded to minutes, as none is in use.
        let rules = if seconds == 0 { None } else { name.parse::<Tz>().ok() };
        Zone { name, rules }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_utc(&self) -> bool {
        self.rules.is_none()
    }

    /// Seconds east of UTC at an instant.
    pub(crate) fn offset_at(&self, micros: i64) -> i64 {
        let Some(rules) = &self.rules else { return 0 };
        let Some(utc) = DateTime::from_timestamp_micros(micros) else { return 0 };
        i64::from(rules.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc())
    }

    /// What a clock in this zone shows at an instant, as microseconds.
    pub(crate) fn to_local(&self, micros: i64) -> i64 {
        if self.is_utc() { micros } else { micros.saturating_add(self.offset_at(micros) * MICROS_PER_SECOND) }
    }

    /// The instant at which a clock in this zone shows `local`: of two the earlier; a time that is skipped is moved
    /// forward by the length of the gap. (So does Java.)
    pub(crate) fn to_utc(&self, local: i64) -> i64 {
        let Some(rules) = &self.rules else { return local };
        let Some(naive) = DateTime::from_timestamp_micros(local).map(|t| t.naive_utc()) else { return local };
        let offset = match rules.offset_from_local_datetime(&naive) {
            LocalResult::Single(offset) => offset.fix().local_minus_utc(),
            LocalResult::Ambiguous(a, b) => a.fix().local_minus_utc().max(b.fix().local_minus_utc()),
            LocalResult::None => offset_before_gap(rules, local),
        };
        local.saturating_sub(i64::from(offset) * MICROS_PER_SECOND)
    }

    /// A short name at an instant, such as `UTC`, `CET` or `+03`.
    pub(crate) fn short_name(&self, micros: i64) -> String {
        let Some(rules) = &self.rules else { return "UTC".to_string() };
        let Some(utc) = DateTime::from_timestamp_micros(micros) else { return self.name.clone() };
        utc.with_timezone(rules).format("%Z").to_string()
    }
}

fn offset_before_gap(rules: &Tz, local: i64) -> i32 {
    let before: Option<NaiveDateTime> =
        DateTime::from_timestamp_micros(local.saturating_sub(MICROS_PER_DAY)).map(|t| t.naive_utc());
    before.map_or(0, |t| rules.offset_from_utc_datetime(&t).fix().local_minus_utc())
}

/// `+h`, `+hh`, `+hhmm`, `+hh:mm`, `+h:mm`, `+hh:mm:ss` in seconds.
pub(crate) fn parse_offset(text: &str) -> Option<i32> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let number = |s: &str| -> Option<i32> {
        let plain = (1..=2).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| s.parse().ok()).flatten()
    };
    let (h, m, s) = if digits.contains(':') {
        let mut parts = digits.split(':');
        let fields = (number(parts.next()?)?, number(parts.next()?)?, parts.next().map_or(Some(0), number)?);
        if parts.next().is_some() {
            return None;
        }
        fields
    } else {
        match digits.len() {
            1 | 2 => (number(digits)?, 0, 0),
            4 | 6 if digits.is_ascii() => (
                number(&digits[..2])?,
                number(&digits[2..4])?,
                if digits.len() == 6 { number(&digits[4..])? } else { 0 },
            ),
            _ => return None,
        }
    };
    (h <= 18 && m < 60 && s < 60 && h * 3600 + m * 60 + s <= 18 * 3600).then_some(sign * (h * 3600 + m * 60 + s))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> i64 {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap().and_utc().timestamp_micros()
    }

    #[test]
    fn a_region_with_summer_time() {
        let zone = Zone::by_name("Europe/Madrid").unwrap();
        assert_eq!(zone.to_local(micros("2024-07-01 10:00:00")), micros("2024-07-01 12:00:00"));
        assert_eq!(zone.to_utc(micros("2024-01-01 12:00:00")), micros("2024-01-01 11:00:00"));
        // skipped: 02:30 becomes 03:30, 01:30 UTC
        assert_eq!(zone.to_utc(micros("2024-03-31 02:30:00")), micros("2024-03-31 01:30:00"));
        // twice: the earlier
        assert_eq!(zone.to_utc(micros("2024-10-27 02:30:00")), micros("2024-10-27 00:30:00"));
    }

    #[test]
    fn offsets() {
        for (text, seconds) in [("+02:00", 7200), ("-0530", -19800), ("+5", 18000), ("+18:00", 64800)] {
            assert_eq!(parse_offset(text), Some(seconds));
        }
        for bad in ["", "2", "+", "+24", "+1:2:3:4", "+é", "+aé1"] {
            assert_eq!(parse_offset(bad), None, "{bad}");
        }
        assert!(Zone::by_name("Nowhere/Land").is_none());
    }
}
