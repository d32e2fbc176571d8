//! The head of one node: opens the data directory, wins the catalog, starts the jobs that should run.

use crate::catalog_log::CatalogLog;
use crate::error::HeadError;
use crate::sessions::Databases;
use crate::tables::{TableRegistry, Written};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use object_store::ObjectStore;
use object_store::path::Path;
use parking_lot::Mutex;
use salamander_job::{Ending, JobHandle, JobOptions};
use salamander_planner::Planner;
use salamander_storage::{Log, LogContext};
use salamander_types::manifest::JobState;
use salamander_types::{Clock, Entropy, JobId, SystemClock, SystemEntropy, TableId, WriterId};
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How many of the largest memory users an out-of-memory error names.
const NAMED_CONSUMERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4);

/// How a head runs.
#[derive(Debug, Clone)]
pub struct HeadOptions {
    /// Where catalog, jobs and hidden tables live: a folder.
    pub data_dir: PathBuf,
    /// Partitions of an ordinary query.
    pub query_partitions: usize,
    /// Plan partitions of a job's epoch.
    pub job_partitions: usize,
    /// Memory for queries, in bytes: beyond it they spill or fail.
    pub query_memory: usize,
    /// Time between a job's checkpoints.
    pub checkpoint_interval: Duration,
    /// Rows that a job's epoch takes at most.
    pub epoch_rows: usize,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl HeadOptions {
    /// The defaults for a data directory: as many partitions as cores, 256 MiB for queries, a checkpoint a second.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            data_dir: data_dir.into(),
            query_partitions: cores,
            job_partitions: cores,
            query_memory: 256 << 20,
            checkpoint_interval: Duration::from_secs(1),
            epoch_rows: JobOptions::default().epoch_rows,
            clock: Arc::new(SystemClock::default()),
            entropy: Arc::new(SystemEntropy::default()),
        }
    }
}

/// A running head.
#[derive(Debug)]
pub struct Head {
    /// Itself, for plans that read what its jobs keep.
    pub(crate) this: Weak<Self>,
    pub(crate) options: HeadOptions,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) root: Path,
    pub(crate) writer: WriterId,
    pub(crate) planner: Planner,
    pub(crate) catalog: CatalogLog,
    pub(crate) tables: Arc<TableRegistry>,
    pub(crate) jobs: Mutex<BTreeMap<JobId, Arc<JobHandle>>>,
    /// Jobs that should run and could not be started, with the reason.
    pub(crate) not_started: Mutex<BTreeMap<JobId, String>>,
    /// Databases that sessions have chosen by USE.
    pub(crate) databases: Databases,
}

impl Head {
    /// Starts: wins the catalog's log, reads the jobs' logs, starts the jobs that should run. A job that can't start
    /// doesn't keep the head from starting: SHOW JOBS says why.
    ///
    /// # Errors
    /// When the data directory can't be opened, or a log is corrupt.
    pub async fn start(options: HeadOptions) -> Result<Arc<Self>, HeadError> {
        let (store, root) = salamander_storage::open_store(&options.data_dir.to_string_lossy())?;
        let runtime = runtime(&options)?;
        let writer = WriterId::fresh(options.entropy.as_ref());
        let context = LogContext {
            writer: writer.clone(),
            clock: Arc::clone(&options.clock),
            entropy: Arc::clone(&options.entropy),
        };
        let catalog = CatalogLog::open(Arc::clone(&store), root.clone().join("catalog"), context.clone()).await?;
        let written = read_job_logs(&store, &root, &context).await?;
        let tables = TableRegistry::new(Arc::clone(&store), root.clone(), written);
        let planner = Planner::try_new(runtime, options.query_partitions)?;
        let head = Arc::new_cyclic(|this| Self {
            this: this.clone(),
            planner,
            options,
            store,
            root,
            writer,
            catalog,
            tables: Arc::new(tables),
            jobs: Mutex::default(),
            not_started: Mutex::default(),
            databases: Databases::default(),
        });
        head.start_jobs().await;
        Ok(head)
    }

    async fn start_jobs(self: &Arc<Self>) {
        let catalog = self.catalog.get();
        for job in catalog.jobs().filter(|j| j.is_running()) {
            if job.once {
                tokio::spawn(Arc::clone(self).settle_left(job.clone()));
                continue;
            }
            if let Err(error) = self.start_job(&catalog, job).await {
                tracing::error!(job = %job.name, %error, "the job can't start");
                self.not_started.lock().insert(crate::jobs::job_id(job), error.to_string());
            }
        }
    }

    /// Ends all jobs with a final checkpoint; they go on when a head starts on the same data directory.
    pub async fn shutdown(&self) {
        let jobs: Vec<_> = self.jobs.lock().values().cloned().collect();
        futures::future::join_all(jobs.iter().map(|job| job.end(Ending::Pause))).await;
    }
}

fn runtime(options: &HeadOptions) -> Result<Arc<RuntimeEnv>, HeadError> {
    let pool = TrackConsumersPool::new(FairSpillPool::new(options.query_memory), NAMED_CONSUMERS);
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).build()?;
    Ok(Arc::new(runtime))
}

/// What the logs of all jobs, past and present, say of the tables that they wrote: logs outlive their jobs.
async fn read_job_logs(
    store: &Arc<dyn ObjectStore>,
    root: &Path,
    context: &LogContext,
) -> Result<HashMap<TableId, Vec<Written>>, HeadError> {
    let jobs = root.clone().join("jobs");
    let listed = store
        .list_with_delimiter(Some(&jobs))
        .await
        .map_err(|e| HeadError::invalid(format!("can't list the jobs in the data directory: {e}")))?;
    let mut written: HashMap<TableId, Vec<Written>> = HashMap::new();
    for folder in listed.common_prefixes {
        let Some(name) = folder.filename().map(str::to_owned) else { continue };
        let log: Log<JobState> = Log::new(Arc::clone(store), folder.clone().join("log"), name.clone(), context.clone());
        let Some(loaded) = log.load().await? else { continue };
        for (table, state) in &loaded.state.tables {
            written.entry(table.clone()).or_default().push(Written {
                job: JobId::from_text(&name),
                number: loaded.head.number,
                state: Arc::new(state.clone()),
            });
        }
    }
    Ok(written)
}
