//! End to end: a file of log lines through the users' pipeline into rolled Parquet, segments and rolls counted.
//!
//! ```text
//! cargo run --release -p salamander-benches --bin ingest -- --rows 2000000
//! ```
//!
//! Prints one JSON line: rows, rows/s, rows per CPU second, peak memory of this process.

#![allow(clippy::print_stdout, reason = "a benchmark's result goes to standard output")]

use anyhow::{Context, Result, bail};
use arrow::array::{Array, Int64Array, StringArray};
use clap::Parser;
use futures::StreamExt;
use salamander_benches::{pipeline, usage};
use salamander_cluster::{Head, HeadOptions};
use salamander_serve::{Session, StatementService};
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(Debug, Parser)]
struct Arguments {
    /// Lines to ingest.
    #[arg(long, default_value_t = 2_000_000)]
    rows: u64,
    /// Where the lines are kept between runs.
    #[arg(long, default_value = "/tmp/salamander-bench")]
    folder: PathBuf,
    /// A file of lines to read instead of generated ones.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Where to write, kept afterwards; a temporary folder if not given.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Table properties.
    #[arg(long, default_value = "'roll_size' = '128 MB', 'roll_interval' = '5 minutes'")]
    properties: String,
}

fn main() -> Result<()> {
    salamander_cluster::memory::keep_freed_memory();
    tokio::runtime::Runtime::new()?.block_on(run_all())
}

async fn run_all() -> Result<()> {
    let arguments = Arguments::parse();
    let file = match arguments.file {
        Some(file) => file,
        None => pipeline::lines_file(&arguments.folder, arguments.rows, 0.0)?,
    };
    let scratch = tempfile::tempdir()?;
    let head = Head::start(HeadOptions::new(scratch.path().join("data"))).await?;
    let session = Session::internal("bench");
    let source = format!("'connector' = 'files', 'path' = '{}', 'format' = 'text'", file.display());
    let out = arguments.out.unwrap_or_else(|| scratch.path().join("table"));
    let script = pipeline::script(&source, &out, &arguments.properties)?;
    let (cpu, begun) = (usage::cpu_seconds(), Instant::now());
    for statement in salamander_sql::split(&script) {
        run(&head, &session, statement.text).await?;
    }
    let rows = finished(&head, &session).await?;
    let (wall, cpu) = (begun.elapsed().as_secs_f64(), usage::cpu_seconds() - cpu);
    let peak = usage::peak_memory_mib();
    println!(
        "{}",
        serde_json::json!({
            "bench": "ingest", "rows": rows, "seconds": wall, "rows_per_second": (rows as f64 / wall).round(),
            "cpu_seconds": cpu, "rows_per_cpu_second": (rows as f64 / cpu).round(), "peak_mib": peak.round(),
        })
    );
    head.shutdown().await;
    Ok(())
}

/// Waits until the one job has read, committed and rolled everything; the rows that it wrote.
async fn finished(head: &Head, session: &Session) -> Result<i64> {
    loop {
        let batch = run(head, session, "SHOW JOBS").await?.context("SHOW JOBS gives rows")?;
        let text = |name: &str| -> Result<String> {
            let column = batch.column_by_name(name).context("a column is missing")?;
            let column = column.as_any().downcast_ref::<StringArray>().context("not text")?;
            Ok(if column.is_null(0) { String::new() } else { column.value(0).to_owned() })
        };
        match text("state")?.as_str() {
            "finished" => {
                let column = batch.column_by_name("rows_written").context("a column is missing")?;
                return Ok(column.as_any().downcast_ref::<Int64Array>().context("not a number")?.value(0));
            }
            "failed" | "retrying" => bail!("the job failed: {}", text("detail")?),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Runs a statement; its first batch of rows.
async fn run(head: &Head, session: &Session, sql: &str) -> Result<Option<arrow::array::RecordBatch>> {
    let mut stream = head.execute(session, sql).await?;
    let mut first = None;
    while let Some(batch) = stream.next().await {
        first.get_or_insert(batch?);
    }
    Ok(first)
}
