//! Where rows come from.

use crate::raw::RawBatch;
use async_trait::async_trait;
use salamander_types::{ErrorKind, Position, SplitId};
use std::fmt::Debug;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::Notify;

/// What went wrong at a source or a sink, where, and what to do.
#[derive(Debug, Clone, Error)]
#[error("{place}: {message}")]
pub struct ConnectorError {
    /// What the caller must do.
    pub kind: ErrorKind,
    /// Where: `event hub 'logs', partition 3`, a file's path. Never a secret.
    pub place: String,
    /// What happened, and what to do about it.
    pub message: String,
}

impl ConnectorError {
    /// An error of a kind, at a place.
    pub fn new(kind: ErrorKind, place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, place: place.into(), message: message.into() }
    }
}

/// A split as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitInfo {
    /// Which one.
    pub split: SplitId,
    /// Where a reader that has read nothing of it begins, by the table's starting position, as a fixed number.
    pub start: Position,
    /// The sequence number after the last row that is there now, if it is known without reading.
    pub end: Option<u64>,
}

/// A source as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceDescription {
    /// Text that must not change under a job: a hub's name and creation time, say.
    pub identity: String,
    /// Its splits, in a stable order. New ones may appear later (files, added partitions).
    pub splits: Vec<SplitInfo>,
    /// True when the splits end: a reader answers [`Take::Finished`] sooner or later, and no new splits appear.
    pub bounded: bool,
}

/// What a reader has now.
#[derive(Debug)]
pub enum Take {
    /// Rows.
    Batch(RawBatch),
    /// Rows that no longer exist: the source's retention took them before they were read, and the source's options
    /// allow going on behind them. The engine records the gap as a bad record; the reader stands at `to`.
    Gap {
        /// Sequence number of the first missing row.
        from: u64,
        /// Sequence number of the row after the last missing one.
        to: u64,
    },
    /// Nothing yet: the reader notifies when there is.
    Empty,
    /// Nothing any more: the split has ended.
    Finished,
}

/// What a reader knows of its split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SplitStatus {
    /// Attached, and known to have delivered all that the source had when it last looked.
    pub at_end: bool,
    /// The sequence number after the last row that the source is known to have.
    pub end: Option<u64>,
    /// Bytes that wait in the reader's buffer.
    pub buffered_bytes: usize,
}

/// A table's source.
#[async_trait]
pub trait Source: Send + Sync + Debug {
    /// Looks at the source: its identity and splits. Called before the first epoch, at each restore, and now and then
    /// for new splits.
    ///
    /// # Errors
    /// When the source can't be reached, doesn't exist or refuses.
    async fn describe(&self) -> Result<SourceDescription, ConnectorError>;

    /// Opens a reader of one split at a position. The reader prefetches within its byte bound and calls
    /// `notify.notify_one()` whenever a [`SplitReader::take`] that was empty would now give something (rows, the end,
    /// or an error). It reconnects by itself after transient errors, without losing or doubling a row.
    ///
    /// # Errors
    /// When the split can't be opened at that position: it doesn't exist, or the position has expired.
    async fn open(
        &self,
        split: &SplitId,
        position: &Position,
        notify: Arc<Notify>,
    ) -> Result<Box<dyn SplitReader>, ConnectorError>;
}

/// An open split. Dropping it closes it.
pub trait SplitReader: Send + Debug {
    /// Takes what is there, at most about `max_rows` and `max_bytes` (but at least one row if there is any), without
    /// waiting. Taking gives room for further prefetch.
    ///
    /// # Errors
    /// A lasting error: the split can't be read on. Transient errors are the reader's own matter.
    fn take(&mut self, max_rows: usize, max_bytes: usize) -> Result<Take, ConnectorError>;

    /// What the reader knows of its split.
    fn status(&self) -> SplitStatus;
}
