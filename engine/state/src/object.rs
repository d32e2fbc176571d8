//! The bytes of a state object: a header, then one Arrow IPC stream a chunk.
//!
//! ```text
//!   "SALSTATE" · format u32 LE · 4 zero bytes │ IPC stream of chunk 0 │ IPC stream of chunk 1 │ …
//! ```
//!
//! Each chunk can be read by itself: the log knows where it lies and its checksum. Its schema stands in its stream.

use crate::error::StateError;
use crate::store::Delta;
use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use salamander_types::state::{StateChunk, StateObject};
use std::collections::BTreeSet;
use xxhash_rust::xxh3::xxh3_64;

/// What a state object begins with.
const MAGIC: &[u8; 8] = b"SALSTATE";
/// The format that this build writes, and the only one that it reads.
const FORMAT: u32 = 1;
/// Bytes before the first chunk.
pub(crate) const HEADER: u64 = 16;

fn header() -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&FORMAT.to_le_bytes());
    header.extend_from_slice(&[0; 4]);
    header
}

/// Checks an object's first [`HEADER`] bytes.
pub(crate) fn check_header(path: &str, bytes: &[u8]) -> Result<(), StateError> {
    let corrupt = |message: &str| StateError::Corrupt { path: path.to_owned(), message: message.to_owned() };
    let (magic, rest) = bytes.split_at_checked(MAGIC.len()).ok_or_else(|| corrupt("it is too short"))?;
    if magic != MAGIC {
        return Err(corrupt("it is not a state object"));
    }
    let format = rest.first_chunk().copied().map(u32::from_le_bytes).ok_or_else(|| corrupt("it is too short"))?;
    if format != FORMAT {
        return Err(StateError::Unknown(format!(
            "state object {path} has format {format}, this build reads format {FORMAT}: run the build that wrote it, \
             or create the job anew"
        )));
    }
    Ok(())
}

/// The object of a delta's chunks: what the log says of it, and its bytes; none if nothing was appended.
///
/// # Errors
/// When a chunk can't be encoded.
pub fn encode(delta: &Delta) -> Result<Option<(StateObject, Vec<Bytes>)>, StateError> {
    if delta.appended.is_empty() {
        return Ok(None);
    }
    let mut pieces = vec![Bytes::from(header())];
    let mut offset = HEADER;
    let mut chunks = Vec::with_capacity(delta.appended.len());
    for appended in &delta.appended {
        let batch = &appended.batch;
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
        writer.write(batch)?;
        let bytes = Bytes::from(writer.into_inner()?);
        chunks.push(StateChunk {
            operator: appended.operator.clone(),
            bucket: appended.bucket,
            offset,
            bytes: bytes.len() as u64,
            rows: batch.num_rows() as u64,
            checksum: format!("{:016x}", xxh3_64(&bytes)),
        });
        offset += bytes.len() as u64;
        pieces.push(bytes);
    }
    let object = StateObject { path: delta.path.clone(), bytes: offset, chunks, dropped: BTreeSet::new() };
    Ok(Some((object, pieces)))
}

/// A chunk from its bytes.
///
/// # Errors
/// When they aren't those that the log speaks of.
pub fn decode(path: &str, chunk: &StateChunk, bytes: Bytes) -> Result<RecordBatch, StateError> {
    let corrupt = |message: String| StateError::Corrupt { path: path.to_owned(), message };
    if bytes.len() as u64 != chunk.bytes || format!("{:016x}", xxh3_64(&bytes)) != chunk.checksum {
        return Err(corrupt(format!("the chunk at {} is not the one that the log speaks of", chunk.offset)));
    }
    let mut reader = StreamReader::try_new(std::io::Cursor::new(bytes), None).map_err(|e| corrupt(e.to_string()))?;
    let batch = reader.next().ok_or_else(|| corrupt("a chunk is empty".to_owned()))?;
    let batch = batch.map_err(|e| corrupt(e.to_string()))?;
    if batch.num_rows() as u64 != chunk.rows {
        return Err(corrupt(format!("{} rows where the log says {}", batch.num_rows(), chunk.rows)));
    }
    Ok(batch)
}
