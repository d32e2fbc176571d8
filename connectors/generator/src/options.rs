//! The options of `WITH ('connector' = 'generator', …)`.

use crate::line::Generator;
use chrono::{DateTime, NaiveDateTime};
use salamander_connector_api::ConnectorError;
use salamander_types::ErrorKind;
use std::collections::BTreeMap;
use std::str::FromStr;

/// The options that the connector takes.
pub const OPTION_NAMES: [&str; 8] = ["rows_per_second", "rows", "seed", "damaged", "odd", "splits", "start", "step"];

/// Most splits that a table may ask for.
pub const MAX_SPLITS: u32 = 1_024;

/// When the events happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartTime {
    /// Row 0 at a fixed time, each row a step later: the same at each run.
    Fixed,
    /// Each row at the time when it is made.
    Now,
}

/// What the options say.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Makes the lines.
    pub generator: Generator,
    /// Rows a second over all splits; none for as fast as they are taken.
    pub rows_per_second: Option<f64>,
    /// Rows in all; none for no end.
    pub rows: Option<u64>,
    /// Number of splits. Row `n` is in split `n` modulo this.
    pub splits: u32,
    /// When the events happen.
    pub start: StartTime,
}

impl Default for Settings {
    fn default() -> Self {
        Self { generator: Generator::default(), rows_per_second: None, rows: None, splits: 1, start: StartTime::Fixed }
    }
}

impl Settings {
    /// Reads the options; those of others (a format's) are not looked at.
    ///
    /// `rows_per_second` (absent or 0: as fast as possible), `rows` (absent: no end), `seed`, `damaged` and `odd`
    /// (shares from 0 to 1), `splits`, `start` (`now`, or a time in ISO 8601), `step` (from one event to the next:
    /// `1 ms`, `250 us`, `2 s`).
    ///
    /// # Errors
    /// When a value makes no sense.
    pub fn from_options(options: &BTreeMap<String, String>) -> Result<Self, ConnectorError> {
        let mut settings = Self::default();
        let rate = number::<f64>(options, "rows_per_second")?.unwrap_or(0.0);
        if !(0.0..=1e9).contains(&rate) {
            return Err(invalid("rows_per_second", "is from 0 (as fast as possible) to 1000000000"));
        }
        settings.rows_per_second = (rate > 0.0).then_some(rate);
        settings.rows = number(options, "rows")?;
        settings.splits = number(options, "splits")?.unwrap_or(1);
        if !(1..=MAX_SPLITS).contains(&settings.splits) {
            return Err(invalid("splits", &format!("is from 1 to {MAX_SPLITS}")));
        }
        let generator = &mut settings.generator;
        generator.seed = number(options, "seed")?.unwrap_or(0);
        generator.damaged = share(options, "damaged")?;
        generator.odd = share(options, "odd")?;
        if generator.damaged + generator.odd > 1.0 {
            return Err(invalid("damaged", "and 'odd' together are at most 1"));
        }
        if let Some(step) = options.get("step") {
            generator.step_micros = duration_micros(step).ok_or_else(|| {
                invalid("step", &format!("is a time such as '1 ms', '250 us' or '2 s', not '{step}'"))
            })?;
        }
        match options.get("start").map(|text| text.trim()) {
            None => {}
            Some(now) if now.eq_ignore_ascii_case("now") => settings.start = StartTime::Now,
            Some(text) => {
                generator.start_micros = time_micros(text).ok_or_else(|| {
                    invalid("start", &format!("is 'now' or a time such as '2023-12-22T22:07:37', not '{text}'"))
                })?;
            }
        }
        Ok(settings)
    }
}

fn invalid(option: &str, message: &str) -> ConnectorError {
    ConnectorError::new(ErrorKind::Invalid, "generator", format!("option '{option}' {message}"))
}

fn number<T: FromStr>(options: &BTreeMap<String, String>, name: &str) -> Result<Option<T>, ConnectorError> {
    options
        .get(name)
        .map(|text| text.trim().parse().map_err(|_| invalid(name, &format!("is a number, not '{text}'"))))
        .transpose()
}

fn share(options: &BTreeMap<String, String>, name: &str) -> Result<f64, ConnectorError> {
    let share = number(options, name)?.unwrap_or(0.0);
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(invalid(name, "is a share from 0 to 1")) }
}

fn time_micros(text: &str) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_micros());
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .map(|time| time.and_utc().timestamp_micros())
}

fn duration_micros(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: i64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "us" | "microsecond" | "microseconds" => 1,
        "ms" | "millisecond" | "milliseconds" => 1_000,
        "s" | "second" | "seconds" => 1_000_000,
        "min" | "minute" | "minutes" => 60_000_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, ConnectorError> {
        let options = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings::from_options(&options)
    }

    #[test]
    fn options() {
        let settings = read(&[
            ("rows_per_second", "100"),
            ("rows", "5"),
            ("seed", "7"),
            ("damaged", "0.02"),
            ("splits", "4"),
            ("start", "2023-12-22T22:07:37.780123"),
            ("step", "2 s"),
            ("format", "text"),
        ])
        .unwrap();
        assert_eq!(settings.rows_per_second, Some(100.0));
        assert_eq!(settings.generator.start_micros, crate::line::SAMPLE_START_MICROS);
        assert_eq!(settings.generator.step_micros, 2_000_000);
        assert_eq!((settings.rows, settings.splits, settings.generator.seed), (Some(5), 4, 7));
        assert_eq!(read(&[("start", "now")]).unwrap().start, StartTime::Now);
        assert_eq!(read(&[("rows_per_second", "0")]).unwrap().rows_per_second, None);
    }

    #[test]
    fn nonsense_is_named() {
        for (name, value) in [
            ("rows", "many"),
            ("rows", "-1"),
            ("damaged", "2"),
            ("damaged", "NaN"),
            ("splits", "0"),
            ("step", "1 fortnight"),
            ("start", "yesterday"),
            ("rows_per_second", "-1"),
        ] {
            let error = read(&[(name, value)]).unwrap_err();
            assert!(error.message.contains(name), "{error}");
        }
    }
}
