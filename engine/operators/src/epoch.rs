//! One epoch: one run of a job's plan over the rows that have arrived since the last.

use crate::reused_plan::ReusedPlan;
use crate::split_time::SplitTimes;
use crate::states::JobStates;
use arrow::array::RecordBatch;
use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlanProperties;
use futures::StreamExt;
use parking_lot::Mutex;
use salamander_connector_api::RawBatch;
use salamander_types::{Epoch, JobId, SplitId};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Above this many input rows the plan's partitions run on tasks of their own; below, one after the other on the
/// caller's, since spawning costs more than it saves.
const SPAWN_ABOVE_ROWS: usize = 16_384;

/// Takes an epoch's output rows as they leave the plan, where keeping its batches would keep too much memory.
pub trait OutputSink: std::fmt::Debug + Send + Sync {
    /// A writer for one plan partition.
    fn writer(&self) -> Box<dyn OutputWriter>;

    /// Rows of all writers that have finished.
    fn rows(&self) -> u64;
}

/// Takes the output rows of one plan partition.
pub trait OutputWriter: Send {
    /// Takes a batch in the sink's schema.
    ///
    /// # Errors
    /// When the rows can't be taken: the epoch has failed.
    fn write(&mut self, batch: &RecordBatch) -> Result<()>;

    /// There are no more.
    ///
    /// # Errors
    /// As [`OutputWriter::write`].
    fn finish(self: Box<Self>) -> Result<()>;
}

/// What an epoch's plan reads and leaves. It travels in the session config of the task context, since a reused plan
/// must not hold anything of one epoch.
#[derive(Debug)]
pub struct EpochContext {
    /// The job.
    pub job: JobId,
    /// The epoch.
    pub epoch: Epoch,
    /// Rows for each source of the plan and each plan partition, taken once.
    inputs: Vec<Vec<Mutex<Vec<Numbered>>>>,
    rows: usize,
    sink: Option<Arc<dyn OutputSink>>,
    time: EpochTime,
    splits: SplitTimes,
    states: Arc<JobStates>,
    output: Mutex<Vec<RecordBatch>>,
    bad: Mutex<BTreeMap<usize, Vec<RecordBatch>>>,
    late: Mutex<BTreeMap<usize, Vec<RecordBatch>>>,
    latest: Mutex<BTreeMap<(usize, SplitId), i64>>,
}

/// A raw batch, and which of its split's batches in this epoch it is, from 0.
pub(crate) type Numbered = (usize, RawBatch);

/// How far event time has come when an epoch begins, in microseconds since 1970.
#[derive(Debug, Clone, Default)]
pub struct EpochTime {
    /// The job's watermark: windows that end by then are emitted in this epoch, and no row of it can be in them.
    pub watermark: Option<i64>,
    /// Windows that end by then were emitted before.
    pub closed: Option<i64>,
    /// The watermark of each source's splits.
    pub splits: BTreeMap<(usize, SplitId), i64>,
}

/// What an epoch has made.
#[derive(Debug, Default)]
pub struct EpochOutput {
    /// Output rows of the plan, in the sink's schema; none if an [`OutputSink`] has taken them.
    pub batches: Vec<RecordBatch>,
    /// Bad rows by source, in the schema of `$bad_records`.
    pub bad: BTreeMap<usize, Vec<RecordBatch>>,
    /// Late rows by source, in the schema of `$late_records`.
    pub late: BTreeMap<usize, Vec<RecordBatch>>,
    /// The latest event time by source and split, in microseconds since 1970, where the source has one.
    pub latest: BTreeMap<(usize, SplitId), i64>,
}

impl EpochContext {
    /// An epoch over these raw batches, one list a source, spread over `partitions` plan partitions by size: few rows
    /// all go to the first, so that a small epoch pays for one partition only.
    pub fn new(job: JobId, epoch: Epoch, sources: Vec<Vec<RawBatch>>, partitions: usize) -> Self {
        let rows = sources.iter().flatten().map(RawBatch::len).sum();
        let spread = if rows > SPAWN_ABOVE_ROWS { partitions } else { 1 };
        let inputs = sources.into_iter().map(|batches| spread_batches(batches, spread, partitions)).collect();
        Self {
            job,
            epoch,
            inputs,
            rows,
            sink: None,
            time: EpochTime::default(),
            splits: SplitTimes::default(),
            states: Arc::default(),
            output: Mutex::default(),
            bad: Mutex::default(),
            late: Mutex::default(),
            latest: Mutex::default(),
        }
    }

    /// The same, its output going to `sink`.
    #[must_use]
    pub fn with_sink(mut self, sink: Option<Arc<dyn OutputSink>>) -> Self {
        self.sink = sink;
        self
    }

    /// The same, at this point of event time and with the operators' states.
    #[must_use]
    pub fn with_state(mut self, time: EpochTime, states: Arc<JobStates>) -> Self {
        self.splits = SplitTimes::new(&time);
        (self.time, self.states) = (time, states);
        self
    }

    /// The running watermarks of the splits.
    pub(crate) fn splits(&self) -> &SplitTimes {
        &self.splits
    }

    /// The states of the job's operators.
    pub(crate) fn states(&self) -> &Arc<JobStates> {
        &self.states
    }

