//! A batch of one side: it enters the state, and is joined with what the other side has by then.

use super::rows::{Keyed, Rows, compact, keyed};
use super::spec::{JoinSpec, Side};
use super::state::{JoinState, times_of};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array,
};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{and, interleave, interleave_record_batch, prep_null_mask_filter, take, take_record_batch};
use arrow::datatypes::Int64Type;
use datafusion::common::{Result, internal_err};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// So many candidates are looked at together.
const CANDIDATES: usize = 16_384;

/// Where a row of the state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    bucket: i64,
    row: u32,
}

/// Rows that have the same hash and are within the bounds.
#[derive(Debug, Default)]
struct Candidates {
    rows: Vec<u32>,
    places: Vec<Place>,
    /// Segment (of those below) and row in it.
    found: Vec<(usize, usize)>,
    segments: Vec<(RecordBatch, Vec<ArrayRef>)>,
}

/// A batch on its way through the join.
pub(super) struct Probe {
    state: Arc<JoinState>,
    side: Side,
    batch: RecordBatch,
    times: ArrayRef,
    keyed: Keyed,
    /// Where each row is kept; none if no row can come any more that matches it.
    kept: Vec<Option<Place>>,
    matched: Vec<bool>,
    /// How many rows the other side had by bucket when this batch entered.
    seen: BTreeMap<i64, u32>,
    next: usize,
}

