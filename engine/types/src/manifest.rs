//! What one object of a log says, and the state that a log folds to.
//!
//! A *log* is a folder of numbered objects, each written once by create-if-absent. An object is a [`Manifest`]: an
//! envelope (number, generation, writer, parent) around a [`Body`], which is either a *delta* (entries to apply to
//! the parent's state) or a *base* (the whole state). A job's log holds [`JobEntry`]s and folds to a [`JobState`];
//! the catalog's log holds the SQL crate's changes and folds to its catalog.
//!
//! Invariants, kept by [`LogState::apply`] and checked when a log is read: an unknown entry or format version is
//! refused, never skipped; a generation never falls; a segment part is rolled at most once.

use crate::id::{Epoch, Generation, JobId, LogNumber, TableId, WriterId};
use crate::position::{Cursor, Position, SplitId};
use crate::state::{KeyedState, StateChange};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// The manifest format that this build writes, and the only one that it reads.
pub const MANIFEST_FORMAT: u32 = 1;

/// A state that is the fold of a log's entries.
pub trait LogState: Clone + std::fmt::Debug + Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// One change.
    type Entry: Clone + std::fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Applies one change.
    ///
    /// # Errors
    /// When the entry contradicts the state: the log is corrupt, or was written by a mistaken program.
    fn apply(&mut self, entry: &Self::Entry) -> Result<(), FoldError>;
}

/// An entry that contradicts the state before it.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct FoldError(pub String);

/// What an object of a log is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ManifestKind {
    /// Begins a generation: whoever wins this number rules the log, and restores only what precedes it.
    Open,
    /// Commits what the entries say.
    Commit,
}

/// What an object of a log says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", bound = "")]
pub enum Body<S: LogState> {
    /// Changes to the parent's state.
    Delta(Vec<S::Entry>),
    /// The whole state, this object's own changes included.
    Base(Box<S>),
}

/// One object of a log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound = "")]
pub struct Manifest<S: LogState> {
    /// [`MANIFEST_FORMAT`].
    pub format: u32,
    /// Which log: a job's id, or `catalog`.
    pub log: String,
    /// Its place in the log.
    pub number: LogNumber,
    /// The tenure that wrote it.
    pub generation: Generation,
    /// Unique among all objects ever written: tells one's own success from another's.
    pub id: String,
    /// The `id` of the object before it; none for number 1.
    pub parent: Option<String>,
    /// The process that wrote it.
    pub writer: WriterId,
    /// When, in microseconds since 1970 (for people; nothing depends on it).
    pub written_at: i64,
    /// What for.
    pub kind: ManifestKind,
    /// What it says.
    pub body: Body<S>,
}

