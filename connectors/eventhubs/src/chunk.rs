//! Events on their way into Arrow: the columns of a [`RawBatch`] while they grow.

use crate::amqp::section::{Body, Event, Pairs};
use arrow::array::{
    Array, ArrayRef, BinaryViewBuilder, MapBuilder, MapFieldNames, StringBuilder, StringViewBuilder,
    TimestampMicrosecondBuilder,
};
use salamander_connector_api::RawBatch;
use salamander_types::{Position, SplitId};
use std::sync::Arc;

/// Rows after which a chunk is full.
const ROWS: usize = 16_384;
/// Bytes after which a chunk is full.
const BYTES: usize = 1 << 20;
/// What a row costs beside its payload, for the memory bound: views, offset, time.
pub(crate) const ROW_OVERHEAD: usize = 64;

/// Consecutive events of one partition.
#[derive(Debug)]
pub(crate) struct Chunk {
    first: u64,
    rows: usize,
    payload_bytes: usize,
    /// Properties and keys.
    other_bytes: usize,
    payload: BinaryViewBuilder,
    offsets: StringViewBuilder,
    enqueued: TimestampMicrosecondBuilder,
    /// None until an event has a key: most hubs' events have none.
    keys: Option<StringViewBuilder>,
    /// None until an event has properties.
    properties: Option<MapBuilder<StringBuilder, StringBuilder>>,
}

impl Chunk {
    /// An empty chunk whose first event will have this sequence number.
    pub(crate) fn new(first: u64) -> Self {
        Self {
            first,
            rows: 0,
            payload_bytes: 0,
            other_bytes: 0,
            payload: BinaryViewBuilder::new(),
            offsets: StringViewBuilder::new(),
            enqueued: TimestampMicrosecondBuilder::new(),
            keys: None,
            properties: None,
        }
    }

    /// True when the next event belongs in another chunk.
    pub(crate) fn is_full(&self) -> bool {
        self.rows >= ROWS || self.payload_bytes + self.other_bytes >= BYTES
    }

    /// Bytes that the chunk counts for in the memory bound.
    pub(crate) fn bytes(&self) -> usize {
        self.payload_bytes + self.other_bytes + self.rows * ROW_OVERHEAD
    }

    /// Appends an event; answers the bytes that it counts for.
    pub(crate) fn push(&mut self, event: &Event<'_>) -> usize {
        let before = self.bytes();
        self.push_body(&event.body);
        match event.offset.and_then(|offset| offset.render()) {
            Some(offset) => self.offsets.append_value(offset),
            None => self.offsets.append_null(),
        }
        self.enqueued.append_option(event.enqueued_millis.and_then(|millis| millis.checked_mul(1000)));
        self.push_key(event.partition_key);
        self.push_properties(&event.properties);
        self.rows += 1;
        self.bytes() - before
    }

    fn push_body(&mut self, body: &Body<'_>) {
        match body {
            Body::Empty => self.payload.append_value(b""),
            Body::Bytes(bytes) | Body::Encoded(bytes) => {
                self.payload_bytes += bytes.len();
                self.payload.append_value(bytes);
            }
            Body::Parts(parts) => {
                let whole = parts.concat();
                self.payload_bytes += whole.len();
                self.payload.append_value(whole);
            }
        }
    }

    fn push_key(&mut self, key: Option<&str>) {
        if self.keys.is_none() && key.is_none() {
            return;
        }
        let rows = self.rows;
        let keys = self.keys.get_or_insert_with(|| {
            let mut keys = StringViewBuilder::new();
            (0..rows).for_each(|_| keys.append_null());
            keys
        });
        self.other_bytes += key.map_or(0, str::len);
        keys.append_option(key);
    }

    /// An event without properties has NULL, whatever its neighbours have.
    fn push_properties(&mut self, pairs: &Pairs<'_>) {
        if self.properties.is_none() && pairs.is_empty() {
            return;
        }
        let rows = self.rows;
        let properties = self.properties.get_or_insert_with(|| {
            let mut properties = properties_builder();
            for _ in 0..rows {
                append_map(&mut properties, false);
            }
            properties
        });
        // A malformed pair ends the map: what came before it stands.
        for (key, value) in pairs.iter().map_while(Result::ok) {
            let Some(key) = key.render() else {
                continue;
            };
            let value = value.render();
            self.other_bytes += key.len() + value.as_ref().map_or(0, |value| value.len());
            properties.keys().append_value(key);
            properties.values().append_option(value);
        }
        append_map(properties, !pairs.is_empty());
    }

    /// The batch.
    pub(crate) fn seal(mut self, split: &SplitId) -> RawBatch {
        RawBatch {
            split: split.clone(),
            first_sequence: self.first,
            payload: self.payload.finish(),
            offsets: Some(self.offsets.finish()),
            enqueued: Some(self.enqueued.finish().with_timezone("UTC")),
            partition_key: self.keys.map(|mut keys| keys.finish()),
            properties: self.properties.map(|mut properties| Arc::new(properties.finish()) as ArrayRef),
            next: Position::at(self.first + self.rows as u64),
            bytes: self.payload_bytes,
        }
    }
}

