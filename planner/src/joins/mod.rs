//! Joins of a job: those of two streams within bounds of their event times become [`IntervalJoin`]s.
//!
//! DataFusion first makes joins of EXISTS and IN, and brings conditions from WHERE into the join that they are about. Then
//! each condition of a join is told apart: an equality is a key, one between the event times a bound, and the rest is the
//! join's filter.

mod conditions;
mod node;

use crate::error::PlanError;
use crate::windows::carry;
use conditions::Conditions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, NullEquality, Result};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, Extension, Join, LogicalPlan};
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use node::IntervalJoin;
pub(crate) use node::JoinPlanner;
use salamander_operators::WindowSpec;
use std::sync::Arc;

/// Replaces a job's joins.
///
/// # Errors
/// When one isn't between two streams within bounds of their event times.
pub(crate) fn make_continuous(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    if !has(&plan, |node| matches!(node, LogicalPlan::Join(_) | LogicalPlan::Subquery(_)))? {
        return Ok(plan);
    }
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
        Arc::new(SimplifyExpressions::new()),
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(PushDownFilter::new()),
    ];
    let plan = Optimizer::with_rules(rules).optimize(plan, state, |_, _| {})?;
    let mut operators = 0;
    let replaced = plan.transform_up(|node| match node {
        LogicalPlan::Join(join) if !(aggregates(&join.left)? && aggregates(&join.right)?) => {
            let operator = format!("join-{operators}");
            operators += 1;
            let node = Arc::new(interval_join(&join, operator)?);
            Ok(Transformed::yes(LogicalPlan::Extension(Extension { node })))
        }
        other => Ok(Transformed::no(other)),
    });
    replaced.map(|plan| plan.data)
}

fn refuse<T>(message: impl Into<String>) -> Result<T> {
    Err(crate::binding::external(PlanError::Invalid(message.into())))
}

fn has(plan: &LogicalPlan, what: impl Fn(&LogicalPlan) -> bool) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= what(node);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn aggregates(plan: &LogicalPlan) -> Result<bool> {
    has(plan, |node| matches!(node, LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_)))
}

fn interval_join(join: &Join, operator: String) -> Result<IntervalJoin> {
    for side in [&join.left, &join.right] {
        if aggregates(side)? {
            return refuse(
                "a job can't join the result of an aggregate yet: write one job for the aggregate, and join in a SELECT",
            );
        }
        if has(side, |node| matches!(node, LogicalPlan::Extension(_)))? {
            return refuse(
                "a job can have one join yet: write the rows of the first one into a table by a job of their own, and \
                 join the others in a SELECT",
            );
        }
    }
    match join.join_type {
        JoinType::LeftMark | JoinType::RightMark => {
            return refuse(
                "a job can have EXISTS and IN only as a condition of its own in WHERE, joined to the others by AND",
            );
        }
        _ if join.null_aware => {
            return refuse("a job can't have NOT IN with a subquery, whose NULLs match everything: write NOT EXISTS");
        }
        _ if join.null_equality == NullEquality::NullEqualsNull => {
            return refuse("a job's join can't have keys of which NULL equals NULL: write = in its condition");
        }
        _ => {}
    }
    let equalities = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
    let filters = join.filter.iter().flat_map(|filter| datafusion::logical_expr::utils::split_conjunction(filter));
    let conditions = Conditions::of(join, equalities.chain(filters.cloned()))?;
    let bounds = conditions.bounds()?;
    let (left, right) = (
        carry::carry(&join.left, WindowSpec::instant(), carry::From::Streams)?,
        carry::carry(&join.right, WindowSpec::instant(), carry::From::Streams)?,
    );
    let (Some(left_time), Some(right_time)) = (left.time(), right.time()) else {
        return refuse("the event time is lost on its way to the join");
    };
    // Windows that overlap are no columns any more when the event time has been carried.
    for (old, new) in [(&join.left, &left.plan), (&join.right, &right.plan)] {
        if new.schema().fields().len() != old.schema().fields().len() + 1 {
            return refuse("a job can join streams by tumbling windows only: windows that overlap aren't joined yet");
        }
    }
    let filter = conditions.filter.into_iter().reduce(Expr::and);
    let (left_keys, right_keys) = conditions.keys.into_iter().unzip();
    IntervalJoin::try_new(
        operator,
        join.join_type,
        bounds,
        [left_keys, right_keys],
        [left_time, right_time],
        filter,
        [left.plan, right.plan],
    )
}
