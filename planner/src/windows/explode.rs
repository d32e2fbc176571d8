//! `window(…)` in a plan that runs row by row, or as a batch: one row for each window that a row is in.
//!
//! As in Spark, a row without a time is in no window and goes; a query has one kind of windows at a time.

use super::functions::{list_windows, window_call};
use super::sessions::number_sessions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, UnnestOptions, plan_err};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, Projection};
use salamander_operators::WindowSpec;
use std::sync::Arc;

/// The column that the exploded window is in.
const EXPLODED: &str = "__window";

/// Replaces the windows of a plan by rows.
///
/// # Errors
/// When windows that overlap stand where they can't be replaced, or a part of the query has two kinds of them.
pub(crate) fn explode(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = number_sessions(plan)?;
    let exploded = plan.transform_up(|node| match node {
        LogicalPlan::Projection(projection) => {
            let Some((call, windows, time)) = only_call(&projection.expr)? else {
                return Ok(Transformed::no(LogicalPlan::Projection(projection)));
            };
            let (input, expressions) = explode_input(&projection.input, projection.expr, &call, windows, time)?;
            Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(expressions, Arc::new(input))?)))
        }
        LogicalPlan::Aggregate(aggregate) => {
            let all: Vec<_> = aggregate.group_expr.iter().chain(&aggregate.aggr_expr).cloned().collect();
            let Some((call, windows, time)) = only_call(&all)? else {
                return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
            };
            let (input, mut group) = explode_input(&aggregate.input, all, &call, windows, time)?;
            let functions = group.split_off(aggregate.group_expr.len());
            Ok(Transformed::yes(LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), group, functions)?)))
        }
        other => {
            let calls = calls(&other.expressions())?;
            if calls.iter().any(|(_, windows, _)| windows.is_session()) {
                return plan_err!("session_window() can stand in GROUP BY only: a session is made of several rows");
            }
            if calls.iter().any(|(_, windows, _)| !windows.is_tumbling()) {
                return plan_err!(
                    "windows that overlap can stand in GROUP BY and in SELECT only: put the condition on the window \
                     into HAVING, or into the WHERE of a query around this one"
                );
            }
            Ok(Transformed::no(other))
        }
    });
    exploded.map(|plan| plan.data)
}

type Call = (Expr, WindowSpec, Expr);

/// The different calls among expressions.
fn calls(expressions: &[Expr]) -> Result<Vec<Call>> {
    let mut found: Vec<Call> = Vec::new();
    for expression in expressions {
        expression.apply(|part| {
            if let Some((windows, time)) = window_call(part)? {
                if !found.iter().any(|(call, _, _)| call == part) {
                    found.push((part.clone(), windows, time.clone()));
                }
                return Ok(TreeNodeRecursion::Jump);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok(found)
}

fn only_call(expressions: &[Expr]) -> Result<Option<Call>> {
    let mut found = calls(expressions)?;
    if found.iter().any(|(_, windows, _)| windows.is_session()) {
        return plan_err!("session_window() can stand in GROUP BY only: a session is made of several rows");
    }
    if found.len() > 1 {
        return plan_err!("a query can have one kind of windows at a time: put the others into subqueries");
    }
    Ok(found.pop())
}

/// The input with a row for each window, and the expressions over it, under their old names.
fn explode_input(
    input: &LogicalPlan,
    expressions: Vec<Expr>,
    call: &Expr,
    windows: WindowSpec,
    time: Expr,
) -> Result<(LogicalPlan, Vec<Expr>)> {
    let input = LogicalPlanBuilder::from(input.clone());
    if windows.is_tumbling() {
        return Ok((input.filter(time.is_not_null())?.build()?, expressions));
    }
    let columns = input.schema().columns().into_iter().map(Expr::Column);
    let listed = columns.chain([list_windows(windows, time).alias(EXPLODED)]).collect::<Vec<_>>();
    let options = UnnestOptions::new().with_preserve_nulls(false);
    let input = input.project(listed)?.unnest_column_with_options(Column::from_name(EXPLODED), options)?.build()?;
    let window = Expr::Column(Column::from_name(EXPLODED));
    let replaced = expressions.into_iter().map(|expression| {
        let (qualifier, name) = expression.qualified_name();
        let new = expression.transform_down(|part| {
            Ok(if part == *call { Transformed::yes(window.clone()) } else { Transformed::no(part) })
        })?;
        Ok(if new.transformed { new.data.alias_qualified(qualifier, name) } else { new.data })
    });
    Ok((input, replaced.collect::<Result<_>>()?))
}
