//! The values of columns while a batch is decoded, of the types that fields of text can hold.

use crate::views::string_column;
use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::{DataType, TimeUnit};
use std::sync::Arc;

/// How a column's fields are read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Text,
    Int8,
    Int16,
    Int32,
    Int64,
    Float,
    Double,
    Boolean,
    Decimal(u8, i8),
    Date,
    Timestamp,
}

impl Kind {
    /// The kind of a type; none if text holds no values of it.
    pub(crate) fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Utf8View => Self::Text,
            DataType::Int8 => Self::Int8,
            DataType::Int16 => Self::Int16,
            DataType::Int32 => Self::Int32,
            DataType::Int64 => Self::Int64,
            DataType::Float32 => Self::Float,
            DataType::Float64 => Self::Double,
            DataType::Boolean => Self::Boolean,
            DataType::Decimal128(precision, scale) if *scale >= 0 => Self::Decimal(*precision, *scale),
            DataType::Date32 => Self::Date,
            DataType::Timestamp(TimeUnit::Microsecond, _) => Self::Timestamp,
            _ => return None,
        })
    }
}

/// The values of one column so far.
pub(crate) struct Lane {
    pub(crate) values: Values,
    /// Kept only if there is a text for NULL.
    pub(crate) valid: Option<Vec<bool>>,
    /// Whether the column is asked for. One that isn't is parsed too, but keeps nothing.
    pub(crate) wanted: bool,
}

/// Values of one type.
pub(crate) enum Values {
    Text(Vec<u128>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Boolean(Vec<bool>),
    Decimal(Vec<i128>),
    Date(Vec<i32>),
    Timestamp(Vec<i64>),
}

macro_rules! each_kind {
    ($values:expr, $vec:ident => $body:expr) => {
        match $values {
            Values::Text($vec) => $body,
            Values::Int8($vec) => $body,
            Values::Int16($vec) => $body,
            Values::Int32($vec) => $body,
            Values::Int64($vec) => $body,
            Values::Float($vec) => $body,
            Values::Double($vec) => $body,
            Values::Boolean($vec) => $body,
            Values::Decimal($vec) => $body,
            Values::Date($vec) => $body,
            Values::Timestamp($vec) => $body,
        }
    };
}

impl Values {
    pub(crate) fn new(kind: Kind, capacity: usize) -> Self {
        match kind {
            Kind::Text => Self::Text(Vec::with_capacity(capacity)),
            Kind::Int8 => Self::Int8(Vec::with_capacity(capacity)),
            Kind::Int16 => Self::Int16(Vec::with_capacity(capacity)),
            Kind::Int32 => Self::Int32(Vec::with_capacity(capacity)),
            Kind::Int64 => Self::Int64(Vec::with_capacity(capacity)),
            Kind::Float => Self::Float(Vec::with_capacity(capacity)),
            Kind::Double => Self::Double(Vec::with_capacity(capacity)),
            Kind::Boolean => Self::Boolean(Vec::with_capacity(capacity)),
            Kind::Decimal(..) => Self::Decimal(Vec::with_capacity(capacity)),
            Kind::Date => Self::Date(Vec::with_capacity(capacity)),
            Kind::Timestamp => Self::Timestamp(Vec::with_capacity(capacity)),
        }
    }
}

impl Lane {
    /// Takes the bad rows of the block that began at `base` out, or all of it if the column isn't wanted.
    pub(crate) fn end_block(&mut self, base: usize, keep: &[bool]) {
        if !self.wanted {
            each_kind!(&mut self.values, values => values.clear());
            self.valid.iter_mut().for_each(Vec::clear);
        } else if keep.contains(&false) {
            each_kind!(&mut self.values, values => compact(values, base, keep));
            self.valid.iter_mut().for_each(|valid| compact(valid, base, keep));
        }
    }

    /// The column.
    pub(crate) fn into_array(self, data_type: &DataType, buffers: &Arc<[Buffer]>) -> ArrayRef {
        let nulls = self.valid.filter(|valid| valid.contains(&false)).map(NullBuffer::from);
        match self.values {
            Values::Text(views) => Arc::new(string_column(views, Arc::clone(buffers), nulls)),
            Values::Int8(values) => Arc::new(Int8Array::new(values.into(), nulls)),
            Values::Int16(values) => Arc::new(Int16Array::new(values.into(), nulls)),
            Values::Int32(values) => Arc::new(Int32Array::new(values.into(), nulls)),
            Values::Int64(values) => Arc::new(Int64Array::new(values.into(), nulls)),
            Values::Float(values) => Arc::new(Float32Array::new(values.into(), nulls)),
            Values::Double(values) => Arc::new(Float64Array::new(values.into(), nulls)),
            Values::Boolean(values) => Arc::new(BooleanArray::new(values.into(), nulls)),
            Values::Decimal(values) => {
                Arc::new(Decimal128Array::new(values.into(), nulls).with_data_type(data_type.clone()))
            }
            Values::Date(values) => Arc::new(Date32Array::new(values.into(), nulls)),
            Values::Timestamp(values) => {
                Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_data_type(data_type.clone()))
            }
        }
    }
}

/// Keeps of `values[base..]` those that `keep` says.
fn compact<T: Copy>(values: &mut Vec<T>, base: usize, keep: &[bool]) {
    let mut to = base;
    for (from, &kept) in keep.iter().enumerate() {
        values[to] = values[base + from];
        to += usize::from(kept);
    }
    values.truncate(to);
}
