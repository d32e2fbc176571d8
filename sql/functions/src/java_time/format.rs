//! Writes an instant by a pattern's items.

use super::calendar::{Date, date_from_days, day_of_year, weekday};
use super::pattern::{Field, Item, Length, OffsetForm, Part, Sign};
use super::zone::Zone;
use super::{MICROS_PER_DAY, MICROS_PER_SECOND, SECONDS_PER_DAY};
use std::fmt::Write;

pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Beginning with Monday.
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const QUARTERS: [&str; 4] = ["1st quarter", "2nd quarter", "3rd quarter", "4th quarter"];

/// An instant taken apart in a zone.
pub(crate) struct Moment<'z> {
    zone: &'z Zone,
    micros: i64,
    days: i64,
    date: Date,
    second_of_day: i64,
    micro_of_second: i64,
    has_era: bool,
}

/// Appends `micros` (since 1970-01-01 UTC) by the items. `None` if a number does not fit its width.
pub(crate) fn format(items: &[Item], micros: i64, zone: &Zone, out: &mut String) -> Option<()> {
    let local = zone.to_local(micros);
    let days = local.div_euclid(MICROS_PER_DAY);
    let micro_of_day = local.rem_euclid(MICROS_PER_DAY);
    let moment = Moment {
        zone,
        micros,
        days,
        date: date_from_days(days),
        second_of_day: micro_of_day / MICROS_PER_SECOND,
        micro_of_second: micro_of_day % MICROS_PER_SECOND,
        has_era: has_era(items),
    };
    items.iter().try_for_each(|item| moment.write(item, out))
}

/// Whether a pattern names the era, so that its years are years of the era.
pub(crate) fn has_era(items: &[Item]) -> bool {
    items.iter().any(|item| match item {
        Item::Era(_) => true,
        Item::Optional(items) => has_era(items),
        _ => false,
    })
}

impl Moment<'_> {
    fn write(&self, item: &Item, out: &mut String) -> Option<()> {
        match item {
            Item::Literal(text) => out.push_str(text),
            Item::Number { field, min, max, sign } => return write_number(self.number(*field), *min, *max, *sign, out),
            Item::TwoDigitYear => {
                return write_number(self.number(Field::Year).rem_euclid(100), 2, 2, Sign::Never, out);
            }
            Item::Fraction { digits } => {
                let nanos = self.micro_of_second * 1000;
                write!(out, "{:0width$}", nanos / 10i64.pow(9 - *digits as u32), width = *digits).ok()?;
            }
            Item::MonthName(length) => out.push_str(shorten(MONTHS[self.date.month as usize - 1], *length)),
            Item::Weekday(length) => out.push_str(shorten(WEEKDAYS[weekday(self.days)], *length)),
            Item::QuarterName(length) => {
                let quarter = self.number(Field::Quarter);
                match length {
                    Length::Short => write!(out, "Q{quarter}").ok()?,
                    Length::Full => out.push_str(QUARTERS[quarter as usize - 1]),
                }
            }
            Item::HalfOfDay => out.push_str(if self.second_of_day < SECONDS_PER_DAY / 2 { "AM" } else { "PM" }),
            Item::Era(length) => out.push_str(match (self.date.year > 0, length) {
                (true, Length::Short) => "AD",
                (false, Length::Short) => "BC",
                (true, Length::Full) => "Anno Domini",
                (false, Length::Full) => "Before Christ",
            }),
            Item::Offset(form) => self.write_offset(*form, out)?,
            Item::LocalizedOffset(length) => self.write_localized(*length, out)?,
            Item::ZoneId => out.push_str(self.zone.name()),
            Item::ZoneName(Length::Full) if self.zone.is_utc() => out.push_str("Coordinated Universal Time"),
            Item::ZoneName(_) => out.push_str(&self.zone.short_name(self.micros)),
            Item::Optional(items) => return items.iter().try_for_each(|item| self.write(item, out)),
        }
        Some(())
    }

    fn number(&self, field: Field) -> i64 {
        let hour = self.second_of_day / 3600;
        match field {
            Field::Year if self.has_era && self.date.year <= 0 => 1 - self.date.year,
            Field::Year => self.date.year,
            Field::Quarter => i64::from(self.date.month - 1) / 3 + 1,
            Field::Month => i64::from(self.date.month),
            Field::DayOfMonth => i64::from(self.date.day),
            Field::DayOfYear => day_of_year(self.date),
            Field::AlignedDay => i64::from(self.date.day - 1) % 7 + 1,
            Field::Hour => hour,
            Field::ClockHour => (hour + 23) % 24 + 1,
            Field::HourOfHalf => hour % 12,
            Field::ClockHourOfHalf => (hour + 11) % 12 + 1,
            Field::Minute => self.second_of_day / 60 % 60,
            Field::Second => self.second_of_day % 60,
        }
    }

    fn write_offset(&self, form: OffsetForm, out: &mut String) -> Option<()> {
        let offset = self.zone.offset_at(self.micros);
        if offset == 0 {
            out.push_str(form.zero);
            return Some(());
        }
        let (sign, seconds) = (if offset < 0 { '-' } else { '+' }, offset.abs());
        write!(out, "{sign}{:02}", seconds / 3600).ok()?;
        let colon = if form.colon { ":" } else { "" };
        let (m, s) = (seconds / 60 % 60, seconds % 60);
        if form.minutes == Part::Always || m > 0 {
            write!(out, "{colon}{m:02}").ok()?;
        }
        if form.seconds == Part::IfNotZero && s > 0 {
            write!(out, "{colon}{s:02}").ok()?;
        }
        Some(())
    }

    fn write_localized(&self, length: Length, out: &mut String) -> Option<()> {
        let offset = self.zone.offset_at(self.micros);
        out.push_str("GMT");
        if offset == 0 {
            return Some(());
        }
        let (sign, seconds) = (if offset < 0 { '-' } else { '+' }, offset.abs());
        let (h, m) = (seconds / 3600, seconds / 60 % 60);
        match length {
            Length::Full => write!(out, "{sign}{h:02}:{m:02}").ok(),
            Length::Short if m == 0 => write!(out, "{sign}{h}").ok(),
            Length::Short => write!(out, "{sign}{h}:{m:02}").ok(),
        }
    }
}

/// The first three letters, or all.
pub(crate) fn shorten(name: &'static str, length: Length) -> &'static str {
    match length {
        Length::Short => &name[..3],
        Length::Full => name,
    }
}

fn write_number(value: i64, min: usize, max: usize, sign: Sign, out: &mut String) -> Option<()> {
    let digits = value.unsigned_abs();
    let length = digits.checked_ilog10().map_or(1, |log| log as usize + 1);
    if length > max || (value < 0 && sign == Sign::Never) {
        return None;
    }
    if value < 0 {
        out.push('-');
    } else if sign == Sign::ExceedsPad && length > min {
        out.push('+');
    }
    write!(out, "{digits:0min$}").ok()
}
