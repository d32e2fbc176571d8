//! Rows as they come from a source, undecoded.

use arrow::array::{ArrayRef, BinaryViewArray, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use salamander_types::{Position, SplitId};
use std::sync::Arc;

/// Consecutive rows of one split, in order, undecoded.
///
/// Invariants (whoever makes one guarantees them): all arrays are as long as `payload`; row `i` has sequence number
/// `first_sequence + i` (a reader that meets a gap ends the batch before it); `next` is the position after the last
/// row. The payload views point into large shared buffers, so decoding to strings needs no copy.
#[derive(Debug, Clone)]
pub struct RawBatch {
    /// Where the rows come from.
    pub split: SplitId,
    /// Sequence number of the first row.
    pub first_sequence: u64,
    /// One payload a row.
    pub payload: BinaryViewArray,
    /// The source's own offset of each row, if it has one beside the sequence number.
    pub offsets: Option<StringViewArray>,
    /// When the source took each row, in UTC.
    pub enqueued: Option<TimestampMicrosecondArray>,
    /// The key by which the producer chose the partition.
    pub partition_key: Option<StringViewArray>,
    /// The producer's own properties, of type [`properties_type`].
    pub properties: Option<ArrayRef>,
    /// The position after the last row.
    pub next: Position,
    /// Bytes of payload, for budgets and counters.
    pub bytes: usize,
}

impl RawBatch {
    /// Rows in the batch.
    pub fn len(&self) -> usize {
        use arrow::array::Array;
        self.payload.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows `from..from + rows`, sharing the buffers. Panics, as Arrow's slices do, when there are not so many.
    #[must_use]
    pub fn slice(&self, from: usize, rows: usize) -> Self {
        let payload = self.payload.slice(from, rows);
        let last = from + rows == self.len();
        Self {
            split: self.split.clone(),
            first_sequence: self.first_sequence + from as u64,
            bytes: payload.views().iter().map(|view| *view as u32 as usize).sum(),
            payload,
            offsets: self.offsets.as_ref().map(|a| a.slice(from, rows)),
            enqueued: self.enqueued.as_ref().map(|a| a.slice(from, rows)),
            partition_key: self.partition_key.as_ref().map(|a| a.slice(from, rows)),
            properties: self.properties.as_ref().map(|a| a.slice(from, rows)),
            next: if last { self.next.clone() } else { Position::at(self.first_sequence + (from + rows) as u64) },
        }
    }

    /// The same rows in order, in batches of at most `rows`.
    pub fn pieces(self, rows: usize) -> impl Iterator<Item = Self> {
        let size = rows.max(1);
        let whole = self.len() <= size;
        let starts = (0..self.len()).step_by(size);
        starts.map(move |from| if whole { self.clone() } else { self.slice(from, size.min(self.len() - from)) })
    }
}

/// TIMESTAMP of the SQL language: microseconds in UTC.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Type of the `_properties` column: `MAP<STRING, STRING>`, values rendered as text.
pub fn properties_type() -> DataType {
    let entries =
        Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

/// The metadata columns that every stream table has behind its declared columns.
///
/// `_partition STRING, _sequence_number BIGINT, _offset STRING, _enqueued_time TIMESTAMP, _partition_key STRING,
/// _properties MAP<STRING, STRING>`.
pub fn metadata_fields() -> Vec<Field> {
    vec![
        Field::new("_partition", DataType::Utf8View, false),
        Field::new("_sequence_number", DataType::Int64, false),
        Field::new("_offset", DataType::Utf8View, true),
        Field::new("_enqueued_time", timestamp_type(), true),
        Field::new("_partition_key", DataType::Utf8View, true),
        Field::new("_properties", properties_type(), true),
    ]
}

/// A row that was put aside, with `more` about why: which job did, where the row came from, its bytes.
fn put_aside_schema(more: impl IntoIterator<Item = Field>) -> SchemaRef {
    let place = [
        Field::new("_job", DataType::Utf8View, false),
        Field::new("_partition", DataType::Utf8View, false),
        Field::new("_sequence_number", DataType::Int64, false),
        Field::new("_offset", DataType::Utf8View, true),
        Field::new("_enqueued_time", timestamp_type(), true),
        Field::new("body", DataType::BinaryView, true),
    ];
    Arc::new(Schema::new(place.into_iter().chain(more).collect::<Vec<_>>()))
}

/// Schema of `<table>$bad_records`: one row for each row that didn't decode.
pub fn bad_records_schema() -> SchemaRef {
    put_aside_schema([Field::new("reason", DataType::Utf8View, false)])
}

/// Schema of `<table>$late_records`: one row for each row that came after its windows had closed.
pub fn late_records_schema() -> SchemaRef {
    put_aside_schema([
        Field::new("event_time", timestamp_type(), true),
        Field::new("watermark", timestamp_type(), true),
    ])
}
