//! A small client on fe2o3-amqp, with what the tests need of Event Hubs' dialect.

use std::time::Duration;

use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::link::{ReceiverAttachError, RecvError};
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::definitions::{Fields, SenderSettleMode};
use fe2o3_amqp::types::messaging::annotations::OwnedKey;
use fe2o3_amqp::types::messaging::message::__private::Serializable;
use fe2o3_amqp::types::messaging::{
    AmqpValue, Annotations, ApplicationProperties, Batch, Body, Data, FilterSet, Message, MessageAnnotations, Outcome,
    Properties, Source,
};
use fe2o3_amqp::types::primitives::{Binary, SimpleValue, Symbol, Value};
use fe2o3_amqp::{Connection, Receiver, Sendable, Sender, Session};
use salamander_eventhubs_broker::sas::{DEVELOPMENT_KEY, DEVELOPMENT_KEY_NAME, SharedAccessKey, sign};
use serde_amqp::described::Described;
use serde_amqp::descriptor::Descriptor;

/// Every wait of a test ends within this time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something, but not for ever.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("the broker answers in time")
}

/// A connection with one session.
pub(crate) struct Client {
    /// Held, since dropping it ends the connection.
    _connection: ConnectionHandle<()>,
    session: SessionHandle<()>,
    links: u32,
}

/// An event as it was received.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) sequence: i64,
    pub(crate) offset: String,
    pub(crate) enqueued_ms: i64,
    pub(crate) partition_key: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) async fn open(address: std::net::SocketAddr) -> Self {
        Self::try_open(address).await.expect("the broker takes connections")
    }

    pub(crate) async fn try_open(address: std::net::SocketAddr) -> Result<Self, String> {
        let builder = Connection::builder().container_id("test").sasl_profile(SaslProfile::Anonymous);
        let mut connection =
            within(builder.open(format!("amqp://{address}").as_str())).await.map_err(|error| error.to_string())?;
        let session = within(Session::begin(&mut connection)).await.map_err(|error| error.to_string())?;
        Ok(Self { _connection: connection, session, links: 0 })
    }

    /// A connection with a token for everything below `path`.
    pub(crate) async fn with_token(address: std::net::SocketAddr, path: &str) -> Self {
        let mut client = Self::open(address).await;
        let key = development_key();
        let token = sign(&key, &format!("sb://localhost/{path}"), 4_000_000_000).expect("a token");
        assert_eq!(client.put_token(&token, &format!("sb://localhost/{path}")).await.0, 202);
        client
    }

    fn link_name(&mut self, what: &str) -> String {
        self.links += 1;
        format!("{what}-{}", self.links)
    }

    /// Puts a token, and returns status and description.
    pub(crate) async fn put_token(&mut self, token: &str, audience: &str) -> (i32, String) {
        let properties = [("operation", "put-token"), ("type", "servicebus.windows.net:sastoken"), ("name", audience)];
        let (status, description, _) = self.request("$cbs", &properties, Value::String(token.into())).await;
        (status, description)
    }

    /// Sends a request to a node and waits for its reply: status, description, body.
    pub(crate) async fn request(
        &mut self,
        node: &str,
        properties: &[(&str, &str)],
        body: Value,
    ) -> (i32, String, Value) {
        let (to, from) = (self.link_name("requests"), self.link_name("replies"));
        let mut sender = within(Sender::attach(&mut self.session, to, node)).await.expect("attaches");
        let receiver = Receiver::builder().name(from.clone()).source(node).target(from.clone()).auto_accept(true);
        let mut receiver = within(receiver.attach(&mut self.session)).await.expect("attaches");
        let mut application = ApplicationProperties::builder();
        for (name, value) in properties {
            application = application.insert(*name, *value);
        }
        let message = Message::builder()
            .properties(Properties::builder().message_id("request".to_string()).reply_to(from).build())
            .application_properties(application.build())
            .body(AmqpValue(body))
            .build();
        within(sender.send(message)).await.expect("is sent");
        let reply = within(receiver.recv::<Body<Value>>()).await.expect("is answered").into_message();
        assert_eq!(reply.properties.unwrap().correlation_id, Some("request".to_string().into()));
        let properties = reply.application_properties.unwrap();
        let Some(SimpleValue::Int(status)) = properties.get("status-code") else { panic!("no status: {properties:?}") };
        let Some(SimpleValue::String(words)) = properties.get("status-description") else { panic!("no description") };
        let body = match reply.body {
            Body::Value(AmqpValue(value)) => value,
            _ => Value::Null,
        };
        within(sender.close()).await.expect("closes");
        within(receiver.close()).await.expect("closes");
        (*status, words.clone(), body)
    }

    /// A link to send events to `address`.
    pub(crate) async fn producer(&mut self, address: &str) -> Sender {
        let name = self.link_name("producer");
        within(Sender::attach(&mut self.session, name, address)).await.expect("attaches")
    }

    /// A link to receive events on, with credit for 1,000 at a time.
    pub(crate) async fn consumer(&mut self, address: &str, filter: &str, epoch: Option<i64>) -> Receiver {
        self.try_consumer(address, filter, epoch).await.expect("attaches")
    }

    pub(crate) async fn try_consumer(
        &mut self,
        address: &str,
        filter: &str,
        epoch: Option<i64>,
    ) -> Result<Receiver, ReceiverAttachError> {
        let mut filters = FilterSet::new();
        let expression = Described {
            descriptor: Descriptor::Name(Symbol::from("apache.org:selector-filter:string")),
            value: Value::String(filter.into()),
        };
        filters.insert(Symbol::from("apache.org:selector-filter:string"), Value::Described(Box::new(expression)));
        let source = Source { address: Some(address.into()), filter: Some(filters), ..Source::default() };
        let mut properties = Fields::new();
        if let Some(epoch) = epoch {
            properties.insert(Symbol::from("com.microsoft:epoch"), Value::Long(epoch));
        }
        let receiver = Receiver::builder()
            .name(self.link_name("consumer"))
            .source(source)
            .properties(properties)
            .sender_settle_mode(SenderSettleMode::Settled)
            .credit_mode(CreditMode::Auto(1_000))
            .auto_accept(true);
        within(receiver.attach(&mut self.session)).await
    }

    /// Reads partition `partition` of a hub from its start, `count` events.
    pub(crate) async fn read(&mut self, hub: &str, partition: u32, count: usize) -> Vec<Event> {
        let address = format!("{hub}/ConsumerGroups/$Default/Partitions/{partition}");
        let mut consumer = self.consumer(&address, EARLIEST, None).await;
        let mut events = Vec::with_capacity(count);
        while events.len() < count {
            events.push(receive(&mut consumer).await.expect("an event"));
        }
        within(consumer.close()).await.expect("closes");
        events
    }

    /// What `$management` tells of a partition: begin and last sequence number, whether it is empty.
    pub(crate) async fn partition(&mut self, hub: &str, partition: &str) -> (i64, i64, bool) {
        let properties =
            [("operation", "READ"), ("type", "com.microsoft:partition"), ("name", hub), ("partition", partition)];
        let (status, words, body) = self.request("$management", &properties, Value::Null).await;
        assert_eq!(status, 200, "{words}");
        let (Value::Long(begin), Value::Long(last), Value::Bool(empty)) = (
            field(&body, "begin_sequence_number"),
            field(&body, "last_enqueued_sequence_number"),
            field(&body, "is_partition_empty"),
        ) else {
            panic!("{body:?}")
        };
        (begin, last, empty)
    }
}

