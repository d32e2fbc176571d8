//! Parts of a job's query that work on whole windows: they become a plan of their own, run when windows close.

use super::marks::marks;
use super::node::WindowAggregate;
use crate::binding::external;
use crate::error::PlanError;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// A plan over what windowed aggregates emit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) struct WholeWindows {
    inputs: Vec<LogicalPlan>,
    /// Reads the inputs by [`ClosedRows`].
    inner: LogicalPlan,
}

/// The rows of one input of a [`WholeWindows`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ClosedRows {
    pub(crate) index: usize,
    schema: DFSchemaRef,
}

/// Sets apart the largest parts of a plan that work on whole windows.
///
/// # Errors
/// When a part over a windowed aggregate needs rows of several windows at once.
pub(crate) fn set_apart(plan: LogicalPlan) -> Result<LogicalPlan> {
    let replaced = plan.transform_down(|node| {
        let Some(what) = needs_whole_windows(&node) else { return Ok(Transformed::no(node)) };
        if !reads_windows(&node)? {
            return Ok(Transformed::no(node));
        }
        if marks(&node)?.is_none() {
            return not_whole(what);
        }
        let whole = LogicalPlan::Extension(Extension { node: Arc::new(WholeWindows::over(node)?) });
        Ok(Transformed::new(whole, true, TreeNodeRecursion::Jump))
    });
    replaced.map(|plan| plan.data)
}

pub(crate) const AGGREGATE: &str = "an aggregate over windows must be by the window, or by a window over it";

fn needs_whole_windows(node: &LogicalPlan) -> Option<&'static str> {
    match node {
        LogicalPlan::Aggregate(_) => Some(AGGREGATE),
        LogicalPlan::Window(_) => Some("a window function over windows must have the window in its PARTITION BY"),
        LogicalPlan::Distinct(_) => Some("DISTINCT over windows must have the window among its columns"),
        LogicalPlan::Join(_) => Some(
            "a join of windowed aggregates must be ON equal windows of both sides: ON a.window_end = b.window_end AND …",
        ),
        _ => None,
    }
}

/// Refuses what rows of one window can't answer.
pub(crate) fn not_whole<T>(what: &str) -> Result<T> {
    Err(external(PlanError::Invalid(format!(
        "in a job, {what}: its rows are complete when their window has closed, rows of all windows never are. Or write it \
         as an ordinary SELECT over the job's table"
    ))))
}

/// True if a windowed aggregate is among what a plan reads.
pub(crate) fn reads_windows(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|node| Ok(as_aggregate(node).is_some()))
}

/// True if an aggregate of all of time is among what a plan reads.
pub(crate) fn reads_global(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|node| Ok(as_aggregate(node).is_some_and(|aggregate| aggregate.windows.is_global())))
}

pub(crate) fn as_aggregate(plan: &LogicalPlan) -> Option<&WindowAggregate> {
    match plan {
        LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
        _ => None,
    }
}

impl WholeWindows {
    fn over(plan: LogicalPlan) -> Result<Self> {
        let mut inputs = Vec::new();
        let inner = plan.transform_down(|node| {
            if as_aggregate(&node).is_none() {
                return Ok(Transformed::no(node));
            }
            let leaf = ClosedRows { index: inputs.len(), schema: Arc::clone(node.schema()) };
            inputs.push(node);
            Ok(Transformed::new(
                LogicalPlan::Extension(Extension { node: Arc::new(leaf) }),
                true,
                TreeNodeRecursion::Jump,
            ))
        })?;
        Ok(Self { inputs, inner: inner.data })
    }

    /// What is done with the windows.
    pub(crate) fn inner(&self) -> &LogicalPlan {
        &self.inner
    }
}

impl UserDefinedLogicalNodeCore for WholeWindows {
    fn name(&self) -> &'static str {
        "WholeWindows"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        self.inputs.iter().collect()
    }

    fn schema(&self) -> &DFSchemaRef {
        self.inner.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        let listed = self.inner.apply(|node| {
            lines.push(node.display().to_string());
            Ok(TreeNodeRecursion::Continue)
        });
        listed.map_err(|_| fmt::Error)?;
        write!(f, "WholeWindows: {}", lines.join(" <- "))
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        if inputs.len() != self.inputs.len() {
            return internal_err!("WholeWindows has {} inputs instead of {}", inputs.len(), self.inputs.len());
        }
        Ok(Self { inputs, inner: self.inner.clone() })
    }
}

impl PartialOrd for ClosedRows {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.index.cmp(&other.index) {
            Ordering::Equal if self.schema != other.schema => None,
            order => Some(order),
        }
    }
}

impl UserDefinedLogicalNodeCore for ClosedRows {
    fn name(&self) -> &'static str {
        "ClosedRows"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "input {}", self.index)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, _: Vec<LogicalPlan>) -> Result<Self> {
        Ok(self.clone())
    }
}
