//! Reads a text by a pattern's items, as a strict `DateTimeFormatter` does, and makes an instant of what it found.
//!
//! What Spark adds to Java: letters and literals match in any case; a fraction `SSS` takes one to three digits; fields
//! that are missing default to 1970-01-01T00:00. What is impossible (30 February, hour 25) or contradicts itself (a
//! day of the year that is not the date's) gives `None`, and so does a text that goes on after the pattern's end.

use super::calendar::{checked_days, date_from_days, day_of_year};
use super::format::{MONTHS, has_era, shorten};
use super::pattern::{Field, Item, Length, OffsetForm, Part, Sign};
use super::zone::{Zone, parse_offset};
use super::{MICROS_PER_DAY, MICROS_PER_SECOND};

/// The fields found so far.
#[derive(Debug, Clone, Default)]
struct Found {
    numbers: [Option<i64>; 12],
    nanos: Option<i64>,
    afternoon: Option<bool>,
    before_christ: Option<bool>,
    zone: Option<Zone>,
}

/// Microseconds since 1970-01-01 UTC, or `None` if the text does not fit the pattern.
pub(crate) fn parse(items: &[Item], text: &str, session: &Zone) -> Option<i64> {
    let mut found = Found::default();
    let end = parse_items(items, text, 0, &mut found)?;
    if end != text.len() {
        return None;
    }
    found.resolve(has_era(items), session)
}

fn parse_items(items: &[Item], text: &str, start: usize, found: &mut Found) -> Option<usize> {
    let mut at = start;
    for (i, item) in items.iter().enumerate() {
        at = match item {
            Item::Number { field, min, max, sign } => {
                // A number directly after another was already counted by the first of them.
                let reserved =
                    if follows_number(items, i) && width(item).is_some() { 0 } else { reserved(&items[i + 1..]) };
                let (value, end) = number(text, at, *min, *max, *sign, reserved)?;
                found.put(*field, value)?;
                end
            }
            Item::TwoDigitYear => {
                let reserved = if follows_number(items, i) { 0 } else { reserved(&items[i + 1..]) };
                let (value, end) = number(text, at, 2, 2, Sign::Never, reserved)?;
                found.put(Field::Year, 2000 + value)?;
                end
            }
            Item::Optional(inner) => {
                let mut attempt = found.clone();
                match parse_items(inner, text, at, &mut attempt) {
                    Some(end) => {
                        *found = attempt;
                        end
                    }
                    None => at,
                }
            }
            other => parse_other(other, text, at, found)?,
        };
    }
    Some(at)
}

/// The fixed width of a number that can follow another one without a separator.
fn width(item: &Item) -> Option<usize> {
    match item {
        Item::Number { min, max, sign: Sign::Never, .. } if min == max => Some(*min),
        Item::TwoDigitYear => Some(2),
        Item::Fraction { digits: 1 } => Some(1),
        _ => None,
    }
}

/// How many digits the fixed-width numbers take that follow at once.
fn reserved(items: &[Item]) -> usize {
    items.iter().map_while(width).sum()
}

fn follows_number(items: &[Item], i: usize) -> bool {
    i > 0 && matches!(items[i - 1], Item::Number { .. } | Item::TwoDigitYear)
}

/// Digits and, if `sign` allows, a sign before them; see Java's `NumberPrinterParser`.
fn number(text: &str, start: usize, min: usize, max: usize, sign: Sign, reserved: usize) -> Option<(i64, usize)> {
    let bytes = text.as_bytes();
    let mut at = start;
    let explicit = bytes.get(at).copied().filter(|b| matches!(b, b'+' | b'-'));
    match (explicit, sign) {
        (None, _) => {}
        (Some(b'-'), Sign::Normal | Sign::ExceedsPad) | (Some(b'+'), Sign::ExceedsPad) => at += 1,
        _ => return None,
    }
    let available = bytes[at..].iter().take(max + reserved).take_while(|b| b.is_ascii_digit()).count();
    if available < min {
        return None;
    }
    let length = if reserved > 0 { min.max(available.saturating_sub(reserved)) } else { available };
    let value: i64 = text[at..at + length].parse().ok()?;
    match (explicit, sign) {
        (Some(b'-'), _) if value == 0 => return None,
        (Some(b'+'), Sign::ExceedsPad) if length <= min => return None,
        (None, Sign::ExceedsPad) if length > min => return None,
        _ => {}
    }
    Some((if explicit == Some(b'-') { -value } else { value }, at + length))
}

