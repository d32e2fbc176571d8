//! The sections of a message, read in place.
//!
//! ```text
//!   header? delivery-annotations? message-annotations? properties? application-properties? body footer?
//!     0x70          0x71                 0x72             0x73             0x74          75/76/77  0x78
//! ```
//!
//! An event's sequence number, offset, enqueued time and partition key stand in its message annotations. This reads a
//! message in one pass without decoding what nobody asked for: the general decoder of the AMQP library builds a map of
//! boxed values for each message, which costs more than everything else on the way into Arrow.

use super::wire::{Cursor, Malformed, Scalar};

const DELIVERY_SECTIONS: std::ops::RangeInclusive<u64> = 0x70..=0x78;
const MESSAGE_ANNOTATIONS: u64 = 0x72;
const APPLICATION_PROPERTIES: u64 = 0x74;
const DATA: u64 = 0x75;
const SEQUENCE: u64 = 0x76;
const VALUE: u64 = 0x77;

/// An event as it lies in a received message.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Event<'a> {
    /// `x-opt-sequence-number`.
    pub(crate) sequence: Option<i64>,
    /// `x-opt-offset`.
    pub(crate) offset: Option<Scalar<'a>>,
    /// `x-opt-enqueued-time`, milliseconds since 1970-01-01 UTC.
    pub(crate) enqueued_millis: Option<i64>,
    /// `x-opt-partition-key`.
    pub(crate) partition_key: Option<&'a str>,
    /// Application properties, still encoded.
    pub(crate) properties: Pairs<'a>,
    /// The payload.
    pub(crate) body: Body<'a>,
}

/// A message's payload.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Body<'a> {
    /// No body section at all.
    #[default]
    Empty,
    /// A data section, or a value that is a string or binary.
    Bytes(&'a [u8]),
    /// Several data sections: the payload is all of them, one behind the other.
    Parts(Vec<&'a [u8]>),
    /// Another kind of body (a sequence, a number, a map, or something malformed), as encoded.
    Encoded(&'a [u8]),
}

impl<'a> Body<'a> {
    fn push(&mut self, data: &'a [u8]) {
        *self = match std::mem::take(self) {
            Body::Empty => Body::Bytes(data),
            Body::Bytes(first) => Body::Parts(vec![first, data]),
            Body::Parts(mut parts) => {
                parts.push(data);
                Body::Parts(parts)
            }
            other @ Body::Encoded(_) => other,
        }
    }
}

/// Keys and values of a map that is still encoded.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Pairs<'a> {
    encoded: &'a [u8],
    items: u32,
}

impl<'a> Pairs<'a> {
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        Ok(match cursor.map()? {
            Some((items, entries)) => Self { encoded: entries.rest(), items },
            None => Self::default(),
        })
    }

    /// True when there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// The pairs, in their order. An error ends the walk.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Result<(Scalar<'a>, Scalar<'a>), Malformed>> + use<'a> {
        let mut cursor = Cursor::new(self.encoded);
        let mut left = self.items / 2;
        std::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            left -= 1;
            let pair = cursor.scalar().and_then(|key| Ok((key, cursor.scalar()?)));
            if pair.is_err() {
                left = 0;
            }
            Some(pair)
        })
    }
}

/// Reads a message. Annotations come before the body, so a message whose body is malformed still has its sequence
/// number and is handed on with the remaining bytes as payload: the table's format then says that it is a bad row.
///
/// # Errors
/// When the bytes before the body are malformed.
pub(crate) fn read(message: &[u8]) -> Result<Event<'_>, Malformed> {
    let mut event = Event::default();
    let mut cursor = Cursor::new(message);
    while !cursor.is_empty() {
        let section = cursor.rest();
        match read_section(&mut cursor, section, &mut event) {
            Ok(()) => {}
            Err(_) if event.sequence.is_some() => {
                event.body = Body::Encoded(section);
                return Ok(event);
            }
            Err(malformed) => return Err(malformed),
        }
    }
    Ok(event)
}

fn read_section<'a>(cursor: &mut Cursor<'a>, section: &'a [u8], event: &mut Event<'a>) -> Result<(), Malformed> {
    match cursor.descriptor()? {
        Some(DATA) => match cursor.scalar()? {
            Scalar::Binary(data) => event.body.push(data),
            _ => return Err(Malformed("a data section that is not binary")),
        },
        Some(VALUE) => {
            event.body = match cursor.scalar()? {
                Scalar::Binary(bytes) => Body::Bytes(bytes),
                Scalar::Text(text) => Body::Bytes(text.as_bytes()),
                _ => Body::Encoded(until(section, cursor)),
            }
        }
        Some(SEQUENCE) => {
            cursor.skip()?;
            event.body = match event.body {
                // Several sequences: everything from the first one on.
                Body::Encoded(first) => Body::Encoded(until(first, cursor)),
                _ => Body::Encoded(until(section, cursor)),
            };
        }
        Some(MESSAGE_ANNOTATIONS) => annotations(&Pairs::read(cursor)?, event)?,
        Some(APPLICATION_PROPERTIES) => event.properties = Pairs::read(cursor)?,
        Some(code) if DELIVERY_SECTIONS.contains(&code) => cursor.skip()?,
        Some(_) => return Err(Malformed("not a message section")),
        None => return Err(Malformed("a section with a symbolic descriptor")),
    }
    Ok(())
}

