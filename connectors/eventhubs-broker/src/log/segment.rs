//! One segment file of a partition: a header, then records.
//!
//! Only the last segment of a partition is written to. When it is closed its sparse index is saved beside it, so that opening a partition reads one segment
//! and some small files, whatever the partition holds.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, BufMut};

use super::record::{self, Peek};

const MAGIC: &[u8; 8] = b"SALEHLG1";
const INDEX_MAGIC: &[u8; 8] = b"SALEHIX1";

/// Bytes of the file before its first record.
pub(crate) const SEGMENT_HEADER: u64 = 32;

/// A mark is set once in so many bytes of records.
pub(crate) const INDEX_EVERY: u64 = 32 * 1024;

/// The place of one record, kept to find start positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Offset in the partition's log.
    pub offset: u64,
    /// Its sequence number.
    pub sequence: i64,
    /// Its enqueued time, in milliseconds.
    pub enqueued_ms: i64,
}

/// One segment: the file and what is known of its content. The content is what has been synced.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    /// Where the file is.
    pub path: PathBuf,
    /// The open file, shared with readers.
    pub file: Arc<File>,
    /// Offset of its first record.
    pub base_offset: u64,
    /// Sequence number of its first record.
    pub base_sequence: i64,
    /// Offset after its last record.
    pub end_offset: u64,
    /// Sequence number after its last record.
    pub end_sequence: i64,
    /// Its last record.
    pub last: Option<Mark>,
    /// Marks in rising order; the first record is always marked.
    pub marks: Vec<Mark>,
}

/// What opening the last segment of a partition cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TornTail {
    /// Bytes that were no whole record.
    pub bytes: u64,
}

impl Segment {
    /// Creates the file, durably.
    pub(crate) fn create(dir: &Path, base_offset: u64, base_sequence: i64) -> io::Result<Self> {
        let path = dir.join(format!("{base_offset:020}.log"));
        let mut header = Vec::with_capacity(SEGMENT_HEADER as usize);
        header.put_slice(MAGIC);
        header.put_u64_le(base_offset);
        header.put_i64_le(base_sequence);
        header.put_u32_le(crc32fast::hash(&header));
        header.resize(SEGMENT_HEADER as usize, 0);
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        file.write_all(&header)?;
        file.sync_all()?;
        sync_dir(dir)?;
        Ok(Self::empty(path, file, base_offset, base_sequence))
    }

    fn empty(path: PathBuf, file: File, base_offset: u64, base_sequence: i64) -> Self {
        Self {
            path,
            file: Arc::new(file),
            base_offset,
            base_sequence,
            end_offset: base_offset,
            end_sequence: base_sequence,
            last: None,
            marks: Vec::new(),
        }
    }

