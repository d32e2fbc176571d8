//! Results on standard output, batch by batch as they come.

mod csv;
mod json;
mod table;

use crate::client::ResultSet;
use arrow::array::{Array, ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clap::ValueEnum;
use futures::StreamExt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How results look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people.
    Table,
    /// CSV with a header; NULL is the empty field.
    Csv,
    /// One JSON object a row, one row a line; NULL is null.
    Json,
}

/// Writes one result in some format.
trait Writer {
    /// The next rows.
    fn rows(&mut self, batch: &RecordBatch) -> anyhow::Result<()>;
    /// No rows have come for a while: show what is held back.
    fn pause(&mut self) -> anyhow::Result<()>;
    /// No more rows.
    fn end(&mut self) -> anyhow::Result<()>;
}

/// The column of statements that only do something.
const MESSAGE_COLUMN: &str = "result";

/// Rows that come within this time are laid out together.
const PATIENCE: Duration = Duration::from_millis(200);

/// Writes a result; returns the number of rows. Nothing is written for a statement without a result.
pub(crate) async fn write(
    mut result: ResultSet,
    format: Format,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<usize> {
    let mut out = io::BufWriter::new(out);
    let quiet = result.schema.fields().is_empty();
    let mut rows = 0;
    {
        let mut writer = writer(&result.schema, format, &mut out);
        loop {
            let batch = match tokio::time::timeout(PATIENCE, result.batches.next()).await {
                Err(_) if quiet => continue,
                Err(_) => {
                    writer.pause()?;
                    continue;
                }
                Ok(None) => break,
                Ok(Some(batch)) => batch?,
            };
            rows += batch.num_rows();
            if !quiet {
                writer.rows(&batch)?;
            }
        }
        if !quiet {
            writer.end()?;
        }
    }
    out.flush()?;
    Ok(rows)
}

/// What the server says it has done, if the result is that rather than rows: one text column named `result`.
pub(crate) fn is_message(schema: &Schema) -> bool {
    matches!(schema.fields().as_ref(), [field] if field.name() == MESSAGE_COLUMN && *field.data_type() == DataType::Utf8)
}

/// The lines of such a result.
pub(crate) fn messages(batches: &[RecordBatch]) -> Result<Vec<String>, ArrowError> {
    let mut lines = Vec::new();
    for column in batches.iter().filter_map(|batch| batch.columns().first()) {
        lines.extend(texts(column)?.into_iter().flatten());
    }
    Ok(lines)
}

fn writer<'a>(schema: &Arc<Schema>, format: Format, out: &'a mut (dyn Write + Send)) -> Box<dyn Writer + Send + 'a> {
    match format {
        Format::Table => Box::new(table::TableWriter::new(Arc::clone(schema), out)),
        Format::Csv => Box::new(csv::CsvWriter::new(Arc::clone(schema), out)),
        Format::Json => Box::new(json::JsonWriter::new(out)),
    }
}

/// The values of a column as text; none for NULL.
fn texts(column: &ArrayRef) -> Result<Vec<Option<String>>, ArrowError> {
    let options = FormatOptions::default()
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"));
    let formatter = ArrayFormatter::try_new(column, &options)?;
    (0..column.len())
        .map(|row| {
            if column.is_null(row) {
                return Ok(None);
            }
            let mut text = String::new();
            formatter.value(row).write(&mut text)?;
            Ok(Some(text))
        })
        .collect()
}

/// The batch with nested columns as text, for formats that have no nesting.
fn flatten(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if field.data_type().is_nested() {
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
            columns.push(Arc::new(StringArray::from(texts(column)?)) as ArrayRef);
        } else {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// Set once a write to standard output has failed because its reader has gone.
static READER_GONE: AtomicBool = AtomicBool::new(false);

/// Standard output that remembers whether its reader has gone: what writes through it may wrap or lose the reason.
pub(crate) struct Stdout(io::Stdout);

/// Standard output.
pub(crate) fn stdout() -> Stdout {
    Stdout(io::stdout())
}

impl Stdout {
    fn note<T>(result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            READER_GONE.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::note(self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::note(self.0.flush())
    }
}

/// True when the reader of our output has gone (`| head`): no reason to complain.
pub(crate) fn is_reader_gone() -> bool {
    READER_GONE.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, ListBuilder, StringBuilder, TimestampMicrosecondArray};
    use expect_test::expect;
    use futures::stream;

    fn sample() -> RecordBatch {
        let mut tags = ListBuilder::new(StringBuilder::new());
        tags.append_value([Some("a"), Some("b")]);
        tags.append_null();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("n", Arc::new(Int64Array::from(vec![Some(1), None]))),
            ("text", Arc::new(StringArray::from(vec![Some("x,\"y\"\nz\u{1b}[31m"), None]))),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(1_500_000), None]))),
            ("tags", Arc::new(tags.finish())),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
    }

    fn written(format: Format) -> String {
        let batch = sample();
        let result = ResultSet { schema: batch.schema(), batches: stream::iter([Ok(batch)]).boxed() };
        let mut out = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let rows = runtime.block_on(write(result, format, &mut out)).unwrap();
        assert_eq!(rows, 2);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn tables_line_up_and_disarm_control_characters() {
        expect![[r#"
            +------+-------------+-------------------------+--------+
            | n    | text        | at                      | tags   |
            +------+-------------+-------------------------+--------+
            |    1 | x,"y"       | 1970-01-01 00:00:01.500 | [a, b] |
            |      | z\u{1b}[31m |                         |        |
            | NULL | NULL        | NULL                    | NULL   |
            +------+-------------+-------------------------+--------+
        "#]]
        .assert_eq(&written(Format::Table));
    }

    #[test]
    fn csv_quotes_and_flattens() {
        expect![[r#"
            n,text,at,tags
            1,"x,""y""
            z[31m",1970-01-01T00:00:01.500,"[a, b]"
            ,,,
        "#]]
        .assert_eq(&written(Format::Csv).replace('\u{1b}', ""));
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = written(Format::Json);
        let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines[0]["tags"], serde_json::json!(["a", "b"]));
        assert_eq!(lines[1], serde_json::json!({"n": null, "text": null, "at": null, "tags": null}));
    }
}
