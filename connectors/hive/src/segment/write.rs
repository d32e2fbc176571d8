//! Writes a checkpoint's rows as one segment.

use super::{OBJECT_MAGIC, RowsEncoder, TableRows, fingerprint, schema_bytes};
use crate::error::{At, HiveError, Result};
use crate::layout::{HIDDEN_FOLDER, TableLayout};
use crate::partition::PartitionValues;
use bytes::Bytes;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload};
use salamander_storage::failpoint;
use salamander_types::manifest::{Segment, SegmentPart};
use salamander_types::{Entropy, Epoch, Generation, JobId};
use std::collections::BTreeMap;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// Whose rows, and as of when.
#[derive(Debug, Clone)]
pub struct SegmentStamp {
    /// The job.
    pub job: JobId,
    /// Its generation.
    pub generation: Generation,
    /// The last epoch among the rows.
    pub epoch: Epoch,
    /// Microseconds since 1970 of the checkpoint: rolls by age count from it.
    pub committed_at: i64,
}

/// A segment that is not stored yet.
#[derive(Debug, Clone)]
pub struct EncodedSegment {
    /// What the manifest will say of it.
    pub segment: Segment,
    chunks: Vec<Bytes>,
}

/// Puts rows together as one segment, encoding those that aren't yet: pure CPU work, so call it off the async threads, or
/// use [`write_segment`]. None if there are no rows.
///
/// # Errors
/// When a batch does not fit the table.
pub fn encode_segment(
    layout: &Arc<TableLayout>,
    stamp: &SegmentStamp,
    entropy: &dyn Entropy,
    rows: TableRows,
) -> Result<Option<EncodedSegment>> {
    let mut encoder = RowsEncoder::new(layout.clone());
    for batch in &rows.batches {
        encoder.push(batch)?;
    }
    drop(rows.batches);
    let mut groups: BTreeMap<PartitionValues, (u64, Vec<Bytes>)> = BTreeMap::new();
    let last = encoder.finish()?;
    for part in rows.encoded.iter().flat_map(|encoded| &encoded.parts).chain(&last.parts) {
        let group = groups.entry(part.values.clone()).or_default();
        group.0 += part.rows;
        group.1.extend(part.blocks.iter().cloned());
    }
    if groups.is_empty() {
        return Ok(None);
    }
    let schema = schema_bytes(layout.file_schema());
    let header = object_header(&schema);
    let mut offset = header.len() as u64;
    let mut chunks = vec![Bytes::from(header)];
    let mut parts = Vec::with_capacity(groups.len());
    for (values, (rows, blocks)) in groups {
        let bytes: u64 = blocks.iter().map(|block| block.len() as u64).sum();
        parts.push(SegmentPart { values, rows, offset, bytes, roll: None });
        offset += bytes;
        chunks.extend(blocks);
    }
    let mut hash = Xxh3::new();
    chunks.iter().for_each(|chunk| hash.update(chunk));
    let segment = Segment {
        path: format!("{HIDDEN_FOLDER}/{}/{}-{:016x}.seg", stamp.job, stamp.generation, entropy.next_u64()),
        bytes: offset,
        checksum: format!("{:016x}", hash.digest()),
        parts,
        committed_at: stamp.committed_at,
        epoch: stamp.epoch,
    };
    Ok(Some(EncodedSegment { segment, chunks }))
}

/// Magic, length of the schema, its hash, the schema.
fn object_header(schema: &[u8]) -> Vec<u8> {
    let mut header = OBJECT_MAGIC.to_vec();
    header.extend_from_slice(&(schema.len() as u64).to_le_bytes());
    header.extend_from_slice(&fingerprint(schema).to_le_bytes());
    header.extend_from_slice(schema);
    header
}

/// Stores an encoded segment by one create-if-absent PUT; durable when it returns.
///
/// # Errors
/// When the store fails: whether the object is there is then unknown, and cleanup will find it.
pub async fn store_segment(layout: &TableLayout, encoded: EncodedSegment) -> Result<Segment> {
    let EncodedSegment { segment, chunks } = encoded;
    let object = layout.object(&segment.path)?;
    failpoint::hit("hive.segment-before-put");
    let payload: PutPayload = chunks.into_iter().collect();
    let options = PutOptions::from(PutMode::Create);
    match layout.location.store.put_opts(&object, payload, options).await {
        Ok(_) => {}
        // The store's own retry of a PUT whose first answer was lost; the name is random, so nobody else has it.
        Err(object_store::Error::AlreadyExists { .. }) => check_stored(layout, &segment).await?,
        Err(error) => return Err(error).at(layout.place(&segment.path)),
    }
    failpoint::hit("hive.segment-after-put");
    Ok(segment)
}

async fn check_stored(layout: &TableLayout, segment: &Segment) -> Result<()> {
    let place = layout.place(&segment.path);
    let object = layout.object(&segment.path)?;
    let stored = layout.location.store.get(&object).await.at(&place)?;
    let bytes = stored.bytes().await.at(&place)?;
    if format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&bytes)) == segment.checksum {
        return Ok(());
    }
    let message = "another object has this segment's name: the source of randomness repeats itself";
    Err(HiveError::corrupt(place, message))
}

/// Encodes rows on a blocking thread and stores them as one segment; durable when it returns. None if there are no rows.
///
/// # Errors
/// When a batch does not fit the table, or the store fails.
pub async fn write_segment(
    layout: &Arc<TableLayout>,
    stamp: SegmentStamp,
    entropy: &Arc<dyn Entropy>,
    rows: TableRows,
) -> Result<Option<Segment>> {
    let place = layout.place("segment");
    let (for_encoding, entropy) = (layout.clone(), entropy.clone());
    let encoded = tokio::task::spawn_blocking(move || encode_segment(&for_encoding, &stamp, entropy.as_ref(), rows))
        .await
        .at(place)??;
    match encoded {
        Some(encoded) => store_segment(layout, encoded).await.map(Some),
        None => Ok(None),
    }
}
