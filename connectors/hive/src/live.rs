//! The truth about one table, shared within a process: what readers see at an instant.
//!
//! ```text
//!   job A: ── state as of log number n ──┬── memory of epochs after it, up to the published one
//!   job B: ── state as of log number m ──┴── …                          pin() = all of it at one instant
//! ```
//!
//! A row is first in memory (an epoch was published), then in a segment, then in a file. [`LiveTable::commit`] swaps
//! memory for segments under one lock, and a later state swaps parts for files by itself, so a [`Snapshot`] holds each
//! row exactly once, whatever happens meanwhile (rule 19). A snapshot is a handful of `Arc`s.
//!
//! Memory is bounded by the job: it must commit before too many bytes wait; see [`LiveTable::memory_bytes`].

use crate::layout::TableLayout;
use crate::segment::TableRows;
use parking_lot::Mutex;
use salamander_types::manifest::TableState;
use salamander_types::{Epoch, JobId, LogNumber};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use thiserror::Error;

/// A call that contradicts the calls before it: a mistake of the caller's, or a zombie.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("job {job}: {message}")]
pub struct LiveError {
    /// Whose call.
    pub job: JobId,
    /// The contradiction.
    pub message: String,
}

/// The rows of one published epoch that are not in segments yet.
#[derive(Debug)]
pub struct MemoryEpoch {
    /// Which epoch of the job's generation.
    pub epoch: Epoch,
    /// Its rows.
    pub rows: TableRows,
    /// How many.
    pub count: u64,
    /// Bytes that they hold in memory.
    pub bytes: usize,
}

/// One job's part of a snapshot.
#[derive(Debug, Clone)]
pub struct JobView {
    /// The number in the job's log that `state` is as of.
    pub log_number: LogNumber,
    /// Files, segments, rolls.
    pub state: Arc<TableState>,
    /// Published epochs after those in `state`, ascending.
    pub memory: Vec<Arc<MemoryEpoch>>,
    /// The last published epoch of the generation.
    pub published: Option<Epoch>,
}

impl JobView {
    fn empty() -> Self {
        Self { log_number: LogNumber(0), state: Arc::default(), memory: Vec::new(), published: None }
    }

    /// Rows that readers see of this job.
    pub fn rows(&self) -> u64 {
        let files: u64 = self.state.files.values().map(|f| f.rows).sum();
        let parts: u64 = self.state.live_parts().map(|(_, p)| p.rows).sum();
        let memory: u64 = self.memory.iter().map(|m| m.count).sum();
        files + parts + memory
    }
}

/// A table at one instant. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The table.
    pub layout: Arc<TableLayout>,
    /// What each writing job has put there.
    pub jobs: Arc<BTreeMap<JobId, JobView>>,
    known: Arc<Mutex<BTreeSet<JobId>>>,
}

impl Snapshot {
    /// Rows in files, segments and memory. Foreign files are not counted.
    pub fn rows(&self) -> u64 {
        self.jobs.values().map(JobView::rows).sum()
    }

    /// The same without memory: only what is committed (rule 20).
    #[must_use]
    pub fn committed(&self) -> Self {
        let mut jobs = self.jobs.as_ref().clone();
        jobs.values_mut().for_each(|view| view.memory.clear());
        Self { layout: self.layout.clone(), jobs: Arc::new(jobs), known: self.known.clone() }
    }

    /// The jobs that write the table, those that began after this snapshot included: visible files with their names are
    /// read through their logs only. Ask after listing files: a job is known before its first file is there.
    pub fn known_jobs(&self) -> BTreeSet<JobId> {
        self.known.lock().clone()
    }
}

/// The shared truth about one table.
#[derive(Debug)]
pub struct LiveTable {
    layout: Arc<TableLayout>,
    jobs: Mutex<Arc<BTreeMap<JobId, JobView>>>,
    known: Arc<Mutex<BTreeSet<JobId>>>,
}

impl LiveTable {
    /// A table that no job has written yet.
    pub fn new(layout: Arc<TableLayout>) -> Self {
        Self { layout, jobs: Mutex::default(), known: Arc::default() }
    }

    /// The table.
    pub fn layout(&self) -> &Arc<TableLayout> {
        &self.layout
    }

    /// Changes a job's view. Copies what a reader has pinned, else works in place.
    fn change<T>(&self, job: &JobId, change: impl FnOnce(&mut JobView) -> Result<T, String>) -> Result<T, LiveError> {
        let mut jobs = self.jobs.lock();
        if !jobs.contains_key(job) {
            self.known.lock().insert(job.clone());
        }
        let view = Arc::make_mut(&mut jobs).entry(job.clone()).or_insert_with(JobView::empty);
        change(view).map_err(|message| LiveError { job: job.clone(), message })
    }

    /// Shows the rows of an epoch, which has succeeded everywhere. Batches hold all of the table's columns, in order.
    ///
    /// # Errors
    /// When the epoch is not after the last one.
    pub fn publish(&self, job: &JobId, epoch: Epoch, rows: TableRows) -> Result<(), LiveError> {
        let (count, bytes) = (rows.rows(), rows.bytes());
        self.change(job, |view| {
            if view.published.is_some_and(|last| epoch <= last) {
                return Err(format!("epoch {epoch} is published after {:?}", view.published));
            }
            view.published = Some(epoch);
            if count > 0 {
                view.memory.push(Arc::new(MemoryEpoch { epoch, rows, count, bytes }));
            }
            Ok(())
        })
    }

    /// A manifest has been committed: `state` is as of it, and holds the rows of all epochs up to `up_to`. Also for
    /// manifests that only roll: then `up_to` is that of the commit before.
    ///
    /// # Errors
    /// When the log goes back, or the state claims epochs that were never published.
    pub fn commit(
        &self,
        job: &JobId,
        log_number: LogNumber,
        state: Arc<TableState>,
        up_to: Epoch,
    ) -> Result<(), LiveError> {
        self.change(job, |view| {
            if log_number <= view.log_number {
                return Err(format!("log number {log_number} comes after {}", view.log_number));
            }
            if view.published.unwrap_or_default() < up_to {
                return Err(format!("epoch {up_to} is committed and was not published"));
            }
            view.log_number = log_number;
            view.state = state;
            view.memory.retain(|memory| memory.epoch > up_to);
            Ok(())
        })
    }

    /// A new generation begins at this state: what was in memory and not committed was never there.
    ///
    /// # Errors
    /// When the log goes back.
    pub fn reset(&self, job: &JobId, log_number: LogNumber, state: Arc<TableState>) -> Result<(), LiveError> {
        self.change(job, |view| {
            if log_number < view.log_number {
                return Err(format!("log number {log_number} comes after {}", view.log_number));
            }
            *view = JobView { log_number, state, memory: Vec::new(), published: None };
            Ok(())
        })
    }

    /// The table at this instant. Take it once a query.
    pub fn pin(&self) -> Snapshot {
        Snapshot { layout: self.layout.clone(), jobs: self.jobs.lock().clone(), known: self.known.clone() }
    }

    /// Rows that readers see now, foreign files not counted.
    pub fn rows(&self) -> u64 {
        self.pin().rows()
    }

    /// Bytes of uncommitted rows in memory.
    pub fn memory_bytes(&self) -> usize {
        let jobs = self.jobs.lock();
        jobs.values().flat_map(|view| &view.memory).map(|m| m.bytes).sum()
    }
}
