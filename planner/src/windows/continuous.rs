//! Aggregates of a job: those by windows of a stream's event time become [`WindowAggregate`]s, others are refused.

use super::carry::{self, stream_of};
use super::functions::{length, window_call};
use super::marks::{Mark, Says, any_marked, mark_of, marks};
use super::node::{Key, WindowAggregate};
use super::whole::{AGGREGATE, not_whole, reads_global, reads_windows};
use crate::error::PlanError;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::logical_expr::{Aggregate, BinaryExpr, Distinct, Expr, Extension, LogicalPlan, Operator, lit};
use salamander_operators::WindowSpec;
use salamander_operators::window::GroupingSet;
use std::sync::Arc;

/// Replaces a job's aggregates.
///
/// `may_be_global` lets those be that have no window: they keep their groups for ever and never emit. A materialized view
/// reads them from their state.
///
/// # Errors
/// When one isn't by a window of event time, or has a part that can't be kept as state.
pub(crate) fn make_continuous(plan: LogicalPlan, may_be_global: bool) -> Result<LogicalPlan> {
    let mut operators = 0;
    let replaced = plan.transform_up(|node| {
        let aggregate = match node {
            LogicalPlan::Aggregate(aggregate) if !is_of_other_results(&aggregate, may_be_global)? => aggregate,
            LogicalPlan::Distinct(Distinct::All(input)) if !reads_windows(&input)? => distinct(input)?,
            other => return Ok(Transformed::no(other)),
        };
        let operator = format!("window-{operators}");
        operators += 1;
        let node = window_aggregate(&aggregate, operator, may_be_global)?;
        Ok(Transformed::yes(LogicalPlan::Extension(Extension { node: Arc::new(node) })))
    });
    replaced.map(|plan| plan.data)
}

/// True for an aggregate over the result of another one that is complete when it is read: that of a whole window, or
/// of all of time.
fn is_of_other_results(aggregate: &Aggregate, may_be_global: bool) -> Result<bool> {
    Ok(is_of_whole_windows(aggregate)? || may_be_global && reads_global(&aggregate.input)?)
}

/// True for an aggregate that is by the windows of the aggregate below it.
fn is_of_whole_windows(aggregate: &Aggregate) -> Result<bool> {
    match marks(&aggregate.input)? {
        Some(input) => any_marked(&aggregate.group_expr, aggregate.input.schema(), &input),
        None => Ok(false),
    }
}

/// `SELECT DISTINCT` as the aggregate that it is.
fn distinct(input: Arc<LogicalPlan>) -> Result<Aggregate> {
    let columns = input.schema().columns().into_iter().map(Expr::Column).collect();
    Aggregate::try_new(input, columns, vec![])
}

fn refuse<T>(message: impl Into<String>) -> Result<T> {
    Err(crate::binding::external(PlanError::Invalid(message.into())))
}

/// What a grouping expression is, once the columns in it are followed down.
enum Grouping {
    Window(WindowSpec, Time, Key),
    Other,
}

/// What the windows are of.
#[derive(Debug, PartialEq)]
enum Time {
    /// The event time of the streams below.
    OfStreams,
    /// The window's start or end in rows that another windowed aggregate emits, which may be so far behind the job's
    /// watermark.
    OfRows { time: Expr, behind: i64 },
}

