//! The one task that touches a connection's socket.
//!
//! It waits for whatever comes first: bytes to read, room to write, a command, the clock. Reading goes on while writing
//! waits, so that two peers that both write can't stop each other.

use super::connection::Command;
use super::error::AmqpError;
use super::frame;
use super::session::Session;
use super::transport::{IDLE, Io, MAX_FRAME, Opened};
use bytes::{Buf, BytesMut};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Bytes that one read takes at most.
const READ: usize = 256 << 10;
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Runs the connection until the peer or the last handle ends it.
pub(crate) async fn run(opened: Opened, mut commands: mpsc::Receiver<Command>) {
    let (reader, writer) = tokio::io::split(opened.io);
    let mut driver = Driver {
        reader,
        writer,
        input: opened.input,
        session: opened.session,
        unflushed: false,
        last_read: Instant::now(),
        last_written: Instant::now(),
        heartbeat: opened.heartbeat,
    };
    let error = match driver.serve(&mut commands).await {
        Ok(()) => AmqpError::Closed,
        Err(error) => error,
    };
    commands.close();
    driver.session.fail(&error);
    while let Ok(command) = commands.try_recv() {
        command.refuse(&error);
    }
    let _ = tokio::time::timeout(GOODBYE, driver.goodbye()).await;
}

/// Writes what the socket takes now; nothing to write means flush. Cancel safe, as both are.
async fn write_some(writer: &mut WriteHalf<Box<dyn Io>>, bytes: &[u8]) -> std::io::Result<usize> {
    if bytes.is_empty() {
        writer.flush().await?;
        return Ok(0);
    }
    writer.write(bytes).await
}

struct Driver {
    reader: ReadHalf<Box<dyn Io>>,
    writer: WriteHalf<Box<dyn Io>>,
    input: BytesMut,
    session: Session,
    /// Written to TLS, perhaps not yet to the socket.
    unflushed: bool,
    last_read: Instant,
    last_written: Instant,
    heartbeat: Option<Duration>,
}

impl Driver {
    async fn serve(&mut self, commands: &mut mpsc::Receiver<Command>) -> Result<(), AmqpError> {
        let mut clock = tokio::time::interval(self.tick());
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.take_frames()?;
        loop {
            self.input.reserve(READ);
            let writing = !self.session.out.is_empty();
            tokio::select! {
                read = self.reader.read_buf(&mut self.input) => {
                    if read? == 0 {
                        return Err(AmqpError::Io("the peer closed the connection".into()));
                    }
                    self.last_read = Instant::now();
                    self.take_frames()?;
                }
                written = write_some(&mut self.writer, &self.session.out), if writing || self.unflushed => {
                    self.session.out.advance(written?);
                    self.last_written = Instant::now();
                    self.unflushed = writing;
                }
                command = commands.recv() => match command {
                    Some(command) => self.obey(command)?,
                    None => return Ok(()),
                },
                _ = clock.tick() => self.look_at_the_clock()?,
            }
        }
    }

    fn tick(&self) -> Duration {
        self.heartbeat.map_or(IDLE / 4, |beat| beat.min(IDLE) / 2).max(Duration::from_millis(50))
    }

    fn take_frames(&mut self) -> Result<(), AmqpError> {
        let mut at = 0;
        while let Some(frame) = frame::first(self.input.get(at..).unwrap_or_default(), MAX_FRAME as usize)? {
            self.session.on_frame(&frame)?;
            at += frame.size;
        }
        self.input.advance(at);
        self.session.end_of_read()
    }

    fn look_at_the_clock(&mut self) -> Result<(), AmqpError> {
        if self.last_read.elapsed() > IDLE * 2 {
            return Err(AmqpError::Timeout { what: "anything: the peer has fallen silent", limit: IDLE * 2 });
        }
        if let Some(beat) = self.heartbeat
            && self.last_written.elapsed() >= beat / 2
            && self.session.out.is_empty()
        {
            frame::write_heartbeat(&mut self.session.out);
        }
        Ok(())
    }

    fn obey(&mut self, command: Command) -> Result<(), AmqpError> {
        match command {
            Command::AttachReceiver { spec, inlet, reply } => self.session.attach_receiver(&spec, inlet, reply),
            Command::AttachSender { spec, reply } => self.session.attach_sender(&spec, reply),
            Command::Send { handle, format, message, done } => self.session.send(handle, format, message, done),
            Command::Poke { handle } => self.session.poke(handle),
            Command::Detach { handle } => self.session.detach(handle),
        }
    }

    async fn goodbye(&mut self) -> Result<(), AmqpError> {
        self.session.close()?;
        self.writer.write_all(&self.session.out).await?;
        self.writer.flush().await?;
        Ok(self.writer.shutdown().await?)
    }
}
