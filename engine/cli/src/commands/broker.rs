//! `salamander broker`: the local Event Hubs broker alone, for several engines on one machine, and for tests that kill one
//! of the two.

use crate::output;
use anyhow::Context;
use clap::Args;
use salamander_eventhubs_broker::{Broker, BrokerOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

const EXAMPLES: &str = "\
Example:
  salamander broker --data-dir ./hubs
When it is ready it prints one line on standard output:
  ready eventhubs=127.0.0.1:5672
What is acknowledged is durable. SIGTERM and Ctrl-C end it with exit code 0.";

/// Arguments of `broker`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BrokerArgs {
    /// Where the events are kept; created if missing.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,

    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:5672", value_name = "ADDR")]
    listen: SocketAddr,
}

/// Runs `broker`.
pub(crate) async fn run(args: BrokerArgs) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let options = BrokerOptions::new(args.listen, args.data_dir);
    let broker = Broker::start(options).await.context("the broker can't be started")?;
    let mut out = output::stdout();
    writeln!(out, "ready eventhubs={}", broker.local_addr())?;
    out.flush()?;
    tokio::select! {
        _ = terminate.recv() => {},
        _ = interrupt.recv() => {},
    }
    broker.shutdown().await;
    Ok(())
}
