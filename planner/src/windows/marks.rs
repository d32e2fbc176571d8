//! Which columns of a plan over windowed aggregates say which window a row is of.
//!
//! All rows of a window are emitted in one epoch. What keeps the rows of different windows apart (a rank by window, a
//! join on the windows' ends) therefore needs no state. This module finds the columns by which they are kept apart.

use super::node::{Key, WindowAggregate};
use datafusion::common::{DFSchema, JoinType, Result, ScalarValue};
use datafusion::logical_expr::expr::WindowFunctionParams;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, BinaryExpr, Distinct, Expr, Join, LogicalPlan, Operator, Window};
use salamander_operators::WindowSpec;

/// What a column says of its row's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    /// It is the window, a struct.
    Window,
    /// Its start.
    Start,
    /// So many microseconds before its end.
    BeforeEnd(i64),
}

/// A column that says which window its row is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) says: Says,
    pub(crate) windows: WindowSpec,
    /// A window is emitted when the job's watermark has passed its end by this many microseconds.
    pub(crate) behind: i64,
}

/// A mark, or none, for each column of a plan.
pub(crate) type Marks = Vec<Option<Mark>>;

/// The marks of the columns of a plan over [`WindowAggregate`]s; none if its rows aren't those of whole windows, or not
/// kept apart by window.
pub(crate) fn marks(plan: &LogicalPlan) -> Result<Option<Marks>> {
    Ok(match plan {
        LogicalPlan::Extension(extension) => {
            extension.node.as_any().downcast_ref::<WindowAggregate>().map(of_aggregate)
        }
        LogicalPlan::Projection(projection) => {
            let Some(input) = marks(&projection.input)? else { return Ok(None) };
            let marks = projection.expr.iter().map(|e| mark_of(e, projection.input.schema(), &input));
            Some(marks.collect::<Result<_>>()?)
        }
        LogicalPlan::SubqueryAlias(alias) => marks(&alias.input)?,
        LogicalPlan::Filter(filter) => marks(&filter.input)?,
        LogicalPlan::Window(window) => of_window(window)?,
        LogicalPlan::Aggregate(aggregate) => of_second_aggregate(aggregate)?,
        LogicalPlan::Distinct(Distinct::All(input)) => marks(input)?.filter(|marks| marks.iter().any(Option::is_some)),
        LogicalPlan::Distinct(Distinct::On(on)) => match marks(&on.input)? {
            Some(input) if any_marked(&on.on_expr, on.input.schema(), &input)? => {
                let selected = on.select_expr.iter().map(|e| mark_of(e, on.input.schema(), &input));
                Some(selected.collect::<Result<_>>()?)
            }
            _ => None,
        },
        LogicalPlan::Join(join) => of_join(join)?,
        LogicalPlan::Union(union) => {
            let mut all: Option<Marks> = None;
            for input in &union.inputs {
                let Some(marks) = marks(input)? else { return Ok(None) };
                all = Some(match all {
                    None => marks,
                    Some(known) => known.into_iter().zip(marks).map(|(a, b)| a.filter(|_| a == b)).collect(),
                });
            }
            all
        }
        _ => None,
    })
}

fn of_aggregate(aggregate: &WindowAggregate) -> Marks {
    let mark = |says| Some(Mark { says, windows: aggregate.windows, behind: aggregate.behind.unwrap_or(0) });
    let keys = aggregate.keys.iter().map(|key| match key {
        Key::Window => mark(Says::Window),
        // Sessions that begin together end at different times.
        Key::Start if aggregate.windows.is_session() => None,
        Key::Start => mark(Says::Start),
        Key::BeforeEnd(before) => mark(Says::BeforeEnd(*before)),
        Key::Expression(_) | Key::GroupingId => None,
    });
    keys.chain(aggregate.functions.iter().map(|_| None)).collect()
}

fn of_window(window: &Window) -> Result<Option<Marks>> {
    let Some(mut input) = marks(&window.input)? else { return Ok(None) };
    for function in &window.window_expr {
        let Expr::WindowFunction(function) = function.clone().unalias() else { return Ok(None) };
        let WindowFunctionParams { partition_by, .. } = function.params;
        if !any_marked(&partition_by, window.input.schema(), &input)? {
            return Ok(None);
        }
    }
    input.extend(window.window_expr.iter().map(|_| None));
    Ok(Some(input))
}