fn parse_other(item: &Item, text: &str, at: usize, found: &mut Found) -> Option<usize> {
    let rest = &text[at..];
    match item {
        Item::Literal(literal) => literal_length(rest, literal).map(|len| at + len),
        Item::Fraction { digits } => {
            let length = rest.bytes().take(*digits).take_while(u8::is_ascii_digit).count();
            let value: i64 = rest[..length].parse().ok()?;
            put(&mut found.nanos, value * 10i64.pow(9 - length as u32))?;
            Some(at + length)
        }
        Item::MonthName(length) => {
            let (index, len) = name(rest, &MONTHS, |n| shorten(n, *length))?;
            found.put(Field::Month, index as i64 + 1)?;
            Some(at + len)
        }
        Item::HalfOfDay => {
            let (index, len) = name(rest, &["AM", "PM"], |n| n)?;
            put(&mut found.afternoon, index == 1)?;
            Some(at + len)
        }
        Item::Era(length) => {
            let names = if *length == Length::Short { ["AD", "BC"] } else { ["Anno Domini", "Before Christ"] };
            let (index, len) = name(rest, &names, |n| n)?;
            put(&mut found.before_christ, index == 1)?;
            Some(at + len)
        }
        Item::Offset(form) => {
            let (seconds, len) = offset(rest, *form)?;
            found.zone = Some(Zone::fixed(seconds));
            Some(at + len)
        }
        Item::LocalizedOffset(length) => {
            let (seconds, len) = localized_offset(rest, *length)?;
            found.zone = Some(Zone::fixed(seconds));
            Some(at + len)
        }
        Item::ZoneId | Item::ZoneName(_) => {
            let len = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"/_+-:".contains(b)).count();
            found.zone = Some(Zone::by_name(&rest[..len]).filter(|_| len > 0)?);
            Some(at + len)
        }
        Item::Number { .. } | Item::TwoDigitYear | Item::Optional(_) => None, // done by the caller
        Item::Weekday(_) | Item::QuarterName(_) => None,                      // refused by `pattern::unreadable`
    }
}

/// The length of `literal` at the start of `text`, in any case.
fn literal_length(text: &str, literal: &str) -> Option<usize> {
    let mut chars = text.chars();
    for wanted in literal.chars() {
        let found = chars.next()?;
        let same = wanted == found
            || wanted.to_lowercase().eq(found.to_lowercase())
            || wanted.to_uppercase().eq(found.to_uppercase());
        if !same {
            return None;
        }
    }
    Some(text.len() - chars.as_str().len())
}

fn name(text: &str, names: &[&'static str], form: impl Fn(&'static str) -> &'static str) -> Option<(usize, usize)> {
    names
        .iter()
        .position(|name| text.get(..form(name).len()).is_some_and(|t| t.eq_ignore_ascii_case(form(name))))
        .map(|i| (i, form(names[i]).len()))
}

/// An offset in exactly the given form.
fn offset(text: &str, form: OffsetForm) -> Option<(i32, usize)> {
    if form.zero == "Z" && text.starts_with(['Z', 'z']) {
        return Some((0, 1));
    }
    let colon = usize::from(form.colon);
    let two = |at: usize| text.get(at..at + 2).filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
    if !text.starts_with(['+', '-']) {
        return None;
    }
    two(1)?;
    let mut length = 3;
    let mut extend = |part: Part| -> Option<()> {
        let there = (!form.colon || text[length..].starts_with(':')) && two(length + colon).is_some();
        match (part, there) {
            (Part::Never, _) | (Part::IfNotZero, false) => Some(()),
            (Part::Always, false) => None,
            (_, true) => {
                length += 2 + colon;
                Some(())
            }
        }
    };
    extend(form.minutes)?;
    extend(form.seconds)?;
    parse_offset(&text[..length]).map(|seconds| (seconds, length))
}

fn localized_offset(text: &str, length: Length) -> Option<(i32, usize)> {
    if !text.get(..3)?.eq_ignore_ascii_case("GMT") {
        return None;
    }
    let rest = &text[3..];
    if !rest.starts_with(['+', '-']) {
        return Some((0, 3));
    }
    let len = rest.bytes().skip(1).take_while(|b| b.is_ascii_digit() || *b == b':').count() + 1;
    let fits = length == Length::Short || len == 6 || len == 9;
    parse_offset(&rest[..len]).filter(|_| fits).map(|seconds| (seconds, 3 + len))
}

/// Stores a field; a second value must be the same.
fn put<T: PartialEq>(slot: &mut Option<T>, value: T) -> Option<()> {
    if slot.as_ref().is_some_and(|old| *old != value) {
        return None;
    }
    *slot = Some(value);
    Some(())
}

impl Found {
    fn put(&mut self, field: Field, value: i64) -> Option<()> {
        put(&mut self.numbers[field as usize], value)
    }

    fn get(&self, field: Field) -> Option<i64> {
        self.numbers[field as usize]
    }

    fn resolve(&self, has_era: bool, session: &Zone) -> Option<i64> {
        let days = self.date(has_era)?;
        let local = days.checked_mul(MICROS_PER_DAY)?.checked_add(self.micro_of_day()?)?;
        Some(self.zone.as_ref().unwrap_or(session).to_utc(local))
    }