/// One change in a job's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum JobEntry {
    /// What the job runs. First entry of the log; again when the job is altered.
    Plan(JobPlan),
    /// The identity of a source, fixed before the first epoch (a hub's creation time, say): a mismatch stops the job.
    SourceIdentity {
        /// The source table.
        table: TableId,
        /// Connector's own text.
        identity: String,
    },
    /// Source positions that have moved.
    Advance {
        /// The source table.
        table: TableId,
        /// The splits that moved, and where to.
        cursor: Cursor,
    },
    /// How far event time has come in a source.
    Watermarks {
        /// The source table.
        table: TableId,
        /// The watermark of each split that has moved, in microseconds since 1970.
        splits: BTreeMap<SplitId, i64>,
        /// All splits that are idle now: they don't hold the job's watermark.
        idle: BTreeSet<SplitId>,
    },
    /// The job's watermark: the least of those of its splits that aren't idle. It never falls.
    JobWatermark {
        /// In microseconds since 1970.
        micros: i64,
    },
    /// A table that the job writes.
    Table {
        /// The table.
        table: TableId,
        /// URL of its folder.
        location: String,
        /// Names of its Hive partition columns, in order.
        partition_columns: Vec<String>,
    },
    /// New rows of a table, durable under a hidden name.
    Segment {
        /// The table.
        table: TableId,
        /// The object.
        segment: Segment,
    },
    /// Parts of segments are about to become one visible file under this name.
    Roll {
        /// The table.
        table: TableId,
        /// What becomes of what.
        roll: Roll,
    },
    /// The file of a roll is there: from here on readers take it in place of the parts.
    Rolled {
        /// The table.
        table: TableId,
        /// The roll, by its file's path.
        path: String,
        /// Rows in it.
        rows: u64,
        /// Its size in bytes.
        bytes: u64,
    },
    /// Hidden objects that have been deleted, after every part of them was rolled.
    Deleted {
        /// The table.
        table: TableId,
        /// Paths relative to the table's folder.
        paths: Vec<String>,
    },
    /// The segments of this commit wait for delivery to a sink outside, under the number that commits them.
    Queued {
        /// The outbox.
        table: TableId,
        /// The manifest's own number: with a row's index in it, the row's name outside.
        number: LogNumber,
        /// The segments, in order.
        paths: Vec<String>,
    },
    /// A sink outside has accepted all rows that were queued under a number (and may have some more than once).
    Delivered {
        /// The outbox.
        table: TableId,
        /// The number.
        number: LogNumber,
    },
    /// What a checkpoint changes in the job's keyed state.
    State(StateChange),
    /// State objects that have been deleted, after none of their chunks counted any more.
    StateDeleted {
        /// Paths relative to the job's state folder.
        paths: Vec<String>,
    },
    /// Totals since the job began.
    Counters(Counters),
    /// The job has come to rest: stopped by its owner, or at the end of bounded input.
    Finished {
        /// Why, for people.
        reason: String,
    },
}

/// What a job runs, as it stands in its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobPlan {
    /// The job.
    pub job: JobId,
    /// Its name when it was created.
    pub name: String,
    /// The statement.
    pub sql: String,
    /// The engine version that planned it.
    pub engine: String,
}

/// Totals of a job since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counters {
    /// Rows read from sources.
    pub rows_read: u64,
    /// Rows that didn't decode, each one a row of `$bad_records`.
    pub rows_bad: u64,
    /// Rows that came after their windows had closed, each one a row of `$late_records`.
    #[serde(default)]
    pub rows_late: u64,
    /// Rows written to the job's target.
    pub rows_written: u64,
    /// Bytes of payload read.
    pub bytes_read: u64,
}

/// A hidden object that holds new rows of one table, grouped by Hive partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Path relative to the table's folder: `_salamander/<job id>/<generation>-<random>.seg`.
    pub path: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// XXH3-64 of the whole object, 16 hex digits.
    pub checksum: String,
    /// Rows of one Hive partition each.
    pub parts: Vec<SegmentPart>,
    /// Microseconds since 1970 of the checkpoint that committed it: rolls by age count from it.
    pub committed_at: i64,
    /// The last epoch in it.
    pub epoch: Epoch,
}

/// The rows of one Hive partition within a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentPart {
    /// A value for each partition column; none for NULL.
    pub values: Vec<Option<String>>,
    /// Rows.
    pub rows: u64,
    /// Where the part begins in the object.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// The path of the roll that has taken it, once it is committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roll: Option<String>,
}

/// Names one part of one segment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartRef {
    /// The segment's path.
    pub segment: String,
    /// Index into its parts.
    pub part: usize,
}

/// A roll that is committed to: these parts become this file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roll {
    /// Path of the visible file, relative to the table's folder and unescaped only where Hive leaves it so.
    pub path: String,
    /// A value for each partition column; none for NULL.
    pub values: Vec<Option<String>>,
    /// What goes in, in this order.
    pub parts: Vec<PartRef>,
}

/// A visible Parquet file of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFile {
    /// Path relative to the table's folder.
    pub path: String,
    /// A value for each partition column; none for NULL.
    pub values: Vec<Option<String>>,
    /// Rows.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
}

