//! Spark's casts with ANSI mode off, as functions of the target's name: `double(x)`, `int(x)`, `timestamp(x)`, `string(x)` …
//!
//! DataFusion's `CAST` fails the query on a value that can't be converted and knows fewer forms than Spark. The analyzer
//! rule [`crate::rules::SparkCasts`] therefore replaces it by these functions where they differ. They give NULL for what
//! can't be converted, ignore white space around a string, and convert between times and numbers as Spark does.

mod numbers;
mod text;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringViewArray, TimestampMicrosecondArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature};

use crate::arguments::{check_count, coercing};
use crate::java_time::zone::Zone;
use crate::java_time::{MICROS_PER_DAY, MICROS_PER_SECOND, lenient};
use crate::time_patterns::{instants, session_zone, timestamp_type};
use crate::views;

/// What is cast to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    Boolean,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Float,
    Double,
    Date,
    Timestamp,
    Text,
}

impl Target {
    pub(crate) const ALL: [Target; 10] = [
        Target::Boolean,
        Target::TinyInt,
        Target::SmallInt,
        Target::Int,
        Target::BigInt,
        Target::Float,
        Target::Double,
        Target::Date,
        Target::Timestamp,
        Target::Text,
    ];

    fn data_type(self) -> DataType {
        match self {
            Target::Boolean => DataType::Boolean,
            Target::TinyInt => DataType::Int8,
            Target::SmallInt => DataType::Int16,
            Target::Int => DataType::Int32,
            Target::BigInt => DataType::Int64,
            Target::Float => DataType::Float32,
            Target::Double => DataType::Float64,
            Target::Date => DataType::Date32,
            Target::Timestamp => timestamp_type(),
            Target::Text => DataType::Utf8View,
        }
    }

    fn is_integer(self) -> bool {
        matches!(self, Target::TinyInt | Target::SmallInt | Target::Int | Target::BigInt)
    }

    /// The target for a cast to `to`, if Spark's cast of a `from` differs from arrow's.
    pub(crate) fn replacing(from: &DataType, to: &DataType) -> Option<Target> {
        let target = match to {
            DataType::Utf8 | DataType::LargeUtf8 => Target::Text,
            DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some(_)) => Target::Timestamp,
            to => Target::ALL.into_iter().find(|t| t.data_type() == *to)?,
        };
        let is_time = matches!(from, DataType::Timestamp(_, Some(_)));
        let differs = match target {
            _ if views::is_string(from) => target != Target::Text,
            Target::Text => from.is_floating() || is_time,
            Target::Timestamp => from.is_integer() || from.is_floating() || *from == DataType::Date32,
            Target::Date => is_time,
            _ if is_time => target.is_integer() || matches!(target, Target::Float | Target::Double),
            _ if target.is_integer() => from.is_floating() || narrows(from, to),
            _ => false,
        };
        differs.then_some(target)
    }
}

fn narrows(from: &DataType, to: &DataType) -> bool {
    from.is_signed_integer() && to.is_signed_integer() && from.primitive_width() > to.primitive_width()
}

/// See the module's docs.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct SparkCast {
    signature: Signature,
    target: Target,
}

impl SparkCast {
    pub(crate) fn new(target: Target) -> Self {
        SparkCast { signature: coercing(), target }
    }

    fn convert(&self, array: &ArrayRef, zone: &Zone) -> Result<ArrayRef> {
        match array.data_type() {
            from if views::is_string(from) => Ok(self.from_text(&views::string_array(array)?, zone)),
            DataType::Timestamp(_, _) => self.from_time(&instants(array, zone)?, zone),
            DataType::Date32 if self.target == Target::Timestamp => {
                Ok(Arc::new(instants(array, zone)?.with_data_type(timestamp_type())))
            }
            from if from.is_floating() && self.target.is_integer() => {
                let wide = self.safe(array, &DataType::Float64)?;
                Ok(numbers::integer_from_double(wide.as_primitive(), self.target))
            }
            from if from.is_floating() && self.target == Target::Text => Ok(Arc::new(text::from_floating(array)?)),
            from if from.is_integer() && self.target.is_integer() => {
                let wide = self.safe(array, &DataType::Int64)?;
                Ok(numbers::narrowed(wide.as_primitive(), self.target))
            }
            from if self.target == Target::Timestamp && (from.is_integer() || from.is_floating()) => {
                let seconds = if from.is_integer() { DataType::Int64 } else { DataType::Float64 };
                let wide = self.safe(array, &seconds)?;
                Ok(Arc::new(instants(&wide, zone)?.with_data_type(timestamp_type())))
            }
            _ => self.safe(array, &self.target.data_type()),
        }
    }

