//! Numbers from text: exact, and without a copy.
//!
//! Spaces around a number don't count. With `units`, letters or `%` behind it don't either (`0.83s`, `12 MB`). Decimal
//! text of up to 2^53 is turned to DOUBLE by one exact division (Clinger's fast path); everything else goes to the
//! standard library, which rounds correctly.

/// Longest unit that is stripped.
const UNIT_BYTES: usize = 8;

const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// True if nothing that counts follows a number.
fn ends(rest: &[u8], units: bool) -> bool {
    if rest.is_empty() {
        return true;
    }
    if !units {
        return false;
    }
    let unit = rest.trim_ascii_start();
    unit.len() <= UNIT_BYTES && unit.iter().all(|&byte| byte.is_ascii_alphabetic() || byte == b'%')
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text.first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

/// A whole number; none if it isn't one or overflows.
pub(crate) fn integer(text: &[u8], units: bool) -> Option<i64> {
    let (negative, digits) = sign(text.trim_ascii());
    let mut value: i64 = 0;
    let mut count = 0;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        // Counting down reaches i64::MIN, which has no positive twin.
        value = if count < 18 {
            value * 10 - i64::from(digit)
        } else {
            value.checked_mul(10)?.checked_sub(i64::from(digit))?
        };
        count += 1;
    }
    if count == 0 || !ends(&digits[count..], units) {
        return None;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// A DOUBLE: digits with or without a point and an exponent, or `NaN`, `Infinity`, `inf` in any case.
pub(crate) fn double(text: &[u8], units: bool) -> Option<f64> {
    let text = text.trim_ascii();
    let (negative, digits) = sign(text);
    let (mantissa, read, fraction) = short_decimal(digits);
    if read > 0 && mantissa <= 1 << 53 && ends(&digits[read..], units) && !exponent_follows(&digits[read..]) {
        if let Some(power) = POWERS_OF_TEN.get(fraction) {
            let value = mantissa as f64 / power;
            return Some(if negative { -value } else { value });
        }
    }
    by_standard_library(text, units)
}

/// A FLOAT, by the same rules.
pub(crate) fn float(text: &[u8], units: bool) -> Option<f32> {
    by_standard_library(text.trim_ascii(), units)
}

/// Reads digits and at most one point: (value without the point, bytes read, digits behind the point). More digits
/// than a u64 surely holds read as a value that is too large for the fast path.
fn short_decimal(digits: &[u8]) -> (u64, usize, usize) {
    let mut mantissa: u64 = 0;
    let mut count = 0;
    let mut point = None;
    let mut read = 0;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
            count += 1;
        } else if byte == b'.' && point.is_none() {
            point = Some(read);
        } else {
            break;
        }
        read += 1;
    }
    if count == 0 {
        return (0, 0, 0);
    }
    if count > 19 {
        mantissa = u64::MAX;
    }
    (mantissa, read, point.map_or(0, |at| read - at - 1))
}

fn exponent_follows(rest: &[u8]) -> bool {
    exponent_length(rest) > 0
}

