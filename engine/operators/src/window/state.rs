//! What a window aggregate holds between epochs: live accumulators by pane, and which windows are to be emitted.
//!
//! Rows since the last checkpoint are in live accumulators, one set a plan partition and bucket; older ones are chunks
//! in the job's state store. A bucket is a pane. Where rows can be in several windows, a row that came when some of its
//! windows had closed is kept apart, in a bucket whose tag says from which window on it counts: so what a window holds
//! does not depend on when it is emitted.
//!
//! While windows close, other plan partitions may be taking rows: those rows are in no window that closes now, since the
//! source has already kept apart or put aside whatever was behind the job's watermark.

use super::aggregation::{Aggregation, Evaluated};
use super::groups::Groups;
use super::sessions;
use super::spec::Window;
use crate::states::{Keeps, OperatorState};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, concat_batches, max, min, take};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::common::Result;
use parking_lot::Mutex;
use salamander_state::{ChunkId, StateStore};
use salamander_types::state::Bucket;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A bucket with so many chunks is looked at for merging.
const CHUNKS: usize = 8;

/// The state of one window aggregate of a job.
#[derive(Debug)]
pub(crate) struct WindowState {
    operator: String,
    aggregation: Arc<Aggregation>,
    /// Sessions: none ends before this.
    next_session: Mutex<Option<i64>>,
    /// By plan partition.
    live: Vec<Mutex<BTreeMap<Bucket, Groups>>>,
}

/// A window that has closed, and what it is made of.
#[derive(Debug)]
pub(crate) struct Closing {
    pub(crate) window: Window,
    pub(crate) live: Vec<Groups>,
    pub(crate) chunks: Vec<RecordBatch>,
}

/// Rows of a batch, by where they belong.
enum Spread {
    One(Bucket),
    Several(BTreeMap<Bucket, Vec<u32>>),
}

impl WindowState {
    pub(crate) fn new(operator: String, aggregation: Arc<Aggregation>, partitions: usize) -> Self {
        let live = (0..partitions.max(1)).map(|_| Mutex::default()).collect();
        Self { operator, aggregation, next_session: Mutex::default(), live }
    }

    /// Takes a batch of rows of a plan partition.
    pub(crate) fn add(&self, partition: usize, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let spread = self.spread(batch)?;
        let sets = self.aggregation.by_set(self.aggregation.evaluate(batch)?)?;
        let mut live = self.live[partition].lock();
        match spread {
            Spread::One(bucket) => {
                let groups = self.groups_of(&mut live, bucket)?;
                sets.iter().try_for_each(|rows| groups.update(rows))
            }
            Spread::Several(parts) => parts.into_iter().try_for_each(|(bucket, indices)| {
                let (groups, indices) = (self.groups_of(&mut live, bucket)?, UInt32Array::from(indices));
                sets.iter().try_for_each(|rows| groups.update(&rows.part(&indices)?))
            }),
        }
    }

