//! The leaf of a job's plan: the epoch's raw batches of one source, decoded.

use crate::epoch::EpochContext;
use crate::stream_rows::{StreamRows, bad_records};
use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, ReplaceChildrenOptions,
    SendableRecordBatchStream,
};
use salamander_connector_api::RawBatch;
use std::fmt;
use std::sync::Arc;

/// Rows that go through the plan together: as many as the CPU's cache holds with their payload and their columns.
const PIECE_ROWS: usize = 1_024;

/// Decodes what the epoch has for one source and plan partition. Bad rows are left in the epoch's context.
///
/// Declared bounded: an epoch's input is.
#[derive(Debug)]
pub struct EpochSourceExec {
    /// The table's name, for EXPLAIN.
    table: String,
    /// Which of the job's sources.
    source: usize,
    rows: StreamRows,
    properties: Arc<PlanProperties>,
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
        Self { table, source, rows, properties: Arc::new(properties) }
    }
}

impl DisplayAs for EpochSourceExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<_> = self.rows.schema().fields().iter().map(|f| f.name().as_str()).collect();
        write!(f, "EpochSourceExec: table={}, columns=[{}]", self.table, columns.join(", "))
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

    fn execute(&self, partition: usize, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let context = EpochContext::of(&task)?;
        let (source, rows) = (self.source, self.rows.clone());
        let decode = move |raw: RawBatch| -> Result<RecordBatch> {
            let made = rows.rows(&raw)?;
            if !made.bad.is_empty() {
                context.leave_bad(source, bad_records(context.job.as_str(), &raw, &made.bad)?);
            }
            if let Some(latest) = made.latest {
                context.leave_latest(source, &raw.split, latest);
            }
            Ok(made.batch)
        };
        // Taken when first polled: `execute` itself has no effect.
        let inputs = {
            let context = EpochContext::of(&task)?;
            futures::StreamExt::boxed(futures::stream::once(async move { context.take_input(source, partition) }))
        };
        let pieces = futures::StreamExt::flat_map(inputs, |batches: Vec<RawBatch>| {
            futures::stream::iter(batches.into_iter().flat_map(|batch| batch.pieces(PIECE_ROWS)))
        });
        let stream = futures::StreamExt::map(pieces, decode);
        Ok(Box::pin(datafusion::physical_plan::coop::cooperative(RecordBatchStreamAdapter::new(
            Arc::clone(self.rows.schema()),
            stream,
        ))))
    }
}