fn properties_builder() -> MapBuilder<StringBuilder, StringBuilder> {
    let names = MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
    MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
}

fn append_map(properties: &mut MapBuilder<StringBuilder, StringBuilder>, valid: bool) {
    // Fails only when there are more keys than values, which the loop above can't do.
    if let Err(error) = properties.append(valid) {
        tracing::error!(%error, "application properties");
    }
}

/// Cuts a batch after `rows` rows: what is taken, and what remains.
pub(crate) fn split(batch: RawBatch, rows: usize) -> (RawBatch, Option<RawBatch>) {
    if rows >= batch.len() {
        return (batch, None);
    }
    let head = slice(&batch, 0, rows);
    let tail = slice(&batch, rows, batch.len() - rows);
    (head, Some(tail))
}

fn slice(batch: &RawBatch, from: usize, rows: usize) -> RawBatch {
    let payload = batch.payload.slice(from, rows);
    let bytes = payload.lengths().map(|length| length as usize).sum();
    RawBatch {
        split: batch.split.clone(),
        first_sequence: batch.first_sequence + from as u64,
        payload,
        offsets: batch.offsets.as_ref().map(|array| array.slice(from, rows)),
        enqueued: batch.enqueued.as_ref().map(|array| array.slice(from, rows)),
        partition_key: batch.partition_key.as_ref().map(|array| array.slice(from, rows)),
        properties: batch.properties.as_ref().map(|array| array.slice(from, rows)),
        next: Position::at(batch.first_sequence + (from + rows) as u64),
        bytes,
    }
}

/// How many rows of a batch fit: at least one.
pub(crate) fn fitting(batch: &RawBatch, max_rows: usize, max_bytes: usize) -> usize {
    if batch.len() <= max_rows && batch.bytes <= max_bytes {
        return batch.len();
    }
    let mut bytes = 0usize;
    let fits = batch.payload.lengths().take(max_rows).take_while(|length| {
        bytes = bytes.saturating_add(*length as usize);
        bytes <= max_bytes
    });
    fits.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::wire::Scalar;
    use arrow::array::{AsArray, MapArray};
    use salamander_connector_api::properties_type;

    fn event(sequence: i64, body: &[u8]) -> Event<'_> {
        Event {
            sequence: Some(sequence),
            offset: Some(Scalar::Text("123456789012345")),
            enqueued_millis: Some(1_790_000_000_000),
            body: Body::Bytes(body),
            ..Event::default()
        }
    }

    fn sealed(bodies: &[&[u8]]) -> RawBatch {
        let mut chunk = Chunk::new(7);
        for (i, body) in bodies.iter().enumerate() {
            chunk.push(&event(7 + i as i64, body));
        }
        chunk.seal(&SplitId::new("0"))
    }

    #[test]
    fn columns_are_as_long_as_the_payload_and_typed_as_the_contract_says() {
        let mut chunk = Chunk::new(0);
        chunk.push(&event(0, b"a"));
        let message = [0x00, 0x53, 0x74, 0xC1, 0x0A, 0x04, 0xA1, 1, b'k', 0x54, 5, 0xA1, 1, b'n', 0x40, 0x40];
        let mut with = crate::amqp::section::read(&message[..15]).unwrap();
        with.partition_key = Some("key");
        chunk.push(&with);
        chunk.push(&event(2, b"c"));
        let batch = chunk.seal(&SplitId::new("0"));
        assert_eq!(batch.len(), 3);
        let properties = batch.properties.as_ref().unwrap();
        assert_eq!(properties.data_type(), &properties_type());
        let map: &MapArray = properties.as_map();
        assert_eq!((map.is_null(0), map.is_null(1), map.is_null(2)), (true, false, true));
        let entries = map.value(1);
        assert_eq!(entries.column(0).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("k"), Some("n")]);
        assert_eq!(entries.column(1).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("5"), None]);
        let keys = batch.partition_key.as_ref().unwrap();
        assert_eq!(keys.iter().collect::<Vec<_>>(), [None, Some("key"), None]);
        assert_eq!(batch.offsets.as_ref().unwrap().len(), 3);
        assert_eq!(batch.next, Position::at(3));
    }

    #[test]
    fn a_batch_is_cut_by_rows_and_bytes_and_gives_at_least_one_row() {
        let batch = sealed(&[b"aaaaaaaaaaaaaaaaaaaa", b"b", b"c"]);
        assert_eq!(fitting(&batch, 10, 1000), 3);
        assert_eq!(fitting(&batch, 2, 1000), 2);
        assert_eq!(fitting(&batch, 10, 21), 2);
        assert_eq!(fitting(&batch, 10, 1), 1);
        let (head, tail) = split(batch, 2);
        let tail = tail.unwrap();
        assert_eq!((head.first_sequence, head.len(), head.bytes, head.next.next), (7, 2, 21, 9));
        assert_eq!((tail.first_sequence, tail.len(), tail.bytes, tail.next.next), (9, 1, 1, 10));
        assert_eq!(tail.payload.value(0), b"c");
    }
}