/// The bytes from `start` up to where the cursor stands behind it.
fn until<'a>(start: &'a [u8], cursor: &Cursor<'a>) -> &'a [u8] {
    let taken = start.len().saturating_sub(cursor.rest().len());
    start.get(..taken).unwrap_or_default()
}

fn annotations<'a>(pairs: &Pairs<'a>, event: &mut Event<'a>) -> Result<(), Malformed> {
    for pair in pairs.iter() {
        let (Scalar::Symbol(key) | Scalar::Text(key), value) = pair? else {
            continue;
        };
        match (key, value) {
            ("x-opt-sequence-number", Scalar::Signed(number)) => event.sequence = Some(number),
            ("x-opt-sequence-number", Scalar::Unsigned(number)) => event.sequence = i64::try_from(number).ok(),
            ("x-opt-offset", value) => event.offset = Some(value),
            ("x-opt-enqueued-time", Scalar::Timestamp(millis)) => event.enqueued_millis = Some(millis),
            ("x-opt-partition-key", Scalar::Text(key) | Scalar::Symbol(key)) => event.partition_key = Some(key),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fe2o3_amqp_types::messaging::{
        AmqpSequence, AmqpValue, ApplicationProperties, Data, Header, Message, MessageAnnotations, Properties,
        SerializableBody, message::__private::Serializable,
    };
    use fe2o3_amqp_types::primitives::{Binary, SimpleValue, Symbol, Timestamp, Value};
    use proptest::prelude::*;

    fn encode<T: SerializableBody>(message: Message<T>) -> Vec<u8> {
        serde_amqp::to_vec(&Serializable(message)).unwrap()
    }

    fn annotated(sequence: i64, key: Option<&str>) -> MessageAnnotations {
        let mut builder = MessageAnnotations::builder()
            .insert(Symbol::from("x-opt-sequence-number"), Value::Long(sequence))
            .insert(Symbol::from("x-opt-offset"), Value::String(format!("{}", sequence * 300)))
            .insert(
                Symbol::from("x-opt-enqueued-time"),
                Value::Timestamp(Timestamp::from_milliseconds(1_790_000_000_000 + sequence)),
            );
        if let Some(key) = key {
            builder = builder.insert(Symbol::from("x-opt-partition-key"), Value::String(key.to_owned()));
        }
        builder.build()
    }

    fn payload(body: &Body<'_>) -> Vec<u8> {
        match body {
            Body::Empty => Vec::new(),
            Body::Bytes(bytes) | Body::Encoded(bytes) => bytes.to_vec(),
            Body::Parts(parts) => parts.concat(),
        }
    }

    #[test]
    fn several_data_sections_are_one_payload() {
        let batch = vec![Data(Binary::from(b"ab".to_vec())), Data(Binary::from(b"cd".to_vec()))];
        let bytes = encode(Message::builder().message_annotations(annotated(1, None)).data_batch(batch).build());
        assert_eq!(payload(&read(&bytes).unwrap().body), b"abcd");
    }

    #[test]
    fn strings_are_payload_and_other_values_stay_encoded() {
        let text =
            encode(Message::builder().message_annotations(annotated(1, None)).value("grüezi".to_owned()).build());
        assert_eq!(payload(&read(&text).unwrap().body), "grüezi".as_bytes());
        let number = encode(Message::builder().message_annotations(annotated(1, None)).value(7i64).build());
        assert_eq!(payload(&read(&number).unwrap().body), [0x00, 0x53, 0x77, 0x55, 7]);
        let list = encode(Message::from(AmqpSequence::new(vec![1i64, 2])));
        assert!(matches!(read(&list).unwrap().body, Body::Encoded(_)));
    }

    #[test]
    fn a_malformed_body_keeps_its_sequence_number() {
        let mut bytes = encode(
            Message::builder().message_annotations(annotated(9, None)).data(Data(Binary::from(vec![1, 2, 3]))).build(),
        );
        bytes.pop();
        let event = read(&bytes).unwrap();
        assert_eq!(event.sequence, Some(9));
        assert_eq!(payload(&event.body), [0x00, 0x53, 0x75, 0xA0, 3, 1, 2]);
    }

    fn simple_values() -> impl Strategy<Value = SimpleValue> {
        prop_oneof![
            any::<bool>().prop_map(SimpleValue::Bool),
            any::<u8>().prop_map(SimpleValue::Ubyte),
            any::<u16>().prop_map(SimpleValue::Ushort),
            any::<u32>().prop_map(SimpleValue::Uint),
            any::<u64>().prop_map(SimpleValue::Ulong),
            any::<i8>().prop_map(SimpleValue::Byte),
            any::<i16>().prop_map(SimpleValue::Short),
            any::<i32>().prop_map(SimpleValue::Int),
            any::<i64>().prop_map(SimpleValue::Long),
            any::<char>().prop_map(SimpleValue::Char),
            any::<i64>().prop_map(|m| SimpleValue::Timestamp(Timestamp::from_milliseconds(m))),
            any::<String>().prop_map(SimpleValue::String),
            proptest::collection::vec(any::<u8>(), 0..300).prop_map(|b| SimpleValue::Binary(Binary::from(b))),
            Just(SimpleValue::Null),
        ]
    }

    fn as_simple(value: &Scalar<'_>, like: &SimpleValue) -> SimpleValue {
        match (*value, like) {
            (Scalar::Null, _) => SimpleValue::Null,
            (Scalar::Bool(v), _) => SimpleValue::Bool(v),
            (Scalar::Unsigned(v), SimpleValue::Ubyte(_)) => SimpleValue::Ubyte(v as u8),
            (Scalar::Unsigned(v), SimpleValue::Ushort(_)) => SimpleValue::Ushort(v as u16),
            (Scalar::Unsigned(v), SimpleValue::Uint(_)) => SimpleValue::Uint(v as u32),
            (Scalar::Unsigned(v), _) => SimpleValue::Ulong(v),
            (Scalar::Signed(v), SimpleValue::Byte(_)) => SimpleValue::Byte(v as i8),
            (Scalar::Signed(v), SimpleValue::Short(_)) => SimpleValue::Short(v as i16),
            (Scalar::Signed(v), SimpleValue::Int(_)) => SimpleValue::Int(v as i32),
            (Scalar::Signed(v), _) => SimpleValue::Long(v),
            (Scalar::Char(v), _) => SimpleValue::Char(v),
            (Scalar::Timestamp(v), _) => SimpleValue::Timestamp(Timestamp::from_milliseconds(v)),
            (Scalar::Text(v), _) => SimpleValue::String(v.to_owned()),
            (Scalar::Binary(v), _) => SimpleValue::Binary(Binary::from(v.to_vec())),
            (other, _) => panic!("no counterpart of {other:?}"),
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(event) = read(&bytes) {
                for (key, value) in event.properties.iter().flatten() {
                    let _ = (key.render(), value.render());
                }
            }
        }

        #[test]
        fn a_damaged_message_never_panics(
            at in any::<prop::sample::Index>(), flip in 1u8..=255, cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = encode(Message::builder()
                .header(Header::default())
                .message_annotations(annotated(5, Some("k")))
                .application_properties(ApplicationProperties::builder().insert("a", 1i64).build())
                .data(Data(Binary::from(vec![7; 40]))).build());
            let place = at.index(bytes.len());
            bytes[place] ^= flip;
            bytes.truncate(cut.index(bytes.len()) + 1);
            if let Ok(event) = read(&bytes) {
                for (key, value) in event.properties.iter().flatten() {
                    let _ = (key.render(), value.render());
                }
            }
        }

        #[test]
        fn what_the_library_encodes_is_read_back(
            sequence in 0i64..1_000_000_000, key in proptest::option::of(".{0,300}"),
            body in proptest::collection::vec(any::<u8>(), 0..700),
            entries in proptest::collection::btree_map("[a-z]{1,8}", simple_values(), 0..6),
            as_value in any::<bool>(), with_properties in any::<bool>(),
        ) {
            let mut builder = ApplicationProperties::builder();
            for (name, value) in &entries {
                builder = builder.insert(name.clone(), value.clone());
            }
            let mut message = Message::builder().message_annotations(annotated(sequence, key.as_deref()))
                .application_properties(builder.build());
            if with_properties {
                message = message.properties(Properties::builder().message_id("m-1".to_owned()).subject("s".to_owned()).build());
            }
            let bytes = if as_value {
                encode(message.body(AmqpValue(Binary::from(body.clone()))).build())
            } else {
                encode(message.data(Data(Binary::from(body.clone()))).build())
            };
            let event = read(&bytes).unwrap();
            prop_assert_eq!(event.sequence, Some(sequence));
            prop_assert_eq!(event.offset.and_then(|o| o.render()).map(|o| o.into_owned()), Some((sequence * 300).to_string()));
            prop_assert_eq!(event.enqueued_millis, Some(1_790_000_000_000 + sequence));
            prop_assert_eq!(event.partition_key, key.as_deref());
            prop_assert_eq!(payload(&event.body), body);
            let read_back: Vec<_> = event.properties.iter().map(Result::unwrap).collect();
            prop_assert_eq!(read_back.len(), entries.len());
            for (name, value) in &read_back {
                let Scalar::Text(name) = name else { panic!("a property's name is a string") };
                let sent = &entries[*name];
                prop_assert_eq!(&as_simple(value, sent), sent);
            }
        }
    }
}
