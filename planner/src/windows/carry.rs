//! The event time of a stream, brought up to a windowed aggregate through what lies between them.
//!
//! The aggregate must have the time of each row (and, where rows are in several windows, the watermark before it), but
//! projections in between may have left it out. So they are given two hidden columns more, down to the scans, which
//! from then on put late rows aside.

use super::functions::window_call;
use crate::binding::StreamTable;
use datafusion::catalog::default_table_source::{provider_as_source, source_as_provider};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, plan_err};
use datafusion::logical_expr::{
    Expr, Filter, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias, TableScan, Union,
};
use salamander_operators::WindowSpec;
use salamander_operators::epoch_source::WATERMARK_COLUMN;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The hidden column of the event time.
const TIME: &str = "__event_time";
/// The hidden column of the watermark before a row.
const WATERMARK: &str = "__watermark";

/// A plan with the hidden columns behind its own.
pub(crate) struct Carried {
    pub(crate) plan: LogicalPlan,
    /// Columns of the old plan that the new one lacks, since they are made of windows that overlap.
    gone: BTreeSet<usize>,
}

impl Carried {
    fn column(&self, name: &str) -> Option<Expr> {
        let columns = self.plan.schema().columns();
        columns.into_iter().rev().find(|column| column.name == name).map(Expr::Column)
    }

    pub(crate) fn time(&self) -> Option<Expr> {
        self.column(TIME)
    }

    pub(crate) fn watermark(&self) -> Option<Expr> {
        self.column(WATERMARK)
    }

    fn hidden(&self) -> impl Iterator<Item = Expr> {
        [self.time(), self.watermark()].into_iter().flatten()
    }
}

/// Where the event time is from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum From<'a> {
    /// The streams below, each its own.
    Streams,
    /// An expression over the rows of the topmost node that isn't a projection, a filter or the like.
    Rows(&'a Expr),
}

/// Brings the event time up through a plan of streams, projections and filters.
///
/// # Errors
/// When something else lies in between.
pub(crate) fn carry(plan: &LogicalPlan, windows: WindowSpec, from: From<'_>) -> Result<Carried> {
    match plan {
        LogicalPlan::Projection(projection) => carry_projection(projection, windows, from),
        LogicalPlan::SubqueryAlias(alias) => {
            let input = carry(&alias.input, windows, from)?;
            let aliased = SubqueryAlias::try_new(Arc::new(input.plan), alias.alias.clone())?;
            Ok(Carried { plan: LogicalPlan::SubqueryAlias(aliased), gone: input.gone })
        }
        LogicalPlan::Filter(filter) => {
            let input = carry(&filter.input, windows, from)?;
            if uses_gone(&filter.predicate, &filter.input, &input.gone)? {
                return plan_err!(
                    "a job can't filter on windows that overlap before they are aggregated: put the condition into HAVING"
                );
            }
            let filtered = Filter::try_new(filter.predicate.clone(), Arc::new(input.plan))?;
            Ok(Carried { plan: LogicalPlan::Filter(filtered), gone: input.gone })
        }
        LogicalPlan::Unnest(unnest) => {
            let input = carry(&unnest.input, windows, from)?;
            let from = |index: &usize| input.gone.contains(&unnest.dependency_indices[*index]);
            let gone = (0..unnest.dependency_indices.len()).filter(from).collect();
            let columns = unnest.exec_columns.clone();
            let plan = LogicalPlanBuilder::from(input.plan)
                .unnest_columns_with_options(columns, unnest.options.clone())?
                .build()?;
            Ok(Carried { plan, gone })
        }
        rows if let From::Rows(time) = from => {
            let columns = rows.schema().columns().into_iter().map(Expr::Column);
            let plan =
                LogicalPlanBuilder::from(rows.clone()).project(columns.chain([time.clone().alias(TIME)]))?.build()?;
            Ok(Carried { plan, gone: BTreeSet::new() })
        }
        LogicalPlan::TableScan(scan) => carry_scan(scan, windows),
        LogicalPlan::Union(union) => {
            let inputs = union.inputs.iter().map(|input| carry(input, windows, from)).collect::<Result<Vec<_>>>()?;
            let gone = inputs.first().map(|i| i.gone.clone()).unwrap_or_default();
            if inputs.iter().any(|input| input.gone != gone) {
                return plan_err!("the parts of a UNION ALL must have the same windows");
            }
            let inputs = inputs.into_iter().map(|input| Arc::new(input.plan)).collect();
            Ok(Carried { plan: LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?), gone })
        }
        _ => plan_err!(
            "a job can aggregate windows over streams, projections, filters and UNION ALL only, not over another \
             aggregate or a join: write one job for each and read the first one's table"
        ),
    }
}

/// The stream that a scan reads; none if it is something else.
pub(crate) fn stream_of(scan: &TableScan) -> Result<Option<StreamTable>> {
    let provider = source_as_provider(&scan.source)?;
    Ok(provider.downcast_ref::<StreamTable>().cloned())
}

fn carry_scan(scan: &TableScan, windows: WindowSpec) -> Result<Carried> {
    let stream = stream_of(scan)?;
    let Some((stream, time)) = stream.and_then(|s| s.event_time().map(|time| (s, time))) else {
        return plan_err!(
            "{} has no event time: declare WATERMARK FOR a TIMESTAMP column AS that column - INTERVAL '10' SECOND in \
             CREATE TABLE",
            scan.table_name
        );
    };
    let watermark = !windows.is_tumbling();
    let source = provider_as_source(Arc::new(stream.with_windows(windows, watermark)));
    let plan = LogicalPlanBuilder::scan(scan.table_name.clone(), source, None)?;
    let columns = scan.projected_schema.columns();
    let qualified = |name: &str| Expr::Column(Column::new(Some(scan.table_name.clone()), name));
    let mut expressions: Vec<_> = columns.into_iter().map(Expr::Column).collect();
    expressions.push(qualified(&time).alias(TIME));
    if watermark {
        expressions.push(qualified(WATERMARK_COLUMN).alias(WATERMARK));
    }
    Ok(Carried { plan: plan.project(expressions)?.build()?, gone: BTreeSet::new() })
}

fn carry_projection(projection: &Projection, windows: WindowSpec, from: From<'_>) -> Result<Carried> {
    let input = carry(&projection.input, windows, from)?;
    let (mut kept, mut gone) = (Vec::new(), BTreeSet::new());
    for (index, expression) in projection.expr.iter().enumerate() {
        if overlaps(expression)? || uses_gone(expression, &projection.input, &input.gone)? {
            gone.insert(index);
        } else {
            kept.push(expression.clone());
        }
    }
    kept.extend(input.hidden());
    let plan = Projection::try_new(kept, Arc::new(input.plan))?;
    Ok(Carried { plan: LogicalPlan::Projection(plan), gone })
}

/// True if an expression has a window that a row can't say by itself: one that overlaps others, or a session.
pub(crate) fn overlaps(expression: &Expr) -> Result<bool> {
    let mut found = false;
    expression.apply(|part| {
        found |= window_call(part)?.is_some_and(|(windows, _)| !windows.is_tumbling() || windows.is_session());
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn uses_gone(expression: &Expr, input: &LogicalPlan, gone: &BTreeSet<usize>) -> Result<bool> {
    let columns = expression.column_refs();
    let mut indices = columns.into_iter().filter_map(|column| input.schema().maybe_index_of_column(column));
    Ok(indices.any(|index| gone.contains(&index)))
}
