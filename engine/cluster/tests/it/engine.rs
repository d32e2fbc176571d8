//! A head on a folder of the test's, and its answers as text.

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use salamander_cluster::{Head, HeadOptions};
use salamander_generator::Generator;
use salamander_serve::{Session, StatementError, StatementService};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A folder with a data directory, files to read and tables, and a head on it.
pub(crate) struct Engine {
    pub(crate) folder: Arc<TempDir>,
    pub(crate) head: Arc<Head>,
    pub(crate) session: Session,
}

pub(crate) fn options(folder: &Path) -> HeadOptions {
    HeadOptions {
        query_partitions: 2,
        job_partitions: 1,
        checkpoint_interval: Duration::from_millis(20),
        ..HeadOptions::new(folder.join("data"))
    }
}

impl Engine {
    pub(crate) async fn start() -> Self {
        Self::with(|options| options).await
    }

    pub(crate) async fn with(change: impl FnOnce(HeadOptions) -> HeadOptions) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        std::fs::create_dir(folder.path().join("in")).unwrap();
        let head = Head::start(change(options(folder.path()))).await.unwrap();
        Self { folder, head, session: Session::internal("test") }
    }

    /// Another head on the same folder.
    pub(crate) async fn another(&self) -> Self {
        let head = Head::start(options(self.folder.path())).await.unwrap();
        Self { folder: Arc::clone(&self.folder), head, session: self.session.clone() }
    }

    /// A path below the folder.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub(crate) async fn batches(&self, sql: &str) -> Result<Vec<RecordBatch>, StatementError> {
        let stream = self.head.execute(&self.session, sql).await?;
        let schema = self.head.describe(&self.session, sql).await;
        let batches: Vec<RecordBatch> = stream.try_collect().await.map_err(StatementError::internal)?;
        // What is described is what comes. A statement that changed something may not be describable afterwards.
        if let (Ok(schema), Some(batch)) = (schema, batches.first()) {
            assert_eq!(schema.fields(), batch.schema().fields(), "{sql}");
        }
        Ok(batches)
    }

    /// The rows of an answer, columns separated by ` | `.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<String> {
        let options = FormatOptions::default().with_null("NULL");
        let batches = self.batches(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let mut rows = Vec::new();
        for batch in &batches {
            let columns: Vec<_> =
                batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
            rows.extend(
                (0..batch.num_rows())
                    .map(|row| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join(" | ")),
            );
        }
        rows
    }

    pub(crate) async fn sorted(&self, sql: &str) -> Vec<String> {
        let mut rows = self.rows(sql).await;
        rows.sort();
        rows
    }

    /// The one value of an answer.
    pub(crate) async fn value(&self, sql: &str) -> String {
        let rows = self.rows(sql).await;
        assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
        rows[0].clone()
    }

    pub(crate) async fn error(&self, sql: &str) -> String {
        match self.batches(sql).await {
            Ok(_) => panic!("no error: {sql}"),
            Err(error) => error.message,
        }
    }

    /// A job's name, state and detail.
    pub(crate) async fn job(&self, name: &str) -> (String, String) {
        let rows = self.rows("SHOW JOBS").await;
        let row = rows.iter().find(|r| r.starts_with(&format!("{name} | "))).unwrap_or_else(|| panic!("{rows:?}"));
        let cells: Vec<&str> = row.split(" | ").collect();
        (cells[1].to_owned(), cells[cells.len() - 1].to_owned())
    }

    pub(crate) async fn wait_for_state(&self, job: &str, wanted: &str) -> String {
        let begun = Instant::now();
        loop {
            let (state, detail) = self.job(job).await;
            if state == wanted {
                return detail;
            }
            assert!(state != "failed" && begun.elapsed() < Duration::from_secs(60), "{job} is {state}: {detail}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn wait_for_rows(&self, table: &str, rows: usize) {
        let begun = Instant::now();
        loop {
            let found = self.value(&format!("SELECT count(*) FROM {table}")).await;
            if found == rows.to_string() {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{found} rows of {rows}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Runs each query (with its table's columns) as a job over input that ends, and as a SELECT: both give the same rows.
    pub(crate) async fn jobs_give_what_selects_give(&self, queries: &[(&str, &str)]) {
        for (i, (columns, query)) in queries.iter().enumerate() {
            let place = self.path(&format!("table{i}"));
            self.rows(&format!("CREATE EXTERNAL TABLE out{i} ({columns}) STORED AS PARQUET LOCATION '{place}'")).await;
            self.rows(&format!("CREATE JOB job{i} AS INSERT INTO out{i} {query}")).await;
        }
        for (i, (_, query)) in queries.iter().enumerate() {
            assert_eq!(self.wait_for_state(&format!("job{i}"), "finished").await, "all input has been read");
            let (found, expected) = (self.sorted(&format!("SELECT * FROM out{i}")).await, self.sorted(query).await);
            assert!(expected.len() > 5, "{query}: {expected:?}");
            assert!(found == expected, "{query}: {} rows instead of {}", found.len(), expected.len());
        }
    }

    /// Appends to a file of the folder `in`.
    pub(crate) fn append(&self, file: &str, text: &str) {
        use std::io::Write;
        let path = self.folder.path().join("in").join(file);
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// `events (body STRING)` over `in/events*`, `target (body STRING)`, and a job that follows.
    pub(crate) async fn follow(&self) {
        self.append("events.log", "");
        let (path, target) = (self.path("in/events*"), self.path("target"));
        for sql in [
            format!(
                "CREATE TABLE events (body STRING) WITH ('connector' = 'files', 'path' = '{path}', 'format' = 'text', 'follow' = 'true')"
            ),
            format!("CREATE EXTERNAL TABLE target (body STRING) STORED AS PARQUET LOCATION '{target}'"),
            "CREATE JOB copy AS INSERT INTO target SELECT body FROM events".to_owned(),
        ] {
            self.rows(&sql).await;
        }
    }
}

/// The users' lines, some of them damaged.
pub(crate) fn log_lines(rows: u64) -> String {
    let generator = Generator { damaged: 0.05, odd: 0.05, ..Generator::default() };
    let mut text = Vec::new();
    for row in 0..rows {
        generator.line(row, &mut text);
        text.push(b'\n');
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// `id,name,score,at`, each 11th line of which doesn't decode.
pub(crate) fn typed_lines(ids: std::ops::Range<u64>) -> String {
    let mut text = String::new();
    for id in ids {
        let _ = match id % 11 {
            5 => writeln!(text, "no number,{id}"),
            7 => writeln!(text, "{id},,{},2023-12-22T10:00:00", id % 13),
            _ => writeln!(
                text,
                "{id},name {} é,{}.{},2023-12-22T10:{:02}:{:02}.5",
                id % 17,
                id % 13,
                id % 10,
                id % 60,
                id % 59
            ),
        };
    }
    text
}