    /// Opens the segment that was written last, and cuts off what is not a whole record. `None`: the file ends within its header, so it never held a record.
    pub(crate) fn open_last(path: &Path) -> io::Result<Option<(Self, TornTail)>> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let Some((base_offset, base_sequence)) = read_header(&bytes) else {
            // The header is synced before any record is written: with records behind it, a bad header is damage, not a torn creation.
            return if bytes.len() as u64 <= SEGMENT_HEADER {
                Ok(None)
            } else {
                Err(damaged(path, "its header is not that of a segment"))
            };
        };
        let mut segment = Self::empty(path.to_owned(), file, base_offset, base_sequence);
        let records = &bytes[SEGMENT_HEADER as usize..];
        segment.scan(records);
        let torn = records.len() as u64 - (segment.end_offset - base_offset);
        if torn > 0 {
            segment.file.set_len(SEGMENT_HEADER + segment.end_offset - base_offset)?;
            segment.file.sync_all()?;
        }
        Ok(Some((segment, TornTail { bytes: torn })))
    }

    /// Opens a segment that is no longer written to; `end_offset` and `end_sequence` are where the next one begins.
    pub(crate) fn open_closed(path: &Path, end_offset: u64, end_sequence: i64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut header = [0; SEGMENT_HEADER as usize];
        file.read_exact(&mut header)?;
        let (base_offset, base_sequence) =
            read_header(&header).ok_or_else(|| damaged(path, "its header is not that of a segment"))?;
        let mut segment = Self::empty(path.to_owned(), file, base_offset, base_sequence);
        if segment.file.metadata()?.len() < SEGMENT_HEADER + end_offset.saturating_sub(base_offset) {
            return Err(damaged(path, "it is shorter than the next segment's beginning says"));
        }
        if !segment.load_index() {
            let mut bytes = Vec::new();
            let mut reader: &File = &segment.file;
            reader.read_to_end(&mut bytes)?;
            segment.scan(&bytes);
        }
        if segment.end_offset != end_offset || segment.end_sequence != end_sequence {
            return Err(damaged(path, "its records do not reach the beginning of the next segment"));
        }
        Ok(segment)
    }

    fn scan(&mut self, records: &[u8]) {
        let base = self.base_offset;
        let mut marks = Vec::new();
        let mut last = None;
        let found = record::scan(records, self.base_sequence, |at, sequence, enqueued_ms| {
            let mark = Mark { offset: base + at as u64, sequence, enqueued_ms };
            push_mark(&mut marks, mark);
            last = Some(mark);
        });
        self.marks = marks;
        self.last = last;
        self.end_offset = base + found.sound_bytes as u64;
        self.end_sequence = self.base_sequence + found.records as i64;
    }

    /// Place in the file of the record at `offset`.
    pub(crate) fn position(&self, offset: u64) -> u64 {
        SEGMENT_HEADER + offset.saturating_sub(self.base_offset)
    }

    /// Takes note of synced records: their marks, the last one, and where they end.
    pub(crate) fn extend(&mut self, marks: &[Mark], last: Mark, end_offset: u64) {
        for mark in marks {
            push_mark(&mut self.marks, *mark);
        }
        self.last = Some(last);
        self.end_offset = end_offset;
        self.end_sequence = last.sequence + 1;
    }

    /// The last mark at or before the first record for which `wanted` holds (it must hold for all later ones too).
    pub(crate) fn mark_before(&self, wanted: impl Fn(&Mark) -> bool) -> Option<Mark> {
        let first = self.marks.partition_point(|mark| !wanted(mark));
        self.marks.get(first.saturating_sub(1)).copied()
    }

    fn index_path(&self) -> PathBuf {
        self.path.with_extension("idx")
    }

    /// Saves the index of a segment that is closed. It can always be rebuilt, so it is not synced.
    pub(crate) fn save_index(&self) -> io::Result<()> {
        let Some(last) = self.last else { return Ok(()) };
        let mut out = Vec::with_capacity(48 + self.marks.len() * 24);
        out.put_slice(INDEX_MAGIC);
        out.put_u64_le(self.end_offset);
        for mark in self.marks.iter().chain(std::iter::once(&last)) {
            out.put_u64_le(mark.offset);
            out.put_i64_le(mark.sequence);
            out.put_i64_le(mark.enqueued_ms);
        }
        out.put_u32_le(crc32fast::hash(&out));
        std::fs::write(self.index_path(), out)
    }

    fn load_index(&mut self) -> bool {
        let Ok(bytes) = std::fs::read(self.index_path()) else { return false };
        let Some(body) = bytes.len().checked_sub(4).map(|end| &bytes[..end]) else { return false };
        if body.len() < 40
            || (body.len() - 16) % 24 != 0
            || !body.starts_with(INDEX_MAGIC)
            || bytes[body.len()..] != crc32fast::hash(body).to_le_bytes()
        {
            return false;
        }
        let mut rest = &body[8..];
        self.end_offset = rest.get_u64_le();
        let mut marks = Vec::with_capacity(rest.len() / 24);
        while rest.has_remaining() {
            marks.push(Mark { offset: rest.get_u64_le(), sequence: rest.get_i64_le(), enqueued_ms: rest.get_i64_le() });
        }
        self.last = marks.pop();
        self.end_sequence = self.last.map_or(self.base_sequence, |last| last.sequence + 1);
        self.marks = marks;
        true
    }

    /// Deletes the files.
    pub(crate) fn delete(&self) -> io::Result<()> {
        if let Err(error) = std::fs::remove_file(self.index_path())
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        std::fs::remove_file(&self.path)
    }
}

/// Whole, sound records from `position` of a segment's file, at most about `max` bytes of them but at least one. `end` is the file position after the last
/// synced record.
pub(crate) fn read_records(file: &File, position: u64, end: u64, max: usize) -> io::Result<Vec<u8>> {
    let mut wanted = max.max(record::RECORD_HEADER);
    loop {
        let available = usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX).min(wanted);
        let mut bytes = vec![0; available];
        file.read_exact_at(&mut bytes, position)?;
        let mut whole = 0;
        let after = loop {
            match record::peek(&bytes[whole..]) {
                Peek::Whole { bytes: length, .. } if record::is_sound(&bytes[whole..]) => whole += length,
                other => break other,
            }
        };
        match after {
            _ if whole > 0 => {
                bytes.truncate(whole);
                return Ok(bytes);
            }
            Peek::Short(needed) if available < needed && position + needed as u64 <= end => wanted = needed,
            _ if available == 0 => return Ok(bytes),
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("a record at file position {position} is damaged"),
                ));
            }
        }
    }
}

/// Makes the entries of a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn push_mark(marks: &mut Vec<Mark>, mark: Mark) {
    if marks.last().is_none_or(|last| mark.offset >= last.offset + INDEX_EVERY) {
        marks.push(mark);
    }
}

fn read_header(bytes: &[u8]) -> Option<(u64, i64)> {
    let mut header = bytes.get(..SEGMENT_HEADER as usize)?;
    let crc = crc32fast::hash(&header[..24]);
    if !header.starts_with(MAGIC) {
        return None;
    }
    header.advance(8);
    let (base_offset, base_sequence) = (header.get_u64_le(), header.get_i64_le());
    (header.get_u32_le() == crc).then_some((base_offset, base_sequence))
}

fn damaged(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("segment {} is damaged: {why}", path.display()))
}
