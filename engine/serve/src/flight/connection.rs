//! A client's connection as a session: with an id that no other connection has, and an end that the engine is told.
//!
//! The address is no identity: the system gives a port to the next client as soon as the last one has gone.

use crate::service::StatementService;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::transport::server::Connected;

/// Numbers the connections of this process.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// A connection, and what calls learn of it.
pub(super) struct Connection {
    stream: TcpStream,
    info: ConnectionInfo,
}

/// What a call learns of its connection. The last of its copies tells the engine that the session is over.
#[derive(Clone)]
pub(super) struct ConnectionInfo(Arc<Life>);

struct Life {
    id: String,
    engine: Arc<dyn StatementService>,
}

impl ConnectionInfo {
    /// Unique in this process.
    pub(super) fn id(&self) -> &str {
        &self.0.id
    }
}

impl fmt::Debug for ConnectionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.engine.session_ended(&self.id);
    }
}

impl Connection {
    pub(super) fn new(stream: TcpStream, engine: Arc<dyn StatementService>) -> Self {
        let peer = stream.peer_addr().map_or_else(|_| "unknown".to_owned(), |peer| peer.to_string());
        let id = format!("{peer}#{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        Self { stream, info: ConnectionInfo(Arc::new(Life { id, engine })) }
    }
}

impl Connected for Connection {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        self.info.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
