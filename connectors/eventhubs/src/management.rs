//! What `$management` says of a hub and its partitions.

use crate::amqp::AmqpError;
use crate::rpc::Rpc;
use fe2o3_amqp_types::primitives::{SimpleValue, Value};
use secrecy::{ExposeSecret, SecretString};

/// A hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubProperties {
    /// Its name.
    pub name: String,
    /// When it was created, in milliseconds since 1970-01-01 UTC. Another hub of the same name has another time.
    pub created_at: i64,
    /// Its partitions, in the service's order.
    pub partition_ids: Vec<String>,
}

/// A partition as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionProperties {
    /// Sequence number of the first event that is there, or would be: equal to `end` when there is none.
    pub begin: u64,
    /// Sequence number after the last event that was ever enqueued.
    pub end: u64,
    /// Offset of the last event.
    pub last_offset: Option<String>,
    /// When the last event was enqueued, in milliseconds since 1970-01-01 UTC.
    pub last_enqueued: Option<i64>,
}

/// Asks for a hub's properties.
///
/// # Errors
/// When the hub isn't there, the token doesn't open it, or no answer comes in time.
pub(crate) async fn hub(rpc: &Rpc, hub: &str, token: &SecretString) -> Result<HubProperties, AmqpError> {
    let fields = vec![
        ("operation", text("READ")),
        ("name", text(hub)),
        ("type", text("com.microsoft:eventhub")),
        ("security_token", text(token.expose_secret())),
    ];
    let body = Fields(rpc.call(fields, Value::Null).await?.success()?.body);
    Ok(HubProperties {
        name: body.text("name").unwrap_or_else(|| hub.to_owned()),
        created_at: body.millis("created_at").ok_or_else(|| missing("created_at"))?,
        partition_ids: body.texts("partition_ids").ok_or_else(|| missing("partition_ids"))?,
    })
}

/// Asks for a partition's properties.
///
/// # Errors
/// When the partition isn't there, the token doesn't open it, or no answer comes in time.
pub(crate) async fn partition(
    rpc: &Rpc,
    hub: &str,
    partition: &str,
    token: &SecretString,
) -> Result<PartitionProperties, AmqpError> {
    let fields = vec![
        ("operation", text("READ")),
        ("name", text(hub)),
        ("type", text("com.microsoft:partition")),
        ("partition", text(partition)),
        ("security_token", text(token.expose_secret())),
    ];
    let body = Fields(rpc.call(fields, Value::Null).await?.success()?.body);
    let last = body.number("last_enqueued_sequence_number").ok_or_else(|| missing("last_enqueued_sequence_number"))?;
    let begin = body.number("begin_sequence_number").ok_or_else(|| missing("begin_sequence_number"))?;
    // Both are -1 in a partition that never held an event.
    let end = u64::try_from(last.saturating_add(1)).unwrap_or(0);
    let begin = match body.flag("is_partition_empty") {
        Some(true) => end,
        _ => u64::try_from(begin).unwrap_or(0).min(end),
    };
    Ok(PartitionProperties {
        begin,
        end,
        last_offset: body.text("last_enqueued_offset").filter(|offset| !offset.is_empty() && offset != "-1"),
        last_enqueued: body.millis("last_enqueued_time_utc"),
    })
}

fn text(text: &str) -> SimpleValue {
    SimpleValue::String(text.to_owned())
}

fn missing(name: &str) -> AmqpError {
    AmqpError::Protocol(format!("$management's answer has no usable {name}"))
}

/// A map body, by its string keys.
struct Fields(Value);

impl Fields {
    fn get(&self, name: &str) -> Option<&Value> {
        let Value::Map(map) = &self.0 else {
            return None;
        };
        let found = map.iter().find(|(key, _)| match key {
            Value::String(key) => key == name,
            Value::Symbol(key) => key.as_str() == name,
            _ => false,
        });
        found.map(|(_, value)| value)
    }

    fn text(&self, name: &str) -> Option<String> {
        as_text(self.get(name)?)
    }

    fn texts(&self, name: &str) -> Option<Vec<String>> {
        match self.get(name)? {
            Value::Array(items) => items.0.iter().map(as_text).collect(),
            Value::List(items) => items.iter().map(as_text).collect(),
            one => as_text(one).map(|text| vec![text]),
        }
    }

    fn number(&self, name: &str) -> Option<i64> {
        match *self.get(name)? {
            Value::Long(number) => Some(number),
            Value::Int(number) => Some(number.into()),
            Value::Ulong(number) => i64::try_from(number).ok(),
            Value::Uint(number) => Some(number.into()),
            _ => None,
        }
    }

    fn millis(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Value::Timestamp(time) => Some(time.milliseconds()),
            _ => None,
        }
    }

    fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        }
    }
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Symbol(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}