    /// How far event time has come.
    pub(crate) fn time(&self) -> &EpochTime {
        &self.time
    }

    /// Input rows in all.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Takes the input of one source and plan partition; nothing the second time.
    pub(crate) fn take_input(&self, source: usize, partition: usize) -> Vec<Numbered> {
        self.inputs
            .get(source)
            .and_then(|p| p.get(partition))
            .map(|slot| std::mem::take(&mut *slot.lock()))
            .unwrap_or_default()
    }

    pub(crate) fn leave_output(&self, batch: RecordBatch) {
        self.output.lock().push(batch);
    }

    pub(crate) fn output_writer(&self) -> Option<Box<dyn OutputWriter>> {
        self.sink.as_ref().map(|sink| sink.writer())
    }

    pub(crate) fn leave_bad(&self, source: usize, batch: RecordBatch) {
        self.bad.lock().entry(source).or_default().push(batch);
    }

    pub(crate) fn leave_late(&self, source: usize, batch: RecordBatch) {
        self.late.lock().entry(source).or_default().push(batch);
    }

    pub(crate) fn leave_latest(&self, source: usize, split: &SplitId, micros: i64) {
        let mut latest = self.latest.lock();
        let known = latest.entry((source, split.clone())).or_insert(micros);
        *known = micros.max(*known);
    }

    /// The context of an epoch that is running in this task.
    ///
    /// # Errors
    /// When there is none: the plan is a job's and was run as an ordinary query.
    pub fn of(context: &TaskContext) -> Result<Arc<Self>> {
        context
            .session_config()
            .get_extension::<Self>()
            .ok_or_else(|| DataFusionError::Internal("a job's plan was run outside an epoch".to_owned()))
    }
}

/// Rows that go through the plan together: as many as the CPU's cache holds with their payload and their columns.
const PIECE_ROWS: usize = 1_024;

/// Batches go round by bytes, the next one to the partition that has least, and are cut into pieces there. The pieces of a
/// split are numbered.
fn spread_batches(batches: Vec<RawBatch>, spread: usize, partitions: usize) -> Vec<Mutex<Vec<Numbered>>> {
    let mut lists: Vec<(usize, Vec<Numbered>)> = vec![(0, Vec::new()); partitions.max(1)];
    let mut numbers: HashMap<SplitId, usize> = HashMap::new();
    for batch in batches {
        let least = (0..spread.clamp(1, lists.len())).min_by_key(|i| lists[*i].0).unwrap_or(0);
        let next = numbers.entry(batch.split.clone()).or_default();
        lists[least].0 += batch.bytes;
        for piece in batch.pieces(PIECE_ROWS) {
            lists[least].1.push((*next, piece));
            *next += 1;
        }
    }
    lists.into_iter().map(|(_, l)| Mutex::new(l)).collect()
}

/// Runs a job's plan (whose root is an [`crate::EpochSinkExec`]) for one epoch.
///
/// The epoch has succeeded when every partition has ended and the rows that the sinks report are the rows that they
/// left: the end of a stream alone is no proof.
///
/// # Errors
/// Whatever a node of the plan reports; and a count that doesn't match.
pub async fn run_epoch(plan: &mut ReusedPlan, task: &TaskContext, context: EpochContext) -> Result<EpochOutput> {
    let plan = plan.next()?;
    let context = Arc::new(context);
    let config = task.session_config().clone().with_extension(Arc::clone(&context));
    let task = Arc::new(TaskContext::new(
        None,
        task.session_id(),
        config,
        // A physical plan holds its functions; the registries are for decoding plans.
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        task.runtime_env(),
    ));
    let partitions = plan.output_partitioning().partition_count();
    let mut reported = 0u64;
    if context.rows() > SPAWN_ABOVE_ROWS && partitions > 1 {
        let mut tasks = tokio::task::JoinSet::new();
        for partition in 0..partitions {
            let stream = plan.execute(partition, Arc::clone(&task))?;
            tasks.spawn(drain(stream));
        }
        while let Some(joined) = tasks.join_next().await {
            reported += joined.map_err(|e| DataFusionError::ExecutionJoin(Box::new(e)))??;
        }
    } else {
        for partition in 0..partitions {
            reported += drain(plan.execute(partition, Arc::clone(&task))?).await?;
        }
    }
    let batches = std::mem::take(&mut *context.output.lock());
    let bad = std::mem::take(&mut *context.bad.lock());
    let late = std::mem::take(&mut *context.late.lock());
    let latest = std::mem::take(&mut *context.latest.lock());
    let left: u64 = match &context.sink {
        Some(sink) => sink.rows(),
        None => batches.iter().map(|batch| batch.num_rows() as u64).sum(),
    };
    if left != reported {
        return exec_err!("epoch {}: sinks report {reported} rows, {left} were left", context.epoch);
    }
    Ok(EpochOutput { batches, bad, late, latest })
}

/// Reads a sink partition to its end and sums the rows that it reports.
async fn drain(mut stream: datafusion::physical_plan::SendableRecordBatchStream) -> Result<u64> {
    let mut rows = None;
    while let Some(batch) = stream.next().await {
        rows = Some(rows.unwrap_or(0) + crate::epoch_sink::reported_rows(&batch?)?);
    }
    rows.ok_or_else(|| DataFusionError::Execution("a sink partition ended without its report".into()))
}
