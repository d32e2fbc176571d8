//! A source whose splits are lists in memory, which tests grow, expire and rename.

use arrow::array::BinaryViewBuilder;
use async_trait::async_trait;
use parking_lot::Mutex;
use salamander_connector_api::{
    ConnectorError, RawBatch, Source, SourceDescription, SplitInfo, SplitReader, SplitStatus, Take,
};
use salamander_types::{Position, SplitId};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// Most rows of one batch, so that epochs have several.
const BATCH_ROWS: usize = 37;

#[derive(Debug, Default)]
struct Content {
    identity: String,
    bounded: bool,
    /// Nothing comes any more.
    complete: bool,
    splits: BTreeMap<String, Split>,
    taken: u64,
    waiting: Vec<Arc<Notify>>,
}

#[derive(Debug, Default)]
struct Split {
    rows: Vec<String>,
    /// Rows before this one have expired.
    first: usize,
}

/// Clones are the same source: what outlives the crashes of a job.
#[derive(Debug, Clone)]
pub(crate) struct MemorySource(Arc<Mutex<Content>>);

impl MemorySource {
    /// An empty source. A bounded one ends once it is [`MemorySource::complete`].
    pub(crate) fn new(bounded: bool) -> Self {
        Self(Arc::new(Mutex::new(Content { identity: "memory 1".to_owned(), bounded, ..Content::default() })))
    }

    fn change(&self, change: impl FnOnce(&mut Content)) {
        let mut content = self.0.lock();
        change(&mut content);
        content.waiting.drain(..).for_each(|notify| notify.notify_one());
    }

    /// Adds rows to a split, which is made if it isn't there.
    pub(crate) fn append(&self, split: &str, rows: impl IntoIterator<Item = String>) {
        self.change(|content| content.splits.entry(split.to_owned()).or_default().rows.extend(rows));
    }

    /// Nothing comes any more.
    pub(crate) fn complete(&self) {
        self.change(|content| content.complete = true);
    }

    /// Rows before this one are gone.
    pub(crate) fn expire(&self, split: &str, first: usize) {
        self.change(|content| content.splits.get_mut(split).unwrap().first = first);
    }

    /// The source becomes another one.
    pub(crate) fn rename(&self, identity: &str) {
        self.change(|content| content.identity = identity.to_owned());
    }

    /// The newest rows of a split are lost.
    pub(crate) fn truncate(&self, split: &str, rows: usize) {
        self.change(|content| content.splits.get_mut(split).unwrap().rows.truncate(rows));
    }

    /// Rows that readers have given, over all of them.
    pub(crate) fn taken(&self) -> u64 {
        self.0.lock().taken
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn describe(&self) -> Result<SourceDescription, ConnectorError> {
        let content = self.0.lock();
        let splits = content.splits.iter().map(|(name, split)| SplitInfo {
            split: SplitId::new(name.as_str()),
            start: Position::at(0),
            end: Some(split.rows.len() as u64),
        });
        Ok(SourceDescription { identity: content.identity.clone(), splits: splits.collect(), bounded: content.bounded })
    }

    async fn open(
        &self,
        split: &SplitId,
        position: &Position,
        notify: Arc<Notify>,
    ) -> Result<Box<dyn SplitReader>, ConnectorError> {
        Ok(Box::new(Reader {
            content: Arc::clone(&self.0),
            split: split.clone(),
            next: position.next as usize,
            notify,
        }))
    }
}

#[derive(Debug)]
struct Reader {
    content: Arc<Mutex<Content>>,
    split: SplitId,
    next: usize,
    notify: Arc<Notify>,
}

impl SplitReader for Reader {
    fn take(&mut self, max_rows: usize, max_bytes: usize) -> Result<Take, ConnectorError> {
        let mut content = self.content.lock();
        let ends = content.bounded && content.complete;
        let split = &content.splits[self.split.as_str()];
        if self.next < split.first {
            let gap = Take::Gap { from: self.next as u64, to: split.first as u64 };
            self.next = split.first;
            return Ok(gap);
        }
        let mut payload = BinaryViewBuilder::new();
        let (mut rows, mut bytes) = (0, 0);
        for row in split.rows[self.next.min(split.rows.len())..].iter().take(max_rows.min(BATCH_ROWS)) {
            payload.append_value(row);
            (rows, bytes) = (rows + 1, bytes + row.len());
            if bytes >= max_bytes {
                break;
            }
        }
        if rows == 0 {
            if ends {
                return Ok(Take::Finished);
            }
            content.waiting.push(Arc::clone(&self.notify));
            return Ok(Take::Empty);
        }
        let first = self.next;
        self.next += rows;
        content.taken += rows as u64;
        Ok(Take::Batch(RawBatch {
            split: self.split.clone(),
            first_sequence: first as u64,
            payload: payload.finish(),
            offsets: None,
            enqueued: None,
            partition_key: None,
            properties: None,
            next: Position::at(self.next as u64),
            bytes,
        }))
    }

    fn status(&self) -> SplitStatus {
        let content = self.content.lock();
        let end = content.splits[self.split.as_str()].rows.len();
        SplitStatus { at_end: self.next >= end, end: Some(end as u64), buffered_bytes: 0 }
    }
}
