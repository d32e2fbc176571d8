//! Rolls: parts of segments become one visible Parquet file.
//!
//! Planning is pure: it looks at the table's state and names rolls, which the job's log then commits to. Carrying a roll
//! out needs only the log's word: whoever does it first makes the file, by one create-if-absent PUT; doing it again
//! finds the file and reports it. No two redos need be alike, since Create decides (rule 14).
//!
//! Memory of a roll: the file (about `roll_size`, twice that while it is handed to the store), the pages of the row
//! group in the making, and one window of a part.

use crate::error::{At, HiveError, Result};
use crate::layout::{TableLayout, TableOptions};
use crate::parquet_file::{ParquetFile, TOMBSTONE_KEY, tombstone_bytes};
use crate::partition::folder_path;
use crate::segment::block::Block;
use crate::segment::{BlockEncoder, PartReader};
use bytes::Bytes;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use salamander_storage::failpoint;
use salamander_types::manifest::{PartRef, Roll, Segment, SegmentPart, TableState};
use salamander_types::{Entropy, Generation, JobId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Parquet bytes that a segment's byte becomes, while the table has no file yet to measure it by.
const FIRST_GUESS: f64 = 0.6;

/// A file that a roll has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RolledFile {
    /// Rows in it.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// What to plan for.
#[derive(Debug, Clone, Copy)]
pub struct RollRequest<'a> {
    /// The job whose log holds the state.
    pub job: &'a JobId,
    /// Its generation.
    pub generation: Generation,
    /// Microseconds since 1970.
    pub now_micros: i64,
    /// Roll whatever there is, however little and young: a stop.
    pub force: bool,
}

/// Names the rolls that are due: of a Hive partition with enough unrolled bytes or with rows that are old enough. The
/// rows of one partition go into files in commit order.
pub fn plan_rolls(
    state: &TableState,
    request: &RollRequest<'_>,
    options: &TableOptions,
    entropy: &dyn Entropy,
) -> Vec<Roll> {
    let ratio = bytes_per_row(state);
    let interval = i64::try_from(options.roll_interval.as_micros()).unwrap_or(i64::MAX);
    let mut rolls = Vec::new();
    for (values, candidates) in unrolled(state) {
        let mut file = Vec::new();
        let (mut size, mut input, mut oldest) = (0.0, 0, i64::MAX);
        let mut flush = |parts: &mut Vec<PartRef>| {
            let roll = Roll {
                path: file_path(state, values, request, entropy),
                values: values.clone(),
                parts: std::mem::take(parts),
            };
            rolls.push(roll);
        };
        for candidate in candidates {
            let part = candidate.part;
            if !file.is_empty() && input + part.bytes > options.roll_input_limit {
                flush(&mut file);
                (size, input, oldest) = (0.0, 0, i64::MAX);
            }
            file.push(candidate.reference);
            size += ratio.map_or(part.bytes as f64 * FIRST_GUESS, |r| part.rows as f64 * r);
            input += part.bytes;
            oldest = oldest.min(candidate.committed_at);
            if size >= options.roll_size as f64 {
                flush(&mut file);
                (size, input, oldest) = (0.0, 0, i64::MAX);
            }
        }
        let is_old = request.now_micros.saturating_sub(oldest) >= interval;
        if !file.is_empty() && (request.force || is_old) {
            flush(&mut file);
        }
    }
    rolls
}

struct Candidate<'a> {
    part: &'a SegmentPart,
    reference: PartRef,
    committed_at: i64,
}

/// Parts that no roll has taken, by partition, in commit order.
fn unrolled(state: &TableState) -> BTreeMap<&Vec<Option<String>>, Vec<Candidate<'_>>> {
    let mut segments: Vec<&Segment> = state.segments.values().collect();
    segments.sort_by_key(|s| (s.committed_at, s.epoch, &s.path));
    let mut by_partition: BTreeMap<_, Vec<Candidate<'_>>> = BTreeMap::new();
    for segment in segments {
        for (index, part) in segment.parts.iter().enumerate() {
            if part.roll.is_none() {
                by_partition.entry(&part.values).or_default().push(Candidate {
                    part,
                    reference: PartRef { segment: segment.path.clone(), part: index },
                    committed_at: segment.committed_at,
                });
            }
        }
    }
    by_partition
}

