//! `salamander server`: one node, all roles: the head with its jobs, Flight SQL, and the local Event Hubs broker.
//!
//! Start: broker, head (which restores its jobs, some of which read from the broker), Flight SQL, readiness line.
//! Stop, the other way round: Flight SQL drains, the head commits final checkpoints, the broker closes its files.

use crate::config::FileConfig;
use crate::output;
use anyhow::{Context, bail};
use clap::Args;
use salamander_cluster::{Head, HeadOptions};
use salamander_eventhubs_broker::{Broker, BrokerHandle, BrokerOptions};
use salamander_serve::{Auth, FlightHandle, FlightOptions, FlightServer, StatementService};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

const DEFAULT_FLIGHT: &str = "127.0.0.1:32010";
const DEFAULT_EVENTHUBS: &str = "127.0.0.1:5672";
/// What turns the local broker off.
const NONE: &str = "none";
/// In the data directory: the connection string of the local broker, with the key of local development only, written
/// at each start, so that tables find it by `${file:…}` though its port may change.
const CONNECTION_FILE: &str = "eventhubs.connection";
/// The key of local development: it opens nothing but loopback brokers.
const DEVELOPMENT_KEY: (&str, &str) = ("RootManageSharedAccessKey", "SAS_KEY_VALUE");
/// How long running results may take to finish when the server stops.
const DRAIN: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  salamander server --data-dir ./data
  salamander server --data-dir ./data --listen-flight 127.0.0.1:0 --listen-eventhubs none
When it is ready it prints one line on standard output:
  ready flight=127.0.0.1:32010 eventhubs=127.0.0.1:5672
SIGTERM and Ctrl-C end it with a final checkpoint of every job and exit code 0.
Azure SDKs reach the local broker with
  Endpoint=sb://localhost;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;
Tables reach it with 'connection_string' = '${file:DATA_DIR/eventhubs.connection}', whatever its port is.";

/// Arguments of `server`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServerArgs {
    /// Where catalog, jobs and the broker's events are kept; created if missing.
    #[arg(long, env = "SALAMANDER_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Address of Flight SQL; port 0 takes a free one [default: 127.0.0.1:32010].
    #[arg(long, env = "SALAMANDER_LISTEN_FLIGHT", value_name = "ADDR")]
    listen_flight: Option<String>,

    /// Address of the local Event Hubs broker, or `none` [default: 127.0.0.1:5672].
    #[arg(long, env = "SALAMANDER_LISTEN_EVENTHUBS", value_name = "ADDR")]
    listen_eventhubs: Option<String>,
}

/// What a server is started with.
pub(crate) struct ServerOptions {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen_flight: SocketAddr,
    pub(crate) listen_eventhubs: Option<SocketAddr>,
    pub(crate) auth: Auth,
}

/// The parts of a running server.
pub(crate) struct Server {
    head: Arc<Head>,
    flight: FlightHandle,
    broker: Option<BrokerHandle>,
}

/// Runs `server`.
pub(crate) async fn run(args: ServerArgs, config: &FileConfig) -> anyhow::Result<()> {
    let options = options(args, config)?;
    // Signals that come during the start must end it in order as well.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = Server::start(options).await?;
    server.announce(&mut output::stdout())?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping with a final checkpoint"),
        _ = interrupt.recv() => tracing::info!("interrupted: stopping with a final checkpoint; once more to stop at once"),
    }
    tokio::select! {
        stopped = server.stop() => stopped,
        _ = interrupt.recv() => bail!("stopped at once; the next start goes on from the last checkpoint"),
    }
}

fn options(args: ServerArgs, config: &FileConfig) -> anyhow::Result<ServerOptions> {
    let data_dir = args
        .data_dir
        .or_else(|| config.data_dir.clone())
        .context("say where the data is: --data-dir DIR, SALAMANDER_DATA_DIR, or data_dir in the file of --config")?;
    let flight = args.listen_flight.or_else(|| config.listen_flight.clone());
    let eventhubs = args.listen_eventhubs.or_else(|| config.listen_eventhubs.clone());
    let eventhubs = eventhubs.as_deref().unwrap_or(DEFAULT_EVENTHUBS);
    Ok(ServerOptions {
        data_dir,
        listen_flight: address(flight.as_deref().unwrap_or(DEFAULT_FLIGHT), "listen-flight")?,
        listen_eventhubs: match eventhubs {
            NONE => None,
            text => Some(address(text, "listen-eventhubs")?),
        },
        auth: config.auth()?,
    })
}

fn address(text: &str, flag: &str) -> anyhow::Result<SocketAddr> {
    text.parse().with_context(|| format!("--{flag}: {text:?} is not an address like 127.0.0.1:32010"))
}

impl Server {
    /// Starts all parts.
    pub(crate) async fn start(options: ServerOptions) -> anyhow::Result<Self> {
        create_dir(&options.data_dir)?;
        let broker = match options.listen_eventhubs {
            Some(listen) => Some(start_broker(listen, &options.data_dir).await?),
            None => None,
        };
        let head = Head::start(HeadOptions::new(options.data_dir)).await?;
        let flight = FlightOptions { auth: options.auth, ..FlightOptions::new(options.listen_flight) };
        let service = Arc::clone(&head) as Arc<dyn StatementService>;
        match FlightServer::start(flight, service).await {
            Ok(flight) => Ok(Self { head, flight, broker }),
            Err(error) => {
                // Jobs are running already: end them in order.
                head.shutdown().await;
                Err(error.into())
            }
        }
    }

    /// Where Flight SQL listens.
    pub(crate) fn flight_addr(&self) -> SocketAddr {
        self.flight.local_addr()
    }

    /// Where the broker listens, if there is one.
    pub(crate) fn eventhubs_addr(&self) -> Option<SocketAddr> {
        self.broker.as_ref().map(BrokerHandle::local_addr)
    }

    /// The readiness line.
    fn announce(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let eventhubs = self.eventhubs_addr().map_or(NONE.to_owned(), |addr| addr.to_string());
        writeln!(out, "ready flight={} eventhubs={eventhubs}", self.flight_addr())?;
        Ok(out.flush()?)
    }

    /// Stops all parts, with a final checkpoint of every job.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.flight.shutdown(DRAIN).await;
        self.head.shutdown().await;
        if let Some(broker) = self.broker {
            broker.shutdown().await;
        }
        Ok(())
    }
}

async fn start_broker(listen: SocketAddr, data_dir: &Path) -> anyhow::Result<BrokerHandle> {
    let options = BrokerOptions::new(listen, data_dir.join("eventhubs"));
    let broker = Broker::start(options).await.context("the local Event Hubs broker can't be started")?;
    let path = connection_file(data_dir);
    std::fs::write(&path, connection_string(broker.local_addr()))
        .with_context(|| format!("can't write {}", path.display()))?;
    Ok(broker)
}

/// Where a server writes the connection string of its broker.
pub(crate) fn connection_file(data_dir: &Path) -> PathBuf {
    data_dir.join(CONNECTION_FILE)
}

/// The connection string of a local broker.
pub(crate) fn connection_string(broker: SocketAddr) -> String {
    let (name, key) = DEVELOPMENT_KEY;
    format!("Endpoint=sb://{broker};SharedAccessKeyName={name};SharedAccessKey={key};UseDevelopmentEmulator=true;")
}

fn create_dir(path: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("can't create the data directory {}", path.display()))
}
