//! The source and its readers.

use crate::lines;
use crate::options::Settings;
use crate::place::{OpenFile, Place};
use crate::pool::BufferPool;
use crate::prefetch::{Chunk, SharedBytes, Shelf};
use async_trait::async_trait;
use salamander_connector_api::{ConnectorError, Source, SourceDescription, SplitInfo, SplitReader, SplitStatus, Take};
use salamander_types::{ErrorKind, Position, SplitId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Longest line: what is longer is no line of text, and would take memory without bound.
const MAX_LINE_BYTES: usize = 64 << 20;
/// Bytes of a request to a server, whose time to answer counts as much as the bytes do.
const REMOTE_CHUNK: usize = 4 << 20;
/// What is left of a chunk behind its last whole line is mostly shorter than this.
const ROOM_FOR_CARRY: usize = 16 << 10;
/// Waits between attempts after transient errors: doubled from the first to the last.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// A source of the lines of files.
#[derive(Debug, Clone)]
pub struct FilesSource {
    place: Arc<Place>,
    settings: Arc<Settings>,
    shared: Arc<SharedBytes>,
    pool: Arc<BufferPool>,
}

/// Makes a source from a table's options.
///
/// # Errors
/// When an option is missing or makes no sense.
pub fn from_options(options: &BTreeMap<String, String>) -> Result<Arc<dyn Source>, ConnectorError> {
    let mut settings = Settings::from_options(options)?;
    let place = Place::of_path(&settings.path)?;
    if place.is_remote() {
        settings.chunk_bytes = REMOTE_CHUNK;
    }
    Ok(Arc::new(FilesSource::new(place, settings)))
}

impl FilesSource {
    /// A source of the files of a place.
    pub fn new(place: Place, settings: Settings) -> Self {
        let pool = Arc::new(BufferPool::new(settings.source_bytes));
        Self { place: Arc::new(place), settings: Arc::new(settings), shared: Arc::default(), pool }
    }
}

#[async_trait]
impl Source for FilesSource {
    async fn describe(&self) -> Result<SourceDescription, ConnectorError> {
        let names = match self.place.list().await {
            // A folder that is followed may not be there yet.
            Err(error) if error.kind == ErrorKind::NotFound && self.settings.follow => Vec::new(),
            names => names?,
        };
        if names.is_empty() && !self.settings.follow {
            return Err(ConnectorError::new(
                ErrorKind::NotFound,
                self.place.path(),
                "no file is there (names that begin with '_' or '.' don't count): check the option 'path', or set \
                 'follow' = 'true' to wait for files",
            ));
        }
        let splits = names.into_iter().map(|name| SplitInfo {
            split: SplitId::new(name),
            start: Position { next: 0, byte: Some(0), finished: false },
            end: None,
        });
        Ok(SourceDescription {
            identity: format!("files {}", self.place.path()),
            splits: splits.collect(),
            bounded: !self.settings.follow,
        })
    }

    async fn open(
        &self,
        split: &SplitId,
        position: &Position,
        notify: Arc<Notify>,
    ) -> Result<Box<dyn SplitReader>, ConnectorError> {
        let shelf = Arc::new(Shelf::new(&self.settings, Arc::clone(&self.shared), notify, position.next));
        if position.finished && !self.settings.follow {
            shelf.finish();
            return Ok(Box::new(FileReader { split: split.clone(), shelf, task: None }));
        }
        let file = self.place.open(split.as_str(), position.byte.unwrap_or(0)).await?;
        let reading = Reading {
            base: file.byte(),
            file,
            carry: Vec::new(),
            // A position without a byte: the lines before it are read and thrown away.
            skip: if position.byte.is_some() { 0 } else { position.next },
            shelf: Arc::clone(&shelf),
            settings: Arc::clone(&self.settings),
            pool: Arc::clone(&self.pool),
        };
        let task = tokio::spawn(reading.run());
        Ok(Box::new(FileReader { split: split.clone(), shelf, task: Some(task) }))
    }
}

/// An open file.
#[derive(Debug)]
struct FileReader {
    split: SplitId,
    shelf: Arc<Shelf>,
    task: Option<JoinHandle<()>>,
}

impl SplitReader for FileReader {
    fn take(&mut self, max_rows: usize, max_bytes: usize) -> Result<Take, ConnectorError> {
        self.shelf.take(&self.split, max_rows, max_bytes)
    }

    fn status(&self) -> SplitStatus {
        self.shelf.status()
    }
}

impl Drop for FileReader {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// The background task of one open file.
struct Reading {
    file: OpenFile,
    /// What has been read behind the last whole line.
    carry: Vec<u8>,
    /// Where in the file `carry` begins.
    base: u64,
    /// Lines to throw away.
    skip: u64,
    shelf: Arc<Shelf>,
    settings: Arc<Settings>,
    pool: Arc<BufferPool>,
}

/// What came of one read.
enum Progress {
    More,
    AtEnd,
}

impl Reading {
    async fn run(mut self) {
        let mut wait = FIRST_RETRY;
        loop {
            match self.step().await {
                Ok(Progress::More) => wait = FIRST_RETRY,
                Ok(Progress::AtEnd) if self.settings.follow => {
                    wait = FIRST_RETRY;
                    tokio::time::sleep(self.settings.poll).await;
                }
                Ok(Progress::AtEnd) if self.skip > 0 => {
                    let message = format!(
                        "the file ends {} lines before the position to read from: it was cut off or replaced",
                        self.skip
                    );
                    return self.shelf.fail(ConnectorError::new(ErrorKind::Corrupt, self.file.place(), message));
                }
                Ok(Progress::AtEnd) => return self.shelf.finish(),
                Err(error) if error.kind == ErrorKind::Transient => {
                    tracing::warn!(%error, "a file can't be read now; trying again");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LAST_RETRY);
                }
                Err(error) => return self.shelf.fail(error),
            }
        }
    }

    async fn step(&mut self) -> Result<Progress, ConnectorError> {
        // A line longer than a chunk is read in strides that double, so that it isn't scanned again and again.
        let length = self.shelf.room().await.max(self.carry.len());
        let before = self.carry.len();
        // Room for the beginning of a line too, so that a buffer that is used again need not grow.
        let mut buffer = self.pool.take();
        buffer.reserve_exact(length + self.carry.len().max(ROOM_FOR_CARRY));
        buffer.extend_from_slice(&self.carry);
        let bytes = self.file.read(buffer, length).await?;
        let read = bytes.len() - before;
        let at_end = read < length;
        if at_end && self.settings.follow && read == 0 {
            let size = self.file.size().await?;
            if size < self.file.byte() {
                return Err(self.file.shrunk(size));
            }
        }
        let whole_file = at_end && !self.settings.follow;
        if read > 0 || whole_file {
            self.shelve(bytes, whole_file)?;
        }
        self.shelf.set_at_end(at_end);
        Ok(if at_end { Progress::AtEnd } else { Progress::More })
    }

    /// Puts the whole lines on the shelf and keeps the rest.
    fn shelve(&mut self, bytes: Vec<u8>, whole_file: bool) -> Result<(), ConnectorError> {
        let mut lines = lines::cut(&bytes, whole_file);
        let used = lines.used();
        let rest = &bytes[used..];
        if rest.len() > MAX_LINE_BYTES {
            return Err(ConnectorError::new(
                ErrorKind::Invalid,
                self.file.place(),
                format!(
                    "the line at byte {} is longer than {} MiB: is this a text file?",
                    self.base + used as u64,
                    MAX_LINE_BYTES >> 20
                ),
            ));
        }
        self.carry.clear();
        self.carry.extend_from_slice(rest);
        let mut base = self.base;
        self.base += used as u64;
        let mut buffer = self.pool.lend(bytes);
        if self.skip > 0 {
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(lines.ends.len());
            self.skip -= skipped as u64;
            let start = skipped.checked_sub(1).map_or(0, |last| lines.ends[last] as usize);
            base += start as u64;
            buffer = buffer.slice(start);
            lines = lines::cut(&buffer.as_slice()[..used - start], whole_file);
        }
        if !lines.ends.is_empty() {
            self.shelf.push(Chunk { buffer, lines, base });
        }
        Ok(())
    }
}
