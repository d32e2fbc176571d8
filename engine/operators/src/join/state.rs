//! What a join holds between epochs: the rows of both sides that can still match, and which of them have.
//!
//! In the store each side has a bucket for a stretch of time: its rows as chunks in the columns of its input, and the
//! numbers of rows that have matched as chunks of their own. A chunk says the number of its first row. Plan partitions
//! share the state, so it doesn't depend on how many there are.

use super::rows::{Keyed, Rows, Segment, compact, keyed};
use super::spec::{JoinSpec, Side};
use crate::states::{Keeps, OperatorState};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, UInt32Type};
use datafusion::common::{Result, exec_err, internal_err};
use parking_lot::Mutex;
use salamander_state::{ChunkId, StateStore};
use salamander_types::state::Bucket;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A bucket with so many chunks is looked at for merging.
const CHUNKS: usize = 8;
/// The key of a chunk's metadata that holds the number of its first row.
const FIRST_KEY: &str = "salamander.first_row";
const LAYOUT_KEY: &str = "salamander.state";
/// What the chunks of this build look like.
const LAYOUT: &str = "join 1";

/// Both sides' rows by where their bucket begins.
pub(super) type Sides = [BTreeMap<i64, Rows>; 2];

/// The state of one join of a job.
#[derive(Debug)]
pub(crate) struct JoinState {
    operator: String,
    spec: Arc<JoinSpec>,
    pub(super) sides: Mutex<Sides>,
}

fn rows_tag(side: Side) -> i64 {
    side.index() as i64
}

fn marks_tag(side: Side) -> i64 {
    2 + side.index() as i64
}

impl JoinState {
    pub(crate) fn new(operator: String, spec: Arc<JoinSpec>) -> Self {
        Self { operator, spec, sides: Mutex::default() }
    }

    pub(super) fn spec(&self) -> &Arc<JoinSpec> {
        &self.spec
    }

    /// Drops what no row can match any more that comes at this watermark; of sides whose unmatched rows are given out,
    /// these rows, in their side's columns.
    pub(super) fn close(&self, store: &Mutex<StateStore>, watermark: i64) -> Result<Vec<(Side, RecordBatch)>> {
        let mut unmatched = Vec::new();
        let mut sides = self.sides.lock();
        let mut store = store.lock();
        for side in Side::BOTH {
            let rows = &mut sides[side.index()];
            let closing: Vec<i64> =
                rows.keys().copied().take_while(|b| self.spec.bounds.closes(side, *b) <= watermark).collect();
            for start in closing {
                let Some(rows) = rows.remove(&start) else { continue };
                for tag in [rows_tag(side), marks_tag(side)] {
                    store.drop_bucket(&self.operator, Bucket { start, tag });
                }
                if self.spec.gives_unmatched(side) {
                    for segment in &rows.segments {
                        let from = segment.first as usize;
                        let matched = &rows.matched[from..from + segment.batch.num_rows()];
                        let keep: BooleanArray = matched.iter().map(|matched| Some(!matched)).collect();
                        let left = filter_record_batch(&segment.batch, &keep)?;
                        if left.num_rows() > 0 {
                            unmatched.push((side, left));
                        }
                    }
                }
            }
        }
        Ok(unmatched)
    }

    /// Appends what is new of a bucket as one chunk, and merges chunks where there are many.
    fn freeze_rows(&self, side: Side, start: i64, rows: &mut Rows, store: &mut StateStore) -> Result<()> {
        let bucket = Bucket { start, tag: rows_tag(side) };
        let durable = rows.segments.iter().take_while(|s| s.chunk.is_some()).count();
        if durable < rows.segments.len() {
            let mut merged = self.merge(side, &rows.segments[durable..])?;
            merged.chunk = Some(store.append(&self.operator, bucket, chunk_of(&merged)));
            rows.segments.truncate(durable);
            rows.segments.push(merged);
        }
        let lengths: Vec<usize> = rows.segments.iter().map(|s| s.batch.num_rows()).collect();
        if let Some(from) = tail(&lengths) {
            let mut merged = self.merge(side, &rows.segments[from..])?;
            let old: Vec<ChunkId> = rows.segments[from..].iter().filter_map(|s| s.chunk).collect();
            merged.chunk = Some(store.replace(&self.operator, bucket, &old, chunk_of(&merged)));
            rows.segments.truncate(from);
            rows.segments.push(merged);
        }
        Ok(())
    }