    fn groups_of<'a>(&self, live: &'a mut BTreeMap<Bucket, Groups>, bucket: Bucket) -> Result<&'a mut Groups> {
        use std::collections::btree_map::Entry;
        Ok(match live.entry(bucket) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.aggregation.groups()?),
        })
    }

    /// Finds the bucket of each row. Rows without a time are in none, as in Spark.
    fn spread(&self, batch: &RecordBatch) -> Result<Spread> {
        if self.aggregation.windows.is_global() {
            return Ok(Spread::One(Bucket::at(0)));
        }
        let (windows, rows) = (self.aggregation.windows, batch.num_rows());
        let times = micros(&self.aggregation.time.evaluate(batch)?.into_array(rows)?)?;
        let watermarks = self.aggregation.watermark.as_ref();
        let watermarks = watermarks.map(|w| micros(&w.evaluate(batch)?.into_array(rows)?)).transpose()?;
        let (times, watermarks) =
            (times.as_primitive::<Int64Type>(), watermarks.as_ref().map(|w| w.as_primitive::<Int64Type>()));
        if let (0, Some(first), Some(last)) = (times.null_count(), min(times), max(times)) {
            let start = windows.pane_of(first);
            let open = watermarks.and_then(max).is_none_or(|w| windows.first_end_after(start, i64::MIN) > Some(w));
            if start == windows.pane_of(last) && open {
                return Ok(Spread::One(Bucket::at(start)));
            }
        }
        let mut parts: BTreeMap<Bucket, Vec<u32>> = BTreeMap::new();
        for row in 0..rows {
            if times.is_null(row) {
                continue;
            }
            let start = windows.pane_of(times.value(row));
            let before = watermarks.filter(|w| w.is_valid(row)).map(|w| w.value(row));
            if let Some(bucket) = self.bucket(start, before) {
                parts.entry(bucket).or_default().push(u32::try_from(row).unwrap_or(u32::MAX));
            }
        }
        Ok(Spread::Several(parts))
    }

    /// Where a row of this pane belongs that came at this watermark; nowhere if all its windows had closed.
    fn bucket(&self, start: i64, watermark: Option<i64>) -> Option<Bucket> {
        let windows = self.aggregation.windows;
        let (first, Some(watermark)) = (windows.first_end_after(start, i64::MIN), watermark) else {
            return Some(Bucket::at(start));
        };
        let open = windows.first_end_after(start, watermark)?;
        let tag = if Some(open) == first { 0 } else { open.saturating_sub(start) };
        Some(Bucket { start, tag })
    }

    /// The watermark of the rows that come here, when the job's is this.
    fn own(&self, watermark: i64) -> i64 {
        watermark.saturating_sub(self.aggregation.behind.unwrap_or(0))
    }

    /// Takes out what the windows are made of that are due after `closed` and by `watermark`, both the job's. Panes that
    /// no later window needs are dropped.
    pub(crate) fn close(&self, store: &Mutex<StateStore>, closed: Option<i64>, watermark: i64) -> Result<Vec<Closing>> {
        if self.aggregation.windows.is_global() {
            return Ok(Vec::new());
        }
        let (closed, watermark) = (closed.map(|at| self.own(at)), self.own(watermark));
        let mut live: Vec<_> = self.live.iter().map(Mutex::lock).collect();
        let mut store = store.lock();
        let mut buckets: BTreeSet<Bucket> = live.iter().flat_map(|l| l.keys().copied()).collect();
        buckets.extend(store.buckets(&self.operator));
        let mut windows: BTreeMap<Window, Closing> = BTreeMap::new();
        for bucket in buckets {
            let closing = self.closing(bucket, closed, watermark);
            let gone = self.aggregation.windows.last_end(bucket.start) <= watermark;
            if closing.is_empty() && !gone {
                continue;
            }
            let groups = live.iter_mut().filter_map(|l| l.remove(&bucket));
            let mut chunks: Vec<_> = store.chunks(&self.operator, bucket).map(|(_, chunk)| chunk.clone()).collect();
            if let (true, [window]) = (gone, closing.as_slice()) {
                let closing = closing_of(&mut windows, *window);
                closing.live.extend(groups);
                closing.chunks.append(&mut chunks);
            } else {
                for groups in groups.filter(|g| g.len() > 0) {
                    let chunk = self.aggregation.chunk(groups)?;
                    if !gone {
                        store.append(&self.operator, bucket, chunk.clone());
                    }
                    chunks.push(chunk);
                }
                closing.iter().for_each(|w| closing_of(&mut windows, *w).chunks.extend(chunks.iter().cloned()));
            }
            if gone {
                store.drop_bucket(&self.operator, bucket);
            }
        }
        Ok(windows.into_values().collect())
    }

    /// The sessions that ended before this watermark. Only the panes are looked into that can have rows of them.
    pub(crate) fn close_sessions(&self, store: &Mutex<StateStore>, watermark: i64) -> Result<Option<RecordBatch>> {
        let mut store = store.lock();
        if self.next_session_end(&store).is_none_or(|due| due > watermark) {
            return Ok(None);
        }
        let mut chunks = Vec::new();
        let upto = Bucket { start: watermark, tag: i64::MAX };
        for live in &self.live {
            let mut live = live.lock();
            let later = live.split_off(&upto);
            for groups in std::mem::replace(&mut *live, later).into_values() {
                chunks.push(self.aggregation.chunk(groups)?);
            }
        }
        let buckets: Vec<_> = store.buckets(&self.operator).take_while(|bucket| *bucket < upto).collect();
        for bucket in buckets {
            chunks.extend(store.chunks(&self.operator, bucket).map(|(_, chunk)| chunk.clone()));
            store.drop_bucket(&self.operator, bucket);
        }
        let all = concat_batches(&self.aggregation.state_schema()?, &chunks)?;
        let (ended, open) = sessions::sessions(&self.aggregation, &all, watermark)?;
        for (pane, chunk) in sessions::keep(&self.aggregation, &all, &open)? {
            store.append(&self.operator, Bucket::at(pane), chunk);
        }
        // Rows that come later are not before the watermark.
        let first = open.first_last().unwrap_or(i64::MAX).min(watermark);
        *self.next_session.lock() = Some(first.saturating_add(self.aggregation.windows.size));
        sessions::emit(&self.aggregation, &all, &ended)
    }

    /// The watermark at which the next session may have ended. Rounded up by a small part of the gap, so that not every
    /// epoch puts sessions together.
    fn next_session_end(&self, store: &StateStore) -> Option<i64> {
        let gap = self.aggregation.windows.size;
        let stored = store.buckets(&self.operator).next();
        let live = self.live.iter().filter_map(|l| l.lock().keys().next().copied()).min();
        let first = stored.into_iter().chain(live).min()?.start.saturating_add(gap);
        let known = first.max(self.next_session.lock().unwrap_or(i64::MIN));
        let step = (gap / 32).clamp(1_000, 1_000_000);
        // A row may still come at the very end.
        Some(known.saturating_add(step).div_euclid(step).saturating_mul(step))
    }

    /// The windows of a bucket that close.
    fn closing(&self, bucket: Bucket, closed: Option<i64>, watermark: i64) -> Vec<Window> {
        let windows = self.aggregation.windows.windows_of(bucket.start);
        windows
            .skip_while(|w| closed.is_some_and(|c| w.end <= c))
            .skip_while(|w| w.end.saturating_sub(bucket.start) < bucket.tag)
            .take_while(|w| w.end <= watermark)
            .collect()
    }

    /// What the windows are made of so far that have not been emitted by `closed`. Nothing is taken out; live
    /// accumulators become chunks, since they say what they hold only once. No epoch may be running.
    pub(crate) fn peek(&self, store: &mut StateStore, closed: Option<i64>) -> Result<Vec<Closing>> {
        if self.aggregation.windows.is_session() {
            return Ok(Vec::new());
        }
        self.freeze(store)?;
        let closed = closed.map(|at| self.own(at));
        let mut windows: BTreeMap<Window, Closing> = BTreeMap::new();
        for bucket in store.buckets(&self.operator) {
            for window in self.closing(bucket, closed, i64::MAX) {
                let chunks = store.chunks(&self.operator, bucket).map(|(_, chunk)| chunk.clone());
                closing_of(&mut windows, window).chunks.extend(chunks);
            }
        }
        Ok(windows.into_values().collect())
    }

    /// What it computes.
    pub(crate) fn aggregation(&self) -> &Arc<Aggregation> {
        &self.aggregation
    }

    /// Merges the newest chunks of a bucket, as many as are not much larger than what came after them: each row is
    /// merged a number of times that grows with the logarithm of the bucket.
    fn compact(&self, store: &mut StateStore, bucket: Bucket) -> Result<()> {
        let chunks: Vec<(ChunkId, RecordBatch)> =
            store.chunks(&self.operator, bucket).map(|(id, chunk)| (id, chunk.clone())).collect();
        if chunks.len() < CHUNKS {
            return Ok(());
        }
        let (mut from, mut rows) = (chunks.len(), 0);
        while from > 0 && (rows == 0 || chunks[from - 1].1.num_rows() <= 2 * rows) {
            from -= 1;
            rows += chunks[from].1.num_rows();
        }
        let merged = &chunks[from..];
        if merged.len() < 2 {
            return Ok(());
        }
        let mut groups = self.aggregation.groups()?;
        merged.iter().try_for_each(|(_, chunk)| groups.merge(chunk))?;
        let ids: Vec<_> = merged.iter().map(|(id, _)| *id).collect();
        store.replace(&self.operator, bucket, &ids, self.aggregation.chunk(groups)?);
        Ok(())
    }
}

