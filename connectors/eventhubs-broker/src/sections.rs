//! Messages as their encoded sections: split, annotated, never decoded.
//!
//! A message is a row of described values: header 0x70, delivery annotations 0x71, message annotations 0x72, properties 0x73, application properties 0x74, body
//! (data 0x75, sequence 0x76, value 0x77), footer 0x78. The broker puts its annotations (sequence number, offset, enqueued time, partition key) among the
//! sender's and leaves all other sections byte for byte as they came.

use bytes::{BufMut, Bytes, BytesMut};

use crate::amqp::value::{self, Malformed};
use crate::log::segment::Mark;

const HEADER: u8 = 0x70;
const DELIVERY_ANNOTATIONS: u8 = 0x71;
const MESSAGE_ANNOTATIONS: u8 = 0x72;
const DATA: u8 = 0x75;

/// The message format of a batch: each data section of the body is an encoded message.
pub(crate) const BATCH_FORMAT: u32 = 0x8001_3700;

const SEQUENCE_NUMBER: &str = "x-opt-sequence-number";
const OFFSET: &str = "x-opt-offset";
const ENQUEUED_TIME: &str = "x-opt-enqueued-time";
const PARTITION_KEY: &str = "x-opt-partition-key";

/// One section of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section<'a> {
    /// The low byte of its descriptor, such as 0x75 for data.
    pub code: u8,
    /// Descriptor and value.
    pub whole: &'a [u8],
    /// The value alone.
    pub value: &'a [u8],
}

/// Walks over the sections of an encoded message.
pub(crate) fn sections(message: &[u8]) -> Sections<'_> {
    Sections { rest: message }
}

/// See [`sections`].
#[derive(Debug, Clone)]
pub(crate) struct Sections<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Sections<'a> {
    type Item = Result<Section<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let section = self.step();
        if section.is_err() {
            self.rest = &[];
        }
        Some(section)
    }
}

impl<'a> Sections<'a> {
    fn step(&mut self) -> Result<Section<'a>, Malformed> {
        let (whole, rest) = self.rest.split_at(value::encoded_len(self.rest)?);
        let described = whole.strip_prefix(&[0]).ok_or(Malformed("a message section is a described value"))?;
        let descriptor = value::encoded_len(described)?;
        let code = match &described[..descriptor] {
            [0x53, code] => *code,
            [0x80, 0, 0, 0, 0, 0, 0, 0, code] => *code,
            symbol => named(value::variable(symbol).unwrap_or_default())?,
        };
        self.rest = rest;
        Ok(Section { code, whole, value: &described[descriptor..] })
    }
}

fn named(symbol: &[u8]) -> Result<u8, Malformed> {
    Ok(match symbol {
        b"amqp:header:list" => HEADER,
        b"amqp:delivery-annotations:map" => DELIVERY_ANNOTATIONS,
        b"amqp:message-annotations:map" => MESSAGE_ANNOTATIONS,
        b"amqp:properties:list" => 0x73,
        b"amqp:application-properties:map" => 0x74,
        b"amqp:data:binary" => DATA,
        b"amqp:amqp-sequence:list" => 0x76,
        b"amqp:amqp-value:*" => 0x77,
        b"amqp:footer:map" => 0x78,
        _ => return Err(Malformed("an unknown message section")),
    })
}

/// Checks that `message` is a row of whole sections with whole annotations, and finds its partition key.
pub(crate) fn partition_key(message: &[u8]) -> Result<Option<String>, Malformed> {
    let mut key = None;
    for section in sections(message) {
        let section = section?;
        if section.code == MESSAGE_ANNOTATIONS {
            for pair in value::map_items(section.value)? {
                let (name, value) = pair?;
                if value::variable(name) == Some(PARTITION_KEY.as_bytes()) {
                    key = value::variable(value).and_then(|bytes| std::str::from_utf8(bytes).ok()).map(str::to_owned);
                }
            }
        }
    }
    Ok(key)
}

/// The messages in a batch's envelope.
pub(crate) fn split_batch(envelope: &Bytes) -> Result<Vec<Bytes>, Malformed> {
    let mut messages = Vec::new();
    for section in sections(envelope) {
        let section = section?;
        if section.code == DATA {
            let message = value::variable(section.value).ok_or(Malformed("a data section holds no binary"))?;
            messages.push(envelope.slice_ref(message));
        }
    }
    Ok(messages)
}

