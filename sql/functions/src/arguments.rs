//! What the functions have in common: checking the number of arguments and reading whole-number arguments.

use arrow::array::{Array, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{ColumnarValue, Signature, Volatility};

/// The signature of a function that coerces its arguments itself.
pub(crate) fn coercing() -> Signature {
    Signature::user_defined(Volatility::Immutable)
}

/// An error unless `given` is between `least` and `most`.
pub(crate) fn check_count(function: &str, given: usize, least: usize, most: usize) -> Result<()> {
    if (least..=most).contains(&given) {
        return Ok(());
    }
    let expected = if least == most { least.to_string() } else { format!("{least} to {most}") };
    plan_err!("{function} takes {expected} arguments, got {given}")
}

/// A whole-number argument: the same for all rows, or a column.
pub(crate) enum Integer {
    Constant(Option<i64>),
    Column(Int64Array),
}

impl Integer {
    /// Reads an argument that was coerced to a number; anything but `Int64` is cast.
    pub(crate) fn of(argument: &ColumnarValue) -> Result<Integer> {
        match argument {
            ColumnarValue::Scalar(scalar) => match scalar.cast_to(&DataType::Int64)? {
                ScalarValue::Int64(value) => Ok(Integer::Constant(value)),
                _ => Ok(Integer::Constant(None)),
            },
            ColumnarValue::Array(array) => {
                let array = cast(array, &DataType::Int64)?;
                Ok(Integer::Column(array.as_primitive::<Int64Type>().clone()))
            }
        }
    }

    /// The value in row `row`.
    pub(crate) fn at(&self, row: usize) -> Option<i64> {
        match self {
            Integer::Constant(value) => *value,
            Integer::Column(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }
}