impl Keeps for WindowState {
    /// When the next window ends that holds rows, of those that end after `closed`.
    fn next_close(&self, store: &StateStore, closed: Option<i64>) -> Option<i64> {
        if self.aggregation.windows.is_global() {
            return None;
        }
        if self.aggregation.windows.is_session() {
            return self.next_session_end(store);
        }
        let stored = store.buckets(&self.operator).next();
        let live = self.live.iter().filter_map(|l| l.lock().keys().next().copied()).min();
        let first = stored.into_iter().chain(live).min()?;
        let end = self.aggregation.windows.first_end_after(first.start, closed.map_or(i64::MIN, |at| self.own(at)))?;
        Some(end.saturating_add(self.aggregation.behind.unwrap_or(0)))
    }

    /// Turns all live accumulators into chunks, and merges chunks where a bucket has many.
    fn freeze(&self, store: &mut StateStore) -> Result<()> {
        for live in &self.live {
            for (bucket, groups) in std::mem::take(&mut *live.lock()) {
                if groups.len() > 0 {
                    store.append(&self.operator, bucket, self.aggregation.chunk(groups)?);
                }
            }
        }
        let buckets: Vec<_> = store.buckets(&self.operator).collect();
        buckets.into_iter().try_for_each(|bucket| self.compact(store, bucket))
    }

