//! The contract that every source must keep, as a check that any source's tests can run.
//!
//! [`check_source`] reads each split from its start with generous and with tiny budgets, and again from many of the
//! positions it has met, and compares: a position is worth what it says only if reading on from it gives the very same
//! rows. It also checks each batch by itself (consecutive numbers, equal lengths, budgets), that a reader which was
//! empty notifies when it no longer is, and that the end stays the end.
//!
//! It panics nowhere: what is wrong comes back as a [`Violation`] that names the rule and the place.

use crate::raw::RawBatch;
use crate::source::{ConnectorError, Source, SourceDescription, SplitReader, Take};
use arrow::array::Array;
use salamander_types::{Entropy, Position, SplitId, SystemEntropy};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::Notify;

/// How a source is checked.
#[derive(Debug, Clone)]
pub struct Check {
    /// Rows of each split that are looked at, from its start.
    pub rows: usize,
    /// Positions of each split from which it is read again.
    pub resumes: usize,
    /// Rows that are read from each of those positions.
    pub rows_after_resume: usize,
    /// Chooses budgets and positions.
    pub seed: u64,
    /// How long a reader that isn't at its end may stay silent.
    pub patience: Duration,
    /// How long an unbounded source must stay silent at its end to be taken as read.
    pub quiet: Duration,
    /// The most bytes that a reader may hold ready; none if it doesn't matter.
    pub buffered_bytes: Option<usize>,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            rows: 20_000,
            resumes: 20,
            rows_after_resume: 2_000,
            seed: 1,
            patience: Duration::from_secs(10),
            quiet: Duration::from_millis(300),
            buffered_bytes: None,
        }
    }
}

/// A rule that a source breaks.
#[derive(Debug, Clone, Error)]
pub enum Violation {
    /// The source failed.
    #[error(transparent)]
    Failed(#[from] ConnectorError),
    /// The source did what it must not.
    #[error("split '{split}', at row {row}: {rule}")]
    Rule {
        /// Which split.
        split: SplitId,
        /// The sequence number that was to be read next.
        row: u64,
        /// What should have been, and what was.
        rule: String,
    },
    /// Describing the source twice gave two answers.
    #[error("described as {first:?}, then as {second:?}")]
    Unstable {
        /// The first answer.
        first: SourceDescription,
        /// The second answer.
        second: SourceDescription,
    },
}

/// A row as a source gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its sequence number.
    pub sequence: u64,
    /// Its payload; none for NULL.
    pub payload: Option<Vec<u8>>,
    /// The source's own offset.
    pub offset: Option<String>,
    /// When the source took it.
    pub enqueued: Option<i64>,
    /// The producer's key.
    pub partition_key: Option<String>,
}

/// What was read of a split.
#[derive(Debug, Clone, Default)]
pub struct SplitRows {
    /// Its rows, from its start.
    pub rows: Vec<Row>,
    /// Positions after batches, with the number of rows before each.
    pub positions: Vec<(usize, Position)>,
    /// True if the reader said that nothing more comes.
    pub finished: bool,
}

/// The budgets of a `take`.
#[derive(Debug, Clone, Copy)]
struct Budget {
    rows: usize,
    bytes: usize,
}

const GENEROUS: Budget = Budget { rows: 8_192, bytes: 16 << 20 };

