//! Runs `tests/slt/*.slt` (sqllogictest) over Flight SQL against a server process, each file on a data directory of
//! its own. `$__TEST_DIR__` in a file is a fresh folder. `SALAMANDER_BLESS=1` rewrites what the files expect.

use crate::process::Server;
use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::TryStreamExt;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};

/// A connection as sqllogictest sees it.
struct Database(FlightSqlServiceClient<Channel>);

#[derive(Debug)]
struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<FlightError> for Failure {
    fn from(error: FlightError) -> Self {
        match error {
            FlightError::Tonic(status) => Self(status.message().to_owned()),
            other => Self(other.to_string()),
        }
    }
}

impl From<arrow::error::ArrowError> for Failure {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self(error.to_string())
    }
}

#[async_trait::async_trait]
impl AsyncDB for Database {
    type Error = Failure;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        let info = self.0.execute(sql.to_owned(), None).await?;
        let schema = std::sync::Arc::new(info.clone().try_decode_schema()?);
        let ticket = info.endpoint.into_iter().next().and_then(|endpoint| endpoint.ticket);
        let ticket = ticket.ok_or_else(|| Failure("no ticket".to_owned()))?;
        let batches: Vec<RecordBatch> = self.0.do_get(ticket).await?.try_collect().await?;
        if schema.fields().len() == 1 && schema.field(0).name() == "result" {
            return Ok(DBOutput::StatementComplete(0));
        }
        Ok(DBOutput::Rows { types: types(&schema), rows: rows(&batches)? })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "salamander"
    }

    async fn sleep(duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

fn types(schema: &SchemaRef) -> Vec<DefaultColumnType> {
    let of = |data_type: &DataType| match data_type {
        t if t.is_integer() => DefaultColumnType::Integer,
        t if t.is_floating() => DefaultColumnType::FloatingPoint,
        DataType::Utf8 => DefaultColumnType::Text,
        _ => DefaultColumnType::Any,
    };
    schema.fields().iter().map(|field| of(field.data_type())).collect()
}

fn rows(batches: &[RecordBatch]) -> Result<Vec<Vec<String>>, Failure> {
    let options = FormatOptions::default();
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let cell = |(formatter, column): (&ArrayFormatter<'_>, &arrow::array::ArrayRef)| {
                let text = formatter.value(row).to_string();
                match text.as_str() {
                    _ if column.is_null(row) => "NULL".to_owned(),
                    "" => "(empty)".to_owned(),
                    _ => text,
                }
            };
            rows.push(columns.iter().zip(batch.columns()).map(cell).collect());
        }
    }
    Ok(rows)
}

async fn connect(url: &str) -> Result<Database, Failure> {
    let endpoint = Endpoint::from_shared(url.replace("grpc://", "http://")).map_err(|e| Failure(e.to_string()))?;
    let channel = endpoint.connect().await.map_err(|e| Failure(e.to_string()))?;
    Ok(Database(FlightSqlServiceClient::new(channel)))
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "slt"));
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn sqllogictest_files_hold() {
    let files = files();
    assert!(!files.is_empty());
    let bless = std::env::var_os("SALAMANDER_BLESS").is_some();
    for file in files {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path());
        let url = server.url.clone();
        let mut runner = Runner::new(move || {
            let url = url.clone();
            async move { connect(&url).await }
        });
        if bless {
            let updated = runner.update_test_file(
                &file,
                " ",
                sqllogictest::default_validator,
                sqllogictest::default_normalizer,
                sqllogictest::default_column_validator,
            );
            updated.await.unwrap();
        } else if let Err(error) = runner.run_file_async(&file).await {
            panic!("{}", error.display(false));
        }
        assert!(server.terminate().success());
    }
}
