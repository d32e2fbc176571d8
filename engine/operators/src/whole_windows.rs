//! What a query does with windows once they are whole: ranks, joins, DISTINCT and aggregates over the results of windowed
//! aggregates.
//!
//! A window's rows are all emitted in one epoch. So whatever works window by window needs no state: it is DataFusion's own
//! plan over the rows of that epoch, and most epochs, in which no window closes, don't run it.

use crate::epoch::EpochContext;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_datafusion_err, internal_err};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties, ReplaceChildrenOptions, SendableRecordBatchStream, displayable,
};
use futures::{StreamExt, TryStreamExt};
use std::fmt;
use std::sync::Arc;

/// Runs a plan over the rows that windowed aggregates emit in an epoch, if they emit any.
///
/// Its inputs are those aggregates; [`ClosedRowsExec`] stands for each of them in `inner`, whose output it gives, all of
/// it in the first plan partition, where the aggregates emit.
#[derive(Debug)]
pub struct WholeWindowsExec {
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    inner: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl WholeWindowsExec {
    /// `inner` over what `inputs` emit. It must have one partition.
    pub fn new(inputs: Vec<Arc<dyn ExecutionPlan>>, inner: Arc<dyn ExecutionPlan>) -> Self {
        let partitions = inputs.iter().map(|input| input.output_partitioning().partition_count()).max();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(inner.schema()),
            Partitioning::UnknownPartitioning(partitions.unwrap_or(1)),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self { inputs, inner, properties: Arc::new(properties) }
    }
}

/// The plan over an epoch's rows: new nodes without what a run leaves in them, such as a join's table of its left side.
fn over(inner: &Arc<dyn ExecutionPlan>, rows: &[Vec<RecordBatch>]) -> Result<Arc<dyn ExecutionPlan>> {
    let replaced = Arc::clone(inner).transform_up(|node| {
        let Some(leaf) = node.downcast_ref::<ClosedRowsExec>() else { return node.reset_state().map(Transformed::yes) };
        let batches = rows.get(leaf.index).ok_or_else(|| internal_datafusion_err!("{} has no input", leaf.index))?;
        let leaf = MemorySourceConfig::try_new_exec(std::slice::from_ref(batches), leaf.schema(), None)?;
        Ok(Transformed::yes(leaf as Arc<dyn ExecutionPlan>))
    });
    replaced.map(|plan| plan.data)
}

async fn run(
    inputs: Vec<SendableRecordBatchStream>,
    inner: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
    partition: usize,
) -> Result<Option<SendableRecordBatchStream>> {
    let mut rows = Vec::with_capacity(inputs.len());
    for input in inputs {
        let batches: Vec<RecordBatch> =
            input.try_filter(|b| std::future::ready(b.num_rows() > 0)).try_collect().await?;
        rows.push(batches);
    }
    if rows.iter().all(Vec::is_empty) {
        return Ok(None);
    }
    if partition > 0 {
        return internal_err!("windows were emitted in plan partition {partition}");
    }
    over(&inner, &rows)?.execute(0, task).map(Some)
}

impl DisplayAs for WholeWindowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        let mut next = Some(&self.inner);
        while let Some(node) = next {
            lines.push(displayable(node.as_ref()).one_line().to_string().trim_end().to_owned());
            let children = node.children();
            next = if let [only] = children.as_slice() { Some(*only) } else { None };
        }
        write!(f, "WholeWindowsExec: once a window is whole, {}", lines.join(" <- "))
    }
}

impl ExecutionPlan for WholeWindowsExec {
    fn name(&self) -> &'static str {
        "WholeWindowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().collect()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(children, Arc::clone(&self.inner))))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        EpochContext::of(&task)?;
        let inputs = self.inputs.iter().filter(|i| partition < i.output_partitioning().partition_count());
        let inputs = inputs.map(|i| i.execute(partition, Arc::clone(&task))).collect::<Result<Vec<_>>>()?;
        let running = run(inputs, Arc::clone(&self.inner), task, partition);
        let rows = futures::stream::once(running)
            .map_ok(|rows| rows.map_or_else(|| futures::stream::empty().boxed(), StreamExt::boxed))
            .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

/// Stands for the rows of one of a [`WholeWindowsExec`]'s inputs in its inner plan. Never runs itself.
#[derive(Debug)]
pub struct ClosedRowsExec {
    index: usize,
    properties: Arc<PlanProperties>,
}

impl ClosedRowsExec {
    /// The rows of the input at `index`.
    pub fn new(index: usize, schema: SchemaRef) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self { index, properties: Arc::new(properties) }
    }
}

impl DisplayAs for ClosedRowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "input {}", self.index)
    }
}

impl ExecutionPlan for ClosedRowsExec {
    fn name(&self) -> &'static str {
        "ClosedRowsExec"
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

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        internal_err!("the rows of closed windows were read outside of their epoch")
    }
}
