//! The root of a job's plan: hands the output rows to the epoch's context and reports how many.

use crate::epoch::EpochContext;
use arrow::array::{Array, ArrayRef, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, ReplaceChildrenOptions,
    SendableRecordBatchStream,
};
use futures::StreamExt;
use std::fmt;
use std::sync::{Arc, LazyLock};

/// After a batch of so many rows the task lets others run.
const YIELD_ROWS: usize = 1_024;

/// One report a partition, even of no rows: `rows UINT64`.
static REPORT: LazyLock<SchemaRef> =
    LazyLock::new(|| Arc::new(Schema::new(vec![Field::new("rows", DataType::UInt64, false)])));

/// Takes the rows of its input (already in the target's schema). Its output is one [`REPORT`] row a partition.
#[derive(Debug)]
pub struct EpochSinkExec {
    /// The target's name, for EXPLAIN.
    target: String,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl EpochSinkExec {
    /// A sink over the job's plan, with as many partitions.
    pub fn new(target: String, input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&REPORT)),
            input.output_partitioning().clone(),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self { target, input, properties: Arc::new(properties) }
    }
}

/// The rows that a sink's report counts.
pub(crate) fn reported_rows(report: &RecordBatch) -> Result<u64> {
    report
        .columns()
        .first()
        .and_then(|c| c.as_any().downcast_ref::<UInt64Array>())
        .map(|a| a.values().iter().sum())
        .ok_or_else(|| internal_datafusion_err!("a sink's report has another schema"))
}

impl DisplayAs for EpochSinkExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EpochSinkExec: target={}", self.target)
    }
}

impl ExecutionPlan for EpochSinkExec {
    fn name(&self) -> &'static str {
        "EpochSinkExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| internal_datafusion_err!("EpochSinkExec needs its input"))?;
        Ok(Arc::new(Self::new(self.target.clone(), input)))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        use datafusion::physical_plan::ChildrenPropertiesMode;
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let context = EpochContext::of(&task)?;
        let mut input = self.input.execute(partition, task)?;
        let report = async move {
            let mut rows = 0u64;
            let mut writer = context.output_writer();
            while let Some(batch) = input.next().await {
                let batch = batch?;
                let made = batch.num_rows();
                if made > 0 {
                    rows += made as u64;
                    match &mut writer {
                        Some(writer) => writer.write(&batch)?,
                        None => context.leave_output(batch),
                    }
                }
                if made >= YIELD_ROWS {
                    // A backlog keeps every poll busy for milliseconds: queries and heartbeats get their turn here.
                    tokio::task::yield_now().await;
                }
            }
            if let Some(writer) = writer {
                writer.finish()?;
            }
            let rows: ArrayRef = Arc::new(UInt64Array::from(vec![rows]));
            Ok(RecordBatch::try_new(Arc::clone(&REPORT), vec![rows])?)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&REPORT), futures::stream::once(report))))
    }
}
