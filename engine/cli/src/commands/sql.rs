//! `salamander sql`: statements, interactively or as a script.

use crate::args::ServerUrl;
use crate::client::Client;
use crate::config::FileConfig;
use crate::output::{self, Format};
use crate::{script, shell};
use anyhow::{Context, bail};
use clap::Args;
use salamander_sql::Piece;
use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use tokio::runtime::Runtime;

const EXAMPLES: &str = "\
Examples:
  salamander sql                                       interactive: history, completion, \\? for help
  salamander sql -e 'SHOW TABLES; SHOW JOBS'
  salamander sql -f report.sql --format csv > report.csv
  echo 'SELECT count(*) FROM logs' | salamander sql --format json
A script stops at its first error. Ctrl-C stops the statement that runs, also on the server.";

/// Arguments of `sql`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SqlArgs {
    #[command(flatten)]
    server: ServerUrl,

    /// Statements, separated by semicolons.
    #[arg(short, value_name = "SQL", conflicts_with = "file", allow_hyphen_values = true)]
    execute: Option<String>,

    /// A file of statements.
    #[arg(short, value_name = "FILE")]
    file: Option<PathBuf>,

    /// How results look.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Runs `sql`.
pub(crate) fn run(args: SqlArgs, config: &FileConfig, runtime: &Runtime) -> anyhow::Result<()> {
    let script = match (&args.execute, &args.file) {
        (Some(text), _) => Some(text.clone()),
        (None, Some(path)) => Some(read(path)?),
        (None, None) if std::io::stdin().is_terminal() => None,
        (None, None) => Some(read_stdin()?),
    };
    let mut client = runtime.block_on(Client::connect(&args.server, config))?;
    match script {
        Some(script) => runtime.block_on(run_script(&mut client, &script, args.format)),
        None => shell::run(runtime, client, args.format),
    }
}

/// A script's text.
pub(crate) fn read(path: &std::path::Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))
}

fn read_stdin() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("can't read standard input")?;
    Ok(text)
}

async fn run_script(client: &mut Client, script: &str, format: Format) -> anyhow::Result<()> {
    let pieces = salamander_sql::split(script);
    if pieces.is_empty() {
        bail!("there is no statement to run");
    }
    for piece in &pieces {
        tokio::select! {
            rows = run_piece(client, piece, format) => drop(rows?),
            _ = tokio::signal::ctrl_c() => bail!("stopped"),
        }
    }
    Ok(())
}

/// Runs one statement of a script and writes its result; returns the number of rows.
pub(crate) async fn run_piece(client: &mut Client, piece: &Piece<'_>, format: Format) -> anyhow::Result<usize> {
    if let Some(database) = script::used_database(piece.text) {
        client.use_database(&database).await?;
        return Ok(0);
    }
    let result = client.run(&script::in_place(piece)).await?;
    if format == Format::Table && output::is_message(&result.schema) {
        for line in output::messages(&result.collect().await?)? {
            writeln!(output::stdout(), "{line}")?;
        }
        return Ok(0);
    }
    output::write(result, format, &mut output::stdout()).await
}
