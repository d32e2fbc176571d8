//! Writing dates and times: `date_format(timestamp, pattern)` and `from_unixtime(seconds[, pattern])`, in the session's zone.
//!
//! A string as the first argument of `date_format` is read as `CAST` reads it. NULL if an argument is NULL, if a string is
//! no timestamp, or if a pattern from a column is invalid; an invalid literal pattern is refused when the query is planned.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringViewArray, StringViewBuilder, TimestampMicrosecondArray};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature};

use crate::arguments::{check_count, coercing};
use crate::java_time::fixed::{Layout, Writer};
use crate::java_time::format::format;
use crate::java_time::zone::Zone;
use crate::kernels::Kernels;
use crate::time_patterns::{
    Purpose, TimePattern, TimePatternCache, instant_argument, instants, pattern_error, session_zone,
};
use crate::views;

/// What `from_unixtime` writes if no pattern is given.
const DEFAULT_PATTERN: &str = "yyyy-MM-dd HH:mm:ss";

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// `date_format`
    Instant,
    /// `from_unixtime`
    Seconds,
}

/// See the module's docs.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct DateFormat {
    signature: Signature,
    source: Source,
    kernels: Kernels,
    patterns: TimePatternCache,
}

impl DateFormat {
    pub(crate) fn new(source: Source, kernels: Kernels) -> Self {
        DateFormat { signature: coercing(), source, kernels, patterns: TimePatternCache::new(Purpose::Write) }
    }

    fn format(
        &self,
        times: &TimestampMicrosecondArray,
        pattern: &ColumnarValue,
        zone: &Zone,
    ) -> Result<StringViewArray> {
        match views::constant(pattern) {
            Some(None) => Ok(StringViewArray::new_null(times.len())),
            Some(Some(pattern)) => {
                let pattern = self.patterns.get(pattern).map_err(|e| pattern_error(self.name(), pattern, &e))?;
                Ok(match pattern.layout(self.kernels) {
                    Some(layout) => format_fixed(times, layout, &pattern, zone),
                    None => format_general(times, &pattern, zone),
                })
            }
            None => {
                let patterns = views::string_column(pattern, times.len())?;
                let one = |(micros, pattern): (Option<i64>, Option<&str>)| {
                    let (micros, pattern) = (micros?, self.patterns.get(pattern?).ok()?);
                    let mut text = String::new();
                    format(&pattern.items, micros, zone, &mut text).map(|()| text)
                };
                Ok(times.iter().zip(patterns.iter()).map(one).collect())
            }
        }
    }
}

fn format_general(times: &TimestampMicrosecondArray, pattern: &TimePattern, zone: &Zone) -> StringViewArray {
    let mut out = StringViewBuilder::with_capacity(times.len());
    let mut text = String::new();
    for micros in times {
        text.clear();
        match micros.and_then(|micros| format(&pattern.items, micros, zone, &mut text)) {
            Some(()) => out.append_value(&text),
            None => out.append_null(),
        }
    }
    out.finish()
}

/// Texts of one length: up to 12 bytes they live in their views, longer ones in one buffer.
fn format_fixed(
    times: &TimestampMicrosecondArray,
    layout: &Layout,
    pattern: &TimePattern,
    zone: &Zone,
) -> StringViewArray {
    let length = layout.len();
    let inline = length <= 12;
    if !inline && length.saturating_mul(times.len()) > i32::MAX as usize {
        return format_general(times, pattern, zone);
    }
    let mut bytes = vec![0; if inline { 16 } else { length * times.len() }];
    let mut writer = Writer::new(layout);
    let mut out = Vec::with_capacity(times.len());
    for row in 0..times.len() {
        if times.is_null(row) {
            out.push(0);
            continue;
        }
        let start = if inline { 0 } else { row * length };
        if !writer.write(zone.to_local(times.value(row)), &mut bytes[start..start + length]) {
            return format_general(times, pattern, zone);
        }
        out.push(views::view_at(&bytes, 0, start, length));
    }
    if inline {
        return views::inline_column(out, times.nulls().cloned());
    }
    views::column_of_buffer(out, Buffer::from(bytes), times.nulls().cloned())
}

impl ScalarUDFImpl for DateFormat {
    fn name(&self) -> &str {
        match self.source {
            Source::Instant => "date_format",
            Source::Seconds => "from_unixtime",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let least = if self.source == Source::Instant { 2 } else { 1 };
        check_count(self.name(), given.len(), least, 2)?;
        let first = match self.source {
            Source::Instant => instant_argument(&given[0]),
            Source::Seconds => DataType::Int64,
        };
        Ok([first].into_iter().chain(given.get(1).map(views::string_argument)).collect())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.patterns.check(self.name(), args.scalar_arguments.get(1))?;
        Ok(Arc::new(Field::new(self.name(), DataType::Utf8View, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = views::rows_of(&args.args, args.number_rows);
        let zone = session_zone(&args.config_options)?;
        let times = instants(&args.args[0].to_array(rows)?, &zone)?;
        let default = ColumnarValue::Scalar(ScalarValue::from(DEFAULT_PATTERN));
        let text: ArrayRef = Arc::new(self.format(&times, args.args.get(1).unwrap_or(&default), &zone)?);
        views::scalar_if_constant(text, &args.args)
    }
}
