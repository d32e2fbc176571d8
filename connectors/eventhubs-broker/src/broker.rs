//! The broker: a listener, a task for each connection, and a task that enforces retention.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cbs::TokenRules;
use crate::clock::Clock;
use crate::connection;
use crate::faults::Faults;
use crate::hubs::{HubError, Hubs};
use crate::log::LogOptions;
use crate::options::BrokerOptions;
use crate::sas::{DEVELOPMENT_KEY, DEVELOPMENT_KEY_NAME, SharedAccessKey};

/// How often retention is enforced.
const RETENTION_EVERY: Duration = Duration::from_secs(30);

/// The largest TCP segment of a connection.
const SEGMENT_BYTES: u32 = 16_384;

/// How long connections have to write their last frames when the broker is shut down.
const SHUTDOWN_TIME: Duration = Duration::from_secs(3);

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The address can't be listened on.
    #[error("can't listen on {address}: {why}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        why: std::io::Error,
    },
    /// The hubs can't be opened.
    #[error("can't open the hubs: {0}")]
    Hubs(#[from] HubError),
    /// A part of the broker ended before its time.
    #[error("a task of the broker ended early: {0}")]
    Task(String),
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) hubs: Hubs,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) faults: Faults,
    pub(crate) stop: CancellationToken,
}

/// A local Event Hubs broker. See the [crate](crate).
pub struct Broker;

impl Broker {
    /// Opens the hubs and begins to listen.
    pub async fn start(options: BrokerOptions) -> Result<BrokerHandle, BrokerError> {
        let listener = listen(options.listen).map_err(|why| BrokerError::Listen { address: options.listen, why })?;
        let local_addr = listener.local_addr().map_err(|why| BrokerError::Listen { address: options.listen, why })?;
        let log = LogOptions {
            segment_bytes: options.segment_bytes,
            retention_ms: options.retention.map(|keep| i64::try_from(keep.as_millis()).unwrap_or(i64::MAX)),
            retention_bytes: options.retention_bytes,
            ..LogOptions::default()
        };
        let on_first_use = options.create_hubs_on_first_use.then_some(options.default_partitions);
        let (dir, configured, clock) = (options.data_dir.clone(), options.hubs.clone(), Arc::clone(&options.clock));
        let hubs = tokio::task::spawn_blocking(move || Hubs::open(&dir, log, &configured, on_first_use, clock));
        let hubs = hubs.await.map_err(|error| BrokerError::Task(error.to_string()))??;
        let shared = Arc::new(Shared {
            hubs,
            clock: Arc::clone(&options.clock),
            faults: Faults::default(),
            stop: CancellationToken::new(),
        });
        let tracker = TaskTracker::new();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared), Keys::new(&options), tracker.clone()));
        let retaining = tokio::spawn(retain(Arc::clone(&shared)));
        Ok(BrokerHandle { local_addr, shared, tracker, accepting, retaining })
    }
}

/// A running broker. It goes on running when the handle is dropped; [`shutdown`](Self::shutdown) ends it.
pub struct BrokerHandle {
    local_addr: SocketAddr,
    shared: Arc<Shared>,
    tracker: TaskTracker,
    accepting: JoinHandle<()>,
    retaining: JoinHandle<()>,
}

impl BrokerHandle {
    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Switches faults for tests.
    pub fn faults(&self) -> Faults {
        self.shared.faults.clone()
    }

    /// Enforces retention now, and says how many segments were deleted.
    pub async fn enforce_retention(&self) -> Result<usize, BrokerError> {
        enforce(Arc::clone(&self.shared)).await
    }

    /// Closes all connections and waits until they are closed. Whatever was acknowledged is on disk already.
    pub async fn shutdown(self) {
        self.shared.stop.cancel();
        self.accepting.abort();
        self.retaining.abort();
        self.tracker.close();
        if tokio::time::timeout(SHUTDOWN_TIME, self.tracker.wait()).await.is_err() {
            tracing::warn!("some connections did not close in time");
        }
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // pyamqp sets the segment size that it finds on its socket; on loopback it may find one that is larger than may be set.
    socket2::SockRef::from(&socket).set_tcp_mss(SEGMENT_BYTES)?;
    socket.bind(address)?;
    socket.listen(1024)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, keys: Keys, tracker: TaskTracker) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if shared.faults.refuses_connections() {
            continue;
        }
        let _ = stream.set_nodelay(true);
        let rules = keys.for_peer(&stream, peer);
        tracker.spawn(connection::serve(stream, Arc::clone(&shared), rules));
    }
}

async fn retain(shared: Arc<Shared>) {
    let mut tick = tokio::time::interval(RETENTION_EVERY);
    loop {
        tick.tick().await;
        if let Err(error) = enforce(Arc::clone(&shared)).await {
            tracing::warn!(%error, "retention could not be enforced");
        }
    }
}

async fn enforce(shared: Arc<Shared>) -> Result<usize, BrokerError> {
    let enforced = tokio::task::spawn_blocking(move || {
        let mut deleted = 0;
        for hub in shared.hubs.all() {
            for log in &hub.partitions {
                deleted += log.enforce_retention().map_err(HubError::from)?;
            }
        }
        Ok(deleted)
    });
    enforced.await.map_err(|error| BrokerError::Task(error.to_string()))?
}

/// The keys, with and without the development key.
struct Keys {
    configured: TokenRules,
    on_loopback: TokenRules,
}

impl Keys {
    fn new(options: &BrokerOptions) -> Self {
        let keys = options.keys.iter().map(|(name, key)| SharedAccessKey { name: name.clone(), key: key.clone() });
        let configured = TokenRules { keys: keys.collect(), bearer_tokens: options.bearer_tokens.clone() };
        let mut on_loopback = configured.clone();
        if options.development_key {
            on_loopback
                .keys
                .push(SharedAccessKey { name: DEVELOPMENT_KEY_NAME.into(), key: SecretString::from(DEVELOPMENT_KEY) });
        }
        Self { configured, on_loopback }
    }

    /// Loopback means both ends: a proxy on this machine must not make the world local.
    fn for_peer(&self, stream: &TcpStream, peer: SocketAddr) -> TokenRules {
        let local = stream.local_addr().is_ok_and(|local| local.ip().is_loopback());
        if local && peer.ip().is_loopback() { self.on_loopback.clone() } else { self.configured.clone() }
    }
}