    /// Arrow's cast with NULL for what does not fit.
    fn safe(&self, array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
        Ok(cast_with_options(array, to, &CastOptions { safe: true, ..Default::default() })?)
    }

    fn from_text(&self, text: &StringViewArray, zone: &Zone) -> ArrayRef {
        use arrow::array::PrimitiveArray;
        macro_rules! each {
            ($type:ty, $parse:expr) => {
                Arc::new(text.iter().map(|t| t.and_then($parse)).collect::<PrimitiveArray<$type>>())
            };
        }
        match self.target {
            Target::Boolean => Arc::new(text.iter().map(|t| t.and_then(text::boolean)).collect::<BooleanArray>()),
            Target::TinyInt => each!(Int8Type, |t| i8::try_from(numbers::integer(t)?).ok()),
            Target::SmallInt => each!(Int16Type, |t| i16::try_from(numbers::integer(t)?).ok()),
            Target::Int => each!(Int32Type, |t| i32::try_from(numbers::integer(t)?).ok()),
            Target::BigInt => each!(Int64Type, numbers::integer),
            Target::Float => each!(Float32Type, numbers::float),
            Target::Double => each!(Float64Type, numbers::double),
            Target::Date => each!(Date32Type, lenient::date),
            Target::Timestamp => {
                let times: TimestampMicrosecondArray =
                    text.iter().map(|t| t.and_then(|t| lenient::timestamp(t, zone))).collect();
                Arc::new(times.with_data_type(timestamp_type()))
            }
            Target::Text => Arc::new(text.clone()),
        }
    }

    fn from_time(&self, times: &TimestampMicrosecondArray, zone: &Zone) -> Result<ArrayRef> {
        let seconds = |micros: i64| micros.div_euclid(MICROS_PER_SECOND);
        let fractional = |micros: i64| micros as f64 / MICROS_PER_SECOND as f64;
        Ok(match self.target {
            target if target.is_integer() => numbers::fitting(&times.unary::<_, Int64Type>(seconds), target),
            Target::Double => Arc::new(times.unary::<_, Float64Type>(fractional)),
            Target::Float => Arc::new(times.unary::<_, Float32Type>(|micros| fractional(micros) as f32)),
            Target::Date => {
                Arc::new(times.unary::<_, Date32Type>(|micros| zone.to_local(micros).div_euclid(MICROS_PER_DAY) as i32))
            }
            Target::Text => Arc::new(text::from_times(times, zone)),
            Target::Timestamp => Arc::new(times.clone().with_data_type(timestamp_type())),
            Target::Boolean => Arc::new(BooleanArray::from_unary(times, |micros| micros != 0)),
            _ => return exec_err!("a timestamp can't be cast to {}", self.target.data_type()),
        })
    }
}

impl ScalarUDFImpl for SparkCast {
    fn name(&self) -> &str {
        match self.target {
            Target::Boolean => "boolean",
            Target::TinyInt => "tinyint",
            Target::SmallInt => "smallint",
            Target::Int => "int",
            Target::BigInt => "bigint",
            Target::Float => "float",
            Target::Double => "double",
            Target::Date => "date",
            Target::Timestamp => "timestamp",
            Target::Text => "string",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_count(self.name(), given.len(), 1, 1)?;
        match &given[0] {
            DataType::Dictionary(_, value) => Ok(vec![value.as_ref().clone()]),
            nested if nested.is_nested() => plan_err!("{} takes no {nested}", self.name()),
            given => Ok(vec![given.clone()]),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.target.data_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = views::rows_of(&args.args, args.number_rows);
        let zone = session_zone(&args.config_options)?;
        let converted = self.convert(&args.args[0].to_array(rows)?, &zone)?;
        views::scalar_if_constant(converted, &args.args)
    }
}
