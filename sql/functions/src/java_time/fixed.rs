//! Byte-level kernels for patterns of a fixed layout, such as `yyyy-MM-dd'T'HH:mm:ss.SSSSSS`.
//!
//! A [`Layout`] lists where in the text each number stands. Reading only ever says yes: a text that does not fit the layout
//! exactly goes to the general parser, which decides. Writing serves the years 0 to 9999 and leaves the rest to the general
//! formatter. So a layout can make nothing wrong that the general code gets right.

use super::calendar::{Date, date_from_days, days_from_date, days_in_month};
use super::pattern::{Field, Item, Sign};
use super::{MICROS_PER_DAY, MICROS_PER_SECOND};

/// A number with a fixed place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    at: usize,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
}

/// A pattern of fixed layout: a template of the text, numbers in it, and a fraction at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The literal bytes, with zeros where numbers stand.
    template: Vec<u8>,
    /// For each byte of the template whether it is a literal one.
    literal: Vec<bool>,
    slots: Vec<Slot>,
    /// The number of digits of a fraction that ends the text; 0 = none.
    fraction: usize,
}

impl Layout {
    /// The layout of a pattern, if it is fixed: `yyyy MM dd HH mm ss`, ASCII literals, and a fraction only at the end and
    /// after a literal (directly after a number, Java lets the year take the fraction's digits).
    pub(crate) fn of(items: &[Item]) -> Option<Layout> {
        let mut layout = Layout { template: Vec::new(), literal: Vec::new(), slots: Vec::new(), fraction: 0 };
        for item in items {
            if layout.fraction > 0 {
                return None;
            }
            match item {
                Item::Literal(text) if text.is_ascii() => {
                    layout.template.extend_from_slice(text.as_bytes());
                    layout.literal.resize(layout.template.len(), true);
                }
                Item::Number { field: Field::Year, min: 4, sign: Sign::ExceedsPad, .. } => layout.slot(Kind::Year, 4),
                Item::Number { field, min: 2, max: 2, .. } => layout.slot(two_digits(*field)?, 2),
                Item::Fraction { digits } if *digits <= 6 && layout.literal.last() == Some(&true) => {
                    layout.fraction = *digits;
                    layout.template.resize(layout.template.len() + digits, b'0');
                    layout.literal.resize(layout.template.len(), false);
                }
                _ => return None,
            }
        }
        Some(layout)
    }

    fn slot(&mut self, kind: Kind, width: usize) {
        self.slots.push(Slot { at: self.template.len(), kind });
        self.template.resize(self.template.len() + width, b'0');
        self.literal.resize(self.template.len(), false);
    }

    /// The length of every text that this layout writes, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.template.len()
    }

    /// Local microseconds since 1970-01-01 if `text` fits exactly and is a date; `None` = ask the general parser.
    #[inline]
    pub(crate) fn read(&self, text: &[u8]) -> Option<i64> {
        if text.len() != self.template.len() {
            return None;
        }
        // One pass without branches: literals equal, everything else a digit.
        let mut fits = true;
        for ((&byte, &expected), &literal) in text.iter().zip(&self.template).zip(&self.literal) {
            fits &= if literal { byte == expected } else { byte.wrapping_sub(b'0') < 10 };
        }
        if !fits {
            return None;
        }
        let (mut year, mut month, mut day, mut seconds) = (1970, 1, 1, 0);
        for &Slot { at, kind } in &self.slots {
            let two = |at: usize| i64::from(text[at] - b'0') * 10 + i64::from(text[at + 1] - b'0');
            let value = two(at);
            match kind {
                Kind::Year => year = value * 100 + two(at + 2),
                Kind::Month => month = value,
                Kind::Day => day = value,
                Kind::Hour if value < 24 => seconds += value * 3600,
                Kind::Minute if value < 60 => seconds += value * 60,
                Kind::Second if value < 60 => seconds += value,
                _ => return None,
            }
        }
        let (month, day) = (month as u32, day as u32);
        if !(1..=12).contains(&month) || day < 1 || (day > 28 && day > days_in_month(year, month)) {
            return None;
        }
        let digits = &text[text.len() - self.fraction..];
        let fraction = digits.iter().fold(0i64, |value, b| value * 10 + i64::from(b - b'0'));
        let micros = fraction * 10i64.pow(6 - self.fraction as u32);
        Some(days_from_date(year, month, day) * MICROS_PER_DAY + seconds * MICROS_PER_SECOND + micros)
    }
}

fn two_digits(field: Field) -> Option<Kind> {
    Some(match field {
        Field::Month => Kind::Month,
        Field::DayOfMonth => Kind::Day,
        Field::Hour => Kind::Hour,
        Field::Minute => Kind::Minute,
        Field::Second => Kind::Second,
        _ => return None,
    })
}

