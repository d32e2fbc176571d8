//! Both spellings of windows as calls of `window(…)`, in the syntax tree.
//!
//! - Spark names the window of `GROUP BY window(ts, '10 seconds')` by `window`, `window.start` and `window.end`: these
//!   become the call itself, and its fields (`session_window` likewise); `window_time(window)` a microsecond before its end.
//! - Flink's `TUMBLE(TABLE t, DESCRIPTOR(ts), size)`, `HOP`, `CUMULATE` and `SESSION` in FROM become a subquery with the columns
//!   `window_start`, `window_end` and `window_time`. (The parser takes the word TABLE before a name away.)

use super::functions::{CUMULATE, SESSION, WINDOW};
use crate::error::PlanError;
use sqlparser::ast::{
    AccessExpr, BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident,
    Interval, ObjectName, OrderByKind, Query, Select, SelectItem, SetExpr, TableFactor, Value, VisitMut, VisitorMut,
    visit_expressions, visit_expressions_mut,
};
use std::ops::ControlFlow;

/// Rewrites a query's windows.
///
/// # Errors
/// When a table function's arguments are not what it takes.
pub(crate) fn rewrite_syntax(query: &mut Query) -> Result<(), PlanError> {
    match query.visit(&mut Rewrite) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Spark's function of a window.
const WINDOW_TIME: &str = "window_time";

struct Rewrite;

impl VisitorMut for Rewrite {
    type Break = PlanError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<PlanError> {
        if let Some((name, call)) = name_windows(&mut query.body)
            && let Some(OrderByKind::Expressions(orders)) = query.order_by.as_mut().map(|order| &mut order.kind)
        {
            orders.iter_mut().for_each(|order| replace_names(&mut order.expr, name, &call));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<PlanError> {
        if let Some(time) = window_time(expression) {
            *expression = time;
        }
        // `window(ts, '1 minute').start`: DataFusion takes a field's name as a string only.
        if let Expr::CompoundFieldAccess { access_chain, .. } = expression {
            for access in access_chain {
                if let AccessExpr::Dot(field) = access
                    && let Expr::Identifier(name) = field
                {
                    *field = Expr::value(Value::SingleQuotedString(name.value.clone()));
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<PlanError> {
        match windowed_table(factor) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(subquery)) => {
                *factor = subquery;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// Puts the window that each SELECT groups by in the place of its name; the window, if the body is one SELECT.
fn name_windows(body: &mut SetExpr) -> Option<(&'static str, Function)> {
    let select = match body {
        SetExpr::Select(select) => select,
        SetExpr::SetOperation { left, right, .. } => {
            name_windows(left);
            name_windows(right);
            return None;
        }
        // Other queries within are visited by themselves.
        _ => return None,
    };
    let call = grouped_window(select)?;
    let name = if is_name(&call.name, SESSION) { SESSION } else { WINDOW };
    name_fields(select, name);
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expression) | SelectItem::ExprWithAlias { expr: expression, .. } = item {
            replace_names(expression, name, &call);
        }
    }
    for condition in [&mut select.having, &mut select.qualify].into_iter().flatten() {
        replace_names(condition, name, &call);
    }
    select.named_window.iter_mut().for_each(|named| replace_names(named, name, &call));
    Some((name, call))
}

/// The call of `window` among a SELECT's grouping keys, be it within grouping sets.
fn grouped_window(select: &Select) -> Option<Function> {
    let GroupByExpr::Expressions(keys, _) = &select.group_by else { return None };
    let found = visit_expressions(keys, |key| match key {
        Expr::Function(call) if [WINDOW, CUMULATE, SESSION].iter().any(|name| is_name(&call.name, name)) => {
            ControlFlow::Break(call.clone())
        }
        _ => ControlFlow::Continue(()),
    });
    found.break_value()
}

fn is_name(name: &ObjectName, word: &str) -> bool {
    matches!(name.0.as_slice(), [part] if part.as_ident().is_some_and(|i| i.value.eq_ignore_ascii_case(word)))
}

/// `window.start` alone is a column named `start`, as in Spark; `window` one named `window`.
fn name_fields(select: &mut Select, window: &str) {
    for item in &mut select.projection {
        let SelectItem::UnnamedExpr(expression) = item else { continue };
        let alias = match expression {
            Expr::CompoundIdentifier(parts) if is_window(parts, window) => parts[1].clone(),
            Expr::Identifier(name) if name.value.eq_ignore_ascii_case(window) => name.clone(),
            Expr::Function(call) if is_name(&call.name, WINDOW_TIME) => Ident::new(WINDOW_TIME),
            _ => continue,
        };
        *item = SelectItem::ExprWithAlias { expr: expression.clone(), alias };
    }
}

/// Spark's `window_time(window)`: a microsecond before the window's end, the last instant in it.
fn window_time(expression: &Expr) -> Option<Expr> {
    let Expr::Function(call) = expression else { return None };
    let FunctionArguments::List(list) = &call.args else { return None };
    match (is_name(&call.name, WINDOW_TIME), list.args.as_slice()) {
        (true, [window]) => {
            let end = field(call, plain(window)?.clone(), "end");
            let micro = Expr::Interval(Interval {
                value: Box::new(Expr::value(Value::SingleQuotedString("1 microsecond".to_owned()))),
                leading_field: None,
                leading_precision: None,
                last_field: None,
                fractional_seconds_precision: None,
            });
            let time = Expr::BinaryOp { left: Box::new(end), op: BinaryOperator::Minus, right: Box::new(micro) };
            Some(Expr::Nested(Box::new(time)))
        }
        _ => None,
    }
}

fn is_window(parts: &[Ident], name: &str) -> bool {
    matches!(parts, [window, field] if window.value.eq_ignore_ascii_case(name)
        && ["start", "end"].iter().any(|f| field.value.eq_ignore_ascii_case(f)))
}

fn replace_names<V: VisitMut>(within: &mut V, name: &str, call: &Function) {
    let _: ControlFlow<()> = visit_expressions_mut(within, |part| {
        match part {
            Expr::CompoundIdentifier(parts) if is_window(parts, name) => *part = field_of(call, &parts[1].value),
            Expr::Identifier(ident) if ident.value.eq_ignore_ascii_case(name) => *part = Expr::Function(call.clone()),
            _ => {}
        }
        ControlFlow::Continue(())
    });
}

/// `get_field(call, 'field')`.
fn field_of(call: &Function, name: &str) -> Expr {
    field(call, Expr::Function(call.clone()), name)
}

/// `get_field(value, 'field')`; `call` is any call, for the shape of one.
fn field(call: &Function, value: Expr, name: &str) -> Expr {
    let mut get = call.clone();
    get.name = ObjectName::from(vec![Ident::new("get_field")]);
    if let FunctionArguments::List(list) = &mut get.args {
        let name = Expr::value(Value::SingleQuotedString(name.to_lowercase()));
        list.args = [value, name].map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).to_vec();
    }
    Expr::Function(get)
}

/// What a call of a window table function stands for; none if the factor is something else.
fn windowed_table(factor: &mut TableFactor) -> Result<Option<TableFactor>, PlanError> {
    let (name, args, alias) = match factor {
        TableFactor::Table { name, args: Some(args), alias, .. } => (name.clone(), args.args.clone(), alias.clone()),
        TableFactor::TableFunction { expr: Expr::Function(call), alias } => match &call.args {
            FunctionArguments::List(list) => (call.name.clone(), list.args.clone(), alias.clone()),
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    let Some(shape) = SHAPES.iter().find(|shape| is_name(&name, shape.name)) else { return Ok(None) };
    let text = shape.subquery(&args)?;
    let parsed = salamander_sql::parse_one(&text)
        .map_err(|error| PlanError::Invalid(format!("{}: {error}. Write {}", shape.name, shape.usage)))?;
    let salamander_sql::Statement::Query(subquery) = parsed.statement else {
        return Err(PlanError::Invalid(format!("write {}", shape.usage)));
    };
    Ok(Some(TableFactor::Derived { lateral: false, subquery, alias, sample: None }))
}

/// A window table function: its name, and which of its lengths is the size and which the slide or step.
struct Shape {
    name: &'static str,
    function: &'static str,
    /// Lengths that it takes, before an optional offset, as places among the function's.
    lengths: &'static [usize],
    usage: &'static str,
}

const SHAPES: [Shape; 4] = [
    Shape {
        name: "SESSION",
        function: SESSION,
        lengths: &[0],
        usage: "SESSION(TABLE t, DESCRIPTOR(ts), INTERVAL '5' MINUTE), the session's key in GROUP BY",
    },
    Shape {
        name: "TUMBLE",
        function: WINDOW,
        lengths: &[0],
        usage: "TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)",
    },
    Shape {
        name: "HOP",
        function: WINDOW,
        lengths: &[1, 0],
        usage: "HOP(TABLE t, DESCRIPTOR(ts), slide, size), such as HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND, \
                INTERVAL '10' SECOND)",
    },
    Shape {
        name: "CUMULATE",
        function: CUMULATE,
        lengths: &[1, 0],
        usage: "CUMULATE(TABLE t, DESCRIPTOR(ts), step, size), such as CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL \
                '10' SECOND, INTERVAL '1' MINUTE)",
    },
];

impl Shape {
    /// The query that the function stands for.
    fn subquery(&self, args: &[FunctionArg]) -> Result<String, PlanError> {
        let wrong = || PlanError::Invalid(format!("write {}", self.usage));
        let args: Option<Vec<&Expr>> = args.iter().map(plain).collect();
        let args = args.ok_or_else(wrong)?;
        let [table, descriptor, lengths @ ..] = args.as_slice() else { return Err(wrong()) };
        let table = match table {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => table.to_string(),
            Expr::Subquery(query) => format!("({query})"),
            _ => return Err(wrong()),
        };
        let time = descriptor_column(descriptor).ok_or_else(wrong)?;
        if lengths.len() < self.lengths.len() || lengths.len() > self.lengths.len() + 1 {
            return Err(wrong());
        }
        let mut ordered: Vec<String> = self.lengths.iter().map(|place| lengths[*place].to_string()).collect();
        if let Some(offset) = lengths.get(self.lengths.len()) {
            if ordered.len() == 1 {
                ordered.push(ordered[0].clone());
            }
            ordered.push(offset.to_string());
        }
        let window = format!("{}({time}, {})", self.function, ordered.join(", "));
        Ok(format!(
            "SELECT *, get_field({window}, 'start') AS window_start, get_field({window}, 'end') AS window_end, \
             get_field({window}, 'end') - INTERVAL '1 millisecond' AS window_time FROM {table}"
        ))
    }
}

fn plain(arg: &FunctionArg) -> Option<&Expr> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression),
        _ => None,
    }
}

/// The column of `DESCRIPTOR(column)`.
fn descriptor_column(expression: &Expr) -> Option<String> {
    let Expr::Function(call) = expression else { return None };
    let FunctionArguments::List(list) = &call.args else { return None };
    match (is_name(&call.name, "DESCRIPTOR"), list.args.as_slice()) {
        (true, [arg]) => match plain(arg)? {
            column @ Expr::Identifier(_) => Some(column.to_string()),
            _ => None,
        },
        _ => None,
    }
}
