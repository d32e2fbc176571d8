//! `salamander demo`: everything in one process, over the real protocols.
//!
//! ```text
//!   producer ──AMQP──▶ broker ──AMQP──▶ head: job `ingest` ──▶ Parquet table
//!                                         ▲
//!   view, summary ──Flight SQL────────────┘
//! ```
//!
//! The end is a proof: rows sent = rows in the table + bad rows, counted by SQL before and after the job was stopped.

mod pipeline;
mod producer;
mod progress;
mod sender;
mod summary;
mod view;

use crate::client::Client;
use crate::commands::server::{Server, ServerOptions};
use crate::output;
use anyhow::{Context, bail};
use clap::Args;
use pipeline::{Counts, Pipeline};
use producer::{Producer, ProducerOptions};
use progress::Progress;
use salamander_serve::Auth;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use summary::Summary;
use view::View;

/// How often the view is drawn again.
const FRAME: Duration = Duration::from_secs(1);
const MAX_RATE: u64 = 1_000_000;

const EXAMPLES: &str = "\
Examples:
  salamander demo                                  until Ctrl-C, in a temporary directory
  salamander demo --seconds 30 --rate 20000
  salamander demo --data-dir ./demo                keep the data; a second run goes on with it
While it runs, ask it from another terminal: it shows the line to type.
It ends with a summary and exit code 1 if rows sent is not rows in the table + bad rows.";

/// Arguments of `demo`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// Stop after so many seconds [default: at Ctrl-C].
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,

    /// Log lines a second that are made and sent; one in a hundred is damaged.
    #[arg(long, value_name = "ROWS_PER_SECOND", default_value_t = 1_000,
          value_parser = clap::value_parser!(u64).range(1..=MAX_RATE))]
    rate: u64,

    /// Where to keep the data [default: a temporary directory, removed at the end].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Runs `demo`.
pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let data = DataDir::open(args.data_dir.as_deref())?;
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = Server::start(ServerOptions {
        data_dir: data.path().to_owned(),
        listen_flight: loopback,
        listen_eventhubs: Some(loopback),
        auth: Auth::AnonymousOnLoopback,
    })
    .await?;
    let outcome = drive(&args, &server, &data).await;
    let stopped = server.stop().await;
    let summary = outcome?;
    stopped?;
    summary.print(&mut output::stdout())?;
    if !summary.adds_up() {
        bail!("the rows don't add up");
    }
    Ok(())
}

async fn drive(args: &DemoArgs, server: &Server, data: &DataDir) -> anyhow::Result<Summary> {
    let broker = server.eventhubs_addr().context("the demo's broker is not there")?;
    let mut client = Client::open(&format!("grpc://{}", server.flight_addr())).await?;
    let pipeline = Pipeline::new(data.path());
    pipeline.submit(&mut client).await?;

    // Rows of an earlier run in the same directory: they are part of both sides of the sum.
    let before = pipeline.settled_counts(&mut client).await?;
    let producer = Producer::start(ProducerOptions::new(broker, args.rate))?;
    let began = Instant::now();
    let mut view = View::new(server.flight_addr());
    let mut progress = Progress::new(before);
    let mut frames = tokio::time::interval(FRAME);
    frames.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let end = args.seconds.map(Duration::from_secs);
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break,
            _ = frames.tick() => {}
        }
        if let Some(failure) = producer.failure() {
            view.close()?;
            bail!("the producer has failed: {failure}");
        }
        let counts = pipeline.counts(&mut client).await?;
        progress.update(began.elapsed(), producer.sent(), counts, pipeline.watermark(&mut client).await?);
        let rates = pipeline.error_rates(&mut client).await?;
        view.draw(&progress, &rates, &mut output::stdout())?;
        if end.is_some_and(|end| began.elapsed() >= end) {
            break;
        }
    }
    view.close()?;
    tokio::select! {
        summary = count(&pipeline, &mut client, producer, began, before, data) => summary,
        _ = tokio::signal::ctrl_c() => bail!("interrupted before the rows were counted"),
    }
}

/// Ends the producer, waits for its last rows, and counts.
async fn count(
    pipeline: &Pipeline,
    client: &mut Client,
    producer: Producer,
    began: Instant,
    before: Counts,
    data: &DataDir,
) -> anyhow::Result<Summary> {
    let sent = producer.stop().await?;
    let took = began.elapsed();
    let visible = pipeline.catch_up(client, before, sent).await?;
    // A job that is stopped has ended for good: one in a directory of the user's must be there for the next run.
    let stopped = match data {
        DataDir::Temporary(_) => Some(pipeline.stop(client).await?),
        DataDir::Given(_) => None,
    };
    Ok(Summary { sent, took, before, visible, stopped })
}

/// The demo's directory: the user's, or one that goes with the demo.
enum DataDir {
    Given(PathBuf),
    Temporary(tempfile::TempDir),
}

impl DataDir {
    fn open(given: Option<&Path>) -> anyhow::Result<Self> {
        match given {
            Some(path) => {
                std::fs::create_dir_all(path).with_context(|| format!("can't create {}", path.display()))?;
                let path = path.canonicalize().with_context(|| format!("can't open {}", path.display()))?;
                Ok(Self::Given(path))
            }
            None => {
                let temporary = tempfile::Builder::new().prefix("salamander-demo-").tempdir();
                Ok(Self::Temporary(temporary.context("can't create a temporary directory")?))
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(temporary) => temporary.path(),
        }
    }
}
