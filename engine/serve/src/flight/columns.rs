//! The types and column metadata that clients get.
//!
//! ODBC drivers fail on view, dictionary, large, half-float and 256-bit types, and take a column without Flight SQL's
//! metadata for one that can't be searched. So a result's schema is *adapted*: plain types only, every column with
//! metadata. The adapted schema is a pure function of the engine's: what is described and what is streamed agree.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use std::collections::HashMap;
use std::sync::Arc;

/// The length that drivers assume for text columns; they would take 1024 otherwise.
pub(crate) const TEXT_LENGTH: i32 = 65_536;

/// The table that a column belongs to, when it is known.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) catalog: &'a str,
    pub(crate) schema: &'a str,
    pub(crate) table: &'a str,
}

/// The schema that clients get for a result. All its columns may be NULL and have our metadata only: plans and streams
/// don't always agree about either, and clients refuse a stream that differs from its description.
pub(crate) fn result_schema(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let data_type = adapt_type(field.data_type());
        let metadata = column_metadata(&data_type, None);
        Field::new(field.name(), data_type, true).with_metadata(metadata)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The schema that clients get for a table.
pub(crate) fn table_schema(schema: &Schema, origin: Origin<'_>) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let adapted = adapt_field(field);
        let mut metadata = adapted.metadata().clone();
        metadata.extend(column_metadata(adapted.data_type(), Some(origin)));
        adapted.as_ref().clone().with_metadata(metadata)
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

/// The batch with the types of an adapted schema.
pub(crate) fn adapt_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    if batch.num_columns() != schema.fields().len() {
        return Err(ArrowError::SchemaError(format!(
            "the result has {} columns where {} were described",
            batch.num_columns(),
            schema.fields().len()
        )));
    }
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| adapt_column(column, field))
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

fn adapt_column(column: &ArrayRef, field: &Field) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == field.data_type() {
        return Ok(Arc::clone(column));
    }
    // Not "safe" in Arrow's sense: a value that doesn't fit is an error, never a silent NULL.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, field.data_type(), &options).map_err(|error| {
        ArrowError::CastError(format!("column {:?} can't be sent as {}: {error}", field.name(), field.data_type()))
    })
}

fn adapt_field(field: &FieldRef) -> FieldRef {
    let adapted = adapt_type(field.data_type());
    if adapted == *field.data_type() {
        return Arc::clone(field);
    }
    // A fresh field: a dictionary's encoding options have no meaning for plain values.
    Arc::new(Field::new(field.name(), adapted, field.is_nullable()).with_metadata(field.metadata().clone()))
}

fn adapt_type(data_type: &DataType) -> DataType {
    use DataType::*;
    match data_type {
        Utf8View | LargeUtf8 | Null => Utf8,
        BinaryView | LargeBinary | FixedSizeBinary(_) => Binary,
        Float16 => Float32,
        Decimal32(precision, scale) | Decimal64(precision, scale) => Decimal128(*precision, *scale),
        Decimal256(precision, scale) => Decimal128((*precision).min(38), *scale),
        Timestamp(TimeUnit::Nanosecond | TimeUnit::Second, zone) => Timestamp(TimeUnit::Microsecond, zone.clone()),
        Dictionary(_, values) => adapt_type(values),
        List(item) | LargeList(item) => List(adapt_field(item)),
        FixedSizeList(item, length) => FixedSizeList(adapt_field(item), *length),
        Struct(fields) => Struct(fields.iter().map(adapt_field).collect()),
        Map(entries, sorted) => Map(adapt_field(entries), *sorted),
        plain => plain.clone(),
    }
}

/// Name, precision and scale of a type, as ODBC and JDBC name them.
pub(crate) fn sql_type(data_type: &DataType) -> (&'static str, i32, i32) {
    use DataType::*;
    match data_type {
        Boolean => ("BOOLEAN", 1, 0),
        Int8 | UInt8 => ("TINYINT", 3, 0),
        Int16 | UInt16 => ("SMALLINT", 5, 0),
        Int32 | UInt32 => ("INTEGER", 10, 0),
        Int64 | UInt64 => ("BIGINT", 19, 0),
        Float16 | Float32 => ("REAL", 7, 0),
        Float64 => ("DOUBLE", 15, 0),
        Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) | Decimal256(p, s) => {
            ("DECIMAL", i32::from(*p), i32::from(*s))
        }
        Date32 | Date64 => ("DATE", 10, 0),
        Time32(_) | Time64(_) => ("TIME", 15, 6),
        Timestamp(_, _) => ("TIMESTAMP", 26, 6),
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => ("VARBINARY", TEXT_LENGTH, 0),
        Interval(_) | Duration(_) => ("INTERVAL", 0, 0),
        List(_) | LargeList(_) | FixedSizeList(_, _) | ListView(_) | LargeListView(_) => ("ARRAY", 0, 0),
        Struct(_) => ("STRUCT", 0, 0),
        Map(_, _) => ("MAP", 0, 0),
        _ => ("VARCHAR", TEXT_LENGTH, 0),
    }
}