impl Probe {
    /// Lets a batch enter the state. `watermark` is the job's: no row can come that is behind it.
    pub(super) fn enter(state: Arc<JoinState>, side: Side, batch: RecordBatch, watermark: Option<i64>) -> Result<Self> {
        let spec = Arc::clone(state.spec());
        let rows = batch.num_rows();
        let (times, found) = (times_of(&spec, side, &batch)?, keyed(&spec, side, &batch)?);
        let micros = times.as_primitive::<Int64Type>().values();
        let mut buckets: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, (time, hash)) in (0u32..).zip(micros.iter().zip(&found.hashes)) {
            let open = watermark.is_none_or(|watermark| spec.bounds.partners(side, *time).1 >= watermark);
            if hash.is_some() && open {
                buckets.entry(spec.bounds.bucket(*time)).or_default().push(row);
            }
        }
        let mut parts = Vec::with_capacity(buckets.len());
        for (bucket, rows) in buckets {
            let times: Vec<i64> = rows.iter().map(|row| micros[*row as usize]).collect();
            let part = compact(&take_record_batch(&batch, &UInt32Array::from(rows.clone()))?)?;
            let part_keys = keyed(&spec, side, &part)?;
            parts.push((bucket, rows, times, part, part_keys));
        }
        let mut kept = vec![None; rows];
        let mut sides = state.sides.lock();
        for (bucket, rows, times, part, keys) in parts {
            let own = sides[side.index()].entry(bucket).or_default();
            let first = own.push(part, keys, &times, spec.marks(side), None)?;
            for (number, row) in (first..).zip(rows) {
                kept[row as usize] = Some(Place { bucket, row: number });
            }
        }
        let seen = sides[side.other().index()].iter().map(|(bucket, rows)| (*bucket, rows.len())).collect();
        drop(sides);
        Ok(Self { state, side, batch, times, keyed: found, kept, matched: vec![false; rows], seen, next: 0 })
    }

    /// The next rows that it gives; none when it is through.
    pub(super) fn step(&mut self) -> Result<Option<Vec<RecordBatch>>> {
        let spec = Arc::clone(self.state.spec());
        if self.next > self.batch.num_rows() {
            return Ok(None);
        }
        if self.next == self.batch.num_rows() {
            self.next += 1;
            return Ok(Some(self.unmatched(&spec)?.into_iter().collect()));
        }
        let candidates = self.candidates();
        let pairs = self.verify(&spec, candidates)?;
        if pairs.rows.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let (own, other) = self.mark(&spec, &pairs);
        let mut given = Vec::new();
        let (side, beyond) = (self.side, self.side.other());
        if spec.gives_pairs() {
            let mine = take_record_batch(&self.batch, &UInt32Array::from(pairs.rows))?;
            let theirs = gather(&pairs.segments, &pairs.found)?;
            given.push(assemble(&spec, side, Some(&mine), Some(&theirs), mine.num_rows())?);
        } else if spec.gives_matched(side) && !own.is_empty() {
            let mine = take_record_batch(&self.batch, &UInt32Array::from(own))?;
            given.push(assemble(&spec, side, Some(&mine), None, mine.num_rows())?);
        } else if spec.gives_matched(beyond) && !other.is_empty() {
            let theirs = gather(&pairs.segments, &other)?;
            given.push(assemble(&spec, beyond, Some(&theirs), None, theirs.num_rows())?);
        }
        Ok(Some(given))
    }

    /// Rows of the state that may match the next rows.
    fn candidates(&mut self) -> Candidates {
        let spec = Arc::clone(self.state.spec());
        let times = self.times.as_primitive::<Int64Type>().values();
        let mut candidates = Candidates::default();
        let mut known: HashMap<(i64, usize), usize> = HashMap::new();
        let sides = self.state.sides.lock();
        let other = &sides[self.side.other().index()];
        while self.next < self.batch.num_rows() && candidates.rows.len() < CANDIDATES {
            let row = self.next;
            self.next += 1;
            let Some(hash) = self.keyed.hashes[row] else { continue };
            let (first, last) = spec.bounds.partners(self.side, times[row]);
            if first > last {
                continue;
            }
            for (bucket, rows) in other.range(spec.bounds.bucket(first)..=last) {
                let seen = self.seen.get(bucket).copied().unwrap_or(0);
                for place in rows.chain(hash).filter(|place| *place < seen) {
                    let time = rows.times[place as usize];
                    if first <= time && time <= last {
                        let segment = rows.segment_of(place);
                        let of = &rows.segments[segment];
                        let index = *known.entry((*bucket, segment)).or_insert_with(|| {
                            candidates.segments.push((of.batch.clone(), of.keys.clone()));
                            candidates.segments.len() - 1
                        });
                        candidates.rows.push(u32::try_from(row).unwrap_or(u32::MAX));
                        candidates.places.push(Place { bucket: *bucket, row: place });
                        candidates.found.push((index, (place - of.first) as usize));
                    }
                }
            }
        }
        candidates
    }

    /// Those whose keys are equal and for which the condition is true.
    fn verify(&self, spec: &JoinSpec, candidates: Candidates) -> Result<Candidates> {
        if candidates.rows.is_empty() {
            return Ok(candidates);
        }
        let rows = UInt32Array::from(candidates.rows.clone());
        let mut good: Option<BooleanArray> = None;
        for (at, key) in self.keyed.keys.iter().enumerate() {
            let theirs: Vec<&dyn Array> = candidates.segments.iter().map(|(_, keys)| keys[at].as_ref()).collect();
            let equal = eq(&take(key, &rows, None)?, &interleave(&theirs, &candidates.found)?)?;
            good = Some(match good {
                Some(good) => and(&good, &equal)?,
                None => equal,
            });
        }
        let candidates = candidates.keep(good);
        let Some(condition) = &spec.condition else { return Ok(candidates) };
        if candidates.rows.is_empty() {
            return Ok(candidates);
        }
        let rows = UInt32Array::from(candidates.rows.clone());
        let columns = condition.columns.iter().map(|(side, column)| {
            if *side == self.side {
                return Ok(take(self.batch.column(*column), &rows, None)?);
            }
            let theirs: Vec<&dyn Array> =
                candidates.segments.iter().map(|(batch, _)| batch.column(*column).as_ref()).collect();
            Ok(interleave(&theirs, &candidates.found)?)
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let columns = columns.collect::<Result<_>>()?;
        let pairs = RecordBatch::try_new_with_options(Arc::clone(&condition.schema), columns, &options)?;
        let good = condition.expression.evaluate(&pairs)?.into_array(pairs.num_rows())?;
        match good.as_boolean_opt() {
            Some(good) => Ok(candidates.keep(Some(good.clone()))),
            None => internal_err!("a join's condition is {}", good.data_type()),
        }
    }

    /// Marks both rows of pairs where that is asked for; those of this batch and of the state that were not marked.
    fn mark(&mut self, spec: &JoinSpec, pairs: &Candidates) -> (Vec<u32>, Vec<(usize, usize)>) {
        let (mut own, mut other) = (Vec::new(), Vec::new());
        let (mine, theirs) = (spec.marks(self.side), spec.marks(self.side.other()));
        if !mine && !theirs {
            return (own, other);
        }
        let mut sides = self.state.sides.lock();
        for ((row, place), found) in pairs.rows.iter().zip(&pairs.places).zip(&pairs.found) {
            let at = *row as usize;
            if mine && !std::mem::replace(&mut self.matched[at], true) {
                let new = match self.kept[at] {
                    Some(kept) => mark(&mut sides[self.side.index()], kept),
                    None => true,
                };
                if new {
                    own.push(*row);
                }
            }
            if theirs && mark(&mut sides[self.side.other().index()], *place) {
                other.push(*found);
            }
        }
        (own, other)
    }

    /// The rows that match nothing and that nothing can match any more.
    fn unmatched(&self, spec: &JoinSpec) -> Result<Option<RecordBatch>> {
        if !spec.gives_unmatched(self.side) {
            return Ok(None);
        }
        let rows = (0u32..).zip(self.kept.iter().zip(&self.matched));
        let rows: UInt32Array =
            rows.filter(|(_, (kept, matched))| kept.is_none() && !**matched).map(|(row, _)| row).collect();
        if rows.is_empty() {
            return Ok(None);
        }
        let mine = take_record_batch(&self.batch, &rows)?;
        assemble(spec, self.side, Some(&mine), None, mine.num_rows()).map(Some)
    }
}

fn mark(side: &mut BTreeMap<i64, Rows>, place: Place) -> bool {
    side.get_mut(&place.bucket).is_some_and(|rows| rows.mark(place.row))
}

impl Candidates {
    /// Those for which it is true.
    fn keep(mut self, good: Option<BooleanArray>) -> Self {
        let Some(good) = good else { return self };
        let good = if good.null_count() > 0 { prep_null_mask_filter(&good) } else { good };
        let mut at = good.values().iter();
        self.rows.retain(|_| at.next().unwrap_or(false));
        let mut at = good.values().iter();
        self.places.retain(|_| at.next().unwrap_or(false));
        let mut at = good.values().iter();
        self.found.retain(|_| at.next().unwrap_or(false));
        self
    }
}

fn gather(segments: &[(RecordBatch, Vec<ArrayRef>)], found: &[(usize, usize)]) -> Result<RecordBatch> {
    let batches: Vec<&RecordBatch> = segments.iter().map(|(batch, _)| batch).collect();
    Ok(interleave_record_batch(&batches, found)?)
}

/// Output rows of rows of a side and, for pairs, of the other; NULLs where there is none.
pub(super) fn assemble(
    spec: &JoinSpec,
    side: Side,
    mine: Option<&RecordBatch>,
    theirs: Option<&RecordBatch>,
    rows: usize,
) -> Result<RecordBatch> {
    let mut columns = Vec::with_capacity(spec.output.fields().len());
    for of in Side::BOTH {
        if of != side && !spec.gives_pairs() {
            continue;
        }
        let batch = if of == side { mine } else { theirs };
        for (index, field) in spec.inputs[of.index()].fields().iter().enumerate() {
            if index != spec.times[of.index()] {
                columns.push(match batch {
                    Some(batch) => Arc::clone(batch.column(index)),
                    None => new_null_array(field.data_type(), rows),
                });
            }
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(&spec.output), columns, &options)?)
}
