//! What has been read of a split but not taken, and its bounds.
//!
//! ```text
//!   background task ──push──▶ Shelf (a queue of chunks) ──take──▶ the engine
//!          ▲                                  │
//!          └────────────── room ──────────────┘
//! ```
//!
//! Bounds: a split that holds nothing may always read one chunk, a small one when the source's shared bound is used
//! up, so that no split waits for another's rows to be taken; otherwise both its own and the shared bound hold.

use crate::lines::Lines;
use crate::options::Settings;
use arrow::array::BinaryViewArray;
use arrow::buffer::{Buffer, ScalarBuffer};
use parking_lot::Mutex;
use salamander_connector_api::{ConnectorError, RawBatch, SplitStatus, Take};
use salamander_types::{ErrorKind, Position, SplitId};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// What a split without anything ready may read when the shared bound is used up.
const SMALL_CHUNK: usize = 64 << 10;

/// Lines that have been read.
#[derive(Debug)]
pub struct Chunk {
    /// The bytes.
    pub buffer: Buffer,
    /// The lines in them.
    pub lines: Lines,
    /// Where in the file the bytes begin.
    pub base: u64,
}

/// Bytes that all splits of a source hold ready.
#[derive(Debug, Default)]
pub struct SharedBytes(AtomicUsize);

/// A queue of chunks between the task that reads a split and whoever takes from it.
#[derive(Debug)]
pub struct Shelf {
    state: Mutex<State>,
    /// Wakes the reading task when something was taken.
    room: Notify,
    /// Wakes the engine when there is something to take.
    notify: Arc<Notify>,
    shared: Arc<SharedBytes>,
    chunk_bytes: usize,
    split_bytes: usize,
    source_bytes: usize,
}

#[derive(Debug)]
struct State {
    chunks: VecDeque<Chunk>,
    /// Lines of the first chunk that have been taken.
    taken: usize,
    /// Bytes on the shelf.
    bytes: usize,
    /// The first line that hasn't been taken.
    next: u64,
    /// The task has seen the end of the file since it last found more.
    at_end: bool,
    ended: Option<Ended>,
}

#[derive(Debug)]
enum Ended {
    Finished,
    Failed(ConnectorError),
}

impl Shelf {
    /// An empty shelf, whose first line will be number `next`.
    pub fn new(settings: &Settings, shared: Arc<SharedBytes>, notify: Arc<Notify>, next: u64) -> Self {
        Self {
            state: Mutex::new(State { chunks: VecDeque::new(), taken: 0, bytes: 0, next, at_end: false, ended: None }),
            room: Notify::new(),
            notify,
            shared,
            chunk_bytes: settings.chunk_bytes,
            split_bytes: settings.split_bytes,
            source_bytes: settings.source_bytes,
        }
    }

    /// Waits until a chunk may be read, and says how long it may be.
    pub async fn room(&self) -> usize {
        loop {
            // `Notify` keeps one permit, so that what is taken between the look and the wait isn't missed.
            if let Some(length) = self.allowance() {
                return length;
            }
            self.room.notified().await;
        }
    }

    fn allowance(&self) -> Option<usize> {
        let own = self.state.lock().bytes;
        let within_shared = self.shared.0.load(Ordering::Relaxed) + self.chunk_bytes <= self.source_bytes;
        if within_shared && (own == 0 || own + self.chunk_bytes <= self.split_bytes) {
            return Some(self.chunk_bytes);
        }
        (own == 0).then_some(SMALL_CHUNK.min(self.chunk_bytes))
    }

    /// Puts a chunk with at least one line on the shelf.
    pub fn push(&self, chunk: Chunk) {
        let bytes = chunk.lines.used();
        self.shared.0.fetch_add(bytes, Ordering::Relaxed);
        let mut state = self.state.lock();
        state.bytes += bytes;
        state.chunks.push_back(chunk);
        drop(state);
        self.notify.notify_one();
    }

    /// Nothing more will come.
    pub fn finish(&self) {
        self.end(Ended::Finished);
    }

    /// Nothing more will come, for this reason.
    pub fn fail(&self, error: ConnectorError) {
        self.end(Ended::Failed(error));
    }

    fn end(&self, how: Ended) {
        let mut state = self.state.lock();
        state.at_end = true;
        state.ended = Some(how);
        drop(state);
        self.notify.notify_one();
    }

