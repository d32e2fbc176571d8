//! Answers of statements that aren't queries, as rows.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use std::sync::Arc;

/// A column of an answer.
#[derive(Debug, Clone)]
pub enum Column {
    /// Text, or NULL.
    Text(&'static str, Vec<Option<String>>),
    /// A number, or NULL.
    Number(&'static str, Vec<Option<i64>>),
}

/// Schema of an answer with these columns, whatever its rows.
pub fn schema(columns: &[Column]) -> SchemaRef {
    let fields = columns.iter().map(|column| match column {
        Column::Text(name, _) => Field::new(*name, DataType::Utf8, true),
        Column::Number(name, _) => Field::new(*name, DataType::Int64, true),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// An answer as a stream of one batch.
///
/// # Errors
/// When the columns differ in length.
pub fn stream(columns: Vec<Column>) -> datafusion::common::Result<SendableRecordBatchStream> {
    let schema = schema(&columns);
    let arrays = columns.into_iter().map(|column| match column {
        Column::Text(_, values) => Arc::new(StringArray::from(values)) as ArrayRef,
        Column::Number(_, values) => Arc::new(Int64Array::from(values)) as ArrayRef,
    });
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays.collect())?;
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter([Ok(batch)]))))
}

/// The answer of a statement that only does something: one line that says what was done.
pub fn done(message: impl Into<String>) -> Vec<Column> {
    vec![Column::Text("result", vec![Some(message.into())])]
}
