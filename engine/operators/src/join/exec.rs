//! The plan node of a join of two streams.

use super::probe::{Probe, assemble};
use super::spec::{JoinSpec, Side};
use super::state::JoinState;
use crate::epoch::EpochContext;
use arrow::array::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties, ReplaceChildrenOptions, SendableRecordBatchStream,
};
use futures::StreamExt;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// Joins two streams by keys within bounds of event time, over epochs.
///
/// Each plan partition joins its rows with the state that all of them share. The first one begins each epoch by giving
/// out the rows that have matched nothing and that nothing can match any more.
#[derive(Debug)]
pub struct IntervalJoinExec {
    /// Stable as long as the query is: state is stored under it.
    operator: String,
    spec: Arc<JoinSpec>,
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl IntervalJoinExec {
    /// A join of the rows of two inputs.
    pub fn new(
        operator: String,
        spec: Arc<JoinSpec>,
        left: Arc<dyn ExecutionPlan>,
        right: Arc<dyn ExecutionPlan>,
    ) -> Self {
        let partitions =
            left.output_partitioning().partition_count().max(right.output_partitioning().partition_count());
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&spec.output)),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { operator, spec, left, right, properties: Arc::new(properties) }
    }

    /// What its state is stored under.
    pub fn operator(&self) -> &str {
        &self.operator
    }

    /// Empty state for it.
    pub(crate) fn state(&self) -> JoinState {
        JoinState::new(self.operator.clone(), Arc::clone(&self.spec))
    }
}

impl DisplayAs for IntervalJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.spec.keys[0].iter().zip(&self.spec.keys[1]).map(|(l, r)| format!("{l} = {r}"));
        let keys = keys.collect::<Vec<_>>().join(", ");
        write!(f, "IntervalJoinExec: {}, on=[{keys}], bounds=[{}]", self.spec.kind, self.spec.bounds)?;
        self.spec.condition.as_ref().map_or(Ok(()), |condition| write!(f, ", filter=[{}]", condition.expression))
    }
}

impl ExecutionPlan for IntervalJoinExec {
    fn name(&self) -> &'static str {
        "IntervalJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.left, &self.right]
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
        let (Some(right), Some(left)) = (children.pop(), children.pop()) else {
            return internal_err!("IntervalJoinExec needs its two inputs");
        };
        Ok(Arc::new(Self::new(self.operator.clone(), Arc::clone(&self.spec), left, right)))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let context = EpochContext::of(&task)?;
        let state: Arc<JoinState> = context.states().of(&self.operator)?;
        let input = |plan: &Arc<dyn ExecutionPlan>| {
            let there = partition < plan.output_partitioning().partition_count();
            there.then(|| plan.execute(partition, Arc::clone(&task))).transpose()
        };
        let inputs = [input(&self.left)?, input(&self.right)?];
        let run = Run { state, context, closes: partition == 0, inputs, probe: None, ready: VecDeque::new() };
        let stream =
            futures::stream::try_unfold(run, |mut run| async move { Ok(run.next().await?.map(|batch| (batch, run))) });
        let stream = RecordBatchStreamAdapter::new(self.schema(), stream.boxed());
        Ok(Box::pin(datafusion::physical_plan::coop::cooperative(stream)))
    }
}

/// One plan partition in one epoch.
struct Run {
    state: Arc<JoinState>,
    context: Arc<EpochContext>,
    /// What has closed is still to be given out.
    closes: bool,
    inputs: [Option<SendableRecordBatchStream>; 2],
    probe: Option<Probe>,
    ready: VecDeque<RecordBatch>,
}

impl Run {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            if std::mem::take(&mut self.closes) {
                self.close()?;
            } else if let Some(probe) = &mut self.probe {
                match probe.step()? {
                    Some(given) => self.ready.extend(given),
                    None => self.probe = None,
                }
            } else {
                let Some((side, batch)) = self.take().await? else { return Ok(None) };
                if batch.num_rows() > 0 {
                    let watermark = self.context.time().watermark;
                    self.probe = Some(Probe::enter(Arc::clone(&self.state), side, batch, watermark)?);
                }
            }
        }
    }

    fn close(&mut self) -> Result<()> {
        let Some(watermark) = self.context.time().watermark else { return Ok(()) };
        for (side, rows) in self.state.close(self.context.states().store(), watermark)? {
            self.ready.push_back(assemble(self.state.spec(), side, Some(&rows), None, rows.num_rows())?);
        }
        Ok(())
    }

    /// The next batch: all of the left input, then the right one. All partitions read in this order, so that none waits
    /// for rows that another reads only after it.
    async fn take(&mut self) -> Result<Option<(Side, RecordBatch)>> {
        for side in Side::BOTH {
            if let Some(input) = &mut self.inputs[side.index()] {
                match input.next().await {
                    Some(batch) => return Ok(Some((side, batch?))),
                    None => self.inputs[side.index()] = None,
                }
            }
        }
        Ok(None)
    }
}
