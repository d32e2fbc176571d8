//! Plans of `INSERT INTO`: continuous ones, which a job runs each epoch, and bounded ones, which run once.
//!
//! A job's query works row by row (projections, filters, unnesting, UNION ALL over streams), but for aggregates by
//! windows of event time, which keep state ([`crate::windows`]). Splitting its input into epochs changes nothing of what
//! it gives in the end. Everything else is refused here, naming the part. A query that reads no stream may be any that a
//! SELECT may be.

use crate::binding::{Reading, stream_of};
use crate::error::PlanError;
use crate::joins::{self, JoinPlanner};
use crate::materialized::{self, ViewQuery};
use crate::session::{Planner, project_to};
use crate::tables::{StreamRelation, Tables};
use crate::windows::{self, WindowPlanner};
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, TryCast, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::scalar::ScalarValue;
use parking_lot::Mutex;
use salamander_operators::{EpochSinkExec, keeps_state};
use salamander_types::TableId;
use sqlparser::ast::Query;
use std::collections::HashSet;
use std::sync::Arc;

/// Where a job's rows go.
#[derive(Debug, Clone)]
pub struct JobTarget {
    /// The table's qualified name, for people.
    pub name: String,
    /// Its columns, partition columns last.
    pub schema: SchemaRef,
    /// The columns that the query's columns go to (lower case), in order; empty for all. Others become NULL.
    pub columns: Vec<String>,
}

/// A stream that a job reads.
#[derive(Debug, Clone)]
pub struct JobInput {
    /// The stream.
    pub stream: StreamRelation,
    /// The scans of the plan that read it: each takes the same rows.
    pub scans: Vec<usize>,
}

/// A job's plan.
#[derive(Debug, Clone)]
pub struct JobPlan {
    /// What it reads, each stream once; nothing if it runs once.
    pub inputs: Vec<JobInput>,
    /// Scans in the plan.
    pub scans: usize,
    /// Plan partitions of each scan.
    pub partitions: usize,
    /// The optimised logical plan, for EXPLAIN.
    pub logical: LogicalPlan,
    /// What runs each epoch, its root an `EpochSinkExec`; or what runs once, and gives the rows themselves.
    pub physical: Arc<dyn ExecutionPlan>,
    /// True if it has operators that keep state: windowed aggregates, whose late rows are put aside.
    pub keeps_state: bool,
    /// How it is read, if it keeps a materialized view.
    pub view: Option<ViewQuery>,
    /// Session, environment and functions of a run.
    pub task: Arc<TaskContext>,
}

impl JobPlan {
    /// The tables that it reads.
    pub fn reads(&self, table: &TableId) -> bool {
        self.inputs.iter().any(|i| i.stream.id == *table)
    }

    /// Whether it runs once, over what is there: it reads no stream.
    pub fn runs_once(&self) -> bool {
        self.inputs.is_empty()
    }
}

