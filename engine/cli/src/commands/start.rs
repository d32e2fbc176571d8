//! `salamander start`: a stopped job goes on.

use crate::args::ServerUrl;
use crate::client::Client;
use crate::config::FileConfig;
use crate::output;
use clap::Args;
use salamander_sql::Name;
use std::io::Write;

/// Arguments of `start`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  salamander start ingest\nThe same as `salamander sql -e 'START JOB ingest'`. \
                        The job goes on from its last checkpoint: no row is missed, none is read twice.")]
pub(crate) struct StartArgs {
    #[command(flatten)]
    server: ServerUrl,

    /// The job's name.
    #[arg(value_name = "JOB")]
    job: String,
}

/// Runs `start`.
pub(crate) async fn run(args: StartArgs, config: &FileConfig) -> anyhow::Result<()> {
    let name = Name::new(args.job.as_str())?;
    let mut client = Client::connect(&args.server, config).await?;
    let result = client.run_all(&format!("START JOB {}", name.to_sql())).await?;
    for line in output::messages(&result)? {
        writeln!(output::stdout(), "{line}")?;
    }
    Ok(())
}