    /// Whether the end of the file has been seen, and nothing since.
    pub fn set_at_end(&self, at_end: bool) {
        self.state.lock().at_end = at_end;
    }

    /// What the shelf says of its split.
    pub fn status(&self) -> SplitStatus {
        let state = self.state.lock();
        let waiting: usize = state.chunks.iter().map(|chunk| chunk.lines.ends.len()).sum();
        let known = matches!(state.ended, Some(Ended::Finished));
        SplitStatus {
            at_end: state.at_end && state.chunks.is_empty(),
            end: known.then(|| state.next + (waiting - state.taken) as u64),
            buffered_bytes: state.bytes,
        }
    }

    /// Takes lines off the shelf, by the rules of `SplitReader::take`.
    ///
    /// # Errors
    /// What the reading task failed with, once all that it read before is taken.
    pub fn take(&self, split: &SplitId, max_rows: usize, max_bytes: usize) -> Result<Take, ConnectorError> {
        let mut state = self.state.lock();
        if state.chunks.is_empty() {
            return match &state.ended {
                None => Ok(Take::Empty),
                Some(Ended::Finished) => Ok(Take::Finished),
                Some(Ended::Failed(error)) => Err(error.clone()),
            };
        }
        let batch = state.take_rows(split, max_rows.max(1), max_bytes)?;
        drop(state);
        self.shared.0.fetch_sub(batch.bytes_off_shelf, Ordering::Relaxed);
        self.room.notify_one();
        Ok(Take::Batch(batch.batch))
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.shared.0.fetch_sub(self.state.get_mut().bytes, Ordering::Relaxed);
    }
}

/// Rows, and the bytes (line ends included) that they took on the shelf.
struct TakenRows {
    batch: RawBatch,
    bytes_off_shelf: usize,
}

impl State {
    fn take_rows(&mut self, split: &SplitId, max_rows: usize, max_bytes: usize) -> Result<TakenRows, ConnectorError> {
        let mut views: Vec<u128> = Vec::new();
        let mut buffers: Vec<Buffer> = Vec::new();
        let mut bytes = 0;
        let mut byte = None;
        while let Some(chunk) = self.chunks.front() {
            let rows = rows_within(chunk, self.taken, max_rows - views.len(), max_bytes.saturating_sub(bytes));
            let rows = if views.is_empty() { rows.max(1) } else { rows };
            if rows == 0 {
                break;
            }
            let upto = self.taken + rows;
            let buffer = (buffers.len() as u128) << 64;
            let in_buffer = |view: &u128| if *view as u32 > 12 { view | buffer } else { *view };
            views.extend(chunk.lines.views[self.taken..upto].iter().map(in_buffer));
            buffers.push(chunk.buffer.clone());
            bytes += (chunk.lines.ends[upto - 1] - begin(chunk, self.taken)) as usize;
            byte = Some(chunk.base + u64::from(chunk.lines.ends[upto - 1]));
            if upto < chunk.lines.ends.len() {
                self.taken = upto;
                break;
            }
            self.taken = 0;
            self.chunks.pop_front();
        }
        let first_sequence = self.next;
        self.next += views.len() as u64;
        self.bytes -= bytes;
        let finished = self.chunks.is_empty() && matches!(self.ended, Some(Ended::Finished));
        let payload = BinaryViewArray::try_new(ScalarBuffer::from(views), buffers, None)
            .map_err(|error| ConnectorError::new(ErrorKind::Internal, format!("file '{split}'"), error.to_string()))?;
        let batch = RawBatch {
            split: split.clone(),
            first_sequence,
            payload,
            offsets: None,
            enqueued: None,
            partition_key: None,
            properties: None,
            next: Position { next: self.next, byte, finished },
            bytes,
        };
        Ok(TakenRows { batch, bytes_off_shelf: bytes })
    }
}

/// Where a line of a chunk begins.
fn begin(chunk: &Chunk, line: usize) -> u32 {
    line.checked_sub(1).map_or(0, |before| chunk.lines.ends[before])
}

/// How many lines from `first` on stay within the bounds.
fn rows_within(chunk: &Chunk, first: usize, max_rows: usize, max_bytes: usize) -> usize {
    let ends = &chunk.lines.ends[first..];
    let start = begin(chunk, first) as usize;
    let rows = ends.partition_point(|&end| end as usize - start <= max_bytes);
    rows.min(max_rows)
}
