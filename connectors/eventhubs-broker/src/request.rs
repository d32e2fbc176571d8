//! Requests to `$cbs` and `$management`, and the replies to them.

use bytes::Bytes;
use fe2o3_amqp_types::messaging::message::__private::{Deserializable, Serializable};
use fe2o3_amqp_types::messaging::{AmqpValue, ApplicationProperties, Body, Message, MessageId, Properties};
use fe2o3_amqp_types::primitives::SimpleValue;
use serde_amqp::Value;

/// A request message, decoded.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    message_id: Option<MessageId>,
    reply_to: Option<String>,
    properties: ApplicationProperties,
    body: Body<Value>,
}

/// What a request is answered with.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// As in HTTP: 200, 202, 400, 401, 404 …
    pub status: i32,
    /// In words.
    pub description: String,
    /// The error's condition, where it is one.
    pub condition: Option<&'static str>,
    /// The body.
    pub body: Value,
}

impl Reply {
    /// A reply that something was done.
    pub(crate) fn done(status: i32, body: Value) -> Self {
        Self { status, description: if status == 202 { "Accepted" } else { "OK" }.into(), condition: None, body }
    }

    /// A reply that something was not done.
    pub(crate) fn refused(status: i32, condition: &'static str, description: impl Into<String>) -> Self {
        Self { status, description: description.into(), condition: Some(condition), body: Value::Null }
    }
}

impl Request {
    /// Decodes a request; the error says what is wrong with it.
    pub(crate) fn decode(message: &[u8]) -> Result<Self, String> {
        let Deserializable(message): Deserializable<Message<Body<Value>>> =
            serde_amqp::from_slice(message).map_err(|error| error.to_string())?;
        let properties = message.properties.unwrap_or_default();
        Ok(Self {
            message_id: properties.message_id,
            reply_to: properties.reply_to.map(|address| address.to_string()),
            properties: message.application_properties.unwrap_or_else(|| ApplicationProperties::builder().build()),
            body: message.body,
        })
    }

    /// The address that the reply is wanted at.
    pub(crate) fn reply_to(&self) -> Option<&str> {
        self.reply_to.as_deref()
    }

    /// A text among the application properties.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        match self.properties.get(name)? {
            SimpleValue::String(text) => Some(text.clone()),
            SimpleValue::Symbol(symbol) => Some(symbol.as_str().to_owned()),
            SimpleValue::Binary(bytes) => String::from_utf8(bytes.to_vec()).ok(),
            SimpleValue::Int(number) => Some(number.to_string()),
            SimpleValue::Long(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The body as text.
    pub(crate) fn body_text(&self) -> Option<String> {
        match &self.body {
            Body::Value(AmqpValue(Value::String(text))) => Some(text.clone()),
            Body::Value(AmqpValue(Value::Symbol(symbol))) => Some(symbol.as_str().to_owned()),
            Body::Value(AmqpValue(Value::Binary(bytes))) => String::from_utf8(bytes.to_vec()).ok(),
            Body::Data(batch) => String::from_utf8(batch.iter().flat_map(|data| data.0.iter().copied()).collect()).ok(),
            _ => None,
        }
    }

    /// Encodes the reply to this request.
    pub(crate) fn reply(&self, reply: Reply) -> Result<Bytes, String> {
        let mut properties = ApplicationProperties::builder()
            .insert("status-code", reply.status)
            .insert("status-description", reply.description.clone())
            // The Python SDK looks for the description of a $management reply under this name.
            .insert("statusDescription", reply.description);
        if let Some(condition) = reply.condition {
            properties = properties.insert("error-condition", SimpleValue::Symbol(condition.into()));
        }
        let message = Message::builder()
            .properties(Properties { correlation_id: self.message_id.clone(), ..Properties::default() })
            .application_properties(properties.build())
            .body(AmqpValue(reply.body))
            .build();
        serde_amqp::to_vec(&Serializable(message)).map(Bytes::from).map_err(|error| error.to_string())
    }
}
