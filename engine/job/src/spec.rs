//! What a job is made of.

use object_store::ObjectStore;
use salamander_connector_api::DeliverySink;
use salamander_hive::{LiveTable, TableLayout};
use salamander_planner::JobPlan;
use salamander_types::{Clock, Entropy, JobId, TableId, WriterId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A job, ready to run.
#[derive(Debug)]
pub struct JobSpec {
    /// Its id.
    pub id: JobId,
    /// Its name.
    pub name: String,
    /// The statement.
    pub sql: String,
    /// What runs each epoch.
    pub plan: JobPlan,
    /// Where its rows go.
    pub target: Target,
    /// Where the bad rows of each source go, by the source's table.
    pub bad_records: BTreeMap<TableId, SinkTable>,
    /// Where the late rows of each source go, if the plan has windows.
    pub late_records: BTreeMap<TableId, SinkTable>,
    /// How it runs.
    pub options: JobOptions,
}

/// Where a job's rows go.
#[derive(Debug, Clone)]
pub enum Target {
    /// A table of the engine's own.
    Table(SinkTable),
    /// A sink outside, fed from a hidden table of the job's own once its rows are committed.
    Delivery {
        /// Holds the rows until they are accepted.
        outbox: SinkTable,
        /// Who takes them.
        sink: Arc<dyn DeliverySink>,
    },
    /// Nowhere: the rows are counted.
    Blackhole,
}

impl Target {
    /// The table that holds the rows, if any does.
    pub fn table(&self) -> Option<&SinkTable> {
        match self {
            Self::Table(table) | Self::Delivery { outbox: table, .. } => Some(table),
            Self::Blackhole => None,
        }
    }
}

/// A table that a job writes: where its files are, and what readers see.
#[derive(Debug, Clone)]
pub struct SinkTable {
    /// Files and options.
    pub layout: Arc<TableLayout>,
    /// What readers see.
    pub live: Arc<LiveTable>,
}

/// How a job runs.
#[derive(Debug, Clone)]
pub struct JobOptions {
    /// Time between checkpoints.
    pub checkpoint_interval: Duration,
    /// Rows that an epoch takes at most.
    pub epoch_rows: usize,
    /// Payload bytes that an epoch takes at most.
    pub epoch_bytes: usize,
    /// Bytes of rows that are held and not committed (their payload's, or what they take encoded): beyond it no epoch
    /// begins until a checkpoint is through.
    pub uncommitted_bytes: usize,
    /// The rows of an epoch with at least so many input rows are encoded at once; those of a smaller one are kept as they
    /// are until the checkpoint: they are few, and are read often.
    pub encode_rows: usize,
    /// Share of the time that the fixed cost of epochs may take, in percent.
    pub fixed_cost_percent: u32,
    /// Time between looks for new splits.
    pub discovery_interval: Duration,
    /// The longest wait before a failed job is tried again.
    pub longest_backoff: Duration,
}

impl Default for JobOptions {
    fn default() -> Self {
        Self {
            checkpoint_interval: Duration::from_secs(1),
            epoch_rows: 128 * 1024,
            epoch_bytes: 32 << 20,
            uncommitted_bytes: 192 << 20,
            encode_rows: 4_096,
            fixed_cost_percent: 20,
            discovery_interval: Duration::from_secs(5),
            longest_backoff: Duration::from_secs(30),
        }
    }
}

/// What a job needs of its process.
#[derive(Debug, Clone)]
pub struct JobEnvironment {
    /// Where the job's log is.
    pub store: Arc<dyn ObjectStore>,
    /// The log's folder in it.
    pub log_folder: object_store::path::Path,
    /// The folder of the job's keyed state in it.
    pub state_folder: object_store::path::Path,
    /// This process.
    pub writer: WriterId,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}
