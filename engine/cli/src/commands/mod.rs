//! One command a file.

pub(crate) mod broker;
pub(crate) mod demo;
pub(crate) mod explain;
pub(crate) mod jobs;
pub(crate) mod server;
pub(crate) mod sql;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod submit;

use crate::args::{Cli, Command};
use crate::config::FileConfig;
use crate::logging;
use tokio::runtime::Runtime;

/// Logs of the servers unless told otherwise; clients say nothing but errors.
const SERVER_LOG: &str = "info";
const CLIENT_LOG: &str = "warn";

/// Runs the command.
pub(crate) fn run(cli: Cli, runtime: &Runtime) -> anyhow::Result<()> {
    let config = FileConfig::load(cli.config.as_deref())?;
    let serves = matches!(cli.command, Command::Server(_) | Command::Broker(_));
    let log = cli.log.or_else(|| config.log.clone());
    logging::start(log.as_deref().unwrap_or(if serves { SERVER_LOG } else { CLIENT_LOG }))?;
    match cli.command {
        Command::Demo(args) => runtime.block_on(demo::run(args)),
        Command::Server(args) => runtime.block_on(server::run(args, &config)),
        Command::Broker(args) => runtime.block_on(broker::run(args)),
        Command::Sql(args) => sql::run(args, &config, runtime),
        Command::Submit(args) => runtime.block_on(submit::run(args, &config)),
        Command::Jobs(args) => runtime.block_on(jobs::run(args, &config)),
        Command::Start(args) => runtime.block_on(start::run(args, &config)),
        Command::Stop(args) => runtime.block_on(stop::run(args, &config)),
        Command::Explain(args) => runtime.block_on(explain::run(args, &config)),
    }
}
