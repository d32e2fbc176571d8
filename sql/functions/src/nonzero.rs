//! `nonzero(x)`: the number, NULL for zero. The planner puts it under `/` and `%`, so that a division by zero is NULL.
//!
//! (`nullif(x, 0)` would not do: DataFusion does not take -0.0 for 0.0.)

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature};

use crate::arguments::{check_count, coercing};
use crate::views;

/// See the module's docs.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Nonzero {
    signature: Signature,
}

impl Nonzero {
    pub(crate) fn new() -> Self {
        Nonzero { signature: coercing() }
    }
}

impl ScalarUDFImpl for Nonzero {
    fn name(&self) -> &str {
        "nonzero"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_count(self.name(), given.len(), 1, 1)?;
        if !given[0].is_numeric() {
            return plan_err!("nonzero takes a number, got {}", given[0]);
        }
        Ok(given.to_vec())
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        Ok(given[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = views::rows_of(&args.args, args.number_rows);
        let array: ArrayRef = args.args[0].to_array(rows)?;
        let zeros = match array.data_type() {
            DataType::Float64 => BooleanArray::from_unary(array.as_primitive::<Float64Type>(), |v| v == 0.0),
            DataType::Float32 => BooleanArray::from_unary(array.as_primitive::<Float32Type>(), |v| v == 0.0),
            other => eq(&array, &ScalarValue::new_zero(other)?.to_scalar()?)?,
        };
        views::scalar_if_constant(nullif(&array, &zeros)?, &args.args)
    }
}
