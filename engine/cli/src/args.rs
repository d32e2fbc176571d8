//! The command line. Help texts teach: each command shows what to type.

use crate::commands::{broker, demo, explain, jobs, server, sql, start, stop, submit};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

const EXAMPLES: &str = "\
First steps:
  salamander demo                          see it work, with its own Event Hubs broker and made-up log lines
  salamander server --data-dir ./data      start a server: Flight SQL on 32010, local Event Hubs on 5672
  salamander submit pipeline.sql           create tables, start jobs
  salamander jobs                          what runs, how far it is
  salamander sql                           ask questions interactively
  salamander sql -e 'SELECT count(*) FROM logs'

Where settings come from, the first wins: flags, SALAMANDER_… variables, the file of --config, defaults.
Exit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong usage.";

/// Streaming SQL from Azure Event Hubs to Hive tables, each row exactly once.
#[derive(Debug, Parser)]
#[command(name = "salamander", version, after_help = EXAMPLES, max_term_width = 120)]
pub(crate) struct Cli {
    /// Settings in TOML: data_dir, listen_flight, listen_eventhubs, server, log, [auth].
    #[arg(long, global = true, env = "SALAMANDER_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// What to log on standard error, as in `info` or `warn,salamander_job=debug`.
    #[arg(long, global = true, env = "SALAMANDER_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Broker, generator and the log pipeline in one process, with a live view and a final count.
    Demo(demo::DemoArgs),
    /// Run a server: one node, all roles.
    Server(server::ServerArgs),
    /// Run the local Event Hubs broker alone.
    Broker(broker::BrokerArgs),
    /// Run statements: interactively, from the command line, or from a file.
    Sql(sql::SqlArgs),
    /// Run a file of statements: create what is missing, start jobs.
    Submit(submit::SubmitArgs),
    /// List the jobs.
    Jobs(jobs::JobsArgs),
    /// Start a stopped job again: it goes on from its last checkpoint.
    Start(start::StartArgs),
    /// Stop a job: final checkpoint, and its rows rolled into files.
    Stop(stop::StopArgs),
    /// Show how a query or job would run.
    Explain(explain::ExplainArgs),
}

/// How commands find their server.
#[derive(Debug, Args)]
pub(crate) struct ServerUrl {
    /// The server: grpc://host:port [default: grpc://127.0.0.1:32010].
    #[arg(long, env = "SALAMANDER_SERVER", value_name = "URL")]
    pub(crate) server: Option<String>,

    /// The database of unqualified names.
    #[arg(long, env = "SALAMANDER_DATABASE", value_name = "NAME")]
    pub(crate) database: Option<String>,
}
