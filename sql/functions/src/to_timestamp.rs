//! Reading dates and times: `to_timestamp`, `to_date`, `unix_timestamp`, each with an optional Java pattern.
//!
//! Without a pattern a string is read as `CAST` reads it; with one, strictly by the pattern. What does not fit is NULL.
//! A timestamp or a date as the first argument is taken as it is, the pattern unused. An invalid literal pattern is
//! refused when the query is planned; one from a column gives NULL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Date32Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Date32Type, Field, FieldRef, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature};

use crate::arguments::{check_count, coercing};
use crate::java_time::zone::Zone;
use crate::java_time::{MICROS_PER_DAY, MICROS_PER_SECOND, lenient};
use crate::kernels::Kernels;
use crate::time_patterns::{
    Purpose, TimePatternCache, instant_argument, instants, pattern_error, session_zone, timestamp_type,
};
use crate::views;

/// What a text is read to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    /// `to_timestamp`
    Timestamp,
    /// `to_date`
    Date,
    /// `unix_timestamp`, `to_unix_timestamp`: whole seconds, towards 1970
    Seconds,
}

/// See the module's docs.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ReadTime {
    signature: Signature,
    aliases: Vec<String>,
    target: Target,
    kernels: Kernels,
    patterns: TimePatternCache,
}

impl ReadTime {
    pub(crate) fn new(target: Target, kernels: Kernels) -> Self {
        let aliases = match target {
            Target::Timestamp => vec!["try_to_timestamp".to_string()],
            Target::Date => vec!["try_to_date".to_string()],
            Target::Seconds => vec!["to_unix_timestamp".to_string()],
        };
        ReadTime { signature: coercing(), aliases, target, kernels, patterns: TimePatternCache::new(Purpose::Read) }
    }

    fn instants(&self, args: &[ColumnarValue], rows: usize, zone: &Zone) -> Result<TimestampMicrosecondArray> {
        let array = args[0].to_array(rows)?;
        let default = ColumnarValue::from(datafusion::common::ScalarValue::from("yyyy-MM-dd HH:mm:ss"));
        let pattern = match (args.get(1), self.target) {
            _ if !views::is_string(array.data_type()) => return instants(&array, zone),
            (Some(pattern), _) => pattern,
            (None, Target::Seconds) => &default,
            (None, _) => return instants(&array, zone),
        };
        let text = views::string_array(&array)?;
        let null = || TimestampMicrosecondArray::new_null(rows);
        match views::constant(pattern) {
            Some(None) => Ok(null()),
            Some(Some(pattern)) => {
                let pattern = self.patterns.get(pattern).map_err(|e| pattern_error(self.name(), pattern, &e))?;
                Ok(text.iter().map(|text| pattern.parse(text?, zone, self.kernels)).collect())
            }
            None => {
                let patterns = views::string_column(pattern, rows)?;
                let one = |(text, pattern): (Option<&str>, Option<&str>)| {
                    self.patterns.get(pattern?).ok()?.parse(text?, zone, self.kernels)
                };
                Ok(text.iter().zip(patterns.iter()).map(one).collect())
            }
        }
    }
}

impl ScalarUDFImpl for ReadTime {
    fn name(&self) -> &str {
        match self.target {
            Target::Timestamp => "to_timestamp",
            Target::Date => "to_date",
            Target::Seconds => "unix_timestamp",
        }
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_count(self.name(), given.len(), 1, 2)?;
        let first = match &given[0] {
            t if t.is_integer() && self.target == Target::Timestamp => DataType::Int64,
            t if t.is_numeric() && self.target == Target::Timestamp => DataType::Float64,
            t => instant_argument(t),
        };
        Ok([first].into_iter().chain(given.get(1).map(views::string_argument)).collect())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.target {
            Target::Timestamp => timestamp_type(),
            Target::Date => DataType::Date32,
            Target::Seconds => DataType::Int64,
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.patterns.check(self.name(), args.scalar_arguments.get(1))?;
        Ok(Arc::new(Field::new(self.name(), self.return_type(&[])?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = views::rows_of(&args.args, args.number_rows);
        let zone = session_zone(&args.config_options)?;
        let array = args.args[0].to_array(rows)?;
        if self.target == Target::Date && args.args.len() == 1 && views::is_string(array.data_type()) {
            // As a cast to DATE, which does not look at what follows the date.
            let dates: Date32Array = views::string_array(&array)?.iter().map(|text| lenient::date(text?)).collect();
            return views::scalar_if_constant(Arc::new(dates), &args.args);
        }
        let found = self.instants(&args.args, rows, &zone)?;
        let array: ArrayRef = match self.target {
            Target::Timestamp => Arc::new(found.with_data_type(timestamp_type())),
            Target::Date => {
                Arc::new(found.unary::<_, Date32Type>(|micros| zone.to_local(micros).div_euclid(MICROS_PER_DAY) as i32))
            }
            Target::Seconds => Arc::new(found.unary::<_, Int64Type>(|micros| micros / MICROS_PER_SECOND)),
        };
        views::scalar_if_constant(array, &args.args)
    }
}
