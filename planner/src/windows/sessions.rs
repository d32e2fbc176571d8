//! Sessions in a batch query: rows in order of time, numbered by key where a gap is too long, then an ordinary aggregate.

use super::carry::{self, carry};
use super::continuous::{part_of_window, resolve};
use super::functions::{session_of, window_call};
use super::node::Key;
use crate::binding::external;
use crate::error::PlanError;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::functions::core::get_field;
use datafusion::functions_aggregate::expr_fn::{max, min};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::functions_window::expr_fn::lag;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    Aggregate, Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, WindowFrame, WindowFunctionDefinition, lit, when,
};
use salamander_operators::WindowSpec;

const BEFORE: &str = "__before";
const BEGINS: &str = "__begins";
const SESSION: &str = "__session";
const FIRST: &str = "__first";
const LAST: &str = "__last";

/// Replaces aggregates by sessions of a plan that runs as a batch.
///
/// # Errors
/// When an aggregate has other windows beside the session, or grouping sets.
pub(crate) fn number_sessions(plan: LogicalPlan) -> Result<LogicalPlan> {
    let replaced = plan.transform_up(|node| match node {
        LogicalPlan::Aggregate(aggregate) => Ok(match sessions_of(&aggregate)? {
            Some((gap, time, keys)) => Transformed::yes(number(&aggregate, gap, &time, &keys)?),
            None => Transformed::no(LogicalPlan::Aggregate(aggregate)),
        }),
        other => Ok(Transformed::no(other)),
    });
    replaced.map(|plan| plan.data)
}

/// The gap and time of an aggregate's sessions, and which of its keys are parts of the session.
fn sessions_of(aggregate: &Aggregate) -> Result<Option<(i64, Expr, Vec<Option<Key>>)>> {
    let mut found: Option<(WindowSpec, Expr)> = None;
    let (mut keys, mut others) = (Vec::with_capacity(aggregate.group_expr.len()), false);
    for expression in &aggregate.group_expr {
        let (resolved, _) = resolve(expression.clone(), &aggregate.input)?;
        let (call, part) = part_of_window(&resolved);
        keys.push(match window_call(call)? {
            Some((windows, time)) if windows.is_session() => {
                others |= found.as_ref().is_some_and(|(known, of)| *known != windows || of != time);
                found = Some((windows, time.clone()));
                Some(part)
            }
            Some(_) => {
                others = true;
                None
            }
            None => None,
        });
    }
    match found {
        Some(_) if others => Err(external(PlanError::Invalid(
            "an aggregate can have one kind of windows only: sessions of one gap, or other windows".to_owned(),
        ))),
        found => Ok(found.map(|(windows, time)| (windows.size, time, keys))),
    }
}

fn number(aggregate: &Aggregate, gap: i64, time: &Expr, parts: &[Option<Key>]) -> Result<LogicalPlan> {
    let carried = carry(&aggregate.input, WindowSpec::instant(), carry::From::Rows(time))?;
    let Some(time) = carried.time() else {
        return Err(external(PlanError::Invalid("the time is lost on its way to GROUP BY".to_owned())));
    };
    let own = aggregate.group_expr.iter().zip(parts).filter(|(_, part)| part.is_none());
    let keys: Vec<Expr> = own.map(|(key, _)| key.clone().unalias()).collect();
    let column = |name: &str| Expr::Column(Column::from_name(name));
    let over = |function: Expr| {
        let ordered = function.partition_by(keys.clone()).order_by(vec![time.clone().sort(true, false)]);
        ordered.window_frame(WindowFrame::new(Some(false))).build()
    };
    let gap_length = lit(ScalarValue::new_interval_mdn(0, 0, gap.saturating_mul(1_000)));
    let begins = time.clone().gt(column(BEFORE) + gap_length);
    let begins = when(begins, lit(1i64)).otherwise(lit(0i64))?;
    let sum = Expr::from(WindowFunction::new(WindowFunctionDefinition::AggregateUDF(sum_udaf()), vec![column(BEGINS)]));
    let rows = LogicalPlanBuilder::from(carried.plan).filter(time.clone().is_not_null())?;
    let rows = rows.window(vec![over(lag(time.clone(), Some(1), None))?.alias(BEFORE)])?;
    let mut columns: Vec<Expr> = rows.schema().columns().into_iter().map(Expr::Column).collect();
    columns.push(begins.alias(BEGINS));
    let rows = rows.project(columns)?.window(vec![over(sum)?.alias(SESSION)])?;
    let group: Vec<Expr> = keys.iter().cloned().chain([column(SESSION)]).collect();
    let times = [min(time.clone()).alias(FIRST), max(time.clone()).alias(LAST)];
    let functions: Vec<Expr> = aggregate.aggr_expr.iter().cloned().chain(times).collect();
    let grouped = rows.aggregate(group, functions)?;
    let made = grouped.schema().columns();
    let session = session_of(gap, column(FIRST), column(LAST));
    let field = |name: &str| get_field().call(vec![session.clone(), lit(name)]);
    let mut own = made.iter().take(keys.len()).cloned().map(Expr::Column);
    let values = made.iter().skip(keys.len() + 1).take(aggregate.aggr_expr.len()).cloned().map(Expr::Column);
    let mut output = Vec::with_capacity(aggregate.schema.fields().len());
    for part in parts {
        output.push(match part {
            None => own.next().unwrap_or_else(|| column(SESSION)),
            Some(Key::Start) => field("start"),
            Some(Key::BeforeEnd(0)) => field("end"),
            Some(Key::BeforeEnd(before)) => {
                field("end") - lit(ScalarValue::new_interval_mdn(0, 0, before.saturating_mul(1_000)))
            }
            Some(_) => session.clone(),
        });
    }
    output.extend(values);
    let named = output.into_iter().zip(aggregate.schema.iter()).map(|(expression, (qualifier, field))| {
        // A rule of the optimizer stumbles over a column that is given its own name.
        match &expression {
            Expr::Column(column) if column.relation.as_ref() == qualifier && column.name == *field.name() => expression,
            _ => expression.alias_qualified(qualifier.cloned(), field.name()),
        }
    });
    grouped.project(named.collect::<Vec<_>>())?.build()
}