/// Writes `message`, which must have passed [`partition_key`], as it will be delivered.
pub(crate) fn write_delivered(out: &mut BytesMut, message: &[u8], place: &Mark, partition_key: Option<&str>) {
    let mut own = None;
    let mut annotated = false;
    for section in sections(message).flatten() {
        match section.code {
            HEADER => out.put_slice(section.whole),
            DELIVERY_ANNOTATIONS => {}
            MESSAGE_ANNOTATIONS => own = Some(section.value),
            _ => {
                if !annotated {
                    write_annotations(out, own, place, partition_key);
                    annotated = true;
                }
                out.put_slice(section.whole);
            }
        }
    }
    if !annotated {
        write_annotations(out, own, place, partition_key);
    }
}

fn write_annotations(out: &mut BytesMut, own: Option<&[u8]>, place: &Mark, partition_key: Option<&str>) {
    out.put_slice(&[0x00, 0x53, MESSAGE_ANNOTATIONS, 0xd1]);
    let sizes = out.len();
    out.put_u64(0);
    let mut items = 6u32;
    value::put_symbol(out, SEQUENCE_NUMBER);
    value::put_long(out, place.sequence);
    value::put_symbol(out, OFFSET);
    value::put_decimal_string(out, place.offset);
    value::put_symbol(out, ENQUEUED_TIME);
    value::put_timestamp(out, place.enqueued_ms);
    if let Some(key) = partition_key {
        value::put_symbol(out, PARTITION_KEY);
        value::put_string(out, key);
        items += 2;
    }
    let own = own.and_then(|map| value::map_items(map).ok());
    for (name, value) in own.into_iter().flatten().flatten() {
        let is_ours = value::variable(name).is_some_and(|name| {
            [SEQUENCE_NUMBER, OFFSET, ENQUEUED_TIME].iter().any(|ours| name == ours.as_bytes())
                || (partition_key.is_some() && name == PARTITION_KEY.as_bytes())
        });
        if !is_ours {
            out.put_slice(name);
            out.put_slice(value);
            items += 2;
        }
    }
    // The size counts the count's own four bytes.
    let size = (out.len() - sizes - 4) as u32;
    out[sizes..sizes + 4].copy_from_slice(&size.to_be_bytes());
    out[sizes + 4..sizes + 8].copy_from_slice(&items.to_be_bytes());
}

/// The end of a stored message's header section, where delivery annotations belong.
pub(crate) fn after_header(message: &[u8]) -> usize {
    match sections(message).next() {
        Some(Ok(section)) if section.code == HEADER => section.whole.len(),
        _ => 0,
    }
}

/// What a reader that asked for it is told of the partition with each event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LastEnqueued {
    /// Sequence number of the last event.
    pub sequence: i64,
    /// Its offset.
    pub offset: u64,
    /// Its enqueued time, in milliseconds.
    pub enqueued_ms: i64,
    /// When this was found out, in milliseconds.
    pub now_ms: i64,
}

