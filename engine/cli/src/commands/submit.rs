//! `salamander submit`: a file of statements, each one reported.

use crate::args::ServerUrl;
use crate::client::Client;
use crate::commands::sql::{read, run_piece};
use crate::config::FileConfig;
use crate::output::Format;
use crate::script;
use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::borrow::Cow;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Example:
  salamander submit docs/examples/realtime-logs/pipeline.sql && salamander jobs
It stops at the first error; what ran before it stays. Write IF NOT EXISTS to run a file again.
${VARIABLE} and ${file:PATH} in options are looked up on the server.";

/// Arguments of `submit`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SubmitArgs {
    #[command(flatten)]
    server: ServerUrl,

    /// A file of statements, separated by semicolons.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Runs `submit`.
pub(crate) async fn run(args: SubmitArgs, config: &FileConfig) -> anyhow::Result<()> {
    let text = read(&args.file)?;
    let pieces = salamander_sql::split(&text);
    if pieces.is_empty() {
        bail!("{} holds no statement", args.file.display());
    }
    let mut client = Client::connect(&args.server, config).await?;
    for (number, piece) in pieces.iter().enumerate() {
        let headline = script::headline(piece.text);
        let spinner = spinner(format!("{}/{} {headline}", number + 1, pieces.len()));
        let began = Instant::now();
        let ran = run_piece(&mut client, piece, Format::Table).await;
        spinner.finish_and_clear();
        ran.with_context(|| format!("{}, statement {} of {}", args.file.display(), number + 1, pieces.len()))?;
        eprintln!("ok {headline} ({:.3} s)", began.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Something that turns on a terminal's standard error while a person waits; nothing elsewhere.
pub(crate) fn spinner(message: impl Into<Cow<'static, str>>) -> ProgressBar {
    const TICK: Duration = Duration::from_millis(100);
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
    let bar = ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        .with_message(message);
    bar.enable_steady_tick(TICK);
    bar
}