fn window_aggregate(aggregate: &Aggregate, operator: String, may_be_global: bool) -> Result<WindowAggregate> {
    check_functions(aggregate)?;
    let (group, is_of_sets) = match aggregate.group_expr.as_slice() {
        [Expr::GroupingSet(sets)] => (sets.distinct_expr().into_iter().cloned().collect(), true),
        plain => (plain.to_vec(), false),
    };
    let mut windows: Option<(WindowSpec, Time)> = None;
    let mut keys = Vec::with_capacity(group.len() + 1);
    for expression in &group {
        match grouping(expression, &aggregate.input)? {
            Grouping::Other => keys.push(Key::Expression(expression.clone().unalias())),
            Grouping::Window(found, time, key) if windows.as_ref().is_none_or(|(w, t)| *w == found && *t == time) => {
                windows = Some((found, time));
                keys.push(key);
            }
            Grouping::Window(..) => return refuse("a job's aggregate can have one kind of windows only"),
        }
    }
    let mut sets = Vec::new();
    if is_of_sets {
        sets = grouping_sets(aggregate, &group, &keys)?;
        keys.push(Key::GroupingId);
    }
    let Some((windows, time)) = windows else {
        if reads_windows(&aggregate.input)? {
            return not_whole(AGGREGATE);
        }
        if may_be_global {
            return Ok(global_aggregate(aggregate, operator, keys, sets));
        }
        return refuse(
            "a job's aggregate (or DISTINCT) must have a window of the stream's event time among its keys, else it would \
             never be complete and its state would grow for ever: write GROUP BY window(ts, '10 seconds'), … with a \
             column ts that has a WATERMARK, or make it a MATERIALIZED VIEW, or run it as an ordinary SELECT",
        );
    };
    let (from, behind) = match &time {
        Time::OfStreams => (carry::From::Streams, None),
        Time::OfRows { time, behind } => (carry::From::Rows(time), Some(*behind)),
    };
    // What a session holds must not depend on when it is emitted: a row is late once its own time has passed.
    let lateness = if windows.is_session() { WindowSpec::instant() } else { windows };
    let carried = carry::carry(&aggregate.input, lateness, from)?;
    let Some(time) = carried.time() else { return refuse("the event time is lost on its way to GROUP BY") };
    Ok(WindowAggregate {
        operator,
        windows,
        time,
        watermark: if windows.is_tumbling() { None } else { carried.watermark() },
        behind,
        keys,
        sets,
        functions: aggregate.aggr_expr.clone(),
        input: carried.plan,
        schema: Arc::clone(&aggregate.schema),
    })
}

fn global_aggregate(
    aggregate: &Aggregate,
    operator: String,
    keys: Vec<Key>,
    sets: Vec<GroupingSet>,
) -> WindowAggregate {
    WindowAggregate {
        operator,
        windows: WindowSpec::global(),
        time: lit(ScalarValue::Int64(Some(0))),
        watermark: None,
        behind: None,
        keys,
        sets,
        functions: aggregate.aggr_expr.clone(),
        input: aggregate.input.as_ref().clone(),
        schema: Arc::clone(&aggregate.schema),
    }
}

