//! From payload bytes to typed columns.

use crate::raw::RawBatch;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use std::fmt::Debug;
use thiserror::Error;

/// A format that can't be set up as asked for (an option that contradicts the columns, say).
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct DecoderError(pub String);

/// A row that doesn't decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// Index in the raw batch.
    pub row: u32,
    /// Why, naming the column: `field 13 'response_time': not a number: 'fast'`.
    pub reason: String,
}

/// A decoded raw batch.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The good rows, in order, with the projected columns.
    pub batch: RecordBatch,
    /// Index in the raw batch of each row of `batch`; none when every row is good.
    pub kept: Option<Vec<u32>>,
    /// The bad rows, in order. `batch` and `bad` together are all rows.
    pub bad: Vec<BadRow>,
}

/// A format: a pure function from payloads to columns.
pub trait Decoder: Send + Sync + Debug {
    /// The declared columns of the table, in order.
    fn schema(&self) -> SchemaRef;

    /// Decodes all rows. `projection` holds indices into [`Decoder::schema`], in the order wanted. Whether a row is
    /// bad does not depend on the projection. Never fails and never panics, whatever the bytes.
    fn decode(&self, raw: &RawBatch, projection: &[usize]) -> Decoded;
}