fn of_second_aggregate(aggregate: &Aggregate) -> Result<Option<Marks>> {
    let Some(input) = marks(&aggregate.input)? else { return Ok(None) };
    let keys = aggregate.group_expr.iter().map(|e| mark_of(e, aggregate.input.schema(), &input));
    let keys = keys.collect::<Result<Marks>>()?;
    Ok(keys
        .iter()
        .any(Option::is_some)
        .then(|| keys.into_iter().chain(aggregate.aggr_expr.iter().map(|_| None)).collect()))
}

fn of_join(join: &Join) -> Result<Option<Marks>> {
    let (Some(left), Some(right)) = (marks(&join.left)?, marks(&join.right)?) else { return Ok(None) };
    let equal = |one: &Expr, other: &Expr| -> Result<bool> {
        let one = mark_of(one, join.left.schema(), &left)?;
        let other = mark_of(other, join.right.schema(), &right)?;
        Ok(one.zip(other).is_some_and(|(one, other)| one.is_same_window(&other)))
    };
    let mut kept_apart = false;
    for (one, other) in &join.on {
        kept_apart |= equal(one, other)?;
    }
    for condition in join.filter.iter().flat_map(split_conjunction) {
        if let Expr::BinaryExpr(BinaryExpr { left: one, op: Operator::Eq, right: other }) = condition {
            kept_apart |= equal(one, other)? || equal(other, one)?;
        }
    }
    if !kept_apart {
        return Ok(None);
    }
    // A column that is NULL where there was no partner says nothing of the window.
    let unmarked = |marks: Marks| marks.into_iter().map(|_| None).collect::<Marks>();
    Ok(Some(match join.join_type {
        JoinType::Inner => [left, right].concat(),
        JoinType::Left => [left, unmarked(right)].concat(),
        JoinType::Right => [unmarked(left), right].concat(),
        JoinType::Full => [unmarked(left), unmarked(right)].concat(),
        JoinType::LeftSemi | JoinType::LeftAnti => left,
        JoinType::RightSemi | JoinType::RightAnti => right,
        JoinType::LeftMark | JoinType::RightMark => return Ok(None),
    }))
}

impl Mark {
    /// True if columns with these marks can be equal only in rows of windows that are emitted in the same epoch.
    fn is_same_window(&self, other: &Self) -> bool {
        self.behind == other.behind
            && self.says == other.says
            && (self.windows == other.windows || matches!(self.says, Says::BeforeEnd(_) | Says::Window))
    }
}

pub(crate) fn any_marked(expressions: &[Expr], schema: &DFSchema, marks: &Marks) -> Result<bool> {
    for expression in expressions {
        if mark_of(expression, schema, marks)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The mark of an expression over columns with marks.
pub(crate) fn mark_of(expression: &Expr, schema: &DFSchema, marks: &Marks) -> Result<Option<Mark>> {
    Ok(match expression {
        Expr::Alias(alias) => mark_of(&alias.expr, schema, marks)?,
        Expr::Cast(cast) if cast.field.data_type().is_temporal() => mark_of(&cast.expr, schema, marks)?,
        Expr::Column(column) => schema.maybe_index_of_column(column).and_then(|i| marks.get(i).copied().flatten()),
        Expr::ScalarFunction(call) if call.func.name() == "get_field" && call.args.len() == 2 => {
            let window = mark_of(&call.args[0], schema, marks)?.filter(|mark| mark.says == Says::Window);
            let says = match &call.args[1] {
                Expr::Literal(ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)), _) => {
                    match name.as_str() {
                        "start" => Some(Says::Start),
                        "end" => Some(Says::BeforeEnd(0)),
                        _ => None,
                    }
                }
                _ => None,
            };
            window.zip(says).map(|(window, says)| Mark { says, ..window })
        }
        // A millisecond before the end, as Flink's window_time and Spark's window_time() have it.
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => {
            let before = match right.as_ref() {
                Expr::Literal(value, _) => super::functions::length(value, "interval").ok(),
                _ => None,
            };
            match (mark_of(left, schema, marks)?, before) {
                (Some(Mark { says: Says::BeforeEnd(known), windows, behind }), Some(micros)) if micros >= 0 => {
                    Some(Mark { says: Says::BeforeEnd(known.saturating_add(micros)), windows, behind })
                }
                _ => None,
            }
        }
        _ => None,
    })
}