impl Planner {
    /// Whether a query reads a stream: `INSERT INTO` over it is a job, and runs once otherwise.
    ///
    /// # Errors
    /// When the query doesn't plan.
    pub async fn reads_stream(
        &self,
        tables: Arc<dyn Tables>,
        database: &str,
        query: &Query,
    ) -> Result<bool, PlanError> {
        let plan = self.query(tables, database, query).await?;
        let mut found = false;
        for_each_scan(&plan, |scan| {
            found = stream_of(scan).is_some();
            if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue }
        })?;
        Ok(found)
    }

    /// Plans `INSERT INTO target query` to run once.
    ///
    /// # Errors
    /// When the query doesn't plan, or doesn't fit the target.
    pub async fn insertion(
        &self,
        tables: Arc<dyn Tables>,
        database: &str,
        query: &Query,
        target: &JobTarget,
    ) -> Result<JobPlan, PlanError> {
        let binding = self.binding(tables, Reading::Batch);
        let state = binding.state(database);
        let plan = windows::explode(fit(binding.plan(database, query).await?, target)?)?;
        let logical = state.optimize(&plan)?;
        let physical = state.query_planner().create_physical_plan(&logical, &state).await?;
        let task = state.task_ctx();
        Ok(JobPlan {
            inputs: Vec::new(),
            scans: 0,
            partitions: 1,
            logical,
            physical,
            keeps_state: false,
            view: None,
            task,
        })
    }

    /// Plans `INSERT INTO target query` as a job.
    ///
    /// # Errors
    /// When the query doesn't plan, doesn't fit the target, reads no stream, or has a part that needs state.
    pub async fn job(
        &self,
        tables: Arc<dyn Tables>,
        database: &str,
        query: &Query,
        target: &JobTarget,
        partitions: usize,
        keeps: Keeps,
    ) -> Result<JobPlan, PlanError> {
        let scans = Arc::new(Mutex::new(Vec::new()));
        let reading = Reading::Continuous { scans: Arc::clone(&scans), partitions };
        let binding = self.binding(tables, reading);
        let state = binding.state(database);
        let plan = binding.plan(database, query).await?;
        // As it was written, so that the refusal names what the user wrote; and as it will run.
        check_streams(&plan)?;
        check_row_wise(&plan, if keeps == Keeps::View { Stage::WrittenView } else { Stage::Written })?;
        check_clock(&plan)?;
        let plan = fit(plan, target)?;
        let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
        let plan = joins::make_continuous(plan, &state)?;
        let plan = windows::make_continuous(plan, keeps == Keeps::View)?;
        let (plan, view) = match keeps {
            Keeps::Table => (windows::set_apart(plan)?, None),
            Keeps::View => materialized::split(plan).map(|(plan, view)| (plan, Some(view)))?,
        };
        let plan = windows::explode(plan)?;
        check_row_wise(&plan, Stage::Planned)?;
        let logical = state.optimizer().optimize(plan, &state, |_, _| {})?;
        check_row_wise(&logical, Stage::Planned)?;
        let physical =
            DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(WindowPlanner), Arc::new(JoinPlanner)]);
        let input = physical.create_physical_plan(&logical, &state).await?;
        let physical: Arc<dyn ExecutionPlan> = Arc::new(EpochSinkExec::new(target.name.clone(), input));
        let scanned = std::mem::take(&mut *scans.lock());
        if scanned.is_empty() {
            return Err(PlanError::Invalid(
                "the query reads no stream; a job needs one in FROM (a table of connector eventhubs, files or \
                 generator)"
                    .to_owned(),
            ));
        }
        Ok(JobPlan {
            scans: scanned.len(),
            inputs: by_stream(scanned),
            partitions,
            logical,
            keeps_state: keeps_state(&physical),
            physical,
            view,
            task: state.task_ctx(),
        })
    }
}

fn by_stream(scanned: Vec<StreamRelation>) -> Vec<JobInput> {
    let mut inputs: Vec<JobInput> = Vec::new();
    for (scan, stream) in scanned.into_iter().enumerate() {
        match inputs.iter_mut().find(|i| i.stream.id == stream.id) {
            Some(input) => input.scans.push(scan),
            None => inputs.push(JobInput { stream, scans: vec![scan] }),
        }
    }
    inputs
}

/// Casts the query's columns to the target's, position by position. A value that doesn't cast becomes NULL, as in
/// Spark with ANSI mode off.
pub(crate) fn fit(plan: LogicalPlan, target: &JobTarget) -> Result<LogicalPlan, PlanError> {
    let given = plan.schema().columns();
    let wanted = target_columns(target)?;
    if given.len() != wanted.len() {
        return Err(PlanError::Invalid(format!(
            "the query has {} columns, {} takes {}: {}",
            given.len(),
            target.name,
            wanted.len(),
            wanted.join(", ")
        )));
    }
    let expressions = target.schema.fields().iter().map(|field| {
        let expression = match wanted.iter().position(|w| w == field.name()) {
            None => lit(ScalarValue::try_from(field.data_type())?),
            Some(at) => {
                let column = Expr::Column(given[at].clone());
                let from = plan.schema().field(at).data_type();
                if from == field.data_type() {
                    column
                } else {
                    Expr::TryCast(TryCast::new(Box::new(column), field.data_type().clone()))
                }
            }
        };
        Ok(expression.alias(field.name()))
    });
    let expressions = expressions.collect::<Result<Vec<_>, datafusion::common::DataFusionError>>()?;
    Ok(project_to(plan, expressions)?)
}

fn target_columns(target: &JobTarget) -> Result<Vec<String>, PlanError> {
    if target.columns.is_empty() {
        return Ok(target.schema.fields().iter().map(|f| f.name().clone()).collect());
    }
    let mut seen = HashSet::new();
    for column in &target.columns {
        if target.schema.column_with_name(column).is_none() {
            return Err(PlanError::Invalid(format!("{} has no column '{column}'", target.name)));
        }
        if !seen.insert(column) {
            return Err(PlanError::Invalid(format!("column '{column}' is named twice")));
        }
    }
    Ok(target.columns.clone())
}

