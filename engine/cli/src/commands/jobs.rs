//! `salamander jobs`: what runs, and how far it is.

use crate::args::ServerUrl;
use crate::client::Client;
use crate::config::FileConfig;
use crate::output::{self, Format};
use clap::Args;

/// Arguments of `jobs`.
#[derive(Debug, Args)]
#[command(after_help = "The same as `salamander sql -e 'SHOW JOBS'`.")]
pub(crate) struct JobsArgs {
    #[command(flatten)]
    server: ServerUrl,

    /// How the list looks.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Runs `jobs`.
pub(crate) async fn run(args: JobsArgs, config: &FileConfig) -> anyhow::Result<()> {
    let mut client = Client::connect(&args.server, config).await?;
    let result = client.run("SHOW JOBS").await?;
    output::write(result, args.format, &mut output::stdout()).await?;
    Ok(())
}
