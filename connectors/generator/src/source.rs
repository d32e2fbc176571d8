//! Splits, rates and readers.
//!
//! Split `i` of `k` has rows `i`, `i + k`, `i + 2k` …, so that sequence number `s` in it is row `s * k + i` whatever
//! was read before. A reader makes rows when they are taken and buffers nothing. At a given rate, row `s` is due
//! `(s - first + 1) / rate` seconds after the reader was opened at `first`; a `take` that comes too early arms one
//! timer, which notifies when the next row is due.

use crate::options::{Settings, StartTime};
use arrow::array::{BinaryViewArray, make_view};
use arrow::buffer::{Buffer, ScalarBuffer};
use async_trait::async_trait;
use salamander_connector_api::{
    ConnectorError, RawBatch, Source, SourceDescription, SplitInfo, SplitReader, SplitStatus, Take,
};
use salamander_types::{Clock, ErrorKind, Position, SplitId, SystemClock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// Most bytes in one batch, whatever is asked for: views address less than 4 GiB.
const MAX_BATCH_BYTES: usize = 64 << 20;
/// Shortest sleep of a timer: rows that are due within it come together.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// A source of generated lines.
#[derive(Debug, Clone)]
pub struct GeneratorSource {
    settings: Arc<Settings>,
    clock: Arc<dyn Clock>,
}

/// Makes a source from a table's options.
///
/// # Errors
/// When an option makes no sense.
pub fn from_options(options: &BTreeMap<String, String>) -> Result<Arc<dyn Source>, ConnectorError> {
    let settings = Settings::from_options(options)?;
    Ok(Arc::new(GeneratorSource::new(settings, Arc::new(SystemClock::default()))))
}

impl GeneratorSource {
    /// A source whose rates and times follow `clock`.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        Self { settings: Arc::new(settings), clock }
    }

    /// Rows of a split; none for no end.
    fn rows_of(&self, lane: u32) -> Option<u64> {
        let splits = u64::from(self.settings.splits);
        self.settings.rows.map(|rows| rows.saturating_sub(u64::from(lane)).div_ceil(splits))
    }

    fn lane(&self, split: &SplitId) -> Result<u32, ConnectorError> {
        split.as_str().parse().ok().filter(|&lane| lane < self.settings.splits).ok_or_else(|| {
            ConnectorError::new(
                ErrorKind::NotFound,
                format!("generator, split '{split}'"),
                format!("there are splits 0 to {}", self.settings.splits - 1),
            )
        })
    }
}

#[async_trait]
impl Source for GeneratorSource {
    async fn describe(&self) -> Result<SourceDescription, ConnectorError> {
        let splits = (0..self.settings.splits).map(|lane| SplitInfo {
            split: SplitId::new(lane.to_string()),
            start: Position::at(0),
            end: self.rows_of(lane),
        });
        Ok(SourceDescription {
            // What decides the rows' text and their split.
            identity: format!("generator seed {} splits {}", self.settings.generator.seed, self.settings.splits),
            splits: splits.collect(),
            bounded: self.settings.rows.is_some(),
        })
    }

    async fn open(
        &self,
        split: &SplitId,
        position: &Position,
        notify: Arc<Notify>,
    ) -> Result<Box<dyn SplitReader>, ConnectorError> {
        let lane = self.lane(split)?;
        let rate = self.settings.rows_per_second.map(|rate| rate / f64::from(self.settings.splits));
        let reader = GeneratorReader {
            settings: Arc::clone(&self.settings),
            clock: Arc::clone(&self.clock),
            split: split.clone(),
            lane,
            next: position.next,
            end: self.rows_of(lane),
            pace: rate.map(|rate| Pace { rate, opened: self.clock.monotonic(), first: position.next }),
            at_end: false,
            alarm: Alarm { runtime: Handle::current(), notify, armed: Arc::default() },
        };
        // There are rows at once, or an end: whoever waits for the first may take.
        reader.alarm.notify.notify_one();
        Ok(Box::new(reader))
    }
}

/// How fast rows become due.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Rows a second.
    rate: f64,
    /// When the reader was opened, on the monotonic clock.
    opened: Duration,
    /// The row that it was opened at.
    first: u64,
}

impl Pace {
    /// The row after the last one that is due.
    fn due(&self, now: Duration) -> u64 {
        let elapsed = now.saturating_sub(self.opened).as_secs_f64();
        self.first.saturating_add((elapsed * self.rate) as u64)
    }

