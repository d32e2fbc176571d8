//! The callers' side of a connection: a cheap handle that sends commands to the driver and awaits the answers.

use super::driver;
use super::error::{AmqpError, within};
use super::link::{Attached, Inlet, ReceiverSpec, SenderSpec};
use super::transport::{self, Address};
use bytes::Bytes;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Commands that may wait for the driver.
const COMMANDS: usize = 256;

/// What a caller wants of the driver.
pub(crate) enum Command {
    AttachReceiver { spec: ReceiverSpec, inlet: Box<dyn Inlet>, reply: oneshot::Sender<Result<Attached, AmqpError>> },
    AttachSender { spec: SenderSpec, reply: oneshot::Sender<Result<Attached, AmqpError>> },
    Send { handle: u32, format: u32, message: Bytes, done: oneshot::Sender<Result<(), AmqpError>> },
    Poke { handle: u32 },
    Detach { handle: u32 },
}

impl Command {
    /// Answers a command that came too late.
    pub(crate) fn refuse(self, error: &AmqpError) {
        match self {
            Command::AttachReceiver { reply, .. } | Command::AttachSender { reply, .. } => {
                let _ = reply.send(Err(error.clone()));
            }
            Command::Send { done, .. } => {
                let _ = done.send(Err(error.clone()));
            }
            Command::Poke { .. } | Command::Detach { .. } => {}
        }
    }
}

/// An open connection. The last handle's end closes it.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    commands: mpsc::Sender<Command>,
    /// Time limit of each call.
    limit: Duration,
}

impl Connection {
    /// Connects, opens, and starts the driver.
    ///
    /// # Errors
    /// When that fails or takes longer than the limit.
    pub(crate) async fn open(address: &Address, container: &str, limit: Duration) -> Result<Self, AmqpError> {
        let opened = within(limit, "connecting", transport::open(address, container)).await?;
        let (commands, receiver) = mpsc::channel(COMMANDS);
        tokio::spawn(driver::run(opened, receiver));
        Ok(Self { commands, limit })
    }

    /// True once the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.commands.is_closed()
    }

    /// Returns when the connection has ended.
    pub(crate) async fn closed(&self) {
        self.commands.closed().await;
    }

    /// Attaches a receiver that hands its messages to `inlet`.
    ///
    /// # Errors
    /// When the peer refuses, or does not answer in time.
    pub(crate) async fn attach_receiver(
        &self,
        spec: ReceiverSpec,
        inlet: Box<dyn Inlet>,
    ) -> Result<LinkHandle, AmqpError> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::AttachReceiver { spec, inlet, reply }).await?;
        self.attached(answer).await
    }

    /// Attaches a sender.
    ///
    /// # Errors
    /// When the peer refuses, or does not answer in time.
    pub(crate) async fn attach_sender(&self, spec: SenderSpec) -> Result<LinkHandle, AmqpError> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::AttachSender { spec, reply }).await?;
        self.attached(answer).await
    }

    async fn attached(&self, answer: oneshot::Receiver<Result<Attached, AmqpError>>) -> Result<LinkHandle, AmqpError> {
        let attached = self.answer(answer, "attaching a link").await?;
        Ok(LinkHandle { connection: self.clone(), attached })
    }

    async fn command(&self, command: Command) -> Result<(), AmqpError> {
        within(self.limit, "a command", async { self.commands.send(command).await.map_err(|_| AmqpError::Closed) })
            .await
    }

    async fn answer<T>(
        &self,
        answer: oneshot::Receiver<Result<T, AmqpError>>,
        what: &'static str,
    ) -> Result<T, AmqpError> {
        within(self.limit, what, async { answer.await.unwrap_or(Err(AmqpError::Closed)) }).await
    }
}

/// An attached link. Dropping it detaches it.
#[derive(Debug)]
pub(crate) struct LinkHandle {
    connection: Connection,
    attached: Attached,
}

impl LinkHandle {
    /// The largest message that the peer takes, if it says so.
    pub(crate) fn max_message_size(&self) -> Option<u64> {
        self.attached.max_message_size
    }

    /// Has the driver ask the receiver's inlet for its credit. A poke that finds the queue full is not lost: the
    /// commands before it wake the driver, and the inlet is asked again after its next messages.
    pub(crate) fn poke(&self) -> bool {
        let handle = self.attached.handle;
        self.connection.commands.try_send(Command::Poke { handle }).is_ok()
    }

    /// Sends a message and returns when the peer has accepted it.
    ///
    /// # Errors
    /// When the peer rejects it, the link or connection ends first, or no verdict comes in time: then it may or may not
    /// have been accepted.
    pub(crate) async fn send(&self, format: u32, message: Bytes) -> Result<(), AmqpError> {
        let (done, verdict) = oneshot::channel();
        let handle = self.attached.handle;
        self.connection.command(Command::Send { handle, format, message, done }).await?;
        self.connection.answer(verdict, "a sent message").await
    }
}

impl Drop for LinkHandle {
    fn drop(&mut self) {
        let handle = self.attached.handle;
        if let Err(mpsc::error::TrySendError::Full(command)) =
            self.connection.commands.try_send(Command::Detach { handle })
        {
            let commands = self.connection.commands.clone();
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move {
                    let _ = commands.send(command).await;
                });
            }
        }
    }
}