/// What each of an aggregate's grouping sets lacks. DataFusion numbers them: a bit for each key that is lacking, the last
/// key's lowest, and above these how often the same set has come before.
fn grouping_sets(aggregate: &Aggregate, group: &[Expr], keys: &[Key]) -> Result<Vec<GroupingSet>> {
    let Some(Expr::GroupingSet(sets)) = aggregate.group_expr.first() else { return Ok(Vec::new()) };
    let listed = match sets {
        datafusion::logical_expr::GroupingSet::GroupingSets(sets) => sets.clone(),
        datafusion::logical_expr::GroupingSet::Rollup(keys) => (0..=keys.len()).map(|n| keys[..n].to_vec()).collect(),
        datafusion::logical_expr::GroupingSet::Cube(keys) => {
            let chosen = |mask: u64| keys.iter().enumerate().filter(move |(i, _)| mask >> i & 1 == 1);
            (0..1u64 << keys.len().min(16)).map(|mask| chosen(mask).map(|(_, key)| key.clone()).collect()).collect()
        }
    };
    let mut known: Vec<u64> = Vec::new();
    let mut made = Vec::with_capacity(listed.len());
    for set in &listed {
        let lacks: Vec<bool> = group.iter().map(|key| !set.contains(key)).collect();
        let windowed = keys.iter().zip(&lacks).all(|(key, lacks)| !*lacks || matches!(key, Key::Expression(_)));
        if !windowed {
            return refuse(
                "in a job, each of the GROUPING SETS must have the window, else its groups would never be complete: \
                 write GROUP BY window(ts, '10 seconds'), ROLLUP (a, b)",
            );
        }
        let bits = lacks.iter().fold(0u64, |bits, lacks| bits << 1 | u64::from(*lacks));
        let before = known.iter().filter(|id| **id == bits).count() as u64;
        known.push(bits);
        let own = keys.iter().zip(&lacks).filter(|(key, _)| matches!(key, Key::Expression(_)));
        made.push(GroupingSet { lacks: own.map(|(_, lacks)| *lacks).collect(), id: bits | before << group.len() });
    }
    Ok(made)
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
    let (call, key) = part_of_window(&resolved);
    let Some((windows, time)) = window_call(call)? else { return Ok(Grouping::Other) };
    if let Some(input) = marks(below)? {
        return match mark_of(time, below.schema(), &input)? {
            Some(mark) if mark.windows.is_session() || windows.is_session() => refuse(format!(
                "a job can't have windows over sessions, nor sessions over windows, yet: {}",
                mark.windows
            )),
            Some(mark) if mark.says != Says::Window => {
                let time = Time::OfRows { time: time.clone(), behind: behind(mark, windows) };
                Ok(Grouping::Window(windows, time, key))
            }
            _ => refuse(format!(
                "a job's windows over the result of another windowed aggregate must be of its window's start or end, \
                 not of {time}: write window(window_end - INTERVAL '1' MILLISECOND, '1 minute'), say"
            )),
        };
    }
    match strip(time) {
        Expr::Column(column) => {
            check_event_time(column, below)?;
            Ok(Grouping::Window(windows, Time::OfStreams, key))
        }
        _ if !matches!(below, LogicalPlan::TableScan(_) | LogicalPlan::Union(_)) => refuse(
            "a job's windows must be over the event time of a stream or the windows of another aggregate: write one job \
             for each step and read the first one's table",
        ),
        other => refuse(format!(
            "a job's windows must be over the stream's event time itself, not over {other}: declare it as a TIMESTAMP \
             column with WATERMARK FOR in CREATE TABLE"
        )),
    }
}

/// By how much rows whose time is their window's start or end may be behind the job's watermark. A window is emitted once
/// the watermark has passed its end; so the next ones begin their size before it, at most. Where the upper windows' ends
/// are all ends of lower ones, what is behind by less than one slide makes no difference.
fn behind(mark: Mark, upper: WindowSpec) -> i64 {
    let lower = mark.windows;
    let before = match mark.says {
        Says::BeforeEnd(micros) => micros,
        Says::Start | Says::Window => lower.size,
    };
    let aligned = upper.pane() % lower.slide == 0 && (upper.offset - lower.offset) % lower.slide == 0;
    mark.behind.saturating_add(if aligned { before.saturating_sub(lower.slide).max(0) } else { before })
}

/// The window that an expression is a part of, if any, and which part.
pub(super) fn part_of_window(expression: &Expr) -> (&Expr, Key) {
    match expression {
        Expr::ScalarFunction(field) if field.func.name() == "get_field" && field.args.len() == 2 => {
            match &field.args[1] {
                Expr::Literal(ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)), _) => {
                    match name.as_str() {
                        "start" => (&field.args[0], Key::Start),
                        "end" => (&field.args[0], Key::BeforeEnd(0)),
                        _ => (expression, Key::Window),
                    }
                }
                _ => (expression, Key::Window),
            }
        }
        // `window_time`, a little before the end.
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => {
            match (part_of_window(left), right.as_ref()) {
                ((window, Key::BeforeEnd(known)), Expr::Literal(value, _)) => match length(value, "interval") {
                    Ok(micros) => (window, Key::BeforeEnd(known.saturating_add(micros))),
                    Err(_) => (expression, Key::Window),
                },
                _ => (expression, Key::Window),
            }
        }
        other => (other, Key::Window),
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
