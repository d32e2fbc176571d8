//! SQL column types as Arrow types.

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use salamander_sql::{ColumnDef, ColumnType};
use std::sync::Arc;

/// The Arrow type of a column type: STRING is `Utf8View`, TIMESTAMP is microseconds in UTC.
pub fn arrow_type(column: &ColumnType) -> DataType {
    match column {
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::TinyInt => DataType::Int8,
        ColumnType::SmallInt => DataType::Int16,
        ColumnType::Int => DataType::Int32,
        ColumnType::BigInt => DataType::Int64,
        ColumnType::Float => DataType::Float32,
        ColumnType::Double => DataType::Float64,
        ColumnType::Decimal { precision, scale } => {
            // A scale is at most 38: it fits.
            DataType::Decimal128(*precision, i8::try_from(*scale).unwrap_or(i8::MAX))
        }
        ColumnType::String => DataType::Utf8View,
        ColumnType::Binary => DataType::BinaryView,
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ColumnType::Array(element) => DataType::List(Arc::new(Field::new("element", arrow_type(element), true))),
        ColumnType::Map(key, value) => {
            let entries = Fields::from(vec![
                Field::new("key", arrow_type(key), false),
                Field::new("value", arrow_type(value), true),
            ]);
            DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
        }
        ColumnType::Struct(fields) => DataType::Struct(
            fields.iter().map(|f| Field::new(f.name.key(), arrow_type(&f.column_type), true)).collect(),
        ),
    }
}

/// The Arrow schema of columns. Names are in lower case, as names compare without regard to case and as Hive has them.
pub fn arrow_schema<'a>(columns: impl IntoIterator<Item = &'a ColumnDef>) -> Schema {
    let fields = columns.into_iter().map(|c| Field::new(c.name.key(), arrow_type(&c.column_type), c.nullable));
    Schema::new(fields.collect::<Vec<_>>())
}