/// Parquet bytes a row, as the table's own files show; none while they hold too little to tell.
fn bytes_per_row(state: &TableState) -> Option<f64> {
    let big = || state.files.values().filter(|f| f.rows >= 10_000);
    let rows: u64 = big().map(|f| f.rows).sum();
    let bytes: u64 = big().map(|f| f.bytes).sum();
    (rows > 0).then(|| bytes as f64 / rows as f64)
}

fn file_path(
    state: &TableState,
    values: &[Option<String>],
    request: &RollRequest<'_>,
    entropy: &dyn Entropy,
) -> String {
    format!(
        "{}sal-{}-{}-{:016x}.parquet",
        folder_path(&state.partition_columns, values),
        request.job,
        request.generation,
        entropy.next_u64()
    )
}

/// Makes the file of a roll that the log has committed to, or finds it made. `state` is the log's state with the roll in
/// it, or a later one of the same log.
///
/// # Errors
/// [`HiveError::Retired`] if the name was retired: a newer generation rules. Otherwise when parts are missing or
/// damaged, or the store fails; then the roll can be carried out again.
pub async fn execute_roll(layout: &Arc<TableLayout>, state: &TableState, roll: &Roll) -> Result<RolledFile> {
    let parts = find_parts(layout, state, roll)?;
    let rows: u64 = parts.iter().map(|(segment, part)| segment.parts[*part].rows).sum();
    // A redo doesn't look first whether the file is there: on a disk it may be visible and not yet durable, and only a
    // Create answers `AlreadyExists` once it is.
    failpoint::hit("hive.roll-before-read");
    let bytes = build_file(layout, roll, parts, rows).await?;
    let size = bytes.len() as u64;
    failpoint::hit("hive.roll-before-put");
    let object = layout.object(&roll.path)?;
    let options = PutOptions::from(PutMode::Create);
    let put = layout.location.store.put_opts(&object, PutPayload::from(bytes), options).await;
    failpoint::hit("hive.roll-after-put");
    match put {
        Ok(_) => Ok(RolledFile { rows, bytes: size }),
        Err(object_store::Error::AlreadyExists { .. }) => find_file(layout, &roll.path, rows).await?.ok_or_else(|| {
            let message = "the file was there and is gone: visible names are never deleted";
            HiveError::corrupt(layout.place(&roll.path), message)
        }),
        Err(error) => Err(error).at(layout.place(&roll.path)),
    }
}

fn find_parts<'a>(layout: &TableLayout, state: &'a TableState, roll: &Roll) -> Result<Vec<(&'a Segment, usize)>> {
    roll.parts
        .iter()
        .map(|reference| {
            let segment = state.segments.get(&reference.segment);
            segment
                .filter(|s| s.parts.get(reference.part).is_some_and(|p| p.values == roll.values))
                .map(|s| (s, reference.part))
                .ok_or_else(|| {
                    let message =
                        format!("the log has no part {} of this partition in {}", reference.part, reference.segment);
                    HiveError::corrupt(layout.place(&roll.path), message)
                })
        })
        .collect()
}