/// Writes many instants by one layout; rows of a batch are mostly of one day, whose date is kept.
pub(crate) struct Writer<'l> {
    layout: &'l Layout,
    days: i64,
    date: Date,
}

impl<'l> Writer<'l> {
    pub(crate) fn new(layout: &'l Layout) -> Self {
        Writer { layout, days: 0, date: date_from_days(0) }
    }

    /// Writes local `micros` into `out`, which has the layout's length. False if the year has not four digits.
    #[inline]
    pub(crate) fn write(&mut self, micros: i64, out: &mut [u8]) -> bool {
        let days = micros.div_euclid(MICROS_PER_DAY);
        let micro_of_day = micros.rem_euclid(MICROS_PER_DAY);
        if days != self.days {
            (self.days, self.date) = (days, date_from_days(days));
        }
        if !(0..=9999).contains(&self.date.year) {
            return false;
        }
        out.copy_from_slice(&self.layout.template);
        let seconds = (micro_of_day / MICROS_PER_SECOND) as u32;
        let year = self.date.year as u32;
        for &Slot { at, kind } in &self.layout.slots {
            let value = match kind {
                Kind::Year => {
                    put_two(out, at + 2, year % 100);
                    year / 100
                }
                Kind::Month => self.date.month,
                Kind::Day => self.date.day,
                Kind::Hour => seconds / 3600,
                Kind::Minute => seconds / 60 % 60,
                Kind::Second => seconds % 60,
            };
            put_two(out, at, value);
        }
        if self.layout.fraction > 0 {
            let mut fraction = (micro_of_day % MICROS_PER_SECOND) as u32 / 10u32.pow(6 - self.layout.fraction as u32);
            let start = out.len() - self.layout.fraction;
            for digit in out[start..].iter_mut().rev() {
                *digit = b'0' + (fraction % 10) as u8;
                fraction /= 10;
            }
        }
        true
    }
}

#[inline]
fn put_two(out: &mut [u8], at: usize, value: u32) {
    out[at] = b'0' + (value / 10) as u8;
    out[at + 1] = b'0' + (value % 10) as u8;
}

#[cfg(test)]
mod tests {
    use super::super::zone::Zone;
    use super::super::{format, parse, pattern::parse_pattern};
    use super::*;
    use proptest::prelude::*;

    const PATTERNS: [&str; 7] = [
        "yyyy-MM-dd'T'HH:mm:ss.SSSSSS",
        "yyyy-MM-dd",
        "HH:mm:ss.SSS",
        "yyyyMMddHHmmss",
        "yyyyMMdd.SSS",
        "dd/MM/yyyy HH:mm",
        "yyyy-MM-dd HH:mm:ss",
    ];

    proptest! {
        #[test]
        fn writes_as_the_general_formatter(micros in prop_oneof![any::<i64>().prop_map(|x| x / 100), -1_000_000_000_000i64..2_000_000_000_000_000]) {
            for pattern in PATTERNS {
                let items = parse_pattern(pattern).unwrap();
                let layout = Layout::of(&items).unwrap();
                let mut out = vec![0; layout.len()];
                if Writer::new(&layout).write(micros, &mut out) {
                    let mut expected = String::new();
                    format::format(&items, micros, &Zone::utc(), &mut expected).unwrap();
                    prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
                }
            }
        }

        #[test]
        fn reads_as_the_general_parser(text in prop_oneof![
            "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\\.[0-9]{6}",
            "[0-9]{4}-[01][0-9]-[0-3][0-9]",
            "[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\\.[0-9]{3}",
            "[0-9+é]{14}",
            "[0-9]{8}\\.[0-9]{1,3}",
            "[0-3][0-9]/[01][0-9]/[0-9]{4} [0-2][0-9]:[0-6][0-9]",
        ]) {
            for pattern in PATTERNS {
                let items = parse_pattern(pattern).unwrap();
                let layout = Layout::of(&items).unwrap();
                if let Some(micros) = layout.read(text.as_bytes()) {
                    prop_assert_eq!(Some(micros), parse::parse(&items, &text, &Zone::utc()));
                }
            }
        }
    }

    #[test]
    fn fixed_or_not() {
        for pattern in ["yyyy-M-d", "MMM", "S yyyy", "[yyyy]", "h:mm a", "yyyy-MM-dd XXX", "yy", "yyyyMMddSSS"] {
            assert_eq!(Layout::of(&parse_pattern(pattern).unwrap()), None, "{pattern}");
        }
    }
}
