//! One connection: a task that owns the socket, its sessions and its links.
//!
//! ```text
//!   socket ─read─► frames ─► on_frame ──► sessions, links ──► pump ─► out ─write─► socket
//!                                ▲  storing, reading files: `work`     ▲
//!                                └──────── done ───────────────────────┘ woken by partitions and by lost epochs
//! ```
//!
//! Reading and writing go on at the same time, so that a peer that stops reading can't keep us from reading, nor the other way round. What waits is bounded:
//! `out` by [`OUT_FULL`], deliveries under way by the credit that is given, requests likewise.

mod attach;
mod consumer;
mod frames;
mod link;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use fe2o3_amqp_types::definitions::{Error, Handle};
use fe2o3_amqp_types::performatives::{Close, Detach};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use self::consumer::Turn;
use self::link::Link;
use self::session::{LinkFlow, Session};
use crate::amqp::frame::{self, FrameError};
use crate::amqp::handshake;
use crate::broker::Shared;
use crate::cbs::TokenRules;
use crate::conditions;
use crate::faults::Strike;
use crate::log::{Appended, Chunk, LogError};
use crate::sas::Grant;

/// Nothing more is sent to a peer while so many bytes wait to be written.
const OUT_FULL: usize = 256 * 1024;

/// Nothing more is read from a peer while so many bytes (of answers to it) wait to be written.
const OUT_STUCK: usize = 4 * 1024 * 1024;

/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;

/// A peer must come to its first AMQP frame within this time.
const HANDSHAKE_TIME: Duration = Duration::from_secs(30);

/// A connection on which nothing comes for this long is closed; the peer is told half of it.
const IDLE_TIME: Duration = Duration::from_secs(240);

/// How long a closed connection may take to write its last frames.
const LINGER: Duration = Duration::from_secs(2);

/// Where a link is. Handles are used again, so the link's own number tells whether it is still the same.
#[derive(Debug, Clone, Copy)]
struct Place {
    channel: u16,
    handle: u32,
    link: u64,
}

/// Work that was done outside of the connection's task.
enum Done {
    Stored { place: Place, delivery: u32, settled: bool, result: Result<Appended, LogError> },
    Read { place: Place, result: Result<Chunk, LogError> },
}

/// Why a connection ends.
enum End {
    /// The peer is told this.
    With(Error),
    /// Without a word.
    Cut,
}

impl From<FrameError> for End {
    fn from(frame_error: FrameError) -> Self {
        Self::With(conditions::error(conditions::FRAMING_ERROR, frame_error.to_string()))
    }
}

/// See the [module](self).
pub(crate) struct Connection {
    shared: Arc<Shared>,
    rules: TokenRules,
    out: BytesMut,
    max_frame_size: u32,
    /// How often the peer wants a sign of life.
    heartbeat: Option<Duration>,
    opened: bool,
    closing: bool,
    sessions: BTreeMap<u16, Session>,
    grants: Vec<Grant>,
    wake: Arc<Notify>,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    next_link: u64,
}

/// Serves a connection to its end.
pub(crate) async fn serve(mut stream: TcpStream, shared: Arc<Shared>, rules: TokenRules) {
    let mut strikes = shared.faults.strikes();
    let input = match tokio::time::timeout(HANDSHAKE_TIME, handshake::accept(&mut stream)).await {
        Ok(Ok(input)) => input,
        Ok(Err(error)) => return tracing::debug!(%error, "a connection ended in its handshake"),
        Err(_) => return tracing::debug!("a connection did not finish its handshake in time"),
    };
    let mut connection = Connection {
        shared,
        rules,
        out: BytesMut::with_capacity(OUT_FULL),
        max_frame_size: 512,
        heartbeat: None,
        opened: false,
        closing: false,
        sessions: BTreeMap::new(),
        grants: Vec::new(),
        wake: Arc::new(Notify::new()),
        work: FuturesUnordered::new(),
        next_link: 0,
    };
    if let Err(End::With(error)) = connection.run(&mut stream, input, &mut strikes).await {
        tracing::debug!(%error, "closing a connection");
        if !connection.closing && connection.put(0, &Close { error: Some(error) }, 1).is_ok() {
            let _ = tokio::time::timeout(LINGER, stream.write_all_buf(&mut connection.out)).await;
        }
    }
}