async fn build_file(layout: &Arc<TableLayout>, roll: &Roll, parts: Vec<(&Segment, usize)>, rows: u64) -> Result<Bytes> {
    let place = layout.place(&roll.path);
    let mut file: Option<ParquetFile> = None;
    for (segment, part) in parts {
        let mut reader = PartReader::new(layout.clone(), segment, part)?;
        while let Some(block) = reader.next_block().await? {
            let block = current_block(layout, &reader, block)?;
            let (layout, place) = (layout.clone(), place.clone());
            let appended = tokio::task::spawn_blocking(move || {
                let mut file = match file {
                    Some(file) => file,
                    None => ParquetFile::new(&place, layout.file_schema(), &layout.options, Some(&block), None)?,
                };
                file.append(&block)?;
                Ok::<_, HiveError>(file)
            });
            file = Some(appended.await.at(layout_place(roll))??);
        }
    }
    let Some(file) = file else {
        return Err(HiveError::corrupt(place, "a roll of no rows"));
    };
    let finished = tokio::task::spawn_blocking(move || file.finish());
    let (bytes, written) = finished.await.at(&place)??;
    if written != rows {
        let message = format!("{written} rows where the log says {rows}");
        return Err(HiveError::corrupt(place, message));
    }
    Ok(bytes)
}

fn layout_place(roll: &Roll) -> String {
    format!("roll of {}", roll.path)
}

/// The block with the table's columns as they are declared now.
fn current_block(layout: &TableLayout, reader: &PartReader, block: Block) -> Result<Block> {
    if reader.is_current() {
        return Ok(block);
    }
    let schema = layout.file_schema();
    let projection: Vec<usize> = (0..schema.fields().len()).collect();
    let batch = reader.to_batch(&block, &projection, schema)?;
    let mut encoder = BlockEncoder::new(schema);
    encoder.push(&batch, 0, batch.num_rows())?;
    let bytes = Bytes::from(encoder.finish()?);
    crate::segment::decode_bytes(&bytes, schema.fields(), reader.place())
}

/// The file of a roll if it is there.
async fn find_file(layout: &TableLayout, path: &str, rows: u64) -> Result<Option<RolledFile>> {
    let place = layout.place(path);
    let object = layout.object(path)?;
    let size = match layout.location.store.head(&object).await {
        Ok(meta) => meta.size,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error).at(place),
    };
    let footer = read_footer(layout, path, size).await?;
    let metadata = footer.file_metadata();
    let is_tombstone = metadata.key_value_metadata().is_some_and(|pairs| pairs.iter().any(|p| p.key == TOMBSTONE_KEY));
    if is_tombstone {
        return Err(HiveError::Retired { path: place });
    }
    let found = u64::try_from(metadata.num_rows()).unwrap_or(0);
    if found != rows {
        let message = format!("the file has {found} rows where its roll has {rows}");
        return Err(HiveError::corrupt(place, message));
    }
    Ok(Some(RolledFile { rows, bytes: size }))
}

/// Reads a Parquet file's footer.
pub(crate) async fn read_footer(layout: &TableLayout, path: &str, size: u64) -> Result<ParquetMetaData> {
    const HINT: u64 = 64 << 10;
    let place = layout.place(path);
    let object = layout.object(path)?;
    let mut wanted = HINT.min(size);
    loop {
        let range = size - wanted..size;
        let tail = layout.location.store.get_range(&object, range).await.at(&place)?;
        let mut reader = ParquetMetaDataReader::new();
        match reader.try_parse_sized(&tail, size) {
            Ok(()) => return reader.finish().at(&place),
            Err(parquet::errors::ParquetError::NeedMoreData(more)) if more as u64 > wanted && more as u64 <= size => {
                wanted = more as u64;
            }
            Err(error) => return Err(error).at(&place),
        }
    }
}

/// Retires a visible name: overwrites the file with a constant Parquet file of zero rows, so that no later redo can put
/// rows there again.
///
/// # Errors
/// When the store fails; then it can be done again.
pub async fn tombstone(layout: &TableLayout, path: &str) -> Result<()> {
    let place = layout.place(path);
    let bytes = tombstone_bytes(&place, layout.file_schema())?;
    let object = layout.object(path)?;
    failpoint::hit("hive.tombstone-before-put");
    layout.location.store.put(&object, bytes.into()).await.at(place)?;
    failpoint::hit("hive.tombstone-after-put");
    Ok(())
}
