//! One partition: appends in order, synced in groups; reads of what has been synced.
//!
//! ```text
//! append ──► pending bytes ──► flush: write, fsync ──► synced ──► listeners are woken and look
//!    ▲  many appends               one at a time  │
//!    └──────────── acknowledged ◄─────────────────┘
//! ```
//!
//! Appends that come while a flush is under way gather in `pending` and share the next fsync. The flush runs on a blocking thread and ends when nothing is
//! pending; `flushing` is the right to write, which retention takes too when it closes an active segment.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::record::{self, Records};
use super::segment::{self, Mark, Segment};
use super::tail::Tail;
use crate::clock::Clock;
use crate::position::StartPosition;
use crate::sections;

/// Bytes of one read from a file.
const READ_BYTES: usize = 256 * 1024;

/// Bytes of the newest events that each partition keeps in memory.
const TAIL_BYTES: usize = 4 * 1024 * 1024;

/// How a partition keeps its events.
#[derive(Debug, Clone)]
pub(crate) struct LogOptions {
    /// A segment is closed when it has grown past this many bytes.
    pub segment_bytes: u64,
    /// Whole segments are deleted when their newest event is older than this many milliseconds.
    pub retention_ms: Option<i64>,
    /// Whole segments are deleted, oldest first, while the partition holds more than this many bytes.
    pub retention_bytes: Option<u64>,
    /// Appends are refused while more than this many bytes wait to be synced.
    pub max_pending_bytes: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 32 * 1024 * 1024,
            retention_ms: None,
            retention_bytes: None,
            max_pending_bytes: 64 * 1024 * 1024,
        }
    }
}

/// Why a partition could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The files could not be read or written.
    #[error("partition {place}: {what} failed: {why}")]
    Io {
        /// The partition's folder.
        place: String,
        /// What was tried.
        what: &'static str,
        /// The system's words.
        why: String,
    },
    /// A sync failed, so it is unknown what is on disk: appends are refused until the broker is started again.
    #[error("partition {place} takes no events since a sync failed ({why}); check the disk and start the broker again")]
    Broken {
        /// The partition's folder.
        place: String,
        /// The system's words.
        why: String,
    },
    /// Too much waits to be written.
    #[error("partition {place} has {bytes} bytes waiting to be written; try again later")]
    Overloaded {
        /// The partition's folder.
        place: String,
        /// Bytes waiting.
        bytes: usize,
    },
    /// The start position lies after the last event.
    #[error("the supplied {kind} '{given}' is invalid. The last {kind} in the system is '{last}'")]
    BeyondEnd {
        /// `offset` or `sequence number`.
        kind: &'static str,
        /// What was asked for.
        given: String,
        /// The last one there is; `-1` in an empty partition.
        last: String,
    },
}

/// An event to append.
#[derive(Debug, Clone)]
pub(crate) struct NewEvent {
    /// The encoded message as its sender wrote it.
    pub message: Bytes,
    /// The partition key, where the message came with one.
    pub partition_key: Option<String>,
}

/// Where appended events stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    /// Sequence number of the first one.
    pub first_sequence: i64,
    /// How many there are.
    pub count: usize,
}

/// What `$management` tells of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionStatus {
    /// Sequence number of the first event that is still held.
    pub begin_sequence: i64,
    /// Sequence number of the last event; -1 when there never was one.
    pub last_sequence: i64,
    /// Offset of the last event.
    pub last_offset: Option<u64>,
    /// Enqueued time of the last event in milliseconds; 0 when there never was one.
    pub last_enqueued_ms: i64,
    /// Whether no event is held.
    pub is_empty: bool,
}

/// What stands at an offset.
#[derive(Debug, Clone)]
pub(crate) enum Look {
    /// Nothing yet.
    AtEnd,
    /// Records that were in memory.
    Records(Chunk),
    /// Records that are in a file: read them with [`PartitionLog::read_file`].
    InFile(FileRange),
}

/// Records in a segment's file.
#[derive(Debug, Clone)]
pub(crate) struct FileRange {
    file: Arc<std::fs::File>,
    position: u64,
    end: u64,
    offset: u64,
}