/// Bytes of `e+12`; 0 when no digits follow the `e`.
fn exponent_length(rest: &[u8]) -> usize {
    if !matches!(rest.first(), Some(b'e' | b'E')) {
        return 0;
    }
    let signed = usize::from(matches!(rest.get(1), Some(b'+' | b'-')));
    let digits = rest[1 + signed..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 { 0 } else { 1 + signed + digits }
}

fn by_standard_library<T: std::str::FromStr>(text: &[u8], units: bool) -> Option<T> {
    let (_, digits) = sign(text);
    let signed = text.len() - digits.len();
    let (_, read, _) = short_decimal(digits);
    let number = if read > 0 {
        let end = read + exponent_length(&digits[read..]);
        if !ends(&digits[end..], units) {
            return None;
        }
        &text[..signed + end]
    } else {
        text // NaN and infinities, which take no unit
    };
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// A DECIMAL as its digits at `scale`, rounded half up as Spark does; none if it needs more than `precision` digits.
pub(crate) fn decimal(text: &[u8], precision: u8, scale: i8, units: bool) -> Option<i128> {
    let (negative, digits) = sign(text.trim_ascii());
    let scale = usize::try_from(scale).ok()?;
    let limit = 10_i128.checked_pow(u32::from(precision))?;
    let mut value: i128 = 0;
    let (mut count, mut read, mut fraction) = (0_usize, 0, None::<usize>);
    let mut round_up = false;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        match (digit <= 9, fraction) {
            (true, Some(behind)) if behind >= scale => {
                round_up |= behind == scale && digit >= 5;
                fraction = Some(behind + 1);
            }
            (true, _) => {
                value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
                fraction = fraction.map(|behind| behind + 1);
            }
            (false, None) if byte == b'.' => fraction = Some(0),
            _ => break,
        }
        count += usize::from(digit <= 9);
        read += 1;
    }
    if count == 0 || !ends(&digits[read..], units) {
        return None;
    }
    for _ in fraction.unwrap_or(0).min(scale)..scale {
        value = value.checked_mul(10)?;
    }
    value += i128::from(round_up);
    (value < limit).then_some(if negative { -value } else { value })
}

/// A BOOLEAN in one of Spark's spellings.
pub(crate) fn boolean(text: &[u8]) -> Option<bool> {
    let text = text.trim_ascii();
    let is = |names: &[&str]| names.iter().any(|name| text.eq_ignore_ascii_case(name.as_bytes()));
    if is(&["true", "t", "yes", "y", "1"]) {
        Some(true)
    } else if is(&["false", "f", "no", "n", "0"]) {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers() {
        for (text, units, value) in [
            ("7", false, Some(7)),
            (" -12 ", false, Some(-12)),
            ("+3", false, Some(3)),
            ("9223372036854775807", false, Some(i64::MAX)),
            ("-9223372036854775808", false, Some(i64::MIN)),
            ("9223372036854775808", false, None),
            ("99999999999999999999999", false, None),
            ("12 MB", true, Some(12)),
            ("12 MB", false, None),
            ("1.5", true, None),
            ("", true, None),
            ("-", true, None),
            ("s", true, None),
        ] {
            assert_eq!(integer(text.as_bytes(), units), value, "{text:?}");
        }
    }

    #[test]
    fn doubles() {
        for (text, units, value) in [
            ("0.8300000000000001s", true, Some(0.830_000_000_000_000_1)),
            ("0.83s", true, Some(0.83)),
            ("0.83s", false, None),
            ("-1.5", false, Some(-1.5)),
            (".5", false, Some(0.5)),
            ("5.", false, Some(5.0)),
            ("1e3", false, Some(1000.0)),
            ("1e3s", true, Some(1000.0)),
            ("5 e", true, Some(5.0)),
            ("1E-3", false, Some(0.001)),
            ("Infinity", false, Some(f64::INFINITY)),
            ("-inf", false, Some(f64::NEG_INFINITY)),
            ("123456789012345678901234567890", false, Some(123_456_789_012_345_678_901_234_567_890.0)),
            ("95%", true, Some(95.0)),
            ("1.2.3", true, None),
            ("fast", true, None),
            ("0,83s", true, None),
            (".", true, None),
            ("", true, None),
        ] {
            assert_eq!(double(text.as_bytes(), units), value, "{text:?}");
        }
        assert!(double(b"NaN", false).is_some_and(f64::is_nan));
    }

    #[test]
    fn decimals() {
        for (text, value) in [
            ("1.005", Some(101)),
            ("1.004", Some(100)),
            ("-1.005", Some(-101)),
            ("7", Some(700)),
            ("7.5", Some(750)),
            ("999.99", Some(99999)),
            ("999.995", None),
            ("1000", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(decimal(text.as_bytes(), 5, 2, false), value, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn doubles_are_what_the_standard_library_says(value in any::<f64>(), places in 0_usize..20) {
            for text in [format!("{value}"), format!("{value:e}"), format!("{:.places$}", value % 1e9)] {
                let expected: f64 = text.parse().unwrap();
                let found = double(text.as_bytes(), false).unwrap();
                prop_assert!(found == expected || (found.is_nan() && expected.is_nan()), "{}", text);
            }
        }

        #[test]
        fn integers_round_trip(value in any::<i64>()) {
            prop_assert_eq!(integer(value.to_string().as_bytes(), false), Some(value));
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..40), units in any::<bool>()) {
            let _ = (integer(&bytes, units), double(&bytes, units), float(&bytes, units), boolean(&bytes));
            let _ = decimal(&bytes, 38, 10, units);
        }
    }
}
