//! Access to elements: `a[i]` (from 0, planned as `spark_array_get(a, i)`, also called `get`) and `element_at(a, i)` (from 1,
//! negative from the end; for a map, the value of a key).
//!
//! Out of range and NULL give NULL. `element_at(a, 0)` with a literal 0 is refused when the query is planned, as Spark
//! refuses it; an index 0 from a column gives NULL, since one bad row must not stop a job.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, MapArray, UInt64Array, new_null_array};
use arrow::compute::{SortOptions, cast, take};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature};

use crate::arguments::{Integer, check_count, coercing};
use crate::views;

/// From where an index counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Base {
    /// `spark_array_get`
    Zero,
    /// `element_at`
    One,
}

/// See the module's docs.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Element {
    signature: Signature,
    aliases: Vec<String>,
    base: Base,
}

impl Element {
    pub(crate) fn new(base: Base) -> Self {
        let aliases = match base {
            Base::Zero => vec!["get".to_string()],
            Base::One => vec!["try_element_at".to_string()],
        };
        Element { signature: coercing(), aliases, base }
    }

    /// Whether the index counts from 0.
    pub(crate) fn counts_from_zero(&self) -> bool {
        self.base == Base::Zero
    }

    /// The place in a list of `length` elements.
    fn place(&self, index: i64, length: usize) -> Option<usize> {
        let place = match self.base {
            Base::Zero => usize::try_from(index).ok()?,
            Base::One if index > 0 => usize::try_from(index - 1).ok()?,
            Base::One if index < 0 => length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?,
            Base::One => return None,
        };
        (place < length).then_some(place)
    }

    fn of_list(&self, array: &ArrayRef, index: &ColumnarValue) -> Result<ArrayRef> {
        let index = Integer::of(index)?;
        let (values, bounds): (ArrayRef, Box<dyn Fn(usize) -> (usize, usize)>) = match array.data_type() {
            DataType::List(_) => {
                let list = array.as_list::<i32>().clone();
                (
                    Arc::clone(list.values()),
                    Box::new(move |row| (list.value_offsets()[row] as usize, list.value_length(row) as usize)),
                )
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>().clone();
                (
                    Arc::clone(list.values()),
                    Box::new(move |row| (list.value_offsets()[row] as usize, list.value_length(row) as usize)),
                )
            }
            other => return exec_err!("{} takes an array, got {other}", self.name()),
        };
        let places: UInt64Array = (0..array.len())
            .map(|row| {
                let (start, length) = bounds(row);
                let place = self.place(index.at(row).filter(|_| array.is_valid(row))?, length)?;
                Some((start + place) as u64)
            })
            .collect();
        Ok(take(&values, &places, None)?)
    }
}

/// The value of `key` in each map; of a key that occurs twice, the first.
fn of_map(map: &MapArray, key: &ArrayRef) -> Result<ArrayRef> {
    let key = cast(key, map.keys().data_type())?;
    let compare = arrow::array::make_comparator(map.keys(), &key, SortOptions::default())?;
    let places: UInt64Array = (0..map.len())
        .map(|row| {
            if map.is_null(row) || key.is_null(row) {
                return None;
            }
            let range = map.value_offsets()[row] as usize..map.value_offsets()[row + 1] as usize;
            range.into_iter().find(|&at| compare(at, row).is_eq()).map(|at| at as u64)
        })
        .collect();
    Ok(take(map.values(), &places, None)?)
}

impl ScalarUDFImpl for Element {
    fn name(&self) -> &str {
        match self.base {
            Base::Zero => "spark_array_get",
            Base::One => "element_at",
        }
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_count(self.name(), given.len(), 2, 2)?;
        match &given[0] {
            DataType::List(_) | DataType::LargeList(_) | DataType::Null => Ok(vec![given[0].clone(), DataType::Int64]),
            DataType::FixedSizeList(item, _) | DataType::ListView(item) => {
                Ok(vec![DataType::List(Arc::clone(item)), DataType::Int64])
            }
            DataType::Map(entries, _) if self.base == Base::One => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => {
                    Ok(vec![given[0].clone(), fields[0].data_type().clone()])
                }
                other => plan_err!("{}: a map of {other} is not supported", self.name()),
            },
            other => plan_err!(
                "{} takes an array{}, got {other}",
                self.name(),
                if self.base == Base::One { " or a map" } else { "" }
            ),
        }
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        match &given[0] {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                Ok(item.data_type().clone())
            }
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => Ok(fields[1].data_type().clone()),
                other => plan_err!("{}: a map of {other} is not supported", self.name()),
            },
            _ => Ok(DataType::Null),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<_> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        if let (Base::One, DataType::List(_), Some(Some(index))) = (self.base, &types[0], args.scalar_arguments.get(1))
            && index.cast_to(&DataType::Int64).is_ok_and(|index| index == ScalarValue::Int64(Some(0)))
        {
            return plan_err!(
                "element_at counts from 1 (or from the end with a negative index): the index 0 is invalid"
            );
        }
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = views::rows_of(&args.args, args.number_rows);
        let array = args.args[0].to_array(rows)?;
        let found = match array.data_type() {
            DataType::Null => new_null_array(args.return_field.data_type(), rows),
            DataType::Map(_, _) => of_map(array.as_map(), &args.args[1].to_array(rows)?)?,
            _ => self.of_list(&array, &args.args[1])?,
        };
        views::scalar_if_constant(found, &args.args)
    }
}