/// Wakes a reader for as long as it is held.
pub(crate) struct Subscription {
    log: Arc<PartitionLog>,
    listener: Arc<Notify>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut listeners = self.log.listeners.lock();
        if let Some(at) = listeners.iter().position(|listener| Arc::ptr_eq(listener, &self.listener)) {
            listeners.swap_remove(at);
        }
    }
}

/// Records read from a partition.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    /// The records, in order.
    pub records: Records,
    /// Where to read on.
    pub next_offset: u64,
}

#[derive(Debug, Default)]
struct Pending {
    bytes: BytesMut,
    start: u64,
    marks: Vec<Mark>,
    last: Option<Mark>,
    waiters: Vec<(Appended, oneshot::Sender<Result<Appended, LogError>>)>,
}

#[derive(Debug)]
struct State {
    /// In order, never empty; the last one is written to. They describe what is synced.
    segments: Vec<Segment>,
    /// The end of what is synced, and the last record there is or was.
    synced_offset: u64,
    synced_sequence: i64,
    last: Option<Mark>,
    /// The end of what has been given places, synced or not.
    next_offset: u64,
    next_sequence: i64,
    next_ms: i64,
    pending: Pending,
    flushing: bool,
    broken: Option<String>,
    tail: Tail,
}

/// One partition of a hub.
pub(crate) struct PartitionLog {
    dir: PathBuf,
    options: LogOptions,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    listeners: Mutex<Vec<Arc<Notify>>>,
}

impl PartitionLog {
    /// Opens the partition in `dir`, or begins a new one there. Blocks.
    pub(crate) fn open(dir: &Path, options: LogOptions, clock: Arc<dyn Clock>) -> Result<Arc<Self>, LogError> {
        let opened = (|| {
            std::fs::create_dir_all(dir)?;
            let segments = open_segments(dir)?;
            Ok(match segments.is_empty() {
                true => vec![Segment::create(dir, 0, 0)?],
                false => segments,
            })
        })();
        let segments = opened.map_err(|error: io::Error| LogError::Io {
            place: dir.display().to_string(),
            what: "opening it",
            why: error.to_string(),
        })?;
        let (end_offset, end_sequence) = segments.last().map_or((0, 0), |last| (last.end_offset, last.end_sequence));
        let last = segments.iter().rev().find_map(|segment| segment.last);
        let state = State {
            segments,
            synced_offset: end_offset,
            synced_sequence: end_sequence,
            last,
            next_offset: end_offset,
            next_sequence: end_sequence,
            next_ms: last.map_or(0, |last| last.enqueued_ms),
            pending: Pending::default(),
            flushing: false,
            broken: None,
            tail: Tail::new(TAIL_BYTES),
        };
        Ok(Arc::new(Self {
            dir: dir.to_owned(),
            options,
            clock,
            state: Mutex::new(state),
            listeners: Mutex::default(),
        }))
    }

    /// Gives `events` their places and sees that they get written; the answer comes when they are synced.
    pub(crate) fn append(self: &Arc<Self>, events: &[NewEvent]) -> oneshot::Receiver<Result<Appended, LogError>> {
        let (done, answer) = oneshot::channel();
        let now = self.clock.now_millis();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if let Some(error) = self.refusal(state) {
            let _ = done.send(Err(error));
            return answer;
        }
        state.next_ms = state.next_ms.max(now);
        if state.pending.bytes.is_empty() {
            state.pending.start = state.next_offset;
        }
        let appended = Appended { first_sequence: state.next_sequence, count: events.len() };
        for event in events {
            let mark = Mark { offset: state.next_offset, sequence: state.next_sequence, enqueued_ms: state.next_ms };
            let before = state.pending.bytes.len();
            record::encode(&mut state.pending.bytes, mark.sequence, mark.enqueued_ms, |out| {
                sections::write_delivered(out, &event.message, &mark, event.partition_key.as_deref());
            });
            if state.pending.marks.last().is_none_or(|last| mark.offset >= last.offset + segment::INDEX_EVERY) {
                state.pending.marks.push(mark);
            }
            state.pending.last = Some(mark);
            state.next_offset += (state.pending.bytes.len() - before) as u64;
            state.next_sequence += 1;
        }
        state.pending.waiters.push((appended, done));
        if !state.flushing {
            state.flushing = true;
            self.spawn_flush();
        }
        answer
    }

