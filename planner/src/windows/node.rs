//! A job's windowed aggregate as a plan node: logical, and how it becomes physical.

use super::whole::{ClosedRows, WholeWindows};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::execution::session_state::SessionState;
use datafusion::functions_aggregate::expr_fn::{max, min};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::aggregate::LoweredAggregateBuilder;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use salamander_operators::window::{Aggregation, GroupingSet, WindowFunction, WindowKey};
use salamander_operators::{ClosedRowsExec, WholeWindowsExec, WindowAggregateExec, WindowSpec};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A grouping key, in the order of the output.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) enum Key {
    Window,
    Start,
    /// So many microseconds before the window's end.
    BeforeEnd(i64),
    Expression(Expr),
    /// Which of the grouping sets.
    GroupingId,
}

/// An aggregate by windows of event time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WindowAggregate {
    pub(crate) operator: String,
    pub(crate) windows: WindowSpec,
    pub(crate) time: Expr,
    pub(crate) watermark: Option<Expr>,
    /// Over another node that keeps state: by how much what that one emits may be behind the job's watermark.
    pub(crate) behind: Option<i64>,
    pub(crate) keys: Vec<Key>,
    pub(crate) sets: Vec<GroupingSet>,
    pub(crate) functions: Vec<Expr>,
    pub(crate) input: LogicalPlan,
    pub(crate) schema: DFSchemaRef,
}

impl Hash for WindowAggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.operator, self.windows, &self.time, &self.watermark).hash(state);
        (self.behind, &self.keys, &self.functions, &self.input).hash(state);
    }
}

impl PartialOrd for WindowAggregate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.operator.partial_cmp(&other.operator) {
            Some(Ordering::Equal) if self != other => None,
            order => order,
        }
    }
}

impl UserDefinedLogicalNodeCore for WindowAggregate {
    fn name(&self) -> &str {
        "WindowAggregate"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let keys = self.keys.iter().filter_map(|key| match key {
            Key::Expression(expression) => Some(expression.clone()),
            _ => None,
        });
        let time = std::iter::once(&self.time).chain(&self.watermark).cloned();
        time.chain(keys).chain(self.functions.iter().cloned()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.iter().map(|key| match key {
            Key::Window => "window".to_owned(),
            Key::Start => "window start".to_owned(),
            Key::BeforeEnd(0) => "window end".to_owned(),
            Key::BeforeEnd(before) => format!("window end - {before} µs"),
            Key::Expression(expression) => expression.to_string(),
            Key::GroupingId => format!("{} grouping sets", self.sets.len()),
        });
        let functions = self.functions.iter().map(ToString::to_string);
        write!(
            f,
            "WindowAggregate: window=[{} of {}], groupBy=[[{}]], aggr=[[{}]]",
            self.windows,
            self.time,
            keys.collect::<Vec<_>>().join(", "),
            functions.collect::<Vec<_>>().join(", ")
        )
    }

    fn with_exprs_and_inputs(&self, expressions: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut expressions = expressions.into_iter().map(Expr::unalias);
        let mut new = self.clone();
        let (Some(time), Some(input)) = (expressions.next(), inputs.pop()) else {
            return internal_err!("WindowAggregate lacks its time or input");
        };
        new.time = time;
        new.input = input;
        if let Some(watermark) = &mut new.watermark {
            *watermark = expressions.next().unwrap_or_else(|| watermark.clone());
        }
        let own = new.keys.iter_mut().filter(|key| matches!(key, Key::Expression(_)));
        for (key, expression) in own.zip(expressions.by_ref()) {
            *key = Key::Expression(expression);
        }
        for (function, expression) in new.functions.iter_mut().zip(expressions) {
            *function = expression;
        }
        Ok(new)
    }

    fn necessary_children_exprs(&self, _: &[usize]) -> Option<Vec<Vec<usize>>> {
        let expressions = UserDefinedLogicalNodeCore::expressions(self);
        let columns = expressions.iter().flat_map(Expr::column_refs);
        let mut indices: Vec<_> =
            columns.filter_map(|column| self.input.schema().maybe_index_of_column(column)).collect();
        indices.sort_unstable();
        indices.dedup();
        Some(vec![indices])
    }
}

/// Makes physical plans of the nodes here.
#[derive(Debug)]
pub(crate) struct WindowPlanner;

#[async_trait]
impl ExtensionPlanner for WindowPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if let Some(whole) = node.as_any().downcast_ref::<WholeWindows>() {
            return plan_whole(planner, whole, inputs, session).await.map(Some);
        }
        if let Some(rows) = node.as_any().downcast_ref::<ClosedRows>() {
            let schema = Arc::new(UserDefinedLogicalNodeCore::schema(rows).as_arrow().clone());
            return Ok(Some(Arc::new(ClosedRowsExec::new(rows.index, schema))));
        }
        let (Some(node), [input]) = (node.as_any().downcast_ref::<WindowAggregate>(), inputs) else {
            return Ok(None);
        };
        let lowering = Lowering { node, input, session, context };
        let aggregation = Aggregation {
            windows: node.windows,
            time: lowering.expression(&node.time)?,
            watermark: node.watermark.as_ref().map(|w| lowering.expression(w)).transpose()?,
            behind: node.behind,
            sets: node.sets.clone(),
            keys: node.keys.iter().map(|key| lowering.key(key)).collect::<Result<_>>()?,
            functions: lowering.functions()?,
            schema: Arc::new(node.schema.as_arrow().clone()),
        };
        let operator = node.operator.clone();
        Ok(Some(Arc::new(WindowAggregateExec::new(operator, Arc::new(aggregation), Arc::clone(input)))))
    }
}

