//! Strings from numbers and times, and booleans from strings.

use std::fmt::Write;

use arrow::array::{ArrayRef, AsArray, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::Result;

use crate::java_time::MICROS_PER_SECOND;
use crate::java_time::calendar::date_from_days;
use crate::java_time::lenient::trim;
use crate::java_time::zone::Zone;

/// `t true y yes 1` and `f false n no 0`, in any case.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match trim(text).to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// `yyyy-MM-dd HH:mm:ss[.fraction without trailing zeros]` in the session's zone.
pub(super) fn from_times(times: &TimestampMicrosecondArray, zone: &Zone) -> StringViewArray {
    times.iter().map(|micros| micros.and_then(|micros| time_text(zone.to_local(micros)))).collect()
}

fn time_text(local: i64) -> Option<String> {
    let seconds = local.div_euclid(MICROS_PER_SECOND);
    let micros = local.rem_euclid(MICROS_PER_SECOND);
    let date = date_from_days(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let mut out = String::with_capacity(26);
    if date.year > 9999 {
        out.push('+');
    }
    // The width of a negative year counts its sign.
    let width = if date.year < 0 { 5 } else { 4 };
    write!(out, "{:0width$}-{:02}-{:02}", date.year, date.month, date.day).ok()?;
    write!(out, " {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60).ok()?;
    if micros > 0 {
        let fraction = format!("{micros:06}");
        write!(out, ".{}", fraction.trim_end_matches('0')).ok()?;
    }
    Some(out)
}

/// Java's `Double.toString` and `Float.toString`.
pub(super) fn from_floating(array: &ArrayRef) -> Result<StringViewArray> {
    if array.data_type() == &DataType::Float32 {
        let values = array.as_primitive::<Float32Type>();
        return Ok(values.iter().map(|v| v.map(|v| java_text(f64::from(v), &format!("{v:e}")))).collect());
    }
    let array = arrow::compute::cast(array, &DataType::Float64)?;
    Ok(array.as_primitive::<Float64Type>().iter().map(|v| v.map(|v| java_text(v, &format!("{v:e}")))).collect())
}

/// `scientific` is the shortest form `d.ddde±x` that reads back as the value.
fn java_text(value: f64, scientific: &str) -> String {
    if value.is_nan() {
        return "NaN".to_string();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_string();
    }
    let (sign, unsigned) = match scientific.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", scientific),
    };
    let (mantissa, exponent) = unsigned.split_once('e').unwrap_or((unsigned, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let magnitude = value.abs();
    if magnitude == 0.0 {
        return format!("{sign}0.0");
    }
    if !(1e-3..1e7).contains(&magnitude) {
        let fraction = if digits.len() > 1 { &digits[1..] } else { "0" };
        return format!("{sign}{}.{fraction}E{exponent}", &digits[..1]);
    }
    if exponent < 0 {
        let zeros = "0".repeat((-exponent - 1) as usize);
        return format!("{sign}0.{zeros}{digits}");
    }
    let whole_digits = exponent as usize + 1;
    if digits.len() <= whole_digits {
        let zeros = "0".repeat(whole_digits - digits.len());
        return format!("{sign}{digits}{zeros}.0");
    }
    format!("{sign}{}.{}", &digits[..whole_digits], &digits[whole_digits..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_as_java_writes_them() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.83, "0.83"),
            (0.8300000000000001, "0.8300000000000001"),
            (123456.789, "123456.789"),
            (1e7, "1.0E7"),
            (9999999.0, "9999999.0"),
            (1.5e-3, "0.0015"),
            (9.9e-4, "9.9E-4"),
            (-2.5e20, "-2.5E20"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(java_text(value, &format!("{value:e}")), expected);
        }
    }

    #[test]
    fn times_as_spark_writes_them() {
        assert_eq!(time_text(0).unwrap(), "1970-01-01 00:00:00");
        assert_eq!(time_text(-1).unwrap(), "1969-12-31 23:59:59.999999");
        assert_eq!(time_text(1_500_000).unwrap(), "1970-01-01 00:00:01.5");
    }
}