    fn refusal(&self, state: &State) -> Option<LogError> {
        let place = || self.dir.display().to_string();
        if let Some(why) = &state.broken {
            return Some(LogError::Broken { place: place(), why: why.clone() });
        }
        let bytes = state.pending.bytes.len();
        (bytes > self.options.max_pending_bytes).then(|| LogError::Overloaded { place: place(), bytes })
    }

    fn spawn_flush(self: &Arc<Self>) {
        let log = Arc::clone(self);
        tokio::task::spawn_blocking(move || log.flush());
    }

    /// Writes and syncs until nothing is pending. Called by whoever set `flushing`.
    fn flush(&self) {
        loop {
            let (run, mut active) = {
                let mut state = self.state.lock();
                if state.pending.bytes.is_empty() || state.broken.is_some() {
                    // Appends without events have nothing to wait for.
                    for (appended, done) in state.pending.waiters.drain(..) {
                        let _ = done.send(Ok(appended));
                    }
                    state.flushing = false;
                    return;
                }
                let Some(active) = state.segments.last().cloned() else {
                    state.flushing = false;
                    return;
                };
                (std::mem::take(&mut state.pending), active)
            };
            match self.write(&run, &mut active) {
                Ok(rolled) => self.published(run, active, rolled),
                Err((error, broken)) => self.failed(run, &error, broken),
            }
        }
    }

    /// Writes one run into the active segment, or into a new one when that is full. The error says whether the disk's state is unknown.
    fn write(&self, run: &Pending, active: &mut Segment) -> Result<bool, (io::Error, bool)> {
        let roll = active.end_offset - active.base_offset >= self.options.segment_bytes;
        if roll {
            if let Err(error) = active.save_index() {
                tracing::warn!(segment = %active.path.display(), %error, "the index of a closed segment was not saved; it will be rebuilt when needed");
            }
            let (offset, sequence) = (active.end_offset, active.end_sequence);
            *active = Segment::create(&self.dir, offset, sequence).map_err(|error| (error, false))?;
        }
        if let Err(error) = active.file.write_all_at(&run.bytes, active.position(run.start)) {
            let cut = active.file.set_len(active.position(run.start));
            return Err((error, cut.is_err()));
        }
        active.file.sync_data().map_err(|error| (error, true))?;
        Ok(roll)
    }

    fn published(&self, run: Pending, mut active: Segment, rolled: bool) {
        let end = run.start + run.bytes.len() as u64;
        let mut state = self.state.lock();
        if let Some(last) = run.last {
            active.extend(&run.marks, last, end);
            state.last = Some(last);
            state.synced_sequence = last.sequence + 1;
        }
        if !rolled {
            state.segments.pop();
        }
        state.segments.push(active);
        state.synced_offset = end;
        state.tail.push(run.start, run.bytes.freeze());
        drop(state);
        for listener in self.listeners.lock().iter() {
            listener.notify_one();
        }
        for (appended, done) in run.waiters {
            let _ = done.send(Ok(appended));
        }
    }

    /// Tells everyone who waits, and takes back the places that were given.
    fn failed(&self, run: Pending, error: &io::Error, broken: bool) {
        tracing::error!(partition = %self.dir.display(), %error, broken, "writing events failed");
        let mut state = self.state.lock();
        let later = std::mem::take(&mut state.pending);
        state.next_offset = state.synced_offset;
        state.next_sequence = state.synced_sequence;
        if broken {
            state.broken = Some(error.to_string());
        }
        drop(state);
        let place = self.dir.display().to_string();
        for (_, done) in run.waiters.into_iter().chain(later.waiters) {
            let error = match broken {
                true => LogError::Broken { place: place.clone(), why: error.to_string() },
                false => LogError::Io { place: place.clone(), what: "writing events", why: error.to_string() },
            };
            let _ = done.send(Err(error));
        }
    }

