//! Numbers from strings and from wider numbers, as Java converts them.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array};
use arrow::datatypes::{Int8Type, Int16Type, Int32Type, Int64Type};

use super::Target;
use crate::java_time::lenient::trim;

/// A whole number; a fraction is cut off if it consists of digits. `None` if it is no number or exceeds 64 bits.
pub(super) fn integer(text: &str) -> Option<i64> {
    let text = trim(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.strip_prefix(['+', '-']).unwrap_or(whole);
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(digits) || !all_digits(fraction) || (digits.is_empty() && !text.contains('.')) {
        return None;
    }
    if digits.is_empty() {
        return Some(0);
    }
    whole.parse().ok()
}

/// Java's `Double.parseDouble` without hexadecimal forms, and Spark's names for infinity.
pub(super) fn double(text: &str) -> Option<f64> {
    let text = trim(text);
    match decimal_form(text) {
        Some(number) => number.parse().ok(),
        None => special(text),
    }
}

/// As [`double`], rounded once.
pub(super) fn float(text: &str) -> Option<f32> {
    let text = trim(text);
    match decimal_form(text) {
        Some(number) => number.parse().ok(),
        None => special(text).map(|value| value as f32),
    }
}

/// The text without a type suffix (`1.5d`) if it is a decimal number.
fn decimal_form(text: &str) -> Option<&str> {
    let number = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    let unsigned = number.strip_prefix(['+', '-']).unwrap_or(number);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let mut points = 0;
    let mut digits = 0;
    for byte in mantissa.bytes() {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'.' => points += 1,
            _ => return None,
        }
    }
    let exponent_fits = exponent.is_none_or(|e| !e.is_empty() && e.bytes().all(|b| b.is_ascii_digit()));
    (digits > 0 && points <= 1 && exponent_fits).then_some(number)
}

fn special(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "inf" | "+inf" | "infinity" | "+infinity" => Some(f64::INFINITY),
        "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
        "nan" => Some(f64::NAN),
        _ => None,
    }
}

/// A cast between numbers in Java: towards zero, at the limits of `int` (`long` for BIGINT), then by the low bits.
pub(super) fn integer_from_double(values: &Float64Array, target: Target) -> ArrayRef {
    match target {
        Target::TinyInt => Arc::new(values.unary::<_, Int8Type>(|v| v as i32 as i8)),
        Target::SmallInt => Arc::new(values.unary::<_, Int16Type>(|v| v as i32 as i16)),
        Target::Int => Arc::new(values.unary::<_, Int32Type>(|v| v as i32)),
        _ => Arc::new(values.unary::<_, Int64Type>(|v| v as i64)),
    }
}

/// The low bits.
pub(super) fn narrowed(values: &Int64Array, target: Target) -> ArrayRef {
    match target {
        Target::TinyInt => Arc::new(values.unary::<_, Int8Type>(|v| v as i8)),
        Target::SmallInt => Arc::new(values.unary::<_, Int16Type>(|v| v as i16)),
        Target::Int => Arc::new(values.unary::<_, Int32Type>(|v| v as i32)),
        _ => Arc::new(values.clone()),
    }
}

/// The number, NULL if it does not fit: so Spark casts a timestamp.
pub(super) fn fitting(values: &Int64Array, target: Target) -> ArrayRef {
    match target {
        Target::TinyInt => Arc::new(values.unary_opt::<_, Int8Type>(|v| i8::try_from(v).ok())),
        Target::SmallInt => Arc::new(values.unary_opt::<_, Int16Type>(|v| i16::try_from(v).ok())),
        Target::Int => Arc::new(values.unary_opt::<_, Int32Type>(|v| i32::try_from(v).ok())),
        _ => Arc::new(values.clone()),
    }
}
