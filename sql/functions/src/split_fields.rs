//! What the optimizer rule [`crate::rules::SplitOnce`] makes of `split(str, literal)[i]`: one pass over each text.
//!
//! - `split_field(str, delimiter, i)`: field `i` (from 0), NULL if there are fewer;
//! - `split_fields(str, delimiter, i, j, …)`: these fields as a struct, found in one pass, in rising order;
//! - `split_fields_get(fields, i)`: field `i` out of that struct, which costs nothing.
//!
//! The delimiter is a plain string here, not a pattern. All fields are views into the input. The functions are
//! registered, so that plans can be sent to other nodes and explained, but users need not know them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray, StructArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, plan_datafusion_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature};
use salamander_formats::scan::Literal;

use crate::arguments::{check_count, coercing};
use crate::views;

/// The greatest field number that is split in this way; beyond it `split` does the work.
pub(crate) const MAX_FIELD: usize = 1023;

/// `split_field(str, delimiter, i)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct SplitField {
    signature: Signature,
}

/// `split_fields(str, delimiter, i, j, …)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct SplitFields {
    signature: Signature,
}

/// `split_fields_get(fields, i)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct SplitFieldsGet {
    signature: Signature,
}

impl SplitField {
    pub(crate) fn new() -> Self {
        SplitField { signature: coercing() }
    }
}

impl SplitFields {
    pub(crate) fn new() -> Self {
        SplitFields { signature: coercing() }
    }
}

impl SplitFieldsGet {
    pub(crate) fn new() -> Self {
        SplitFieldsGet { signature: coercing() }
    }
}

impl ScalarUDFImpl for SplitField {
    fn name(&self) -> &str {
        "split_field"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_count(self.name(), given.len(), 3, 3)?;
        split_arguments(given)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = views::rows_of(&args.args, args.number_rows);
        let mut columns = split_columns(self.name(), &args.args, rows)?;
        let column: ArrayRef =
            Arc::new(columns.pop().ok_or_else(|| exec_datafusion_err!("split_field found no column"))?);
        views::scalar_if_constant(column, &args.args)
    }
}