fn for_each_scan(plan: &LogicalPlan, mut see: impl FnMut(&TableScan) -> TreeNodeRecursion) -> Result<(), PlanError> {
    plan.apply_with_subqueries(|node| {
        Ok(match node {
            LogicalPlan::TableScan(scan) => see(scan),
            _ => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(())
}

/// Refuses tables that are no streams: each epoch would insert their rows again.
fn check_streams(plan: &LogicalPlan) -> Result<(), PlanError> {
    let mut other = None;
    for_each_scan(plan, |scan| {
        if stream_of(scan).is_some() {
            return TreeNodeRecursion::Continue;
        }
        other = Some(scan.table_name.to_string());
        TreeNodeRecursion::Stop
    })?;
    match other {
        None => Ok(()),
        Some(table) => Err(PlanError::Invalid(format!(
            "a job can't read {table} yet, which is no stream: it takes the new rows of streams (tables of connector \
             eventhubs, files or generator). INSERT INTO over tables alone, without CREATE JOB, runs once"
        ))),
    }
}

/// What a job's rows are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// A table: rows are only added.
    Table,
    /// A materialized view, which is read from the job's state too.
    View,
}

/// How far a plan has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// As it was written.
    Written,
    /// The same for a materialized view, whose upper part is a batch when it is read.
    WrittenView,
    /// As it runs.
    Planned,
}

/// Refuses what needs state or never ends. In the query as it was written, what keeps state (or is decorrelated) is let
/// through: [`joins`] and [`windows`] replace or refuse it.
fn check_row_wise(plan: &LogicalPlan, stage: Stage) -> Result<(), PlanError> {
    let mut refused = None;
    plan.apply_with_subqueries(|node| {
        let part = match node {
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::TableScan(_)
            | LogicalPlan::Union(_)
            | LogicalPlan::Unnest(_) => return Ok(TreeNodeRecursion::Continue),
            // By a window: anything else is refused when the windows are made, with what to write.
            LogicalPlan::Aggregate(_) | LogicalPlan::Extension(_) => return Ok(TreeNodeRecursion::Continue),
            LogicalPlan::Distinct(_) | LogicalPlan::Join(_) | LogicalPlan::Window(_) | LogicalPlan::Subquery(_)
                if stage != Stage::Planned =>
            {
                return Ok(TreeNodeRecursion::Continue);
            }
            LogicalPlan::Sort(_) | LogicalPlan::Limit(_) if stage == Stage::WrittenView => {
                return Ok(TreeNodeRecursion::Continue);
            }
            LogicalPlan::Distinct(_) => "DISTINCT ON a stream",
            LogicalPlan::Join(_) => "a join of streams",
            LogicalPlan::Window(_) => "a window function (OVER) on a stream",
            LogicalPlan::Sort(_) => "ORDER BY",
            LogicalPlan::Limit(_) => "LIMIT",
            LogicalPlan::Subquery(_) => "a subquery in an expression",
            LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => {
                "a part without a stream (VALUES, SELECT without FROM)"
            }
            LogicalPlan::RecursiveQuery(_) => "a recursive query",
            _ => "this kind of query",
        };
        refused = Some(part);
        Ok(TreeNodeRecursion::Stop)
    })?;
    match refused {
        None => Ok(()),
        Some(part) => Err(PlanError::Invalid(format!(
            "a job can't have {part} yet: it works row by row (projections, filters, UNION ALL), aggregates by windows of \
             event time and joins streams within bounds of it. Run it as an ordinary SELECT over the job's table instead"
        ))),
    }
}

/// Functions that DataFusion replaces by a constant when it plans a query.
const CLOCK: [&str; 5] = ["now", "current_timestamp", "current_date", "current_time", "today"];

/// Refuses the time of day: it would stand still at the time when the job was planned.
fn check_clock(plan: &LogicalPlan) -> Result<(), PlanError> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::ScalarFunction(function) = part
                    && CLOCK.contains(&function.name())
                {
                    found = Some(function.name().to_owned());
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    match found {
        None => Ok(()),
        Some(name) => Err(PlanError::Invalid(format!(
            "a job can't have {name}() yet: it would stay at the time when the job was started. The stream's column \
             _enqueued_time says when a row arrived"
        ))),
    }
}
