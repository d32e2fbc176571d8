//! `salamander stop`: a job's orderly end.

use crate::args::ServerUrl;
use crate::client::Client;
use crate::commands::submit::spinner;
use crate::config::FileConfig;
use crate::output;
use clap::Args;
use salamander_sql::Name;
use std::io::Write;

/// Arguments of `stop`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  salamander stop ingest\nThe same as `salamander sql -e 'STOP JOB ingest'`. \
                        The job commits what it has read, rolls its rows into files, and ends.")]
pub(crate) struct StopArgs {
    #[command(flatten)]
    server: ServerUrl,

    /// The job's name.
    #[arg(value_name = "JOB")]
    job: String,
}

/// Runs `stop`.
pub(crate) async fn run(args: StopArgs, config: &FileConfig) -> anyhow::Result<()> {
    let name = Name::new(args.job.as_str())?;
    let mut client = Client::connect(&args.server, config).await?;
    let spinner = spinner(format!("stopping {}", args.job));
    let result = client.run_all(&format!("STOP JOB {}", name.to_sql())).await;
    spinner.finish_and_clear();
    for line in output::messages(&result?)? {
        writeln!(output::stdout(), "{line}")?;
    }
    Ok(())
}
