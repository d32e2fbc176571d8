//! A job's plan, which runs once an epoch for as long as the job does.
//!
//! Every run of a DataFusion node leaves its figures (rows, time) in the node, and some nodes leave more: a join its table,
//! an exchange its channels. So before each run after the first the figures are added up, and the plan is made anew from
//! its own nodes: otherwise a job would take more memory with each epoch (18 KB for the users' transformation). That
//! costs about 0.02 ms; less often, the same in larger pieces, which the slowest epochs would show.

use datafusion::common::Result;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use std::sync::Arc;

/// What a node of the plan has done since the generation began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeFigures {
    /// How deep it stands below the sink.
    pub depth: usize,
    /// The node, as in EXPLAIN.
    pub text: String,
    /// The operator's id, if it keeps state.
    pub operator: Option<String>,
    /// Rows that it gave.
    pub rows: u64,
    /// Nanoseconds that its own work took, of all plan partitions together.
    pub nanos: u64,
}

/// A plan and its figures.
#[derive(Debug)]
pub struct ReusedPlan {
    plan: Arc<dyn ExecutionPlan>,
    has_run: bool,
    /// Of the runs before the last, in the order of [`visit`].
    totals: Vec<NodeFigures>,
}

impl ReusedPlan {
    /// The plan before its first run.
    pub fn new(plan: &Arc<dyn ExecutionPlan>) -> Self {
        let mut totals = Vec::new();
        visit(plan, 0, &mut |node, depth| {
            let text = displayable(node.as_ref()).one_line().to_string().trim_end().to_owned();
            let operator = crate::states::operator_of(node);
            totals.push(NodeFigures { depth, text, operator, rows: 0, nanos: 0 });
        });
        Self { plan: Arc::clone(plan), has_run: false, totals }
    }

    /// The plan for one run more.
    ///
    /// # Errors
    /// When a node can't be made anew.
    pub(crate) fn next(&mut self) -> Result<&Arc<dyn ExecutionPlan>> {
        if self.has_run {
            add(&self.plan, &mut self.totals);
            self.plan = reset_plan_states(Arc::clone(&self.plan))?;
        }
        self.has_run = true;
        Ok(&self.plan)
    }

    /// What each node has done, the sink first, each before those that it reads.
    pub fn figures(&self) -> Vec<NodeFigures> {
        let mut figures = self.totals.clone();
        add(&self.plan, &mut figures);
        figures
    }
}

/// Adds what the nodes of a plan have counted.
fn add(plan: &Arc<dyn ExecutionPlan>, figures: &mut [NodeFigures]) {
    let mut nodes = figures.iter_mut();
    visit(plan, 0, &mut |node, _| {
        if let (Some(figures), Some(metrics)) = (nodes.next(), node.metrics()) {
            figures.rows += metrics.output_rows().unwrap_or(0) as u64;
            figures.nanos += metrics.elapsed_compute().unwrap_or(0) as u64;
        }
    });
}

fn visit(plan: &Arc<dyn ExecutionPlan>, depth: usize, see: &mut dyn FnMut(&Arc<dyn ExecutionPlan>, usize)) {
    see(plan, depth);
    plan.children().into_iter().for_each(|child| visit(child, depth + 1, see));
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::datasource::memory::MemorySourceConfig;
    use datafusion::execution::TaskContext;
    use datafusion::physical_expr::expressions::Column;
    use datafusion::physical_plan::projection::ProjectionExec;
    use futures::TryStreamExt;

    #[tokio::test]
    async fn figures_add_up_and_do_not_pile_up() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(vec![1, 2, 3]))]).unwrap();
        let rows = MemorySourceConfig::try_new_exec(&[vec![batch]], schema, None).unwrap();
        let column = Arc::new(Column::new("n", 0)) as _;
        let plan: Arc<dyn ExecutionPlan> =
            Arc::new(ProjectionExec::try_new(vec![(column, "m".to_owned())], rows).unwrap());
        let mut plan = ReusedPlan::new(&plan);
        let mut most = 0;
        for _ in 0..1_000 {
            let stream = plan.next().unwrap().execute(0, Arc::new(TaskContext::default())).unwrap();
            let batches: Vec<_> = stream.try_collect().await.unwrap();
            assert_eq!(batches.len(), 1);
            most = most.max(plan.plan.metrics().unwrap().iter().count());
        }
        let figures = plan.figures();
        assert_eq!(figures[0].rows, 3_000, "{figures:?}");
        assert!(figures[0].nanos > 0 && figures[0].text.contains("m"), "{figures:?}");
        assert_eq!((figures[0].depth, figures[1].depth), (0, 1));
        assert!(most < 20, "{most} figures are kept");
    }
}
