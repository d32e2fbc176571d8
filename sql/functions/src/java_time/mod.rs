//! Java's `DateTimeFormatter` patterns as Spark uses them: strict, English, on the proleptic Gregorian calendar.
//!
//! - [`pattern`]: a pattern's text -> a list of items, or the error that Spark gives;
//! - [`parse`]: a text by such a list -> microseconds since 1970-01-01 UTC;
//! - [`format`]: microseconds -> a text;
//! - [`fixed`]: byte-level kernels for patterns whose every item has a fixed width, which is all usual ones;
//! - [`lenient`]: the forms that `CAST(str AS TIMESTAMP)` and `to_timestamp(str)` accept, which have no pattern;
//! - [`zone`]: the session's time zone; [`calendar`]: days and dates.
//!
//! Nothing here knows arrow or DataFusion, and nothing reads a clock.

pub(crate) mod calendar;
pub(crate) mod fixed;
pub(crate) mod format;
pub(crate) mod lenient;
pub(crate) mod parse;
pub(crate) mod pattern;
pub(crate) mod zone;

pub(crate) const MICROS_PER_SECOND: i64 = 1_000_000;
pub(crate) const SECONDS_PER_DAY: i64 = 86_400;
pub(crate) const MICROS_PER_DAY: i64 = MICROS_PER_SECOND * SECONDS_PER_DAY;
