//! Result columns of the same name: Spark has them, DataFusion asks for aliases.
//!
//! A query that fails over its columns' names is planned once more with aliases of our own (`a`, `a#1`), and a
//! projection on top gives the columns their names back. DataFusion bears equal names under different qualifiers, so
//! each of them gets a qualifier that nobody else has.

use datafusion::common::{Column, DataFusionError, Result, SchemaError, TableReference};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use sqlparser::ast::{self, Ident, Query, Select, SelectItem, SetExpr};
use std::collections::HashMap;

/// Our aliases and the names that they stand for.
pub(crate) type Renamed = HashMap<String, String>;

/// Whether a query failed because columns have the same name (or may have: the ambiguity can also be in an expression).
pub(crate) fn is_about_names(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::Plan(message) => message.contains("require unique expression names"),
        DataFusionError::SchemaError(error, _) => matches!(
            error.as_ref(),
            SchemaError::DuplicateQualifiedField { .. }
                | SchemaError::DuplicateUnqualifiedField { .. }
                | SchemaError::AmbiguousReference { .. }
        ),
        _ => false,
    }
}

/// Gives the result's columns names that differ.
pub(crate) fn set_apart(query: &mut Query) -> Renamed {
    let mut renamed = Renamed::new();
    set_apart_in(&mut query.body, &mut renamed);
    renamed
}

fn set_apart_in(body: &mut SetExpr, renamed: &mut Renamed) {
    match body {
        SetExpr::Select(select) => alias_repeated(select, renamed),
        SetExpr::Query(query) => set_apart_in(&mut query.body, renamed),
        SetExpr::SetOperation { left, right, .. } => {
            set_apart_in(left, renamed);
            set_apart_in(right, renamed);
        }
        _ => {}
    }
}

fn alias_repeated(select: &mut Select, renamed: &mut Renamed) {
    // What a star stands for isn't known here: any other column may be among it.
    let has_star =
        select.projection.iter().any(|i| matches!(i, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    let mut counts: HashMap<String, usize> = HashMap::new();
    for (name, _) in select.projection.iter().filter_map(column_name) {
        *counts.entry(name).or_default() += 1;
    }
    let mut seen: HashMap<String, usize> = HashMap::new();
    for item in &mut select.projection {
        let Some((name, is_named)) = column_name(item) else { continue };
        let before = seen.entry(name.clone()).or_default();
        let nth = std::mem::replace(before, *before + 1);
        // The first of them keeps its name, which ORDER BY may use; but that of an expression would be DataFusion's.
        let is_taken = nth > 0 || has_star || !is_named;
        if !is_taken || (counts[&name] == 1 && !has_star) {
            continue;
        }
        let alias = format!("{name}#{nth}");
        let expr = match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr.clone(),
            _ => continue,
        };
        *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', alias.clone()) };
        renamed.insert(alias, name);
    }
}

/// The name of a result column, and whether DataFusion calls it the same; none for a star.
fn column_name(item: &SelectItem) -> Option<(String, bool)> {
    match item {
        SelectItem::UnnamedExpr(ast::Expr::Identifier(name)) => Some((normal(name), true)),
        SelectItem::UnnamedExpr(ast::Expr::CompoundIdentifier(parts)) => Some((normal(parts.last()?), true)),
        SelectItem::UnnamedExpr(expr) => Some((expr.to_string(), false)),
        SelectItem::ExprWithAlias { alias, .. } => Some((normal(alias), true)),
        _ => None,
    }
}

fn normal(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

/// Gives the columns their names back.
pub(crate) fn restore(plan: LogicalPlan, renamed: &Renamed) -> Result<LogicalPlan> {
    let schema = plan.schema();
    let name = |field: &str| renamed.get(field).map_or_else(|| field.to_owned(), Clone::clone);
    let mut counts: HashMap<String, usize> = HashMap::new();
    for field in schema.fields() {
        *counts.entry(name(field.name())).or_default() += 1;
    }
    let columns = schema.iter().enumerate().map(|(index, (qualifier, field))| {
        let (name, column) = (name(field.name()), Expr::Column(Column::from((qualifier, field))));
        if counts[&name] > 1 {
            column.alias_qualified(Some(TableReference::bare(format!("#{index}"))), name)
        } else if name == *field.name() {
            column
        } else {
            column.alias(name)
        }
    });
    let columns: Vec<Expr> = columns.collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// A name that more than one of a plan's columns has.
pub(crate) fn repeated_name(plan: &LogicalPlan) -> Option<String> {
    let mut seen = std::collections::HashSet::new();
    plan.schema().fields().iter().find(|f| !seen.insert(f.name())).map(|f| f.name().clone())
}