    /// Notifies `listener` whenever more events can be read.
    pub(crate) fn subscribe(self: &Arc<Self>, listener: Arc<Notify>) -> Subscription {
        self.listeners.lock().push(Arc::clone(&listener));
        Subscription { log: Arc::clone(self), listener }
    }

    /// What is known of the partition now.
    pub(crate) fn status(&self) -> PartitionStatus {
        let state = self.state.lock();
        let begin_sequence = state.segments.first().map_or(0, |first| first.base_sequence);
        PartitionStatus {
            begin_sequence,
            last_sequence: state.synced_sequence - 1,
            last_offset: state.last.map(|last| last.offset),
            last_enqueued_ms: state.last.map_or(0, |last| last.enqueued_ms),
            is_empty: begin_sequence == state.synced_sequence,
        }
    }

    /// Looks at what is synced from `offset` on. An offset that retention has passed reads from the first record still held.
    pub(crate) fn look(&self, offset: u64) -> Look {
        let state = self.state.lock();
        let begin = state.segments.first().map_or(0, |first| first.base_offset);
        let offset = offset.max(begin);
        if offset >= state.synced_offset {
            return Look::AtEnd;
        }
        if let Some(bytes) = state.tail.read(offset) {
            let next_offset = offset + bytes.len() as u64;
            return Look::Records(Chunk { records: Records::new(bytes, offset), next_offset });
        }
        let after = state.segments.partition_point(|segment| segment.base_offset <= offset);
        match after.checked_sub(1).and_then(|at| state.segments.get(at)) {
            Some(segment) => Look::InFile(FileRange {
                file: Arc::clone(&segment.file),
                position: segment.position(offset),
                end: segment.position(segment.end_offset),
                offset,
            }),
            None => Look::AtEnd,
        }
    }

    /// Reads the first records of a range, and checks their sums. Blocks.
    pub(crate) fn read_file(&self, range: &FileRange) -> Result<Chunk, LogError> {
        let bytes = segment::read_records(&range.file, range.position, range.end, READ_BYTES)
            .map_err(|error| self.io_error("reading events", &error))?;
        let next_offset = range.offset + bytes.len() as u64;
        Ok(Chunk { records: Records::new(bytes.into(), range.offset), next_offset })
    }

    /// The offset of the first record at `start`. Blocks.
    pub(crate) fn resolve(&self, start: StartPosition) -> Result<u64, LogError> {
        let state = self.state.lock();
        let begin = state.segments.first().map_or(0, |first| first.base_offset);
        let wanted: Box<dyn Fn(&Mark) -> bool> = match start {
            StartPosition::Earliest => return Ok(begin),
            StartPosition::Latest => return Ok(state.synced_offset),
            StartPosition::Offset { value, inclusive } => {
                let last = state.last.map_or(-1, |last| last.offset as i64);
                if value > last && value > 0 {
                    return Err(LogError::BeyondEnd {
                        kind: "offset",
                        given: value.to_string(),
                        last: last.to_string(),
                    });
                }
                Box::new(move |mark| mark.offset as i64 > value || (inclusive && mark.offset as i64 == value))
            }
            StartPosition::Sequence { value, inclusive } => {
                let last = state.synced_sequence - 1;
                if value > last + i64::from(inclusive) {
                    return Err(LogError::BeyondEnd {
                        kind: "sequence number",
                        given: value.to_string(),
                        last: last.to_string(),
                    });
                }
                Box::new(move |mark| mark.sequence > value || (inclusive && mark.sequence == value))
            }
            StartPosition::EnqueuedTime { millis, inclusive } => {
                Box::new(move |mark| mark.enqueued_ms > millis || (inclusive && mark.enqueued_ms == millis))
            }
        };
        // The first segment whose last record is wanted holds the first wanted one.
        let segment = state.segments.iter().find(|segment| segment.last.as_ref().is_some_and(&wanted));
        let Some(segment) = segment.cloned() else { return Ok(state.synced_offset) };
        drop(state);
        let mut offset = segment.mark_before(&wanted).map_or(segment.base_offset, |mark| mark.offset);
        while offset < segment.end_offset {
            let bytes = segment::read_records(
                &segment.file,
                segment.position(offset),
                segment.position(segment.end_offset),
                READ_BYTES,
            )
            .map_err(|error| self.io_error("finding a start position", &error))?;
            let length = bytes.len() as u64;
            for record in Records::new(bytes.into(), offset) {
                if wanted(&Mark { offset: record.offset, sequence: record.sequence, enqueued_ms: record.enqueued_ms }) {
                    return Ok(record.offset);
                }
            }
            offset += length.max(1);
        }
        Ok(segment.end_offset)
    }

