//! Aggregates of a job: those by windows of a stream's event time become [`WindowAggregate`]s, others are refused.

use super::carry::{carry, stream_of};
use super::functions::window_call;
use super::node::{Key, WindowAggregate};
use crate::error::PlanError;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::logical_expr::{Aggregate, Expr, Extension, LogicalPlan};
use salamander_operators::WindowSpec;
use std::sync::Arc;

/// Replaces a job's aggregates.
///
/// # Errors
/// When one isn't by a window of event time, or has a part that can't be kept as state.
pub(crate) fn make_continuous(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut operators = 0;
    let replaced = plan.transform_up(|node| match node {
        LogicalPlan::Aggregate(aggregate) => {
            let operator = format!("window-{operators}");
            operators += 1;
            let node = window_aggregate(&aggregate, operator)?;
            Ok(Transformed::yes(LogicalPlan::Extension(Extension { node: Arc::new(node) })))
        }
        other => Ok(Transformed::no(other)),
    });
    replaced.map(|plan| plan.data)
}

fn refuse<T>(message: impl Into<String>) -> Result<T> {
    Err(crate::binding::external(PlanError::Invalid(message.into())))
}

/// What a grouping expression is, once the columns in it are followed down.
enum Grouping {
    Window(WindowSpec, Key),
    Other,
}

fn window_aggregate(aggregate: &Aggregate, operator: String) -> Result<WindowAggregate> {
    check_functions(aggregate)?;
    let mut windows: Option<WindowSpec> = None;
    let mut keys = Vec::with_capacity(aggregate.group_expr.len());
    for expression in &aggregate.group_expr {
        if matches!(expression, Expr::GroupingSet(_)) {
            return refuse("a job can't have GROUPING SETS, ROLLUP or CUBE yet: write a job for each grouping");
        }
        match grouping(expression, &aggregate.input)? {
            Grouping::Other => keys.push(Key::Expression(expression.clone().unalias())),
            Grouping::Window(found, key) if windows.is_none_or(|known| known == found) => {
                windows = Some(found);
                keys.push(key);
            }
            Grouping::Window(..) => return refuse("a job's aggregate can have one kind of windows only"),
        }
    }
    let Some(windows) = windows else {
        return refuse(
            "a job's aggregate must have a window of the stream's event time among its keys, else it would never be \
             complete and its state would grow for ever: write GROUP BY window(ts, '10 seconds'), … with a column ts \
             that has a WATERMARK, or run it as an ordinary SELECT",
        );
    };
    let carried = carry(&aggregate.input, windows)?;
    let Some(time) = carried.time() else { return refuse("the event time is lost on its way to GROUP BY") };
    Ok(WindowAggregate {
        operator,
        windows,
        time,
        watermark: if windows.is_tumbling() { None } else { carried.watermark() },
        keys,
        functions: aggregate.aggr_expr.clone(),
        input: carried.plan,
        schema: Arc::clone(&aggregate.schema),
    })
}

/// Refuses what the state of a streaming aggregate can't be.
fn check_functions(aggregate: &Aggregate) -> Result<()> {
    for expression in &aggregate.aggr_expr {
        let mut expression = expression;
        while let Expr::Alias(alias) = expression {
            expression = &alias.expr;
        }
        if let Expr::AggregateFunction(function) = expression
            && !function.params.order_by.is_empty()
            // WITHIN GROUP (ORDER BY …) names what the function is of, and needs no order.
            && !function.func.supports_within_group_clause()
        {
            return refuse(format!(
                "a job can't have ORDER BY within {}() yet: leave it out, or sort when the target is read",
                function.func.name()
            ));
        }
    }
    Ok(())
}

/// Finds out whether an expression is the window of event time, its start or its end.
fn grouping(expression: &Expr, input: &LogicalPlan) -> Result<Grouping> {
    let (resolved, below) = resolve(expression.clone(), input)?;
    let (call, key) = match &resolved {
        Expr::ScalarFunction(field) if field.func.name() == "get_field" && field.args.len() == 2 => {
            let key = match &field.args[1] {
                Expr::Literal(ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)), _) => {
                    match name.as_str() {
                        "start" => Key::Start,
                        "end" => Key::End,
                        _ => return Ok(Grouping::Other),
                    }
                }
                _ => return Ok(Grouping::Other),
            };
            (&field.args[0], key)
        }
        other => (other, Key::Window),
    };
    let Some((windows, time)) = window_call(call)? else { return Ok(Grouping::Other) };
    match strip(time) {
        Expr::Column(column) => {
            check_event_time(column, below)?;
            Ok(Grouping::Window(windows, key))
        }
        _ if !matches!(below, LogicalPlan::TableScan(_) | LogicalPlan::Union(_)) => refuse(
            "a job's windows must be over the event time of a stream, not over the result of another aggregate or a join: \
             write one job for each and read the first one's table",
        ),
        other => refuse(format!(
            "a job's windows must be over the stream's event time itself, not over {other}: declare it as a TIMESTAMP \
             column with WATERMARK FOR in CREATE TABLE"
        )),
    }
}

