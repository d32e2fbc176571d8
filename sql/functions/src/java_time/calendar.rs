//! Days since 1970-01-01 and dates, in the proleptic Gregorian calendar.

/// A calendar date; the year may be 0 or negative (0 = 1 BC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date {
    pub(crate) year: i64,
    pub(crate) month: u32,
    pub(crate) day: u32,
}

/// Whether `year` has a 29th of February.
pub(crate) fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// The number of days of a month (1 to 12).
pub(crate) fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01. The date must exist.
///
/// Years are counted from March, so that the leap day is the last day of a year; 400 years have 146,097 days.
#[inline]
pub(crate) fn days_from_date(year: i64, month: u32, day: u32) -> i64 {
    let from_march = (i64::from(month) + 9) % 12;
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The date that is `days` after 1970-01-01.
#[inline]
pub(crate) fn date_from_days(days: i64) -> Date {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * from_march + 2) / 5 + 1) as u32;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 } as u32;
    Date { year: year_of_era + era * 400 + i64::from(month <= 2), month, day }
}

/// Days since 1970-01-01 if there is such a date.
pub(crate) fn checked_days(year: i64, month: i64, day: i64) -> Option<i64> {
    let month = u32::try_from(month).ok().filter(|m| (1..=12).contains(m))?;
    let day = u32::try_from(day).ok().filter(|d| *d >= 1 && *d <= days_in_month(year, month))?;
    // Beyond this no timestamp of 64-bit microseconds exists.
    ((-300_000..=300_000).contains(&year)).then(|| days_from_date(year, month, day))
}

/// 1 = 1 January.
pub(crate) fn day_of_year(date: Date) -> i64 {
    days_from_date(date.year, date.month, date.day) - days_from_date(date.year, 1, 1) + 1
}

/// 0 = Monday.
pub(crate) fn weekday(days: i64) -> usize {
    (days + 3).rem_euclid(7) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_chrono() {
        use chrono::Datelike;
        for days in (-800_000..800_000).step_by(61) {
            let date = date_from_days(days);
            let chrono = chrono::NaiveDate::from_num_days_from_ce_opt(days as i32 + 719_163).unwrap();
            assert_eq!((date.year, date.month, date.day), (i64::from(chrono.year()), chrono.month(), chrono.day()));
            assert_eq!(days_from_date(date.year, date.month, date.day), days);
            assert_eq!(weekday(days), chrono.weekday().num_days_from_monday() as usize);
            assert_eq!(day_of_year(date), i64::from(chrono.ordinal()));
        }
    }

    #[test]
    fn dates_that_do_not_exist() {
        assert_eq!(checked_days(2023, 2, 29), None);
        assert!(checked_days(2024, 2, 29).is_some());
        assert_eq!(checked_days(2024, 13, 1), None);
        assert_eq!(checked_days(2024, 0, 1), None);
        assert_eq!(checked_days(2024, 4, 31), None);
    }
}
