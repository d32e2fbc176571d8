//! Starting and stopping the server.

use super::auth::{Auth, Authenticator};
use super::connection::Connection;
use super::protocol::FlightSql;
use crate::service::StatementService;
use arrow_flight::flight_service_server::FlightServiceServer;
use futures::TryStreamExt;
use salamander_types::{Clock, SystemClock};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// Headers carry session settings and may be long: ODBC sends each unknown key of its connection string as one.
const MAX_HEADER_BYTES: u32 = 64 * 1024;
/// Calls at once on one connection.
const MAX_STREAMS_PER_CONNECTION: u32 = 256;
/// A client that is silent for so long is asked whether it lives …
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// … and is given up, its work ended, if it doesn't answer within so long.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long cut-off results have to tell their clients.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where and for whom to listen.
#[derive(Debug, Clone)]
pub struct FlightOptions {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How clients say who they are.
    pub auth: Auth,
    /// For the lifetime of logins.
    pub clock: Arc<dyn Clock>,
}

impl FlightOptions {
    /// Anonymous clients on this loopback address, with the system's clock.
    pub fn new(listen: SocketAddr) -> Self {
        Self { listen, auth: Auth::AnonymousOnLoopback, clock: Arc::new(SystemClock::default()) }
    }
}

/// Why the server could not start.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Anonymous access on an address that others can reach.
    #[error(
        "{0} can be reached from outside, and nobody would be asked who they are: \
         configure a user or a token, or listen on 127.0.0.1"
    )]
    AnonymousOutsideLoopback(SocketAddr),
    /// The address is taken, or not this machine's.
    #[error("can't listen on {address} for Flight SQL: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The server's description of itself could not be built.
    #[error("the Flight SQL server can't describe itself: {0}")]
    Metadata(String),
}

/// The Flight SQL server.
#[derive(Debug)]
pub struct FlightServer;

impl FlightServer {
    /// Listens, and serves until [`FlightHandle::shutdown`].
    ///
    /// # Errors
    /// When the address can't be listened on, or must not be without authentication.
    pub async fn start(options: FlightOptions, service: Arc<dyn StatementService>) -> Result<FlightHandle, ServeError> {
        let address = options.listen;
        if matches!(options.auth, Auth::AnonymousOnLoopback) && !address.ip().is_loopback() {
            return Err(ServeError::AnonymousOutsideLoopback(address));
        }
        let bind_error = |source| ServeError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind_error)?;
        let local_addr = listener.local_addr().map_err(bind_error)?;

        let (cut, cut_signal) = watch::channel(false);
        let authenticator = Authenticator::new(options.auth, options.clock);
        let flight = FlightSql::new(Arc::clone(&service), authenticator, cut_signal)
            .map_err(|e| ServeError::Metadata(e.to_string()))?;
        let (stop, stop_signal) = oneshot::channel::<()>();
        let connections = TcpIncoming::from(listener)
            .with_nodelay(Some(true))
            .map_ok(move |stream| Connection::new(stream, Arc::clone(&service)));
        let serving = Server::builder()
            .http2_max_header_list_size(MAX_HEADER_BYTES)
            .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .add_service(FlightServiceServer::new(flight))
            .serve_with_incoming_shutdown(connections, async move {
                // A dropped handle stops the server, too.
                let _ = stop_signal.await;
            });
        let task = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the Flight SQL server has ended");
            }
        });
        Ok(FlightHandle { local_addr, stop, cut, task })
    }
}

/// A running server. Dropping it stops the server without waiting.
#[derive(Debug)]
pub struct FlightHandle {
    local_addr: SocketAddr,
    stop: oneshot::Sender<()>,
    cut: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl FlightHandle {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Takes no more connections and calls, lets running results finish for as long as `drain`, then cuts the rest
    /// off: their clients are told that the result is not complete.
    pub async fn shutdown(self, drain: Duration) {
        let mut task = self.task;
        let _ = self.stop.send(());
        if tokio::time::timeout(drain, &mut task).await.is_ok() {
            return;
        }
        let _ = self.cut.send(true);
        if tokio::time::timeout(LAST_WORDS, &mut task).await.is_err() {
            task.abort();
        }
    }
}
