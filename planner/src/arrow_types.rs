//! SQL column types as Arrow types.

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use salamander_sql::{ColumnDef, ColumnType, Name, StructField};
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

/// The column type that holds values of an Arrow type, perhaps wider; none if no column can.
pub fn column_type(arrow: &DataType) -> Option<ColumnType> {
    Some(match arrow {
        DataType::Boolean => ColumnType::Boolean,
        DataType::Int8 => ColumnType::TinyInt,
        DataType::Int16 | DataType::UInt8 => ColumnType::SmallInt,
        DataType::Int32 | DataType::UInt16 => ColumnType::Int,
        DataType::Int64 | DataType::UInt32 => ColumnType::BigInt,
        DataType::UInt64 => ColumnType::Decimal { precision: 20, scale: 0 },
        DataType::Float16 | DataType::Float32 => ColumnType::Float,
        DataType::Float64 => ColumnType::Double,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => {
            ColumnType::Decimal { precision: *precision, scale: u8::try_from(*scale).ok()? }
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => ColumnType::String,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => ColumnType::Binary,
        DataType::Date32 | DataType::Date64 => ColumnType::Date,
        DataType::Timestamp(_, _) => ColumnType::Timestamp,
        DataType::Dictionary(_, value) => column_type(value)?,
        DataType::List(item) | DataType::LargeList(item) => ColumnType::Array(Box::new(column_type(item.data_type())?)),
        DataType::Struct(fields) => {
            let field = |field: &Arc<Field>| {
                let name = Name::new(field.name().clone()).ok()?;
                Some(StructField { name, column_type: column_type(field.data_type())? })
            };
            ColumnType::Struct(fields.iter().map(field).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// The Arrow schema of columns. Names are in lower case, as names compare without regard to case and as Hive has them.
pub fn arrow_schema<'a>(columns: impl IntoIterator<Item = &'a ColumnDef>) -> Schema {
    let fields = columns.into_iter().map(|c| Field::new(c.name.key(), arrow_type(&c.column_type), c.nullable));
    Schema::new(fields.collect::<Vec<_>>())
}
