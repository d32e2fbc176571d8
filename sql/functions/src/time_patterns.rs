//! The compiled date-time patterns of one function, and the instants it works on.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray, TimestampMicrosecondBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err, exec_err, plan_datafusion_err};

use crate::cache::Cache;
use crate::java_time::fixed::Layout;
use crate::java_time::pattern::{Item, parse_pattern, unreadable};
use crate::java_time::zone::Zone;
use crate::java_time::{MICROS_PER_DAY, MICROS_PER_SECOND, lenient, parse};
use crate::kernels::Kernels;
use crate::views;

/// The name of the zone in the type of Spark's TIMESTAMP.
const UTC: &str = "UTC";

/// The arrow type of Spark's TIMESTAMP: an instant, in microseconds since 1970-01-01 UTC.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct TimePattern {
    pub(crate) items: Vec<Item>,
    layout: Option<Layout>,
}

impl TimePattern {
    /// The pattern's fixed layout if it has one and fast kernels are allowed.
    pub(crate) fn layout(&self, kernels: Kernels) -> Option<&Layout> {
        kernels.allow(self.layout.as_ref())
    }

    /// Microseconds since 1970-01-01 UTC.
    #[inline]
    pub(crate) fn parse(&self, text: &str, zone: &Zone, kernels: Kernels) -> Option<i64> {
        match self.layout(kernels).and_then(|layout| layout.read(text.as_bytes())) {
            Some(local) => Some(zone.to_utc(local)),
            None => parse::parse(&self.items, text, zone),
        }
    }
}

/// What a pattern is for; some letters can be written only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    Read,
    Write,
}

/// Compiled patterns by their text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TimePatternCache {
    purpose: Purpose,
    compiled: Cache<TimePattern, String>,
}

impl TimePatternCache {
    pub(crate) fn new(purpose: Purpose) -> Self {
        TimePatternCache { purpose, compiled: Cache::default() }
    }

    pub(crate) fn get(&self, pattern: &str) -> Result<Arc<TimePattern>, String> {
        self.compiled.get_or_compile(pattern, |pattern| {
            let items = parse_pattern(pattern)?;
            if let (Purpose::Read, Some(letter)) = (self.purpose, unreadable(&items)) {
                return Err(format!("the letter {letter} can be written but not read"));
            }
            let layout = Layout::of(&items);
            Ok(TimePattern { items, layout })
        })
    }

    /// A planning error if the argument is a literal and no valid pattern.
    pub(crate) fn check(&self, function: &str, argument: Option<&Option<&ScalarValue>>) -> Result<()> {
        match argument.copied().flatten().and_then(ScalarValue::try_as_str).flatten() {
            Some(pattern) => self.get(pattern).map(drop).map_err(|e| pattern_error(function, pattern, &e)),
            None => Ok(()),
        }
    }
}

/// The planning error for a pattern that Spark refuses.
pub(crate) fn pattern_error(function: &str, pattern: &str, reason: &str) -> DataFusionError {
    plan_datafusion_err!("{function}: '{pattern}' is no valid date-time pattern: {reason}")
}

/// The session's time zone (`datafusion.execution.time_zone`), UTC if it has none.
pub(crate) fn session_zone(config: &ConfigOptions) -> Result<Zone> {
    match config.execution.time_zone.as_deref() {
        None => Ok(Zone::utc()),
        Some(name) => Zone::by_name(name).ok_or_else(|| {
            exec_datafusion_err!("the session's time zone '{name}' is unknown: use UTC, an offset such as +02:00 or a region such as Europe/Madrid")
        }),
    }
}

/// What an argument that stands for an instant is coerced to.
pub(crate) fn instant_argument(given: &DataType) -> DataType {
    match given {
        DataType::Date32 => DataType::Date32,
        DataType::Timestamp(_, _) => timestamp_type(),
        DataType::Date64 => timestamp_type(),
        other => views::string_argument(other),
    }
}

/// Instants from strings (as a cast reads them), dates (midnight in the session's zone), timestamps, or seconds.
pub(crate) fn instants(array: &ArrayRef, zone: &Zone) -> Result<TimestampMicrosecondArray> {
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => Ok(array.as_primitive::<TimestampMicrosecondType>().clone()),
        DataType::Timestamp(_, zone) => {
            let array = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
            Ok(array.as_primitive::<TimestampMicrosecondType>().clone())
        }
        DataType::Date32 => {
            let midnight = |days: i32| zone.to_utc(i64::from(days) * MICROS_PER_DAY);
            Ok(array.as_primitive::<Date32Type>().unary(midnight))
        }
        DataType::Int64 => {
            Ok(array.as_primitive::<Int64Type>().unary_opt(|seconds| seconds.checked_mul(MICROS_PER_SECOND)))
        }
        DataType::Float64 => Ok(array.as_primitive::<Float64Type>().unary_opt(|seconds| {
            let micros = seconds * MICROS_PER_SECOND as f64;
            micros.is_finite().then_some(micros as i64)
        })),
        data_type if views::is_string(data_type) || *data_type == DataType::Null => {
            let text = views::string_array(array)?;
            let mut out = TimestampMicrosecondBuilder::with_capacity(text.len());
            text.iter().for_each(|text| out.append_option(text.and_then(|text| lenient::timestamp(text, zone))));
            Ok(out.finish())
        }
        other => exec_err!("expected a timestamp, a date or a string, got {other}"),
    }
}