impl Connection {
    async fn run(
        &mut self,
        stream: &mut TcpStream,
        mut input: BytesMut,
        strikes: &mut tokio::sync::broadcast::Receiver<Strike>,
    ) -> Result<(), End> {
        let (mut reader, mut writer) = stream.split();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let (mut last_read, mut last_write) = (Instant::now(), Instant::now());
        let stopped = self.shared.stop.clone();
        let shared = Arc::clone(&self.shared);
        loop {
            while let Some(frame) = frame::take(&mut input)? {
                self.on_frame(frame).await?;
            }
            self.pump()?;
            if self.closing && self.out.is_empty() {
                return Ok(());
            }
            if !self.out.is_empty() && !shared.faults.current_delay().is_zero() {
                tokio::time::sleep(shared.faults.current_delay()).await;
            }
            if input.capacity() - input.len() < READ_BYTES / 2 {
                input.reserve(READ_BYTES);
            }
            tokio::select! {
                read = reader.read_buf(&mut input), if !self.closing && self.out.len() < OUT_STUCK => match read {
                    Ok(read) if read > 0 => {
                        last_read = Instant::now();
                        // Clients that leave Nagle's algorithm on (rhea) hold back a frame until the one before is acknowledged;
                        // the system resets this option by itself.
                        let _ = reader.as_ref().set_quickack(true);
                    }
                    _ => return Err(End::Cut),
                },
                written = writer.write_buf(&mut self.out), if !self.out.is_empty() => match written {
                    Ok(_) => last_write = Instant::now(),
                    Err(_) => return Err(End::Cut),
                },
                () = self.wake.notified() => {}
                Some(done) = self.work.next(), if !self.work.is_empty() => self.on_done(done)?,
                strike = strikes.recv() => match strike {
                    Ok(Strike::Detach { hub, condition }) => self.strike(hub.as_deref(), &condition)?,
                    Ok(Strike::Cut) | Err(RecvError::Lagged(_)) => return Err(End::Cut),
                    Err(RecvError::Closed) => {}
                },
                _ = tick.tick() => {
                    if last_read.elapsed() > IDLE_TIME {
                        return Err(End::With(conditions::error(conditions::CONNECTION_FORCED, "the connection was idle for too long")));
                    }
                    if self.closing && last_write.elapsed() > LINGER {
                        return Ok(());
                    }
                    if self.heartbeat.is_some_and(|every| last_write.elapsed() >= every) && self.out.is_empty() && self.opened {
                        frame::put_empty(&mut self.out);
                    }
                    self.expire_grants()?;
                }
                () = stopped.cancelled() => {
                    return Err(End::With(conditions::error(conditions::CONNECTION_FORCED, "the broker is shutting down")));
                }
            }
            if !self.work.is_empty() {
                self.collect_done()?;
            }
        }
    }

    /// Takes all work that is done, so that acknowledgements share a write.
    fn collect_done(&mut self) -> Result<(), End> {
        while let Some(Some(done)) = futures::FutureExt::now_or_never(self.work.next()) {
            self.on_done(done)?;
        }
        Ok(())
    }