    fn freeze_marks(&self, side: Side, start: i64, rows: &mut Rows, store: &mut StateStore) -> Result<()> {
        if rows.fresh.is_empty() {
            return Ok(());
        }
        let bucket = Bucket { start, tag: marks_tag(side) };
        store.append(&self.operator, bucket, marks_chunk(std::mem::take(&mut rows.fresh))?);
        let chunks: Vec<_> = store.chunks(&self.operator, bucket).map(|(id, c)| (id, c.clone())).collect();
        let lengths: Vec<usize> = chunks.iter().map(|(_, c)| c.num_rows()).collect();
        if let Some(from) = tail(&lengths) {
            let old: Vec<_> = chunks[from..].iter().map(|(id, _)| *id).collect();
            let merged = concat_batches(&marks_schema(), chunks[from..].iter().map(|(_, c)| c))?;
            store.replace(&self.operator, bucket, &old, merged);
        }
        Ok(())
    }

    fn merge(&self, side: Side, segments: &[Segment]) -> Result<Segment> {
        let schema = &self.spec.inputs[side.index()];
        let batch = compact(&concat_batches(schema, segments.iter().map(|s| &s.batch))?)?;
        let Keyed { keys, .. } = keyed(&self.spec, side, &batch)?;
        Ok(Segment { first: segments.first().map_or(0, |s| s.first), batch, keys, chunk: None })
    }

    fn restore_rows(&self, side: Side, bucket: Bucket, store: &StateStore, rows: &mut Rows) -> Result<()> {
        let schema = &self.spec.inputs[side.index()];
        let mut chunks = Vec::new();
        for (id, chunk) in store.chunks(&self.operator, bucket) {
            let metadata = &chunk.schema_ref().metadata;
            if metadata.get(LAYOUT_KEY).map(String::as_str) != Some(LAYOUT) {
                return exec_err!(
                    "the state of {} was written by another build: run that one, or stop the job and create it anew",
                    self.operator
                );
            }
            let same = |(a, b): (&Arc<Field>, &Arc<Field>)| a.name() == b.name() && a.data_type() == b.data_type();
            let fields = chunk.schema_ref().fields();
            if fields.len() != schema.fields().len() || !fields.iter().zip(schema.fields()).all(same) {
                return exec_err!(
                    "the state of {} has other columns than its query needs: stop the job and create it anew",
                    self.operator
                );
            }
            let first: Option<u32> = metadata.get(FIRST_KEY).and_then(|first| first.parse().ok());
            chunks.push((first, id, RecordBatch::try_new(Arc::clone(schema), chunk.columns().to_vec())?));
        }
        chunks.sort_by_key(|(first, ..)| *first);
        for (first, id, batch) in chunks {
            if first != Some(rows.len()) {
                return internal_err!("the state of {} lacks rows of the bucket {}", self.operator, bucket.start);
            }
            let times = times_of(&self.spec, side, &batch)?;
            let keyed = keyed(&self.spec, side, &batch)?;
            rows.push(batch, keyed, times.as_primitive::<Int64Type>().values(), self.spec.marks(side), Some(id))?;
        }
        Ok(())
    }
}

/// Where the newest chunks begin that are worth merging: as many as are not much larger than what came after them.
fn tail(lengths: &[usize]) -> Option<usize> {
    if lengths.len() < CHUNKS {
        return None;
    }
    let (mut from, mut rows) = (lengths.len(), 0);
    while from > 0 && (rows == 0 || lengths[from - 1] <= 2 * rows) {
        from -= 1;
        rows += lengths[from];
    }
    (lengths.len() - from > 1).then_some(from)
}