/// Checks a source and returns the rows that it gave, split by split, for the caller to compare with what it wrote.
///
/// The source must not change while it is checked, but may be unbounded: it is read until it has been silent at its
/// end, or until [`Check::rows`] have been read.
///
/// # Errors
/// The first rule that the source breaks.
pub async fn check_source(source: &dyn Source, check: &Check) -> Result<Vec<(SplitId, SplitRows)>, Violation> {
    let description = source.describe().await?;
    let second = source.describe().await?;
    if description != second {
        return Err(Violation::Unstable { first: description, second });
    }
    let entropy = SystemEntropy::seeded(check.seed);
    let mut splits = Vec::new();
    for info in &description.splits {
        let reading = Reading { source, split: &info.split, bounded: description.bounded, check };
        let whole = reading.read(&info.start, check.rows, |_| GENEROUS).await?;
        if let Some(end) = info.end.filter(|end| *end != info.start.next + whole.rows.len() as u64) {
            if description.bounded && whole.finished {
                return Err(reading.broken(end, format!("said to end at {end}, but has {} rows", whole.rows.len())));
            }
        }
        let small = |_| Budget {
            rows: 1 + (entropy.next_u64() % 50) as usize,
            bytes: 1 + (entropy.next_u64() % 4_096) as usize,
        };
        let pieces = reading.read(&info.start, check.rows, small).await?;
        reading.compare(0, &whole.rows, &pieces.rows)?;
        let ended = whole.rows.len() < check.rows;
        for (before, position) in chosen(&pieces.positions, check.resumes, &entropy) {
            let rest = whole.rows.get(*before..).unwrap_or_default();
            let expected = &rest[..rest.len().min(check.rows_after_resume)];
            // Where the split ends, a row more is asked for, which must not come.
            let enough = expected.len() + usize::from(ended && expected.len() == rest.len());
            let again = reading.read(position, enough, |_| GENEROUS).await?;
            reading.compare(*before, expected, &again.rows)?;
        }
        let positions = pieces.positions;
        splits.push((info.split.clone(), SplitRows { positions, ..whole }));
    }
    Ok(splits)
}

/// The last position, and others by chance.
fn chosen<'a>(positions: &'a [(usize, Position)], count: usize, entropy: &SystemEntropy) -> Vec<&'a (usize, Position)> {
    let by_chance = (0..count).filter_map(|_| positions.get(entropy.next_u64() as usize % positions.len().max(1)));
    by_chance.chain(positions.last()).collect()
}

/// Reads one split.
struct Reading<'a> {
    source: &'a dyn Source,
    split: &'a SplitId,
    bounded: bool,
    check: &'a Check,
}