/// Writes delivery annotations that tell of the partition's last event.
pub(crate) fn write_last_enqueued(out: &mut BytesMut, last: &LastEnqueued) {
    out.put_slice(&[0x00, 0x53, DELIVERY_ANNOTATIONS, 0xd1]);
    let sizes = out.len();
    out.put_u64(0);
    value::put_symbol(out, "last_enqueued_sequence_number");
    value::put_long(out, last.sequence);
    value::put_symbol(out, "last_enqueued_offset");
    value::put_decimal_string(out, last.offset);
    value::put_symbol(out, "last_enqueued_time_utc");
    value::put_timestamp(out, last.enqueued_ms);
    value::put_symbol(out, "runtime_info_retrieval_time_utc");
    value::put_timestamp(out, last.now_ms);
    let size = (out.len() - sizes - 4) as u32;
    out[sizes..sizes + 4].copy_from_slice(&size.to_be_bytes());
    out[sizes + 4..sizes + 8].copy_from_slice(&8u32.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use fe2o3_amqp_types::messaging::annotations::OwnedKey;
    use fe2o3_amqp_types::messaging::message::__private::{Deserializable, Serializable};
    use fe2o3_amqp_types::messaging::{
        Annotations, ApplicationProperties, Batch, Body, Data, Header, Message, MessageAnnotations, Properties,
    };
    use proptest::prelude::*;
    use serde_amqp::Value;
    use serde_amqp::primitives::{Binary, Symbol, Timestamp};

    fn encode(message: Message<Data>) -> Bytes {
        serde_amqp::to_vec(&Serializable(message)).unwrap().into()
    }

    fn decode(bytes: &[u8]) -> Message<Body<Value>> {
        serde_amqp::from_slice::<Deserializable<Message<Body<Value>>>>(bytes).unwrap().0
    }

    fn annotation<'a>(message: &'a Message<Body<Value>>, name: &str) -> Option<&'a Value> {
        message.message_annotations.as_ref()?.0.get(&OwnedKey::Symbol(Symbol::from(name)))
    }

    fn full(body: &[u8], key: Option<&str>) -> Bytes {
        let mut annotations = Annotations::new();
        annotations.insert(Symbol::from("x-mine").into(), Value::Uint(7));
        annotations.insert(Symbol::from(OFFSET).into(), Value::String("a lie".into()));
        if let Some(key) = key {
            annotations.insert(Symbol::from(PARTITION_KEY).into(), Value::String(key.into()));
        }
        let builder = Message::builder()
            .header(Header::builder().durable(true).build())
            .message_annotations(MessageAnnotations(annotations))
            .properties(Properties::builder().message_id("id-1".to_string()).content_type("text/plain").build())
            .application_properties(ApplicationProperties::builder().insert("colour", "red").insert("n", 5i64).build());
        encode(builder.body(Data(Binary::from(body.to_vec()))).build())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn everything_of_the_sender_arrives_and_our_annotations_win(body in prop::collection::vec(any::<u8>(), 0..400), key in proptest::option::of("[a-zä]{0,300}")) {
            let sent = full(&body, key.as_deref());
            prop_assert_eq!(partition_key(&sent).unwrap(), key.clone());
            let mut out = BytesMut::new();
            let place = Mark { offset: 123, sequence: 4, enqueued_ms: 5_000 };
            write_delivered(&mut out, &sent, &place, key.as_deref());
            let (before, after) = (decode(&sent), decode(&out));
            prop_assert_eq!(annotation(&after, SEQUENCE_NUMBER), Some(&Value::Long(4)));
            prop_assert_eq!(annotation(&after, OFFSET), Some(&Value::String("123".into())));
            prop_assert_eq!(annotation(&after, ENQUEUED_TIME), Some(&Value::Timestamp(Timestamp::from_milliseconds(5_000))));
            let expected = key.map(Value::String);
            prop_assert_eq!(annotation(&after, PARTITION_KEY), expected.as_ref());
            prop_assert_eq!(annotation(&after, "x-mine"), Some(&Value::Uint(7)));
            prop_assert_eq!(after.header, before.header);
            prop_assert_eq!(after.properties, before.properties);
            prop_assert_eq!(after.application_properties, before.application_properties);
            prop_assert_eq!(after.body, before.body);
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = partition_key(&bytes);
            let _ = split_batch(&Bytes::from(bytes.clone()));
            write_delivered(&mut BytesMut::new(), &bytes, &Mark { offset: 0, sequence: 0, enqueued_ms: 0 }, None);
        }
    }

    #[test]
    fn a_batch_is_split_into_its_messages() {
        let messages: Vec<Bytes> = (0..3).map(|i| full(&[i; 5], None)).collect();
        let body = Batch::new(messages.iter().map(|message| Data(Binary::from(message.to_vec()))).collect::<Vec<_>>());
        let envelope: Bytes = serde_amqp::to_vec(&Serializable(Message::builder().body(body).build())).unwrap().into();
        assert_eq!(split_batch(&envelope).unwrap(), messages);
    }

    #[test]
    fn delivery_annotations_stand_after_the_header() {
        let mut stored = BytesMut::new();
        write_delivered(&mut stored, &full(b"x", None), &Mark { offset: 0, sequence: 0, enqueued_ms: 0 }, None);
        let at = after_header(&stored);
        assert!(at > 0);
        let mut out = BytesMut::from(&stored[..at]);
        write_last_enqueued(&mut out, &LastEnqueued { sequence: 9, offset: 8, enqueued_ms: 7, now_ms: 6 });
        out.extend_from_slice(&stored[at..]);
        let message = decode(&out);
        let annotations = message.delivery_annotations.unwrap();
        assert_eq!(
            annotations.0.get(&OwnedKey::Symbol(Symbol::from("last_enqueued_sequence_number"))),
            Some(&Value::Long(9))
        );
    }
}