fn chunk_of(segment: &Segment) -> RecordBatch {
    let metadata =
        HashMap::from([(LAYOUT_KEY.to_owned(), LAYOUT.to_owned()), (FIRST_KEY.to_owned(), segment.first.to_string())]);
    let schema = segment.batch.schema().as_ref().clone().with_metadata(metadata);
    let batch = segment.batch.clone();
    batch.clone().with_schema(Arc::new(schema)).unwrap_or(batch)
}

fn marks_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("row", DataType::UInt32, false)]))
}

fn marks_chunk(rows: Vec<u32>) -> Result<RecordBatch> {
    Ok(RecordBatch::try_new(marks_schema(), vec![Arc::new(UInt32Array::from(rows))])?)
}

/// The event times of a side's rows, in microseconds since 1970.
pub(super) fn times_of(spec: &JoinSpec, side: Side, batch: &RecordBatch) -> Result<ArrayRef> {
    let times = batch.column(spec.times[side.index()]);
    let zone = match times.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        other => return internal_err!("a join's event time is {other}"),
    };
    let times = cast(&cast(times, &DataType::Timestamp(TimeUnit::Microsecond, zone))?, &DataType::Int64)?;
    if times.null_count() > 0 {
        return internal_err!("a row without an event time has come to a join");
    }
    Ok(times)
}

impl Keeps for JoinState {
    /// When the first bucket closes that has rows to give out.
    fn next_close(&self, _: &StateStore, _: Option<i64>) -> Option<i64> {
        let sides = self.sides.lock();
        let first = |side: Side| {
            let gives = self.spec.gives_unmatched(side);
            let mut buckets = sides[side.index()].iter().filter(|(_, rows)| rows.matched.contains(&false));
            if gives { buckets.next().map(|(start, _)| self.spec.bounds.closes(side, *start)) } else { None }
        };
        Side::BOTH.into_iter().filter_map(first).min()
    }

    fn freeze(&self, store: &mut StateStore) -> Result<()> {
        let mut sides = self.sides.lock();
        for side in Side::BOTH {
            for (start, rows) in &mut sides[side.index()] {
                self.freeze_rows(side, *start, rows, store)?;
                self.freeze_marks(side, *start, rows, store)?;
            }
        }
        Ok(())
    }

    fn restore(&self, store: &StateStore) -> Result<()> {
        let mut sides = self.sides.lock();
        let buckets: Vec<Bucket> = store.buckets(&self.operator).collect();
        for side in Side::BOTH {
            for bucket in buckets.iter().filter(|b| b.tag == rows_tag(side)) {
                let rows = sides[side.index()].entry(bucket.start).or_default();
                self.restore_rows(side, *bucket, store, rows)?;
                let marks = Bucket { start: bucket.start, tag: marks_tag(side) };
                for (_, chunk) in store.chunks(&self.operator, marks) {
                    let Some(numbers) = chunk.column(0).as_primitive_opt::<UInt32Type>() else {
                        return internal_err!("the state of {} has marks of another type", self.operator);
                    };
                    numbers.values().iter().for_each(|row| {
                        rows.mark(*row);
                    });
                }
                rows.fresh.clear();
            }
        }
        Ok(())
    }

    fn describe(&self, store: &StateStore, closed: Option<i64>) -> OperatorState {
        let next_end = self.next_close(store, closed);
        let sides = self.sides.lock();
        let starts: BTreeSet<i64> = sides.iter().flat_map(BTreeMap::keys).copied().collect();
        let all = || sides.iter().flat_map(BTreeMap::values);
        let bytes = |rows: &Rows| -> usize { rows.segments.iter().map(|s| s.batch.get_array_memory_size()).sum() };
        OperatorState {
            operator: self.operator.clone(),
            what: format!("{} join, {}", self.spec.kind, self.spec.bounds),
            panes: starts.len(),
            groups: all().map(|rows| rows.times.len() as u64).sum(),
            bytes: all().map(bytes).sum(),
            oldest: starts.first().copied(),
            next_end,
        }
    }
}
