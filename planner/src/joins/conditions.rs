//! The conditions of a join told apart: keys, bounds between the event times, and the rest.

use super::refuse;
use crate::windows::{resolve, stream_of, window_call};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::{Between, BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, Operator};
use salamander_operators::WindowSpec;
use salamander_operators::join::Bounds;
use std::ops::Deref;

const DAY: i64 = 86_400_000_000;

/// What a join's conditions say.
pub(super) struct Conditions<'a> {
    join: &'a Join,
    pub(super) keys: Vec<(Expr, Expr)>,
    lower: Option<i64>,
    upper: Option<i64>,
    windows: Option<WindowSpec>,
    pub(super) filter: Vec<Expr>,
}

/// `left` times the left event time, `right` times the right one, and microseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Linear {
    left: i64,
    right: i64,
    micros: i64,
}

impl Linear {
    fn plus(self, other: Self, sign: i64) -> Option<Self> {
        Some(Self {
            left: self.left + sign * other.left,
            right: self.right + sign * other.right,
            micros: self.micros.checked_add(sign.checked_mul(other.micros)?)?,
        })
    }
}

impl<'a> Conditions<'a> {
    pub(super) fn of(join: &'a Join, conditions: impl Iterator<Item = Expr>) -> Result<Self> {
        let mut found = Self { join, keys: vec![], lower: None, upper: None, windows: None, filter: vec![] };
        for condition in conditions {
            found.take(condition)?;
        }
        Ok(found)
    }

    fn take(&mut self, condition: Expr) -> Result<()> {
        if let Expr::Between(Between { expr, negated: false, low, high }) = &condition {
            self.take(expr.deref().clone().gt_eq(low.deref().clone()))?;
            return self.take(expr.deref().clone().lt_eq(high.deref().clone()));
        }
        if let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &condition {
            let bound = self.bound(left, *op, right)?;
            if *op == Operator::Eq
                && let Some((left, right)) = self.sides(left, right)
            {
                self.key(left, right)?;
                return Ok(());
            }
            if bound {
                return Ok(());
            }
        }
        self.filter.push(condition);
        Ok(())
    }

    /// The two expressions as one of the left side and one of the right side, if they are.
    fn sides(&self, one: &Expr, other: &Expr) -> Option<(Expr, Expr)> {
        let (left, right) = (self.join.left.schema(), self.join.right.schema());
        if is_of(one, left) && is_of(other, right) {
            Some((one.clone(), other.clone()))
        } else if is_of(one, right) && is_of(other, left) {
            Some((other.clone(), one.clone()))
        } else {
            None
        }
    }

    fn key(&mut self, left: Expr, right: Expr) -> Result<()> {
        let windows = (window_of(&left, &self.join.left)?, window_of(&right, &self.join.right)?);
        if let (Some((windows, at)), Some((others, place))) = windows
            && windows == others
            && at == place
            && windows.is_tumbling()
        {
            let size = windows.size;
            (self.lower, self.upper) =
                (self.lower.max(Some(1 - size)), Some(self.upper.map_or(size - 1, |u| u.min(size - 1))));
            if at == "window" {
                // A struct is no key: its start says the same, and the bounds know the window.
                let start = |side: Expr| datafusion::functions::core::expr_fn::get_field(side, "start");
                self.keys.push((start(left), start(right)));
                self.windows = Some(windows);
                return Ok(());
            }
            self.windows = Some(windows);
        }
        let types = (left.get_type(self.join.left.schema())?, right.get_type(self.join.right.schema())?);
        if types.0.is_nested() || types.1.is_nested() {
            return refuse(format!("a job can't join by {left}, which is {}: join by its fields", types.0));
        }
        self.keys.push((left, right));
        Ok(())
    }

    /// Takes a comparison between the event times; false if it is another.
    fn bound(&mut self, left: &Expr, op: Operator, right: &Expr) -> Result<bool> {
        let (Some(one), Some(other)) = (self.linear(left)?, self.linear(right)?) else { return Ok(false) };
        let Some(all) = one.plus(other, -1) else { return Ok(false) };
        // right - left + micros `op` 0, or the other way round.
        let (op, micros) = match (all.left, all.right) {
            (-1, 1) => (op, all.micros),
            (1, -1) => match op.swap() {
                Some(op) => (op, -all.micros),
                None => return Ok(false),
            },
            _ => return Ok(false),
        };
        let at = -micros;
        let (lower, upper) = match op {
            Operator::Eq => (Some(at), Some(at)),
            Operator::GtEq => (Some(at), None),
            Operator::Gt => (Some(at + 1), None),
            Operator::LtEq => (None, Some(at)),
            Operator::Lt => (None, Some(at - 1)),
            _ => return Ok(false),
        };
        self.lower = self.lower.max(lower);
        self.upper = match (self.upper, upper) {
            (Some(known), Some(new)) => Some(known.min(new)),
            (known, new) => known.or(new),
        };
        Ok(true)
    }