    fn io_error(&self, what: &'static str, error: &io::Error) -> LogError {
        LogError::Io { place: self.dir.display().to_string(), what, why: error.to_string() }
    }

    /// Deletes the segments that retention no longer wants, and says how many. Blocks.
    pub(crate) fn enforce_retention(self: &Arc<Self>) -> Result<usize, LogError> {
        self.close_expired()?;
        let now = self.clock.now_millis();
        let mut doomed = Vec::new();
        {
            let mut state = self.state.lock();
            while state.segments.len() > 1 {
                let first = &state.segments[0];
                let held = state.synced_offset - first.base_offset;
                let too_old = self
                    .options
                    .retention_ms
                    .is_some_and(|keep| first.last.is_none_or(|last| last.enqueued_ms < now - keep));
                let too_much = self.options.retention_bytes.is_some_and(|keep| held > keep);
                if !(too_old || too_much) {
                    break;
                }
                doomed.push(state.segments.remove(0));
            }
        }
        for segment in &doomed {
            segment.delete().map_err(|error| self.io_error("deleting an expired segment", &error))?;
        }
        if !doomed.is_empty() {
            segment::sync_dir(&self.dir).map_err(|error| self.io_error("deleting an expired segment", &error))?;
        }
        Ok(doomed.len())
    }

    /// Closes the active segment when all its events have expired, so that it can be deleted.
    fn close_expired(self: &Arc<Self>) -> Result<(), LogError> {
        let Some(keep) = self.options.retention_ms else { return Ok(()) };
        let mut active = {
            let mut state = self.state.lock();
            let oldest_kept = self.clock.now_millis() - keep;
            let expired = state
                .segments
                .last()
                .filter(|active| active.last.is_some_and(|last| last.enqueued_ms < oldest_kept))
                .cloned();
            match expired {
                Some(active) if !state.flushing => {
                    state.flushing = true;
                    active
                }
                _ => return Ok(()),
            }
        };
        let created = Segment::create(&self.dir, active.end_offset, active.end_sequence);
        if created.is_ok() && active.save_index().is_err() {
            active.marks.clear();
        }
        let mut state = self.state.lock();
        let result = created.map(|segment| state.segments.push(segment));
        if state.pending.bytes.is_empty() {
            state.flushing = false;
        } else {
            self.spawn_flush();
        }
        drop(state);
        result.map_err(|error| self.io_error("closing a segment", &error))
    }
}

