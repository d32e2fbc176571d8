//! Runs a broker by itself: `broker LISTEN DATA_DIR [--no-create] [--hub NAME:PARTITIONS]… [--key NAME:KEY]… [--segment-bytes N]`.
//!
//! Prints `ready eventhubs=ADDR` on standard output when it listens, and ends on SIGTERM or Ctrl-C.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::io::Write as _;

use salamander_eventhubs_broker::{Broker, BrokerOptions, HubOptions};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let broker = Broker::start(options(std::env::args().skip(1))?).await?;
    println!("ready eventhubs={}", broker.local_addr());
    std::io::stdout().flush()?;
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminated.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    broker.shutdown().await;
    Ok(())
}

fn options(mut args: impl Iterator<Item = String>) -> Result<BrokerOptions, Box<dyn Error>> {
    let usage =
        "usage: broker LISTEN DATA_DIR [--no-create] [--hub NAME:PARTITIONS] [--key NAME:KEY] [--segment-bytes N]";
    let listen = args.next().ok_or(usage)?.parse()?;
    let mut options = BrokerOptions::new(listen, args.next().ok_or(usage)?);
    while let Some(flag) = args.next() {
        let mut value = || args.next().ok_or(usage);
        match flag.as_str() {
            "--no-create" => options.create_hubs_on_first_use = false,
            "--hub" => {
                let value = value()?;
                let (name, partitions) = value.split_once(':').ok_or(usage)?;
                options.hubs.push(HubOptions {
                    name: name.into(),
                    partitions: partitions.parse()?,
                    retention: None,
                    retention_bytes: None,
                });
            }
            "--key" => {
                let value = value()?;
                let (name, key) = value.split_once(':').ok_or(usage)?;
                options.keys.push((name.into(), key.into()));
            }
            "--segment-bytes" => options.segment_bytes = value()?.parse()?,
            _ => return Err(usage.into()),
        }
    }
    Ok(options)
}
