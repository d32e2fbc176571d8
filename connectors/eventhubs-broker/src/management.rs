//! `$management`: what hubs and partitions there are.

use std::sync::Arc;

use serde_amqp::Value;
use serde_amqp::primitives::{Array, OrderedMap, Timestamp};

use crate::conditions;
use crate::hubs::Hub;
use crate::request::Reply;

/// The type of a hub in requests and replies.
pub(crate) const EVENTHUB: &str = "com.microsoft:eventhub";

/// The type of a partition in requests and replies.
pub(crate) const PARTITION: &str = "com.microsoft:partition";

/// Describes a hub.
pub(crate) fn describe_hub(hub: &Hub) -> Reply {
    let ids = (0..hub.partition_count()).map(|number| Value::String(number.to_string())).collect::<Vec<_>>();
    map([
        ("name", Value::String(hub.name.clone())),
        ("type", Value::String(EVENTHUB.into())),
        ("created_at", timestamp(hub.created_ms)),
        ("partition_count", Value::Int(hub.partition_count() as i32)),
        ("partition_ids", Value::Array(Array::from(ids))),
        ("georeplication_factor", Value::Int(1)),
    ])
}

/// Describes a partition of a hub.
pub(crate) fn describe_partition(hub: &Arc<Hub>, id: &str) -> Reply {
    let Some((_, log)) = hub.partition(id) else {
        let description = format!(
            "The specified partition is invalid for an EventHub partition sender or receiver. It should be between 0 and {}, but '{id}' was given.",
            hub.partition_count() - 1
        );
        return Reply::refused(400, conditions::OUT_OF_RANGE, description);
    };
    let status = log.status();
    map([
        ("name", Value::String(hub.name.clone())),
        ("type", Value::String(PARTITION.into())),
        ("partition", Value::String(id.into())),
        ("begin_sequence_number", Value::Long(status.begin_sequence)),
        ("last_enqueued_sequence_number", Value::Long(status.last_sequence)),
        (
            "last_enqueued_offset",
            Value::String(status.last_offset.map_or_else(|| "-1".into(), |offset| offset.to_string())),
        ),
        ("last_enqueued_time_utc", timestamp(status.last_enqueued_ms)),
        ("is_partition_empty", Value::Bool(status.is_empty)),
        ("begin_sequence_number_epoch", Value::Int(-1)),
        ("last_enqueued_sequence_number_epoch", Value::Int(-1)),
    ])
}

fn timestamp(millis: i64) -> Value {
    Value::Timestamp(Timestamp::from_milliseconds(millis))
}

fn map<const N: usize>(fields: [(&str, Value); N]) -> Reply {
    let mut map = OrderedMap::new();
    for (name, value) in fields {
        map.insert(Value::String(name.into()), value);
    }
    Reply::done(200, Value::Map(map))
}