/// A plan for whole windows: optimised by itself, and of one partition, since the windows come in one.
async fn plan_whole(
    planner: &dyn PhysicalPlanner,
    whole: &WholeWindows,
    inputs: &[Arc<dyn ExecutionPlan>],
    session: &dyn Session,
) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(state) = session.as_any().downcast_ref::<SessionState>() else {
        return internal_err!("a job is planned in a session of another kind");
    };
    let mut state = state.clone();
    state.config_mut().options_mut().execution.target_partitions = 1;
    let inner = state.optimizer().optimize(whole.inner().clone(), &state, |_, _| {})?;
    let inner = planner.create_physical_plan(&inner, &state).await?;
    Ok(Arc::new(WholeWindowsExec::new(inputs.to_vec(), inner)))
}

/// What it takes to make expressions physical.
struct Lowering<'a> {
    node: &'a WindowAggregate,
    input: &'a Arc<dyn ExecutionPlan>,
    session: &'a dyn Session,
    context: &'a PhysicalPlanningContext,
}

impl Lowering<'_> {
    fn expression(&self, expression: &Expr) -> Result<Arc<dyn PhysicalExpr>> {
        create_physical_expr(expression, self.node.input.schema(), self.session.execution_props(), self.context)
    }

    fn key(&self, key: &Key) -> Result<WindowKey> {
        Ok(match key {
            Key::Window => WindowKey::Window,
            Key::Start => WindowKey::Start,
            Key::BeforeEnd(before) => WindowKey::BeforeEnd(*before),
            Key::Expression(expression) => WindowKey::Expression(self.expression(expression)?),
            Key::GroupingId => WindowKey::GroupingId,
        })
    }

    /// The functions; behind those of a session its first and last time.
    fn functions(&self) -> Result<Vec<WindowFunction>> {
        let named = self.node.functions.iter().zip(self.names());
        let mut functions = named.map(|(f, name)| self.function(f, name)).collect::<Result<Vec<_>>>()?;
        if self.node.windows.is_session() {
            functions.push(self.function(&min(self.node.time.clone()), "session_first")?);
            functions.push(self.function(&max(self.node.time.clone()), "session_last")?);
        }
        Ok(functions)
    }

    /// Names of the functions' columns.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.node.schema.fields().iter().skip(self.node.keys.len()).map(|field| field.name().as_str())
    }

    fn function(&self, function: &Expr, name: &str) -> Result<WindowFunction> {
        let (logical, physical) = (self.node.input.schema(), self.input.schema());
        let props = self.session.execution_props();
        let lowered = LoweredAggregateBuilder::new(function, logical, &physical, props, self.context);
        let lowered = lowered.with_name(name).build()?;
        Ok(WindowFunction { function: lowered.aggregate, filter: lowered.filter })
    }
}
