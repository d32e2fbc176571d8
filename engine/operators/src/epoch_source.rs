//! The leaf of a job's plan: the epoch's raw batches of one source, decoded.

use crate::epoch::{EpochContext, Numbered};
use crate::late::judge;
use crate::stream_rows::{Rows, StreamRows, bad_records, late_records};
use crate::window::WindowSpec;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, Time};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, ReplaceChildrenOptions,
    SendableRecordBatchStream,
};
use futures::StreamExt;
use salamander_connector_api::{RawBatch, timestamp_type};
use std::fmt;
use std::sync::Arc;

/// Decodes what the epoch has for one source and plan partition. Bad rows are left in the epoch's context.
///
/// Where windows follow, rows that come too late for them are left in the context as well. Declared bounded: an epoch's
/// input is.
#[derive(Debug, Clone)]
pub struct EpochSourceExec {
    /// The table's name, for EXPLAIN.
    table: String,
    /// Which of the job's sources.
    source: usize,
    rows: StreamRows,
    lateness: Option<Lateness>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// By which windows rows are judged.
#[derive(Debug, Clone, Copy)]
struct Lateness {
    windows: WindowSpec,
    /// Where the watermark before each row stands among the columns, if it does.
    watermark: Option<usize>,
}

/// The column that holds the watermark before each row.
pub const WATERMARK_COLUMN: &str = "_watermark";

/// The column [`WATERMARK_COLUMN`].
pub fn watermark_field() -> Field {
    Field::new(WATERMARK_COLUMN, timestamp_type(), true)
}

impl EpochSourceExec {
    /// A leaf over a job's `source`-th source, with as many plan partitions.
    pub fn new(table: String, source: usize, rows: StreamRows, partitions: usize) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(rows.schema())),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            table,
            source,
            rows,
            lateness: None,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// The same before windows of the table's event time: rows that come too late for them are put aside.
    /// `watermark` is where among its columns the source adds the watermark before each row, if it is wanted.
    #[must_use]
    pub fn with_windows(mut self, windows: WindowSpec, watermark: Option<usize>) -> Self {
        self.lateness = Some(Lateness { windows, watermark });
        if let Some(at) = watermark {
            let mut fields: Vec<_> = self.rows.schema().fields().iter().cloned().collect();
            fields.insert(at.min(fields.len()), Arc::new(watermark_field()));
            self.properties = Arc::new(PlanProperties::new(
                EquivalenceProperties::new(Arc::new(Schema::new(fields))),
                self.properties.partitioning.clone(),
                EmissionType::Incremental,
                Boundedness::Bounded,
            ));
        }
        self
    }

    fn decoding(&self, context: Arc<EpochContext>) -> Decoding {
        Decoding {
            context,
            source: self.source,
            rows: self.rows.clone(),
            lateness: self.lateness,
            schema: self.schema(),
        }
    }
}

/// What it takes to decode an epoch's batches.
#[derive(Debug, Clone)]
struct Decoding {
    context: Arc<EpochContext>,
    source: usize,
    rows: StreamRows,
    lateness: Option<Lateness>,
    schema: SchemaRef,
}

impl Decoding {
    /// The rows of a batch; `busy` takes the time of decoding, not of waiting for the batches before.
    async fn decode(self, (number, raw): Numbered, busy: &Time) -> Result<RecordBatch> {
        let timer = busy.timer();
        let made = self.rows.rows(&raw)?;
        timer.done();
        if !made.bad.is_empty() {
            self.context.leave_bad(self.source, bad_records(self.context.job.as_str(), &raw, &made.bad)?);
        }
        if let Some(latest) = made.latest {
            self.context.leave_latest(self.source, &raw.split, latest);
        }
        match self.lateness {
            Some(lateness) => self.judge(lateness, number, &raw, made).await,
            None => Ok(made.batch),
        }
    }

    async fn judge(&self, lateness: Lateness, number: usize, raw: &RawBatch, made: Rows) -> Result<RecordBatch> {
        let delay = self.rows.event_time().map_or(0, |time| time.delay_micros);
        let after = made.latest.map(|latest| latest.saturating_sub(delay));
        let before = self.context.splits().pass(self.source, &raw.split, number, after).await;
        let Some(times) = &made.times else { return Ok(made.batch) };
        let judged = judge(times, &lateness.windows, delay, before, lateness.watermark.is_some());
        if !judged.late.is_empty() {
            let late = late_records(self.context.job.as_str(), raw, &made, &judged.late)?;
            self.context.leave_late(self.source, late);
        }
        let mut watermarks = judged.watermarks.map(|w| Arc::new(w) as ArrayRef);
        let mut batch = made.batch;
        if let Some(kept) = &judged.kept {
            batch = take_record_batch(&batch, kept)?;
            watermarks = watermarks.map(|w| take(&w, kept, None)).transpose()?;
        }
        let Some(at) = lateness.watermark else { return Ok(batch) };
        let rows = batch.num_rows();
        let mut columns = batch.columns().to_vec();
        columns.insert(at, watermarks.unwrap_or_else(|| new_null_array(&timestamp_type(), rows)));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

impl DisplayAs for EpochSourceExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.schema();
        let columns: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        write!(f, "EpochSourceExec: table={}, columns=[{}]", self.table, columns.join(", "))?;
        self.lateness.map_or(Ok(()), |lateness| write!(f, ", late after=[{}]", lateness.windows))
    }
}

impl ExecutionPlan for EpochSourceExec {
    fn name(&self) -> &'static str {
        "EpochSourceExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    /// The same leaf without what its runs have counted.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self { metrics: ExecutionPlanMetricsSet::new(), ..self.as_ref().clone() }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let context = EpochContext::of(&task)?;
        let (decoding, source) = (self.decoding(Arc::clone(&context)), self.source);
        // Taken when first polled: `execute` itself has no effect.
        let inputs = futures::stream::once(async move { context.take_input(source, partition) }).boxed();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let stream = inputs.flat_map(futures::stream::iter).then(move |raw| {
            let (decoding, metrics) = (decoding.clone(), metrics.clone());
            async move {
                let rows = decoding.decode(raw, metrics.elapsed_compute()).await?;
                metrics.record_output(rows.num_rows());
                Ok(rows)
            }
        });
        let stream = stream.boxed();
        Ok(Box::pin(datafusion::physical_plan::coop::cooperative(RecordBatchStreamAdapter::new(self.schema(), stream))))
    }
}
