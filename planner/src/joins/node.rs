//! A job's join as a plan node: logical, and how it becomes physical.

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, DFSchemaRef, JoinType, Result, internal_datafusion_err, internal_err};
use datafusion::logical_expr::builder::build_join_schema;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use salamander_operators::IntervalJoinExec;
use salamander_operators::join::{Bounds, JoinCondition, JoinSpec, Side};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A join of two streams within bounds of their event times. It gives the columns of its inputs, without the hidden ones
/// of their times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IntervalJoin {
    operator: String,
    kind: JoinType,
    bounds: Bounds,
    keys: [Vec<Expr>; 2],
    times: [Expr; 2],
    filter: Option<Expr>,
    inputs: [LogicalPlan; 2],
    schema: DFSchemaRef,
}

impl Hash for IntervalJoin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.operator, self.kind, self.bounds, &self.keys, &self.times, &self.filter, &self.inputs).hash(state);
    }
}

impl PartialOrd for IntervalJoin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.operator.partial_cmp(&other.operator) {
            Some(Ordering::Equal) if self != other => None,
            order => order,
        }
    }
}

/// The place of the time among a side's columns.
fn place(time: &Expr, input: &LogicalPlan) -> Result<usize> {
    let Expr::Column(column) = time else { return internal_err!("a join's event time is {time}") };
    input.schema().index_of_column(column)
}

/// A side's columns without its time.
fn given(time: &Expr, input: &LogicalPlan) -> Result<DFSchema> {
    let time = place(time, input)?;
    let schema = input.schema();
    let fields = schema.iter().enumerate().filter(|(at, _)| *at != time);
    let fields = fields.map(|(_, (qualifier, field))| (qualifier.cloned(), Arc::clone(field))).collect();
    DFSchema::new_with_metadata(fields, schema.metadata().clone())
}

impl IntervalJoin {
    pub(super) fn try_new(
        operator: String,
        kind: JoinType,
        bounds: Bounds,
        keys: [Vec<Expr>; 2],
        times: [Expr; 2],
        filter: Option<Expr>,
        inputs: [LogicalPlan; 2],
    ) -> Result<Self> {
        let (left, right) = (given(&times[0], &inputs[0])?, given(&times[1], &inputs[1])?);
        let schema = Arc::new(build_join_schema(&left, &right, &kind)?);
        Ok(Self { operator, kind, bounds, keys, times, filter, inputs, schema })
    }

    /// By side, where the columns that are given out stand in the input.
    fn columns(&self, side: Side) -> Result<Vec<usize>> {
        let input = &self.inputs[side.index()];
        let time = place(&self.times[side.index()], input)?;
        Ok((0..input.schema().fields().len()).filter(|at| *at != time).collect())
    }

    fn gives(&self, side: Side) -> bool {
        match self.kind {
            JoinType::LeftSemi | JoinType::LeftAnti => side == Side::Left,
            JoinType::RightSemi | JoinType::RightAnti => side == Side::Right,
            _ => true,
        }
    }

    fn needed(&self, output: &[usize]) -> Result<Vec<Vec<usize>>> {
        let mut before = 0;
        Side::BOTH
            .into_iter()
            .map(|side| {
                let columns = self.columns(side)?;
                let mut needed = Vec::new();
                if self.gives(side) {
                    needed.extend(output.iter().filter_map(|at| columns.get(at.checked_sub(before)?).copied()));
                    before += columns.len();
                }
                let schema = self.inputs[side.index()].schema();
                let expressions = self.keys[side.index()].iter().chain([&self.times[side.index()]]).chain(&self.filter);
                let refs = expressions.flat_map(Expr::column_refs);
                needed.extend(refs.filter_map(|column| schema.maybe_index_of_column(column)));
                needed.sort_unstable();
                needed.dedup();
                Ok(needed)
            })
            .collect()
    }
}

impl UserDefinedLogicalNodeCore for IntervalJoin {
    fn name(&self) -> &str {
        "IntervalJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        self.inputs.iter().collect()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.times.iter().chain(self.keys.iter().flatten()).chain(&self.filter).cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys[0].iter().zip(&self.keys[1]).map(|(left, right)| format!("{left} = {right}"));
        let keys = keys.collect::<Vec<_>>().join(", ");
        write!(f, "IntervalJoin: {}, on=[{keys}], bounds=[{}]", self.kind, self.bounds)?;
        self.filter.as_ref().map_or(Ok(()), |filter| write!(f, ", filter=[{filter}]"))
    }

    fn with_exprs_and_inputs(&self, expressions: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut expressions = expressions.into_iter().map(Expr::unalias);
        let mut next =
            || expressions.next().ok_or_else(|| internal_datafusion_err!("IntervalJoin lacks an expression"));
        let times = [next()?, next()?];
        let mut keys = self.keys.clone();
        for key in keys.iter_mut().flatten() {
            *key = next()?;
        }
        let filter = self.filter.as_ref().map(|_| next()).transpose()?;
        let Ok(inputs) = <[LogicalPlan; 2]>::try_from(inputs) else {
            return internal_err!("IntervalJoin needs two inputs");
        };
        Self::try_new(self.operator.clone(), self.kind, self.bounds, keys, times, filter, inputs)
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        self.needed(output).ok()
    }
}

/// Makes physical plans of the nodes here.
#[derive(Debug)]
pub(crate) struct JoinPlanner;

#[async_trait]
impl ExtensionPlanner for JoinPlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(node), [left, right]) = (node.as_any().downcast_ref::<IntervalJoin>(), inputs) else {
            return Ok(None);
        };
        let physical = |expression: &Expr, schema: &DFSchema| {
            create_physical_expr(expression, schema, session.execution_props(), context)
        };
        let keys = |side: Side| {
            let schema = node.inputs[side.index()].schema();
            node.keys[side.index()].iter().map(|key| physical(key, schema)).collect::<Result<Vec<_>>>()
        };
        let condition = node.filter.as_ref().map(|filter| condition(node, filter, &physical)).transpose()?;
        let spec = JoinSpec {
            kind: node.kind,
            bounds: node.bounds,
            keys: [keys(Side::Left)?, keys(Side::Right)?],
            times: [place(&node.times[0], &node.inputs[0])?, place(&node.times[1], &node.inputs[1])?],
            condition,
            inputs: [left.schema(), right.schema()],
            output: Arc::new(node.schema.as_arrow().clone()),
        };
        let join = IntervalJoinExec::new(node.operator.clone(), Arc::new(spec), Arc::clone(left), Arc::clone(right));
        Ok(Some(Arc::new(join)))
    }
}

/// The condition over the columns that it needs.
fn condition(
    node: &IntervalJoin,
    filter: &Expr,
    physical: &dyn Fn(&Expr, &DFSchema) -> Result<Arc<dyn PhysicalExpr>>,
) -> Result<JoinCondition> {
    let (mut columns, mut fields) = (Vec::new(), Vec::new());
    for side in Side::BOTH {
        let schema = node.inputs[side.index()].schema();
        for at in node.columns(side)? {
            let (qualifier, field) = schema.qualified_field(at);
            if filter.column_refs().into_iter().any(|column| schema.maybe_index_of_column(column) == Some(at)) {
                columns.push((side, at));
                fields.push((qualifier.cloned(), Arc::new(field.as_ref().clone().with_nullable(true))));
            }
        }
    }
    let schema = DFSchema::new_with_metadata(fields, std::collections::HashMap::new())?;
    let expression = physical(filter, &schema)?;
    Ok(JoinCondition { expression, columns, schema: Arc::new(schema.as_arrow().clone()) })
}