    fn linear(&self, expression: &Expr) -> Result<Option<Linear>> {
        Ok(match expression {
            Expr::Alias(alias) => self.linear(&alias.expr)?,
            Expr::Cast(cast) if keeps_micros(cast.field.data_type()) => self.linear(&cast.expr)?,
            Expr::Literal(value, _) => length(value).map(|micros| Linear { micros, ..Linear::default() }),
            Expr::Column(_) if is_of(expression, self.join.left.schema()) => {
                is_event_time(expression, &self.join.left)?.then_some(Linear { left: 1, ..Linear::default() })
            }
            Expr::Column(_) => {
                is_event_time(expression, &self.join.right)?.then_some(Linear { right: 1, ..Linear::default() })
            }
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Plus | Operator::Minus), right }) => {
                match (self.linear(left)?, self.linear(right)?) {
                    (Some(left), Some(right)) => left.plus(right, if *op == Operator::Plus { 1 } else { -1 }),
                    _ => None,
                }
            }
            _ => None,
        })
    }

    /// The bounds, if there are a key and both of them.
    pub(super) fn bounds(&self) -> Result<Bounds> {
        let (left, right) = (time_of(&self.join.left)?, time_of(&self.join.right)?);
        if let (Some(lower), Some(upper), false) = (self.lower, self.upper, self.keys.is_empty()) {
            return Ok(Bounds { lower, upper, windows: self.windows });
        }
        let (Some(left), Some(right)) = (left, right) else {
            return refuse(
                "a job's join needs bounds between the event times of both sides, and one side doesn't have its event \
                 time among its columns: declare WATERMARK FOR a TIMESTAMP column in CREATE TABLE, and select it",
            );
        };
        if self.lower.is_none() || self.upper.is_none() {
            let (least, most) = (
                format!("{right} >= {left} - INTERVAL '10' MINUTE"),
                format!("{right} <= {left} + INTERVAL '10' MINUTE"),
            );
            let add = match (self.lower, self.upper) {
                (None, None) => format!("{least} AND {most}"),
                (None, _) => least,
                _ => most,
            };
            return refuse(format!(
                "a job's join must be bounded in event time on both sides, else its state would grow for ever: add AND \
                 {add} to its condition, with the lengths that you need"
            ));
        }
        refuse(format!(
            "a job's join needs an equality beside the bounds of {left} and {right}: add one such as a.id = b.id to its \
             condition"
        ))
    }
}

fn is_of(expression: &Expr, schema: &DFSchema) -> bool {
    let columns = expression.column_refs();
    !columns.is_empty() && columns.into_iter().all(|column| schema.has_column(column))
}

/// True for types that a time or a length of time can be cast to without loss.
fn keeps_micros(to: &DataType) -> bool {
    matches!(
        to,
        DataType::Timestamp(TimeUnit::Microsecond | TimeUnit::Nanosecond, _)
            | DataType::Interval(_)
            | DataType::Duration(TimeUnit::Microsecond | TimeUnit::Nanosecond)
    )
}

/// A length of time in microseconds; none if it has another unit's fraction, or months.
fn length(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::IntervalMonthDayNano(Some(i)) if i.months == 0 && i.nanoseconds % 1_000 == 0 => {
            i64::from(i.days).checked_mul(DAY)?.checked_add(i.nanoseconds / 1_000)
        }
        ScalarValue::IntervalDayTime(Some(i)) => {
            i64::from(i.days).checked_mul(DAY)?.checked_add(i64::from(i.milliseconds) * 1_000)
        }
        ScalarValue::DurationSecond(Some(s)) => s.checked_mul(1_000_000),
        ScalarValue::DurationMillisecond(Some(ms)) => ms.checked_mul(1_000),
        ScalarValue::DurationMicrosecond(Some(us)) => Some(*us),
        ScalarValue::DurationNanosecond(Some(ns)) if ns % 1_000 == 0 => Some(ns / 1_000),
        _ => None,
    }
}

/// True if an expression is the event time of the streams that its rows come from.
fn is_event_time(expression: &Expr, plan: &LogicalPlan) -> Result<bool> {
    let (resolved, below) = resolve(expression.clone(), plan)?;
    let mut bare = &resolved;
    loop {
        bare = match bare {
            Expr::Alias(alias) => &alias.expr,
            Expr::Cast(cast) if keeps_micros(cast.field.data_type()) => &cast.expr,
            _ => break,
        };
    }
    let Expr::Column(column) = bare else { return Ok(false) };
    column_is_event_time(column, below)
}

fn column_is_event_time(column: &Column, plan: &LogicalPlan) -> Result<bool> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let known = stream_of(scan)?.and_then(|stream| stream.event_time());
            Ok(known.is_some_and(|known| known == column.name))
        }
        LogicalPlan::Union(union) => {
            let Some(index) = plan.schema().maybe_index_of_column(column) else { return Ok(false) };
            for input in &union.inputs {
                if !is_event_time(&Expr::Column(input.schema().columns()[index].clone()), input)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// The column of a side that is its event time, as the user would write it.
fn time_of(plan: &LogicalPlan) -> Result<Option<String>> {
    for column in plan.schema().columns() {
        if is_event_time(&Expr::Column(column.clone()), plan)? {
            return Ok(Some(column.flat_name()));
        }
    }
    Ok(None)
}

/// The windows of event time that an expression is of, and what it is of them: `window`, `start` or `end`.
fn window_of(expression: &Expr, plan: &LogicalPlan) -> Result<Option<(WindowSpec, &'static str)>> {
    let (resolved, below) = resolve(expression.clone(), plan)?;
    let (call, at) = match &resolved {
        Expr::ScalarFunction(field) if field.func.name() == "get_field" && field.args.len() == 2 => {
            let name = match &field.args[1] {
                Expr::Literal(ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)), _) => name.as_str(),
                _ => return Ok(None),
            };
            match name {
                "start" => (&field.args[0], "start"),
                "end" => (&field.args[0], "end"),
                _ => return Ok(None),
            }
        }
        other => (other, "window"),
    };
    let Some((windows, time)) = window_call(call)? else { return Ok(None) };
    Ok(is_event_time(time, below)?.then_some((windows, at)))
}
