//! Request and response over a pair of links, as `$cbs` and `$management` want it.
//!
//! A request names where the answer goes (`reply-to`) and itself (`message-id`); the answer carries that name as its
//! `correlation-id` and its status among the application properties.

use crate::amqp::section::Pairs;
use crate::amqp::wire::{Cursor, Malformed, Scalar};
use crate::amqp::{AmqpError, Connection, Inlet, LinkHandle, ReceiverSpec, SenderSpec, within};
use bytes::Bytes;
use fe2o3_amqp_types::messaging::{AmqpValue, ApplicationProperties, MessageId, Properties};
use fe2o3_amqp_types::primitives::{SimpleValue, Value};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Answers that may be under way.
const CREDIT: u32 = 128;

/// What the peer answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    /// As in HTTP.
    pub(crate) status: i64,
    /// In words.
    pub(crate) description: String,
    /// The AMQP condition, if it is an error and the peer names one.
    pub(crate) condition: Option<String>,
    /// The body, if it is a value.
    pub(crate) body: Value,
}

impl Reply {
    /// The reply if it is a success.
    ///
    /// # Errors
    /// As a [`AmqpError::Remote`] whose condition follows from the status if the peer names none.
    pub(crate) fn success(self) -> Result<Self, AmqpError> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let by_status = match self.status {
            401 | 403 => "amqp:unauthorized-access",
            404 | 410 => "amqp:not-found",
            400 => "com.microsoft:argument-error",
            429 | 503 => "com.microsoft:server-busy",
            _ => "amqp:internal-error",
        };
        Err(AmqpError::Remote {
            condition: self.condition.unwrap_or_else(|| by_status.to_owned()),
            description: format!("{} (status {})", self.description, self.status),
        })
    }
}

type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<Result<Reply, AmqpError>>>>>;

/// An open pair of links to a node.
#[derive(Debug)]
pub(crate) struct Rpc {
    sender: LinkHandle,
    _receiver: LinkHandle,
    waiting: Waiting,
    requests: AtomicU64,
    reply_to: String,
    limit: Duration,
}

impl Rpc {
    /// Attaches both links. `client` makes the reply address unique.
    ///
    /// # Errors
    /// When the peer refuses, or does not answer in time.
    pub(crate) async fn open(
        connection: &Connection,
        node: &str,
        client: &str,
        limit: Duration,
    ) -> Result<Self, AmqpError> {
        let reply_to = format!("{node}-{client}");
        let waiting = Waiting::default();
        let sender = SenderSpec { name: format!("{node}-{client}-out"), address: node.to_owned() };
        let receiver = ReceiverSpec {
            name: format!("{node}-{client}-in"),
            address: node.to_owned(),
            target: Some(reply_to.clone()),
            filter: None,
            epoch: None,
        };
        let inlet = Box::new(Replies { waiting: Arc::clone(&waiting) });
        let sender = connection.attach_sender(sender).await?;
        let receiver = connection.attach_receiver(receiver, inlet).await?;
        receiver.poke();
        Ok(Self { sender, _receiver: receiver, waiting, requests: AtomicU64::new(1), reply_to, limit })
    }

    /// Asks and awaits the answer.
    ///
    /// # Errors
    /// When the links end, or no answer comes in time.
    pub(crate) async fn call(&self, properties: Vec<(&str, SimpleValue)>, body: Value) -> Result<Reply, AmqpError> {
        let id = format!("{}-{}", self.reply_to, self.requests.fetch_add(1, Ordering::Relaxed));
        let message = request(&id, &self.reply_to, properties, body)?;
        let (answer, reply) = oneshot::channel();
        lock(&self.waiting).insert(id.clone(), answer);
        let result = within(self.limit, "a request", async {
            self.sender.send(0, message).await?;
            reply.await.unwrap_or(Err(AmqpError::Closed))
        })
        .await;
        lock(&self.waiting).remove(&id);
        result
    }
}

fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<Result<Reply, AmqpError>>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

fn request(id: &str, reply_to: &str, fields: Vec<(&str, SimpleValue)>, body: Value) -> Result<Bytes, AmqpError> {
    let mut properties = Properties::new();
    properties.message_id = Some(MessageId::String(id.to_owned()));
    properties.reply_to = Some(reply_to.to_owned());
    let mut builder = ApplicationProperties::builder();
    for (name, value) in fields {
        builder = builder.insert(name, value);
    }
    let mut message = serde_amqp::to_vec(&properties)?;
    message.extend(serde_amqp::to_vec(&builder.build())?);
    message.extend(serde_amqp::to_vec(&AmqpValue(body))?);
    Ok(message.into())
}

struct Replies {
    waiting: Waiting,
}

impl Inlet for Replies {
    fn message(&mut self, message: &[u8]) {
        match read_reply(message) {
            Ok((Some(id), reply)) => {
                if let Some(waiting) = lock(&self.waiting).remove(&id) {
                    let _ = waiting.send(Ok(reply));
                }
            }
            Ok((None, _)) => tracing::warn!("an answer without correlation id is dropped"),
            Err(error) => tracing::warn!(%error, "an answer that can't be read is dropped"),
        }
    }

    fn credit(&mut self, outstanding: u32) -> Option<u32> {
        (outstanding < CREDIT / 2).then_some(CREDIT)
    }

    fn ended(&mut self, error: AmqpError) {
        for (_, waiting) in lock(&self.waiting).drain() {
            let _ = waiting.send(Err(error.clone()));
        }
    }
}

fn read_reply(message: &[u8]) -> Result<(Option<String>, Reply), AmqpError> {
    let mut reply = Reply { status: 0, description: String::new(), condition: None, body: Value::Null };
    let mut id = None;
    let mut cursor = Cursor::new(message);
    while !cursor.is_empty() {
        match cursor.descriptor()? {
            Some(0x73) => id = correlation_id(&mut cursor)?,
            Some(0x74) => status(&Pairs::read(&mut cursor)?, &mut reply)?,
            Some(0x77) => {
                let start = cursor.rest();
                cursor.skip()?;
                let taken = start.len() - cursor.rest().len();
                reply.body = serde_amqp::from_slice(start.get(..taken).unwrap_or_default())?;
            }
            _ => cursor.skip()?,
        }
    }
    Ok((id, reply))
}

fn correlation_id(cursor: &mut Cursor<'_>) -> Result<Option<String>, Malformed> {
    const PLACE: u32 = 5;
    let (count, mut fields) = cursor.list()?;
    if count <= PLACE {
        return Ok(None);
    }
    for _ in 0..PLACE {
        fields.skip()?;
    }
    Ok(fields.scalar()?.render().map(|id| id.into_owned()))
}

fn status(pairs: &Pairs<'_>, reply: &mut Reply) -> Result<(), Malformed> {
    for pair in pairs.iter() {
        let (Scalar::Text(key), value) = pair? else {
            continue;
        };
        match (key, value) {
            ("status-code" | "statusCode", Scalar::Signed(status)) => reply.status = status,
            ("status-code" | "statusCode", Scalar::Unsigned(status)) => reply.status = status as i64,
            ("status-description" | "statusDescription", Scalar::Text(text)) => reply.description = text.to_owned(),
            ("error-condition" | "errorCondition", Scalar::Symbol(text) | Scalar::Text(text)) => {
                reply.condition = Some(text.to_owned());
            }
            _ => {}
        }
    }
    Ok(())
}