/// The whole partition.
pub(crate) const EARLIEST: &str = "amqp.annotation.x-opt-offset > '-1'";

pub(crate) fn development_key() -> SharedAccessKey {
    SharedAccessKey { name: DEVELOPMENT_KEY_NAME.into(), key: DEVELOPMENT_KEY.into() }
}

pub(crate) fn field(map: &Value, name: &str) -> Value {
    let Value::Map(map) = map else { panic!("no map: {map:?}") };
    map.get(&Value::String(name.into())).cloned().unwrap_or_else(|| panic!("no {name} in {map:?}"))
}

/// A message with one body.
pub(crate) fn message(body: &[u8], key: Option<&str>) -> Message<Data> {
    let mut annotations = Annotations::new();
    if let Some(key) = key {
        annotations.insert(Symbol::from("x-opt-partition-key").into(), Value::String(key.into()));
    }
    Message {
        message_annotations: (!annotations.is_empty()).then(|| MessageAnnotations(annotations)),
        ..Message::builder().body(Data(Binary::from(body.to_vec()))).build()
    }
}

/// A batch of messages, as the SDKs send it.
pub(crate) fn batch(bodies: impl IntoIterator<Item = Vec<u8>>) -> Sendable<Batch<Data>> {
    let messages = bodies.into_iter().map(|body| {
        let encoded = serde_amqp::to_vec(&Serializable(message(&body, None))).expect("encodes");
        Data(Binary::from(encoded))
    });
    let body = Batch::new(messages.collect::<Vec<_>>());
    Sendable::builder().message_format(0x8001_3700).message(Message::builder().body(body).build()).build()
}

/// Receives one event.
pub(crate) async fn receive(consumer: &mut Receiver) -> Result<Event, RecvError> {
    let message = within(consumer.recv::<Body<Value>>()).await?.into_message();
    let annotations = message.message_annotations.expect("annotations").0;
    let annotation = |name: &str| annotations.get(&OwnedKey::Symbol(Symbol::from(name)));
    let Some(Value::Long(sequence)) = annotation("x-opt-sequence-number") else { panic!("no sequence number") };
    let Some(Value::String(offset)) = annotation("x-opt-offset") else { panic!("no offset") };
    let Some(Value::Timestamp(enqueued)) = annotation("x-opt-enqueued-time") else { panic!("no enqueued time") };
    let partition_key = match annotation("x-opt-partition-key") {
        Some(Value::String(key)) => Some(key.clone()),
        _ => None,
    };
    let Body::Data(data) = message.body else { panic!("no data") };
    Ok(Event {
        sequence: *sequence,
        offset: offset.clone(),
        enqueued_ms: enqueued.milliseconds(),
        partition_key,
        body: data.iter().flat_map(|data| data.0.to_vec()).collect(),
    })
}

/// The condition of the error an outcome carries.
pub(crate) fn rejection(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Rejected(rejected) => rejected.error.as_ref().map(|error| condition(&error.condition)),
        _ => None,
    }
}

/// An error condition as it was sent.
pub(crate) fn condition(condition: &fe2o3_amqp::types::definitions::ErrorCondition) -> String {
    let encoded = serde_amqp::to_vec(condition).expect("encodes");
    serde_amqp::from_slice::<Symbol>(&encoded).expect("is a symbol").as_str().to_owned()
}
