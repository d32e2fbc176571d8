//! What a job shows of itself.

use crate::watermarks::SplitTime;
use parking_lot::Mutex;
use salamander_operators::{NodeFigures, OperatorState};
use salamander_types::manifest::Counters;
use salamander_types::{Epoch, ErrorKind, Generation, LogNumber};
use std::fmt;
use std::sync::Arc;

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum JobPhase {
    /// Restoring: log, sources, tables.
    #[default]
    Starting,
    /// Running epochs.
    Running,
    /// Told to end; a final checkpoint and rolls are under way.
    Stopping,
    /// Paused by the process's end: it goes on with the next start.
    Paused,
    /// At rest, with the reason.
    Finished(String),
    /// Failed; tried again after a pause, or waiting for a person.
    Failed {
        /// What failed.
        reason: String,
        /// Whether it is tried again by itself.
        retrying: bool,
    },
}

impl fmt::Display for JobPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("starting"),
            Self::Running => f.write_str("running"),
            Self::Stopping => f.write_str("stopping"),
            Self::Paused => f.write_str("paused"),
            Self::Finished(reason) => write!(f, "finished: {reason}"),
            Self::Failed { reason, .. } => write!(f, "failed: {reason}"),
        }
    }
}

/// A job's figures.
#[derive(Debug, Clone, Default)]
pub struct JobStatus {
    /// Where it stands.
    pub phase: JobPhase,
    /// The tenure.
    pub generation: Generation,
    /// The last epoch.
    pub epoch: Epoch,
    /// The last manifest.
    pub log_number: LogNumber,
    /// Totals, uncommitted rows included.
    pub counters: Counters,
    /// Totals as of the last checkpoint.
    pub committed: Counters,
    /// Rows that the sources are known to have and the job hasn't read; none if a source can't tell.
    pub lag_rows: Option<u64>,
    /// How far event time is known to have come, in microseconds since 1970; none without `WATERMARK FOR`.
    pub watermark: Option<i64>,
    /// What its operators keep, as of the last checkpoint.
    pub state: Vec<OperatorState>,
    /// How far event time has come in each split, as of the last checkpoint.
    pub splits: Vec<SplitTime>,
    /// What each node of the plan has done since the generation began, as of the last checkpoint.
    pub nodes: Vec<NodeFigures>,
    /// How long the last epoch took, in microseconds.
    pub epoch_micros: u64,
    /// How often a generation has failed.
    pub failures: u64,
    /// The last failure.
    pub last_failure: Option<String>,
    /// Its kind.
    pub last_kind: Option<ErrorKind>,
}

/// A job's status, shared with whoever shows it.
#[derive(Debug, Clone, Default)]
pub struct SharedStatus(Arc<Mutex<JobStatus>>);

impl SharedStatus {
    /// The status now.
    pub fn get(&self) -> JobStatus {
        self.0.lock().clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut JobStatus)) {
        change(&mut self.0.lock());
    }
}
