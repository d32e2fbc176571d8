//! Casts as in Spark with ANSI mode off: NULL, never an error.
//!
//! Runs after DataFusion's type coercion, so that casts which that adds are meant too:
//! - where Spark converts otherwise than arrow does, `CAST(x AS DOUBLE)` becomes `double(x)` (see [`crate::cast`]);
//! - any other cast that can fail becomes `TRY_CAST`.
//!
//! Names of columns stay as they were written.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, ScalarUDF, TryCast};
use datafusion::optimizer::AnalyzerRule;

use crate::cast::{SparkCast, Target};
use crate::views::is_string;

/// See the module's docs.
#[derive(Debug)]
pub struct SparkCasts {
    functions: HashMap<Target, Arc<ScalarUDF>>,
}

impl Default for SparkCasts {
    fn default() -> Self {
        let function = |target| (target, Arc::new(ScalarUDF::from(SparkCast::new(target))));
        SparkCasts { functions: Target::ALL.into_iter().map(function).collect() }
    }
}

impl AnalyzerRule for SparkCasts {
    fn name(&self) -> &str {
        "spark_casts"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| self.rewrite_node(plan)).map(|t| t.data)
    }
}

impl SparkCasts {
    fn rewrite_node(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let schema = input_schema(&plan);
        let names = NamePreserver::new(&plan);
        let rewritten = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr.transform_up(|expr| self.rewrite_expr(expr, &schema))?;
            Ok(if expr.transformed { expr.update_data(|expr| name.restore(expr)) } else { expr })
        })?;
        // Casts change types (from Timestamp to Int64, say) in no way, but nullability: schemas are made anew.
        if rewritten.transformed { rewritten.map_data(LogicalPlan::recompute_schema) } else { Ok(rewritten) }
    }

    fn rewrite_expr(&self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let (inner, to) = match &expr {
            Expr::Cast(Cast { expr: inner, field }) => (inner, field.data_type().clone()),
            Expr::TryCast(TryCast { expr: inner, field }) => (inner, field.data_type().clone()),
            _ => return Ok(Transformed::no(expr)),
        };
        let from = inner.get_type(schema)?;
        if let Some(function) = Target::replacing(&from, &to).and_then(|target| self.functions.get(&target)) {
            let call = function.call(vec![inner.as_ref().clone()]);
            // The function's type may differ in form only (Utf8View for Utf8).
            let call = if call.get_type(schema)? == to { call } else { Expr::Cast(Cast::new(Box::new(call), to)) };
            return Ok(Transformed::yes(call));
        }
        match expr {
            Expr::Cast(Cast { expr, field }) if can_fail(&from, &to) => {
                Ok(Transformed::yes(Expr::TryCast(TryCast { expr, field })))
            }
            expr => Ok(Transformed::no(expr)),
        }
    }
}

/// What a node's expressions refer to.
fn input_schema(plan: &LogicalPlan) -> DFSchema {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = plan
        && let Ok(table) = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())
    {
        schema.merge(&table);
    }
    schema
}

/// Whether a cast between these types can meet a value that it can't convert.
fn can_fail(from: &DataType, to: &DataType) -> bool {
    let infallible = from == to
        || *from == DataType::Null
        || (is_string(from) && is_string(to))
        || (from.is_integer() && to.is_floating())
        || (from.is_floating() && to.is_floating())
        || (from.is_signed_integer() && to.is_signed_integer() && from.primitive_width() <= to.primitive_width())
        || is_string(to);
    !infallible && !from.is_nested() && !to.is_nested()
}
