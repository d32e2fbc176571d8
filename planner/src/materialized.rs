//! Materialized views: what their job runs, and how they are read.
//!
//! A view's job keeps the query's aggregates as state and writes what they emit into the view's table. What they have not
//! emitted yet is read from the state at an epoch's end: the windows that are still open, or the groups of an aggregate
//! without a window, which never emits.
//!
//! ```text
//!   SELECT … FROM view   =   rows of the view's table  ∪  the query's upper part over the open windows
//! ```

use crate::error::PlanError;
use crate::windows::{as_aggregate, reads_global, set_apart};
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::scalar::ScalarValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a materialized view is read.
#[derive(Debug, Clone)]
pub struct ViewQuery {
    /// The view's query down to its aggregates, whose rows are what is open when it is read.
    upper: LogicalPlan,
    /// Nothing is ever written: all rows are made when the view is read.
    is_global: bool,
}

/// Splits a view's query, its aggregates made continuous, into what its job runs each epoch and how it is read.
///
/// # Errors
/// When windowed aggregates and such of all of time are in one query, or a part needs rows of several windows.
pub(crate) fn split(plan: LogicalPlan) -> Result<(LogicalPlan, ViewQuery)> {
    let is_global = reads_global(&plan)?;
    let view = ViewQuery { upper: plan.clone(), is_global };
    if !is_global {
        return Ok((set_apart(plan)?, view));
    }
    let (mut aggregates, mut other) = (Vec::new(), None);
    plan.apply(|node| {
        match node {
            LogicalPlan::TableScan(scan) => other = Some(scan.table_name.to_string()),
            node if as_aggregate(node).is_some() => {
                aggregates.push(node.clone());
                return Ok(TreeNodeRecursion::Jump);
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    if let Some(table) = other {
        return invalid(format!(
            "a materialized view can't have rows of {table} beside an aggregate without a window, which has no rows to \
             add, only groups that change: make a view of each, and join them when they are read"
        ));
    }
    if aggregates.iter().any(|node| as_aggregate(node).is_some_and(|aggregate| !aggregate.windows.is_global())) {
        return invalid(
            "a materialized view can't have aggregates by windows beside such without a window: make a view of each, \
             and join them when they are read",
        );
    }
    // They never emit; but their rows would be the target's.
    let mut fields = plan.schema().fields().iter();
    let columns = fields.by_ref().map(|f| Ok(lit(ScalarValue::try_from(f.data_type())?).alias(f.name())));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let mut taking: Option<LogicalPlanBuilder> = None;
    for aggregate in aggregates {
        let rows = LogicalPlanBuilder::from(aggregate).project(columns.clone())?;
        taking = Some(match taking {
            None => rows,
            Some(others) => others.union(rows.build()?)?,
        });
    }
    let taking = taking.map_or(Ok(plan), LogicalPlanBuilder::build)?;
    Ok((taking, view))
}

fn invalid<T>(message: impl Into<String>) -> Result<T> {
    Err(crate::binding::external(PlanError::Invalid(message.into())))
}

impl ViewQuery {
    /// The view's rows: those that were written, and those of what is open, by the aggregate that keeps it.
    ///
    /// # Errors
    /// When rows don't have the aggregate's columns.
    pub fn read(
        &self,
        written: Arc<dyn TableProvider>,
        open: &BTreeMap<String, Vec<RecordBatch>>,
    ) -> Result<LogicalPlan, PlanError> {
        let upper = self.upper.clone().transform_down(|node| {
            if let Some(aggregate) = as_aggregate(&node) {
                let rows = open.get(&aggregate.operator).map(Vec::as_slice).unwrap_or_default();
                return Ok(Transformed::new(stand_in(&node, rows)?, true, TreeNodeRecursion::Jump));
            }
            match node {
                // Rows that no aggregate takes have been written.
                LogicalPlan::TableScan(_) | LogicalPlan::Extension(_) => {
                    Ok(Transformed::new(stand_in(&node, &[])?, true, TreeNodeRecursion::Jump))
                }
                other => Ok(Transformed::no(other)),
            }
        })?;
        // What stands in may have NULLs where the aggregates have none.
        let upper = upper.data.transform_up(|node| node.recompute_schema().map(Transformed::yes))?;
        if self.is_global {
            return Ok(upper.data);
        }
        let written = LogicalPlanBuilder::scan("written", provider_as_source(written), None)?;
        Ok(written.union(upper.data)?.build()?)
    }
}

/// A plan with the same columns as `node`, of these rows.
fn stand_in(node: &LogicalPlan, rows: &[RecordBatch]) -> Result<LogicalPlan> {
    let fields = node.schema().fields().iter().enumerate();
    // Names may repeat where tables differ.
    let renamed = fields.map(|(i, field)| Field::new(format!("c{i}"), field.data_type().clone(), true));
    let schema = Arc::new(Schema::new(renamed.collect::<Vec<_>>()));
    let batches = rows.iter().map(|rows| {
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&schema), rows.columns().to_vec(), &options)
    });
    let batches = batches.collect::<Result<Vec<_>, _>>()?;
    let table = MemTable::try_new(schema, vec![batches])?;
    let columns = node.schema().iter().enumerate().map(|(i, (qualifier, field))| {
        Expr::Column(Column::new(Some("open"), format!("c{i}"))).alias_qualified(qualifier.cloned(), field.name())
    });
    LogicalPlanBuilder::scan("open", provider_as_source(Arc::new(table)), None)?
        .project(columns.collect::<Vec<_>>())?
        .build()
}
