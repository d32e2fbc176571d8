//! `salamander explain`: how queries and jobs would run.

use crate::args::ServerUrl;
use crate::client::Client;
use crate::commands::sql::read;
use crate::config::FileConfig;
use crate::output;
use crate::script;
use anyhow::bail;
use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clap::Args;
use salamander_sql::Piece;
use std::io::Write;
use std::path::Path;

const EXAMPLES: &str = "\
Examples:
  salamander explain 'SELECT url, count(*) FROM logs GROUP BY url'
  salamander explain pipeline.sql          every query and job in the file; its tables must exist";

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    server: ServerUrl,

    /// A statement, or a file of statements.
    #[arg(value_name = "SQL|FILE")]
    statement: String,
}

/// Runs `explain`.
pub(crate) async fn run(args: ExplainArgs, config: &FileConfig) -> anyhow::Result<()> {
    let path = Path::new(&args.statement);
    let text = if path.is_file() { read(path)? } else { args.statement.clone() };
    let pieces: Vec<Piece<'_>> = salamander_sql::split(&text).into_iter().filter(can_be_explained).collect();
    if pieces.is_empty() {
        bail!("there is no query, INSERT or CREATE JOB to explain in {:?}", args.statement);
    }
    let mut client = Client::connect(&args.server, config).await?;
    let mut out = output::stdout();
    for piece in &pieces {
        if pieces.len() > 1 {
            writeln!(out, "-- {}", script::headline(piece.text))?;
        }
        let batches = client.run_all(&format!("EXPLAIN {}", piece.text)).await?;
        for batch in &batches {
            write_plans(batch, &mut out)?;
        }
    }
    Ok(())
}

/// Judged by the first word, so that the server's errors are the ones that are seen.
fn can_be_explained(piece: &Piece<'_>) -> bool {
    let mut words = piece.text.split_whitespace().map(str::to_ascii_uppercase);
    match words.next().as_deref() {
        Some("CREATE") => words.next().as_deref() == Some("JOB"),
        Some("DROP" | "SHOW" | "USE" | "SET" | "DESCRIBE" | "STOP" | "ALTER") => false,
        Some(_) => true,
        None => false,
    }
}

/// One row is one plan: its name, if there is a column for it, and its text with its line breaks.
fn write_plans(batch: &RecordBatch, out: &mut impl Write) -> anyhow::Result<()> {
    let options = FormatOptions::default();
    let columns = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options))
        .collect::<Result<Vec<_>, _>>()?;
    for row in 0..batch.num_rows() {
        let cells: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
        match cells.as_slice() {
            [kind, plan] => writeln!(out, "{kind}:\n{}", plan.trim_end())?,
            cells => writeln!(out, "{}", cells.join("\t").trim_end())?,
        }
    }
    Ok(())
}