/// What a job's log says of one table that the job writes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableState {
    /// URL of its folder.
    pub location: String,
    /// Names of its Hive partition columns, in order.
    pub partition_columns: Vec<String>,
    /// Hidden objects, by path.
    pub segments: BTreeMap<String, Segment>,
    /// Rolls that have been committed to and whose files are not known to be there, by file path.
    pub rolls: BTreeMap<String, Roll>,
    /// Visible files, by path.
    pub files: BTreeMap<String, DataFile>,
    /// Segments that wait for delivery to a sink outside, by the number that committed them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub queued: BTreeMap<LogNumber, Vec<String>>,
    /// Segments whose rows a sink outside has accepted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub delivered: BTreeSet<String>,
}

/// What a job's log says of one source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceState {
    /// The connector's own text that must not change under a job.
    pub identity: Option<String>,
    /// The next row of each split.
    pub cursor: Cursor,
    /// The watermark of each split, in microseconds since 1970.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub watermarks: BTreeMap<SplitId, i64>,
    /// Splits that don't hold the job's watermark.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub idle: BTreeSet<SplitId>,
}

/// What a job's log folds to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobState {
    /// What it runs.
    pub plan: Option<JobPlan>,
    /// Its sources.
    pub sources: BTreeMap<TableId, SourceState>,
    /// The tables it writes.
    pub tables: BTreeMap<TableId, TableState>,
    /// Totals.
    pub counters: Counters,
    /// How far event time is known to have come, in microseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<i64>,
    /// The keyed state of its operators.
    #[serde(default, skip_serializing_if = "KeyedState::is_empty")]
    pub state: KeyedState,
    /// Set when the job has come to rest.
    pub finished: Option<String>,
}

impl LogState for JobState {
    type Entry = JobEntry;

    fn apply(&mut self, entry: &JobEntry) -> Result<(), FoldError> {
        match entry {
            JobEntry::Plan(plan) => {
                self.plan = Some(plan.clone());
                self.finished = None;
            }
            JobEntry::SourceIdentity { table, identity } => {
                self.sources.entry(table.clone()).or_default().identity = Some(identity.clone());
            }
            JobEntry::Advance { table, cursor } => self.advance(table, cursor)?,
            JobEntry::Watermarks { table, splits, idle } => {
                let source = self.sources.entry(table.clone()).or_default();
                for (split, micros) in splits {
                    let known = source.watermarks.entry(split.clone()).or_insert(*micros);
                    *known = (*known).max(*micros);
                }
                source.idle.clone_from(idle);
            }
            JobEntry::JobWatermark { micros } => {
                if self.watermark.is_some_and(|known| known > *micros) {
                    return Err(FoldError(format!("the watermark falls to {micros}")));
                }
                self.watermark = Some(*micros);
            }
            JobEntry::Table { table, location, partition_columns } => {
                let state = self.tables.entry(table.clone()).or_default();
                state.location.clone_from(location);
                state.partition_columns.clone_from(partition_columns);
            }
            JobEntry::Segment { table, segment } => {
                let state = self.table_mut(table)?;
                let path = segment.path.clone();
                if state.segments.insert(path.clone(), segment.clone()).is_some() {
                    return Err(FoldError(format!("segment {path} is committed twice")));
                }
            }
            JobEntry::Roll { table, roll } => self.table_mut(table)?.begin_roll(roll)?,
            JobEntry::Rolled { table, path, rows, bytes } => self.table_mut(table)?.end_roll(path, *rows, *bytes)?,
            JobEntry::Deleted { table, paths } => self.table_mut(table)?.delete(paths)?,
            JobEntry::Queued { table, number, paths } => {
                self.table_mut(table)?.queued.insert(*number, paths.clone());
            }
            JobEntry::Delivered { table, number } => self.table_mut(table)?.end_delivery(*number)?,
            JobEntry::State(change) => self.state.apply(change)?,
            JobEntry::StateDeleted { paths } => self.state.forget(paths)?,
            JobEntry::Counters(counters) => self.counters = *counters,
            JobEntry::Finished { reason } => self.finished = Some(reason.clone()),
        }
        Ok(())
    }
}