    fn restore(&self, store: &StateStore) -> Result<()> {
        for bucket in store.buckets(&self.operator) {
            for (_, chunk) in store.chunks(&self.operator, bucket) {
                self.aggregation.check_state(&self.operator, chunk.schema_ref())?;
            }
        }
        Ok(())
    }

    fn describe(&self, store: &StateStore, closed: Option<i64>) -> OperatorState {
        let mut panes: BTreeSet<Bucket> = store.buckets(&self.operator).collect();
        let (mut groups, mut bytes) = (0, 0);
        for bucket in &panes {
            for (_, chunk) in store.chunks(&self.operator, *bucket) {
                groups += chunk.num_rows() as u64;
                bytes += chunk.get_array_memory_size();
            }
        }
        for live in self.live.iter().map(Mutex::lock) {
            groups += live.values().map(|g| g.len() as u64).sum::<u64>();
            panes.extend(live.keys());
        }
        OperatorState {
            operator: self.operator.clone(),
            what: format!("aggregate by window, {}", self.aggregation.windows),
            groups,
            bytes,
            oldest: panes.first().map(|bucket| bucket.start).filter(|_| !self.aggregation.windows.is_global()),
            panes: panes.len(),
            next_end: self.next_close(store, closed),
        }
    }
}

fn closing_of(windows: &mut BTreeMap<Window, Closing>, window: Window) -> &mut Closing {
    windows.entry(window).or_insert_with(|| Closing { window, live: Vec::new(), chunks: Vec::new() })
}

/// A TIMESTAMP column as microseconds.
fn micros(times: &ArrayRef) -> Result<ArrayRef> {
    let unit = match times.data_type() {
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        other => other.clone(),
    };
    Ok(cast(&cast(times, &unit)?, &DataType::Int64)?)
}

impl Evaluated {
    /// Some of the rows.
    fn part(&self, rows: &UInt32Array) -> Result<Self> {
        let column = |column: &ArrayRef| Ok(take(column, rows, None)?);
        let columns = |columns: &Vec<ArrayRef>| columns.iter().map(column).collect::<Result<Vec<_>>>();
        let filter = |filter: &Option<arrow::array::BooleanArray>| match filter {
            Some(filter) => Ok(Some(take(filter, rows, None)?.as_boolean().clone())),
            None => Ok(None),
        };
        Ok(Self {
            keys: columns(&self.keys)?,
            arguments: self.arguments.iter().map(columns).collect::<Result<_>>()?,
            filters: self.filters.iter().map(filter).collect::<Result<_>>()?,
            rows: rows.len(),
        })
    }
}