    /// How long until a row is due.
    fn wait(&self, row: u64, now: Duration) -> Duration {
        let seconds = (row.saturating_sub(self.first) + 1) as f64 / self.rate;
        let due = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).saturating_add(self.opened);
        due.saturating_sub(now).clamp(SHORTEST_WAIT, Duration::from_secs(3_600))
    }
}

/// Notifies later, at most one timer at a time.
#[derive(Debug)]
struct Alarm {
    runtime: Handle,
    notify: Arc<Notify>,
    armed: Arc<AtomicBool>,
}

impl Alarm {
    fn arm(&self, wait: Duration) {
        if self.armed.swap(true, Ordering::AcqRel) {
            return;
        }
        let (notify, armed) = (Arc::clone(&self.notify), Arc::clone(&self.armed));
        self.runtime.spawn(async move {
            tokio::time::sleep(wait).await;
            armed.store(false, Ordering::Release);
            notify.notify_one();
        });
    }
}

/// An open split.
#[derive(Debug)]
struct GeneratorReader {
    settings: Arc<Settings>,
    clock: Arc<dyn Clock>,
    split: SplitId,
    lane: u32,
    next: u64,
    end: Option<u64>,
    pace: Option<Pace>,
    at_end: bool,
    alarm: Alarm,
}

impl GeneratorReader {
    /// The row after the last one that may be made now.
    fn limit(&self, now: Duration) -> u64 {
        let due = self.pace.map_or(u64::MAX, |pace| pace.due(now));
        due.min(self.end.unwrap_or(u64::MAX))
    }

    fn make(&mut self, limit: u64, max_rows: usize, max_bytes: usize) -> Result<RawBatch, ConnectorError> {
        let rows = (limit - self.next).min(max_rows.max(1) as u64) as usize;
        let max_bytes = max_bytes.min(MAX_BATCH_BYTES);
        let now = (self.settings.start == StartTime::Now).then(|| self.clock.now_micros());
        let mut text = Vec::new();
        let mut ends = Vec::with_capacity(rows);
        for sequence in self.next..self.next + rows as u64 {
            let row = sequence * u64::from(self.settings.splits) + u64::from(self.lane);
            let generator = &self.settings.generator;
            let time = now.unwrap_or_else(|| generator.time_of(row));
            generator.line_at(row, time, &mut text);
            ends.push(text.len());
            if text.len() >= max_bytes {
                break;
            }
        }
        let first_sequence = self.next;
        self.next += ends.len() as u64;
        let bytes = text.len();
        let payload = payloads(text, &ends).map_err(|error| {
            ConnectorError::new(ErrorKind::Internal, format!("generator, split '{}'", self.split), error.to_string())
        })?;
        let mut next = Position::at(self.next);
        next.finished = self.end.is_some_and(|end| self.next >= end);
        Ok(RawBatch {
            split: self.split.clone(),
            first_sequence,
            payload,
            offsets: None,
            enqueued: None,
            partition_key: None,
            properties: None,
            next,
            bytes,
        })
    }
}

/// Views of lines that follow each other in one buffer.
fn payloads(text: Vec<u8>, ends: &[usize]) -> Result<BinaryViewArray, arrow::error::ArrowError> {
    let mut start = 0;
    let views: Vec<u128> = ends
        .iter()
        .map(|&end| {
            let view = make_view(&text[start..end], 0, start as u32);
            start = end;
            view
        })
        .collect();
    BinaryViewArray::try_new(ScalarBuffer::from(views), vec![Buffer::from_vec(text)], None)
}

impl SplitReader for GeneratorReader {
    fn take(&mut self, max_rows: usize, max_bytes: usize) -> Result<Take, ConnectorError> {
        if self.end.is_some_and(|end| self.next >= end) {
            self.at_end = true;
            return Ok(Take::Finished);
        }
        let now = self.clock.monotonic();
        let limit = self.limit(now);
        if limit <= self.next {
            self.at_end = true;
            if let Some(pace) = &self.pace {
                self.alarm.arm(pace.wait(self.next, now));
            }
            return Ok(Take::Empty);
        }
        let batch = self.make(limit, max_rows, max_bytes)?;
        self.at_end = self.pace.is_some() && self.next >= limit || self.end == Some(self.next);
        Ok(Take::Batch(batch))
    }

    fn status(&self) -> SplitStatus {
        SplitStatus { at_end: self.at_end, end: self.end, buffered_bytes: 0 }
    }
}