impl JobState {
    fn table_mut(&mut self, table: &TableId) -> Result<&mut TableState, FoldError> {
        self.tables.get_mut(table).ok_or_else(|| FoldError(format!("table {table} is not one that this job writes")))
    }

    fn advance(&mut self, table: &TableId, cursor: &Cursor) -> Result<(), FoldError> {
        let source = self.sources.entry(table.clone()).or_default();
        for (split, position) in cursor {
            check_forward(split, source.cursor.get(split), position)?;
            source.cursor.insert(split.clone(), position.clone());
        }
        Ok(())
    }
}

fn check_forward(split: &SplitId, old: Option<&Position>, new: &Position) -> Result<(), FoldError> {
    match old {
        Some(old) if new.next < old.next => {
            Err(FoldError(format!("split {split} goes back from row {} to {}", old.next, new.next)))
        }
        _ => Ok(()),
    }
}

impl TableState {
    fn part_mut(&mut self, part: &PartRef) -> Result<&mut SegmentPart, FoldError> {
        self.segments
            .get_mut(&part.segment)
            .and_then(|s| s.parts.get_mut(part.part))
            .ok_or_else(|| FoldError(format!("no part {} in segment {}", part.part, part.segment)))
    }

    fn begin_roll(&mut self, roll: &Roll) -> Result<(), FoldError> {
        if self.rolls.contains_key(&roll.path) || self.files.contains_key(&roll.path) {
            return Err(FoldError(format!("file name {} is used twice", roll.path)));
        }
        for part in &roll.parts {
            let taken = &mut self.part_mut(part)?.roll;
            if let Some(other) = taken {
                return Err(FoldError(format!(
                    "part {} of {} is rolled into {other} and into {}",
                    part.part, part.segment, roll.path
                )));
            }
            *taken = Some(roll.path.clone());
        }
        self.rolls.insert(roll.path.clone(), roll.clone());
        Ok(())
    }

    fn end_roll(&mut self, path: &str, rows: u64, bytes: u64) -> Result<(), FoldError> {
        let Some(roll) = self.rolls.remove(path) else {
            return Err(FoldError(format!("{path} is not being rolled")));
        };
        let file = DataFile { path: path.to_owned(), values: roll.values, rows, bytes };
        self.files.insert(path.to_owned(), file);
        Ok(())
    }

    fn end_delivery(&mut self, number: LogNumber) -> Result<(), FoldError> {
        let Some(paths) = self.queued.remove(&number) else {
            return Err(FoldError(format!("nothing is queued under number {number}")));
        };
        self.delivered.extend(paths);
        Ok(())
    }

    fn delete(&mut self, paths: &[String]) -> Result<(), FoldError> {
        for path in paths {
            match self.segments.get(path) {
                Some(segment) if self.is_superseded(segment) || self.delivered.contains(path) => {
                    self.segments.remove(path)
                }
                Some(_) => return Err(FoldError(format!("{path} still holds unrolled rows"))),
                None => return Err(FoldError(format!("{path} is not a segment of this table"))),
            };
            self.delivered.remove(path);
        }
        Ok(())
    }

    /// True when every part of the segment stands in a visible file.
    pub fn is_superseded(&self, segment: &Segment) -> bool {
        segment.parts.iter().all(|p| self.is_rolled(p))
    }

    /// True when the part's rows stand in a visible file: readers take the file, not the part.
    pub fn is_rolled(&self, part: &SegmentPart) -> bool {
        part.roll.as_ref().is_some_and(|path| self.files.contains_key(path))
    }

    /// The parts whose rows readers must still take from segments, in commit order of their segments' paths.
    pub fn live_parts(&self) -> impl Iterator<Item = (&Segment, &SegmentPart)> {
        self.segments.values().flat_map(|s| s.parts.iter().map(move |p| (s, p))).filter(|(_, p)| !self.is_rolled(p))
    }
}