/// The segments of a folder, in order. A last file without a whole header is one whose creation a crash interrupted: it is deleted.
fn open_segments(dir: &Path) -> io::Result<Vec<Segment>> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut segments = Vec::with_capacity(paths.len());
    while let Some(path) = paths.pop() {
        match Segment::open_last(&path)? {
            Some((segment, torn)) => {
                if torn.bytes > 0 {
                    tracing::warn!(segment = %path.display(), bytes = torn.bytes, "cut off a torn tail; nothing in it had been acknowledged");
                }
                segments.push(segment);
                break;
            }
            None => {
                std::fs::remove_file(&path)?;
                segment::sync_dir(dir)?;
            }
        }
    }
    while let Some(path) = paths.pop() {
        let Some(next) = segments.last() else { break };
        let segment = Segment::open_closed(&path, next.base_offset, next.base_sequence)?;
        segments.push(segment);
    }
    segments.reverse();
    Ok(segments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn open(dir: &Path) -> Arc<PartitionLog> {
        let options = LogOptions { segment_bytes: 400, ..LogOptions::default() };
        PartitionLog::open(dir, options, Arc::new(ManualClock::at(1_000))).unwrap()
    }

    fn event(number: u8) -> NewEvent {
        // A message of one data section.
        NewEvent { message: Bytes::from(vec![0, 0x53, 0x75, 0xa0, 1, number]), partition_key: None }
    }

    async fn append(log: &Arc<PartitionLog>, numbers: impl IntoIterator<Item = u8>) {
        let events: Vec<NewEvent> = numbers.into_iter().map(event).collect();
        log.append(&events).await.unwrap().unwrap();
    }

    /// The last byte of each message, which is its number; sequence numbers are checked on the way.
    fn numbers(log: &PartitionLog) -> Vec<u8> {
        let mut found = Vec::new();
        let mut offset = 0;
        loop {
            let chunk = match log.look(offset) {
                Look::AtEnd => return found,
                Look::Records(chunk) => chunk,
                Look::InFile(range) => log.read_file(&range).unwrap(),
            };
            for record in chunk.records {
                assert_eq!(record.sequence, found.len() as i64);
                found.push(*record.message.last().unwrap());
            }
            offset = chunk.next_offset;
        }
    }

    #[tokio::test]
    async fn a_crash_at_any_byte_of_the_last_segment_keeps_what_was_whole() {
        let dir = tempfile::tempdir().unwrap();
        {
            let log = open(dir.path());
            append(&log, 0..6).await;
            append(&log, 6..9).await;
        }
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        files.sort();
        assert_eq!(files.len(), 2, "the second append went into a second segment");
        let whole = std::fs::read(&files[1]).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&files[1], &whole[..cut]).unwrap();
            let log = open(dir.path());
            let found = numbers(&log);
            let record = (whole.len() - segment::SEGMENT_HEADER as usize) / 3;
            let kept = cut.saturating_sub(segment::SEGMENT_HEADER as usize) / record;
            assert_eq!(found, (0..6 + kept as u8).collect::<Vec<_>>(), "cut at {cut}");
            append(&log, [99]).await;
            assert_eq!(numbers(&log).last(), Some(&99), "and it goes on from there");
            drop(log);
            assert_eq!(numbers(&open(dir.path())).len(), 7 + kept);
        }
    }

    #[tokio::test]
    async fn damage_inside_a_closed_segment_is_an_error_and_not_a_gap() {
        let dir = tempfile::tempdir().unwrap();
        append(&open(dir.path()), 0..6).await;
        append(&open(dir.path()), 6..9).await;
        let first = dir.path().join(format!("{:020}.log", 0));
        let mut bytes = std::fs::read(&first).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&first, bytes).unwrap();
        let log = open(dir.path());
        let Look::InFile(range) = log.look(0) else { panic!("the records are in a file") };
        let chunk = log.read_file(&range).unwrap();
        assert!(chunk.records.count() < 6, "what is whole before the damage is read");
        let Look::InFile(range) = log.look(chunk.next_offset) else { panic!("there are more") };
        assert!(log.read_file(&range).unwrap_err().to_string().contains("damaged"));
    }

    #[tokio::test]
    async fn a_lost_index_is_built_again() {
        let dir = tempfile::tempdir().unwrap();
        append(&open(dir.path()), 0..6).await;
        append(&open(dir.path()), 6..9).await;
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "idx") {
                std::fs::write(path, b"noise").unwrap();
            }
        }
        let log = open(dir.path());
        assert_eq!(numbers(&log), (0..9).collect::<Vec<_>>());
        let start = log.resolve(StartPosition::Sequence { value: 3, inclusive: false }).unwrap();
        let Look::InFile(range) = log.look(start) else { panic!("the records are in a file") };
        assert_eq!(log.read_file(&range).unwrap().records.next().unwrap().sequence, 4);
    }

    #[tokio::test]
    async fn appends_at_the_same_time_share_their_syncs_and_keep_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path());
        let answers: Vec<_> = (0..50).map(|number| log.append(&[event(number)])).collect();
        for (number, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.await.unwrap().unwrap(), Appended { first_sequence: number as i64, count: 1 });
        }
        assert_eq!(numbers(&log), (0..50).collect::<Vec<_>>());
    }
}