/// An expression without names and without casts between timestamps.
fn strip(expression: &Expr) -> &Expr {
    match expression {
        Expr::Alias(alias) => strip(&alias.expr),
        Expr::Cast(cast) => strip(&cast.expr),
        other => other,
    }
}

/// Puts the expressions that columns stand for in their place, down to where rows come from.
pub(crate) fn resolve(expression: Expr, plan: &LogicalPlan) -> Result<(Expr, &LogicalPlan)> {
    let expression = expression.unalias_nested().data;
    let (replaced, below) = match plan {
        LogicalPlan::Projection(projection) => {
            (replace(expression, plan, |index| projection.expr[index].clone())?, &projection.input)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let columns = alias.input.schema().columns();
            (replace(expression, plan, |index| Expr::Column(columns[index].clone()))?, &alias.input)
        }
        LogicalPlan::Filter(filter) => (expression, &filter.input),
        LogicalPlan::Unnest(unnest) => {
            let unnested = |column: &Column| {
                let index = plan.schema().maybe_index_of_column(column).map(|i| unnest.dependency_indices[i]);
                let lists = unnest.list_type_columns.iter().map(|(i, _)| *i);
                index.is_some_and(|i| lists.chain(unnest.struct_type_columns.iter().copied()).any(|u| u == i))
            };
            if expression.column_refs().into_iter().any(unnested) {
                return Ok((expression, plan));
            }
            let columns = unnest.input.schema().columns();
            let below = |index: usize| Expr::Column(columns[unnest.dependency_indices[index]].clone());
            (replace(expression, plan, below)?, &unnest.input)
        }
        _ => return Ok((expression, plan)),
    };
    resolve(replaced, below)
}

fn replace(expression: Expr, plan: &LogicalPlan, by: impl Fn(usize) -> Expr) -> Result<Expr> {
    let replaced = expression.transform(|part| {
        let Expr::Column(column) = &part else { return Ok(Transformed::no(part)) };
        let index = plan.schema().maybe_index_of_column(column);
        // What took a column's place is not looked into again.
        Ok(match index {
            Some(index) => Transformed::new(by(index), true, datafusion::common::tree_node::TreeNodeRecursion::Jump),
            None => Transformed::no(part),
        })
    });
    replaced.map(|expression| expression.data)
}

/// Refuses a column that is not the event time of the streams that it comes from.
fn check_event_time(column: &Column, plan: &LogicalPlan) -> Result<()> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let stream = stream_of(scan)?;
            let known = stream.as_ref().and_then(|stream| stream.event_time());
            if known.as_ref().is_some_and(|known| *known == column.name) {
                return Ok(());
            }
            let known = known.map_or_else(
                || {
                    format!(
                        "{} has none: declare WATERMARK FOR {} AS {} - INTERVAL '10' SECOND in CREATE TABLE",
                        scan.table_name, column.name, column.name
                    )
                },
                |known| format!("the event time of {} is {known}", scan.table_name),
            );
            refuse(format!(
                "a job's windows must be over the stream's event time, and {} is not it: {known}",
                column.name
            ))
        }
        LogicalPlan::Union(union) => {
            let Some(index) = plan.schema().maybe_index_of_column(column) else {
                return refuse("UNION ALL lost a column");
            };
            union.inputs.iter().try_for_each(|input| {
                let own = Expr::Column(input.schema().columns()[index].clone());
                let (resolved, below) = resolve(own, input)?;
                match strip(&resolved) {
                    Expr::Column(column) => check_event_time(column, below),
                    other => {
                        refuse(format!("a job's windows must be over the streams' event time itself, not over {other}"))
                    }
                }
            })
        }
        _ => refuse(format!(
            "a job's windows must be over the event time of a stream; {} comes from another aggregate or a join: write \
             one job for each and read the first one's table",
            column.name
        )),
    }
}