impl ScalarUDFImpl for SplitFields {
    fn name(&self) -> &str {
        "split_fields"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_count(self.name(), given.len(), 3, MAX_FIELD + 3)?;
        split_arguments(given)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        plan_err!("split_fields needs literal field numbers")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let numbers = args.scalar_arguments.iter().skip(2).map(|scalar| field_number(self.name(), *scalar));
        let numbers = numbers.collect::<Result<Vec<_>>>()?;
        if !numbers.is_sorted_by(|a, b| a < b) {
            return plan_err!("split_fields: the field numbers must rise");
        }
        let fields = fields_of(&numbers);
        Ok(Arc::new(Field::new(self.name(), DataType::Struct(fields), false)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = views::rows_of(&args.args, args.number_rows);
        let columns = split_columns(self.name(), &args.args, rows)?;
        let DataType::Struct(fields) = args.return_field.data_type() else {
            return plan_err!("split_fields must return a struct");
        };
        let columns = columns.into_iter().map(|c| Arc::new(c) as ArrayRef).collect();
        let fields: ArrayRef = Arc::new(StructArray::try_new(fields.clone(), columns, None)?);
        views::scalar_if_constant(fields, &args.args)
    }
}

impl ScalarUDFImpl for SplitFieldsGet {
    fn name(&self) -> &str {
        "split_fields_get"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_count(self.name(), given.len(), 2, 2)?;
        Ok(vec![given[0].clone(), DataType::Int64])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = match &args.args[1] {
            ColumnarValue::Scalar(scalar) => Some(scalar),
            ColumnarValue::Array(_) => None,
        };
        let name = field_number(self.name(), scalar)?.to_string();
        let fields = args.args[0].to_array(args.number_rows)?;
        let column = fields
            .as_struct_opt()
            .and_then(|fields| fields.column_by_name(&name))
            .ok_or_else(|| exec_datafusion_err!("split_fields_get: no field {name} was split"))?;
        Ok(ColumnarValue::Array(Arc::clone(column)))
    }
}

fn split_arguments(given: &[DataType]) -> Result<Vec<DataType>> {
    let mut types = vec![views::string_argument(&given[0]), views::string_argument(&given[1])];
    types.resize(given.len(), DataType::Int64);
    Ok(types)
}

fn field_number(function: &str, argument: Option<&ScalarValue>) -> Result<usize> {
    let number = argument.map(|s| s.cast_to(&DataType::Int64)).transpose()?;
    match number {
        Some(ScalarValue::Int64(Some(i))) => usize::try_from(i)
            .ok()
            .filter(|i| *i <= MAX_FIELD)
            .ok_or_else(|| plan_datafusion_err!("{function}: field number {i} is not in 0..={MAX_FIELD}")),
        _ => plan_err!("{function}: a field number must be a literal"),
    }
}

/// The struct's fields: named by their numbers.
fn fields_of(numbers: &[usize]) -> Fields {
    numbers.iter().map(|n| Field::new(n.to_string(), DataType::Utf8View, true)).collect()
}

fn split_columns(function: &str, args: &[ColumnarValue], rows: usize) -> Result<Vec<StringViewArray>> {
    let text = views::string_column(&args[0], rows)?;
    let Some(Some(delimiter)) = views::constant(&args[1]).filter(|d| d.is_some_and(|d| !d.is_empty())) else {
        return plan_err!("{function}: the delimiter must be a literal that is not empty");
    };
    let numbers = args[2..].iter().map(|arg| match arg {
        ColumnarValue::Scalar(scalar) => field_number(function, Some(scalar)),
        ColumnarValue::Array(_) => field_number(function, None),
    });
    Ok(split_once(&text, &Literal::new(delimiter.as_bytes()), &numbers.collect::<Result<Vec<_>>>()?))
}

/// The columns of the fields with these numbers.
fn split_once(text: &StringViewArray, delimiter: &Literal, numbers: &[usize]) -> Vec<StringViewArray> {
    let rows = text.len();
    let mut columns: Vec<Vec<u128>> = numbers.iter().map(|_| vec![0; rows]).collect();
    // Field number -> column; fields that nobody wants are passed over.
    let mut wanted = vec![None; numbers.iter().max().map_or(0, |max| max + 1)];
    for (column, &number) in numbers.iter().enumerate() {
        wanted[number] = Some(column);
    }
    let buffers = text.data_buffers();
    let mut counts = vec![0u32; rows];
    for row in 0..rows {
        if text.is_null(row) {
            continue;
        }
        let view = text.views()[row];
        let mut scratch = [0; 16];
        let bytes = views::bytes(view, buffers, &mut scratch);
        let cut = views::Cutter::new(view, buffers);
        let (mut start, mut count) = (0, 0);
        let mut field = |start: usize, end: usize| {
            if let Some(Some(column)) = wanted.get(count) {
                columns[*column][row] = cut.cut(start, end);
            }
            count += 1;
            count < wanted.len()
        };
        let mut more = true;
        delimiter.each(bytes, |begin, end| {
            more = field(start, begin);
            start = end;
            more
        });
        if more {
            field(start, bytes.len());
        }
        counts[row] = count as u32;
    }
    let fewest = counts.iter().copied().min().unwrap_or(u32::MAX);
    let finish = |(column, number): (Vec<u128>, &usize)| {
        let number = *number as u32;
        let nulls =
            (fewest <= number).then(|| NullBuffer::new(BooleanBuffer::collect_bool(rows, |row| counts[row] > number)));
        views::column(column, text, nulls)
    };
    columns.into_iter().zip(numbers).map(finish).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fields_are_those_of_a_plain_split(
            texts in prop::collection::vec(prop::option::of("[ab|é \n]{0,30}"), 1..20),
            delimiter in "[ab|é ]{1,3}",
        ) {
            let column = StringViewArray::from_iter(texts.clone());
            let numbers = [0, 1, 2, 5];
            let split = split_once(&column, &Literal::new(delimiter.as_bytes()), &numbers);
            for (number, found) in numbers.into_iter().zip(&split) {
                found.to_data().validate_full().unwrap();
                for (row, text) in texts.iter().enumerate() {
                    let expected = text.as_ref().and_then(|t| t.split(delimiter.as_str()).nth(number));
                    let got = found.is_valid(row).then(|| found.value(row));
                    prop_assert_eq!(got, expected);
                }
            }
        }
    }
}