    /// Sends what links may send, in turns, until nothing more goes or enough waits to be written.
    fn pump(&mut self) -> Result<(), End> {
        let mut more = true;
        while more && self.out.len() < OUT_FULL {
            more = false;
            for session in self.sessions.values_mut() {
                for (&handle, link) in &mut session.links {
                    let windows = &mut session.windows;
                    let flow = match link {
                        Link::Consumer(consumer) if consumer.slot.is_evicted() => {
                            let error = conditions::error(
                                conditions::STOLEN,
                                format!(
                                    "New receiver with a higher or equal epoch is created hence this receiver of '{}' is getting disconnected.",
                                    consumer.address
                                ),
                            );
                            *link = Link::Closing;
                            frame::put(
                                &mut self.out,
                                windows.channel,
                                &Detach { handle: Handle(handle), closed: true, error: Some(error) },
                                3,
                            )?;
                            None
                        }
                        Link::Consumer(consumer) => match consumer.turn(
                            handle,
                            windows,
                            &mut self.out,
                            self.max_frame_size,
                            self.shared.clock.as_ref(),
                        ) {
                            Turn::Rests => None,
                            Turn::Drained(flow) => Some(flow),
                            Turn::HasMore => {
                                more = true;
                                None
                            }
                            Turn::Reads(range) => {
                                let place = Place { channel: windows.channel, handle, link: consumer.id };
                                let log = Arc::clone(consumer.log());
                                let read = tokio::task::spawn_blocking(move || log.read_file(&range));
                                self.work.push(Box::pin(async move {
                                    let result = read.await.unwrap_or_else(|error| {
                                        Err(LogError::Io {
                                            place: "a segment".into(),
                                            what: "reading events",
                                            why: error.to_string(),
                                        })
                                    });
                                    Done::Read { place, result }
                                }));
                                None
                            }
                        },
                        Link::Replies(replies) => replies.pump(handle, windows, &mut self.out, self.max_frame_size),
                        _ => None,
                    };
                    if let Some(flow) = flow {
                        let flow = windows.flow(Some(flow));
                        frame::put(&mut self.out, windows.channel, &flow, 11)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Detaches links that tokens no longer cover.
    fn expire_grants(&mut self) -> Result<(), End> {
        let now = self.shared.clock.now_millis();
        let before = self.grants.len();
        self.grants.retain(|grant| grant.expires_ms > now);
        if self.grants.len() == before {
            return Ok(());
        }
        let grants = std::mem::take(&mut self.grants);
        let expired = |address: &str| !grants.iter().any(|grant| grant.covers(address));
        let result = self.detach_where(
            |link| match link {
                Link::Producer(producer) => expired(&producer.address),
                Link::Consumer(consumer) => expired(&consumer.address),
                _ => false,
            },
            conditions::UNAUTHORIZED,
            "ExpiredToken: The token is expired. Put a new one before it expires.",
        );
        self.grants = grants;
        result
    }

    fn strike(&mut self, hub: Option<&str>, condition: &str) -> Result<(), End> {
        let hit = |name: &str| hub.is_none_or(|hub| name.eq_ignore_ascii_case(hub));
        self.detach_where(
            |link| match link {
                Link::Producer(producer) => hit(&producer.hub.name),
                Link::Consumer(consumer) => hit(&consumer.hub),
                _ => false,
            },
            condition,
            "The link was detached by a fault that was switched on.",
        )
    }

    fn detach_where(&mut self, wanted: impl Fn(&Link) -> bool, condition: &str, description: &str) -> Result<(), End> {
        for session in self.sessions.values_mut() {
            for (&handle, link) in &mut session.links {
                if wanted(link) {
                    *link = Link::Closing;
                    let detach = Detach {
                        handle: Handle(handle),
                        closed: true,
                        error: Some(conditions::error(condition, description)),
                    };
                    frame::put(&mut self.out, session.windows.channel, &detach, 3)?;
                }
            }
        }
        Ok(())
    }

    /// Detaches one link with an error.
    fn detach(&mut self, channel: u16, handle: u32, error: Error) -> Result<(), End> {
        if let Some(session) = self.sessions.get_mut(&channel) {
            session.links.insert(handle, Link::Closing);
        }
        self.put(channel, &Detach { handle: Handle(handle), closed: true, error: Some(error) }, 3)
    }

    fn put<T: Serialize>(&mut self, channel: u16, performative: &T, fields: u32) -> Result<(), End> {
        Ok(frame::put(&mut self.out, channel, performative, fields)?)
    }

    fn put_flow(&mut self, channel: u16, link: Option<LinkFlow>) -> Result<(), End> {
        let Some(session) = self.sessions.get_mut(&channel) else { return Ok(()) };
        let flow = session.windows.flow(link);
        self.put(channel, &flow, 11)
    }
}