fn column_metadata(data_type: &DataType, origin: Option<Origin<'_>>) -> HashMap<String, String> {
    let (name, precision, scale) = sql_type(data_type);
    let flag = |value: bool| if value { "1" } else { "0" }.to_owned();
    let mut entries = vec![
        ("TYPE_NAME", name.to_owned()),
        ("PRECISION", precision.to_string()),
        ("SCALE", scale.to_string()),
        ("IS_SEARCHABLE", flag(true)),
        ("IS_CASE_SENSITIVE", flag(name == "VARCHAR")),
        ("IS_AUTO_INCREMENT", flag(false)),
        ("IS_READ_ONLY", flag(true)),
    ];
    if let Some(origin) = origin {
        entries.push(("CATALOG_NAME", origin.catalog.to_owned()));
        entries.push(("SCHEMA_NAME", origin.schema.to_owned()));
        entries.push(("TABLE_NAME", origin.table.to_owned()));
    }
    entries.into_iter().map(|(key, value)| (format!("ARROW:FLIGHT:SQL:{key}"), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        Array, Decimal256Array, DictionaryArray, Int32Array, ListBuilder, StringArray, StringViewArray,
        StringViewBuilder, TimestampNanosecondArray,
    };
    use arrow::datatypes::{Int32Type, i256};

    fn check(column: ArrayRef, expected: &DataType) -> ArrayRef {
        let schema = Schema::new(vec![Field::new("c", column.data_type().clone(), true)]);
        let adapted = result_schema(&schema);
        assert_eq!(adapted.field(0).data_type(), expected);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![column]).unwrap();
        Arc::clone(adapt_batch(&batch, &adapted).unwrap().column(0))
    }

    #[test]
    fn types_that_drivers_do_not_know_become_plain_ones() {
        let plain = StringArray::from(vec![Some("a"), None]);
        let views: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None]));
        assert_eq!(check(views, &DataType::Utf8).as_ref(), &plain as &dyn Array);
        let dictionary: DictionaryArray<Int32Type> = vec![Some("a"), None].into_iter().collect();
        let sent = check(Arc::new(dictionary), &DataType::Utf8);
        assert_eq!(sent.as_ref(), &plain as &dyn Array);
        check(Arc::new(TimestampNanosecondArray::from(vec![1_500])), &DataType::Timestamp(TimeUnit::Microsecond, None));
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        lists.append_value([Some("x")]);
        check(Arc::new(lists.finish()), &DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))));
    }

    #[test]
    fn a_value_that_does_not_fit_is_an_error_that_names_the_column() {
        let wide = Decimal256Array::from(vec![i256::MAX]).with_precision_and_scale(76, 0).unwrap();
        let schema = Schema::new(vec![Field::new("amount", wide.data_type().clone(), true)]);
        let adapted = result_schema(&schema);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(wide)]).unwrap();
        let error = adapt_batch(&batch, &adapted).unwrap_err().to_string();
        assert!(error.contains("\"amount\""), "{error}");
    }

    #[test]
    fn every_column_has_metadata_and_keeps_its_own() {
        let own = HashMap::from([("k".to_owned(), "v".to_owned())]);
        let schema = Schema::new(vec![
            Field::new("n", DataType::Int32, false).with_metadata(own),
            Field::new("s", DataType::Utf8View, true),
        ]);
        let origin = Origin { catalog: "c", schema: "d", table: "t" };
        let adapted = table_schema(&schema, origin);
        let n = adapted.field(0).metadata();
        assert_eq!(n["k"], "v");
        assert_eq!(n["ARROW:FLIGHT:SQL:TYPE_NAME"], "INTEGER");
        assert_eq!(n["ARROW:FLIGHT:SQL:TABLE_NAME"], "t");
        let s = adapted.field(1).metadata();
        assert_eq!(s["ARROW:FLIGHT:SQL:PRECISION"], "65536");
        assert_eq!(s["ARROW:FLIGHT:SQL:IS_SEARCHABLE"], "1");
        let rows = RecordBatch::try_new(
            Arc::new(schema),
            vec![Arc::new(Int32Array::from(vec![1])), Arc::new(StringViewArray::from(vec!["x"]))],
        )
        .unwrap();
        assert_eq!(adapt_batch(&rows, &adapted).unwrap().schema(), adapted);
    }
}