impl Reading<'_> {
    fn broken(&self, row: u64, rule: impl Into<String>) -> Violation {
        Violation::Rule { split: self.split.clone(), row, rule: rule.into() }
    }

    /// Reads from a position until the end, or until enough rows are there.
    async fn read(
        &self,
        from: &Position,
        enough: usize,
        budget: impl Fn(usize) -> Budget,
    ) -> Result<SplitRows, Violation> {
        let notify = Arc::new(Notify::new());
        let mut reader = self.source.open(self.split, from, Arc::clone(&notify)).await?;
        let mut found = SplitRows::default();
        let mut next = from.next;
        while found.rows.len() < enough {
            let budget = budget(found.rows.len());
            match reader.take(budget.rows, budget.bytes)? {
                Take::Batch(batch) => {
                    self.check_batch(&batch, next, budget)?;
                    next = batch.next.next;
                    append_rows(&batch, &mut found.rows);
                    found.positions.push((found.rows.len(), batch.next));
                }
                Take::Gap { from, to } => {
                    if from != next || to <= from {
                        return Err(self.broken(next, format!("a gap from {from} to {to}")));
                    }
                    next = to;
                }
                Take::Finished => {
                    self.check_end(reader.as_mut(), next)?;
                    found.finished = true;
                    break;
                }
                Take::Empty => {
                    if self.at_the_end(reader.as_ref(), &notify, next).await? {
                        break;
                    }
                }
            }
            self.check_buffer(reader.as_ref(), next)?;
        }
        found.rows.truncate(enough);
        found.positions.retain(|(before, _)| *before <= enough);
        Ok(found)
    }

    /// Waits for a notification; true if the split has been silent at its end.
    async fn at_the_end(&self, reader: &dyn SplitReader, notify: &Notify, next: u64) -> Result<bool, Violation> {
        if tokio::time::timeout(self.check.quiet, notify.notified()).await.is_ok() {
            return Ok(false);
        }
        if reader.status().at_end && !self.bounded {
            return Ok(true);
        }
        match tokio::time::timeout(self.check.patience, notify.notified()).await {
            Ok(()) => Ok(false),
            Err(_) if reader.status().at_end && !self.bounded => Ok(true),
            Err(_) => Err(self.broken(next, "the reader is empty, not at its end, and notifies nobody")),
        }
    }

    fn check_end(&self, reader: &mut dyn SplitReader, next: u64) -> Result<(), Violation> {
        if !self.bounded {
            return Err(self.broken(next, "an unbounded source says that a split has ended"));
        }
        if !matches!(reader.take(1, 1)?, Take::Finished) {
            return Err(self.broken(next, "something comes after the end"));
        }
        if !reader.status().at_end {
            return Err(self.broken(next, "the split has ended, but isn't at its end"));
        }
        Ok(())
    }

    fn check_buffer(&self, reader: &dyn SplitReader, next: u64) -> Result<(), Violation> {
        let held = reader.status().buffered_bytes;
        match self.check.buffered_bytes {
            Some(bound) if held > bound => {
                Err(self.broken(next, format!("{held} bytes are held ready where at most {bound} may be")))
            }
            _ => Ok(()),
        }
    }

    fn check_batch(&self, batch: &RawBatch, next: u64, budget: Budget) -> Result<(), Violation> {
        let rows = batch.len();
        let broken = |rule: String| Err(self.broken(next, rule));
        if batch.split != *self.split {
            return broken(format!("a batch of split '{}'", batch.split));
        }
        if batch.first_sequence != next {
            return broken(format!("the batch begins with row {}", batch.first_sequence));
        }
        if rows == 0 || batch.next.next != next + rows as u64 {
            return broken(format!("{rows} rows, and then comes row {}", batch.next.next));
        }
        if rows > budget.rows {
            return broken(format!("{rows} rows where {} were asked for", budget.rows));
        }
        let lengths: Vec<usize> = batch.payload.iter().map(|payload| payload.map_or(0, <[u8]>::len)).collect();
        // "About" is: the budget may be passed by its last row.
        let before_last: usize = lengths.iter().take(rows - 1).sum();
        if before_last > budget.bytes {
            return broken(format!("{before_last} bytes, and a row more, where {} were asked for", budget.bytes));
        }
        let others = [
            ("offsets", batch.offsets.as_ref().map(Array::len)),
            ("enqueued", batch.enqueued.as_ref().map(Array::len)),
            ("partition_key", batch.partition_key.as_ref().map(Array::len)),
            ("properties", batch.properties.as_ref().map(Array::len)),
        ];
        match others.iter().find(|(_, length)| length.is_some_and(|length| length != rows)) {
            Some((name, _)) => broken(format!("'{name}' is not as long as the payloads")),
            None => Ok(()),
        }
    }

    fn compare(&self, before: usize, expected: &[Row], found: &[Row]) -> Result<(), Violation> {
        for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
            if expected != found {
                return Err(self.broken(
                    expected.sequence,
                    format!("read again (row {index} from row {before}), it is {found:?}, not {expected:?}"),
                ));
            }
        }
        if expected.len() != found.len() {
            let row = (before + expected.len().min(found.len())) as u64;
            return Err(self.broken(
                row,
                format!("read again from row {before}, there are {} rows, not {}", found.len(), expected.len()),
            ));
        }
        Ok(())
    }
}

fn append_rows(batch: &RawBatch, rows: &mut Vec<Row>) {
    for index in 0..batch.len() {
        let text = |array: &Option<arrow::array::StringViewArray>| {
            array.as_ref().filter(|array| array.is_valid(index)).map(|array| array.value(index).to_owned())
        };
        rows.push(Row {
            sequence: batch.first_sequence + index as u64,
            payload: batch.payload.is_valid(index).then(|| batch.payload.value(index).to_vec()),
            offset: text(&batch.offsets),
            enqueued: batch.enqueued.as_ref().filter(|times| times.is_valid(index)).map(|times| times.value(index)),
            partition_key: text(&batch.partition_key),
        });
    }
}