    fn date(&self, has_era: bool) -> Option<i64> {
        let year = match (self.get(Field::Year), self.before_christ) {
            (None, _) => 1970,
            (Some(year), Some(before)) if has_era => {
                if year < 1 {
                    return None;
                }
                if before { 1 - year } else { year }
            }
            (Some(year), _) => year,
        };
        let (month, day) = (self.get(Field::Month), self.get(Field::DayOfMonth));
        let days = match self.get(Field::DayOfYear) {
            Some(n) if month.is_none() || day.is_none() => {
                let days = checked_days(year, 1, 1)? + n - 1;
                (n >= 1 && date_from_days(days).year == year).then_some(days)?
            }
            _ => checked_days(year, month.unwrap_or(1), day.unwrap_or(1))?,
        };
        let date = date_from_days(days);
        let complete = self.get(Field::Year).is_some()
            && (self.get(Field::DayOfYear).is_some() || (month.is_some() && day.is_some()));
        if complete {
            return self.get(Field::DayOfYear).is_none_or(|n| n == day_of_year(date)).then_some(days);
        }
        Some(days)
    }

    fn micro_of_day(&self) -> Option<i64> {
        let within = |field, low: i64, high: i64| match self.get(field) {
            Some(value) if (low..=high).contains(&value) => Some(Some(value)),
            Some(_) => None,
            None => Some(None),
        };
        let hour = within(Field::Hour, 0, 23)?;
        let clock_hour = within(Field::ClockHour, 1, 24)?.map(|h| h % 24);
        let half = within(Field::HourOfHalf, 0, 11)?;
        let clock_half = within(Field::ClockHourOfHalf, 1, 12)?.map(|h| h % 12);
        let of_half = agreed(half, clock_half)?;
        let from_half = match (of_half, self.afternoon) {
            (Some(h), Some(afternoon)) => Some(h + if afternoon { 12 } else { 0 }),
            _ => None,
        };
        let hour = match agreed(agreed(hour, clock_hour)?, from_half)? {
            Some(hour) => {
                if self.afternoon.is_some_and(|afternoon| afternoon != (hour >= 12)) {
                    return None;
                }
                hour
            }
            None => of_half.unwrap_or(if self.afternoon == Some(true) { 12 } else { 0 }),
        };
        let minute = within(Field::Minute, 0, 59)?.unwrap_or(0);
        let second = within(Field::Second, 0, 59)?.unwrap_or(0);
        Some((hour * 3600 + minute * 60 + second) * MICROS_PER_SECOND + self.nanos.unwrap_or(0) / 1000)
    }
}

/// The value that both give; `None` if they differ.
fn agreed(a: Option<i64>, b: Option<i64>) -> Option<Option<i64>> {
    match (a, b) {
        (Some(a), Some(b)) if a != b => None,
        _ => Some(a.or(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::pattern::parse_pattern;
    use super::*;

    fn instant(text: &str, pattern: &str) -> Option<String> {
        let items = parse_pattern(pattern).unwrap();
        let micros = parse(&items, text, &Zone::utc())?;
        Some(chrono::DateTime::from_timestamp_micros(micros).unwrap().naive_utc().to_string())
    }

    #[test]
    fn strict_widths_and_adjacent_numbers() {
        assert_eq!(instant("20231222220737", "yyyyMMddHHmmss").unwrap(), "2023-12-22 22:07:37");
        assert_eq!(instant("2023-1-2", "yyyy-M-d").unwrap(), "2023-01-02 00:00:00");
        assert_eq!(instant("2023-1-2", "yyyy-MM-dd"), None);
        assert_eq!(instant("12023-01-02", "yyyy-MM-dd"), None);
        assert_eq!(instant("2023-02-30", "yyyy-MM-dd"), None);
        assert_eq!(instant("2023-12-22x", "yyyy-MM-dd"), None);
    }

    #[test]
    fn optional_parts_zones_and_halves() {
        assert_eq!(instant("2023-12-22", "yyyy-MM-dd[ HH:mm]").unwrap(), "2023-12-22 00:00:00");
        assert_eq!(instant("2023-12-22 10:00+02:00", "yyyy-MM-dd HH:mmXXX").unwrap(), "2023-12-22 08:00:00");
        assert_eq!(instant("12 pm", "h a").unwrap(), "1970-01-01 12:00:00");
        assert_eq!(instant("22 dec 2023", "dd MMM yyyy").unwrap(), "2023-12-22 00:00:00");
        assert_eq!(instant("2023-12-22 356", "yyyy-MM-dd D").unwrap(), "2023-12-22 00:00:00");
        assert_eq!(instant("2023-12-22 355", "yyyy-MM-dd D"), None);
    }
}
