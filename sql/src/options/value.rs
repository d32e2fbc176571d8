//! Option values that are more than a number or a text.

use super::registry::{OptionKind, OptionSpec};
use crate::units::{parse_duration_micros, parse_size_bytes};

/// `'starting_position'`: where a new job begins in each partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartPosition {
    /// The earliest event that is still there.
    Earliest,
    /// Events that arrive from now on.
    Latest,
    /// The event with this sequence number, itself included.
    Sequence(i64),
    /// The event at this offset, itself included. Offsets are opaque texts of digits, letters and `: - _ .`.
    Offset(String),
    /// Events enqueued at or after this time: microseconds since 1970 in UTC.
    Time(i64),
}

impl StartPosition {
    /// Reads `earliest`, `latest`, `sequence:N`, `offset:N` or `time:RFC3339`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("earliest") {
            return Some(Self::Earliest);
        }
        if text.eq_ignore_ascii_case("latest") {
            return Some(Self::Latest);
        }
        let (kind, value) = text.split_once(':')?;
        match kind.to_ascii_lowercase().as_str() {
            "sequence" => value.parse().ok().filter(|n| *n >= 0).map(Self::Sequence),
            // It goes into a filter expression between quotes, so nothing but plain characters is let through.
            "offset" if !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || ":-_.".contains(c)) => {
                Some(Self::Offset(value.to_owned()))
            }
            "time" => chrono::DateTime::parse_from_rfc3339(value).ok().map(|time| Self::Time(time.timestamp_micros())),
            _ => None,
        }
    }
}

/// The compression of Parquet pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Zstandard at a level from 1 to 22.
    Zstd(i32),
}

/// Reads `true` or `false`.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Reads a single character.
pub(crate) fn parse_char(text: &str) -> Option<char> {
    let mut chars = text.chars();
    let first = chars.next()?;
    chars.next().is_none().then_some(first)
}

/// A delimiter as written. A backslash in a SQL string is a backslash, so `\t` (a tab) and `\u0001` (a character by its
/// code) stand for what can't be typed; anything else is taken as it is.
pub(crate) fn unescape(text: &str) -> Option<String> {
    if text == "\\t" {
        return Some("\t".to_owned());
    }
    match text.strip_prefix("\\u").filter(|code| code.len() == 4) {
        Some(code) => u32::from_str_radix(code, 16).ok().and_then(char::from_u32).map(String::from),
        None => Some(text.to_owned()),
    }
}

/// Whether a value without references is one that the option takes.
pub(crate) fn fits(spec: &OptionSpec, value: &str) -> bool {
    match spec.kind {
        OptionKind::Text => true,
        OptionKind::Secret => !value.is_empty(),
        OptionKind::Char => parse_char(value).is_some_and(|c| c.is_ascii() && c != '\n' && c != '\r'),
        OptionKind::Delimiter => unescape(value).is_some_and(|text| !text.is_empty() && !text.contains(['\n', '\r'])),
        OptionKind::Bool => parse_bool(value).is_some(),
        OptionKind::Int(low, high) => value.trim().parse::<i64>().is_ok_and(|n| (low..=high).contains(&n)),
        OptionKind::Float(low, high) => value.trim().parse::<f64>().is_ok_and(|n| (low..=high).contains(&n)),
        OptionKind::Duration => parse_duration_micros(value).is_some_and(|micros| micros > 0),
        OptionKind::Size => parse_size_bytes(value).is_some_and(|bytes| bytes > 0),
        OptionKind::Choice(words) => words.iter().any(|word| word.eq_ignore_ascii_case(value.trim())),
        OptionKind::StartPosition => StartPosition::parse(value).is_some(),
    }
}
