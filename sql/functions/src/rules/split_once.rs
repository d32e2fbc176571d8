//! `split(x, 'literal')[i]` without making arrays: each text is cut once per batch, into columns.
//!
//! The rule looks for `spark_array_get(split(x, d), i)` where `d` is a pattern that is a plain string and `i` a literal.
//!
//! - Where the `split` stands in the same expression: `split_field(x, d, i)`.
//! - Where it is a column of a projection below (a subquery, a view, or what DataFusion's common-subexpression rule made of a
//!   repeated `split`), that projection gets a further column, `split_fields(x, d, i, j, …)` for all fields that are
//!   wanted, and the accesses become `split_fields_get(column, i)`:
//!
//! ```text
//! Projection: f[1] AS level, f[7] AS url       Projection: split_fields_get(s, 1) AS level, split_fields_get(s, 7) AS url
//!   SubqueryAlias: p                      =>     SubqueryAlias: p
//!     Projection: split(body) AS f                 Projection: split(body) AS f, split_fields(body, ' | ', 1, 7) AS s
//! ```
//!
//! DataFusion's projection rules then drop `f` if nobody else reads it, and keep the two projections apart, since `s` is
//! read more than once: so each text is cut exactly once. The rule does nothing in a session with
//! [`crate::Kernels::General`]. It comes last, after common subexpressions are found.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::logical_expr::expr::{Alias, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, ScalarUDF, SubqueryAlias, lit};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::element::Element;
use crate::java_regex::shape::Shape;
use crate::split::Split;
use crate::split_fields::{MAX_FIELD, SplitField, SplitFields, SplitFieldsGet};

/// See the module's docs.
#[derive(Debug)]
pub struct SplitOnce {
    one: Arc<ScalarUDF>,
    many: Arc<ScalarUDF>,
    get: Arc<ScalarUDF>,
}

impl Default for SplitOnce {
    fn default() -> Self {
        SplitOnce {
            one: Arc::new(ScalarUDF::from(SplitField::new())),
            many: Arc::new(ScalarUDF::from(SplitFields::new())),
            get: Arc::new(ScalarUDF::from(SplitFieldsGet::new())),
        }
    }
}

impl OptimizerRule for SplitOnce {
    fn name(&self) -> &str {
        "split_once"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if !matches!(plan, LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Filter(_)) {
            return Ok(Transformed::no(plan));
        }
        let (input, columns) = self.split_below(&plan, config)?;
        let names = NamePreserver::new(&plan);
        let mut changed = false;
        let mut exprs = Vec::new();
        for expr in plan.expressions() {
            let name = names.save(&expr);
            let rewritten = expr.transform_up(|expr| Ok(self.rewrite_access(expr, &columns)))?;
            changed |= rewritten.transformed;
            exprs.push(if rewritten.transformed { name.restore(rewritten.data) } else { rewritten.data });
        }
        if !changed {
            return Ok(Transformed::no(plan));
        }
        let input_changed = input.is_some();
        let is_filter = matches!(plan, LogicalPlan::Filter(_));
        let original_columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        let inputs = match input {
            Some(input) => vec![input],
            None => plan.inputs().into_iter().cloned().collect(),
        };
        let mut rewritten = plan.with_new_exprs(exprs, inputs)?;
        if is_filter && input_changed {
            // A filter passes its input's columns on: hide the added one.
            rewritten = LogicalPlan::Projection(Projection::try_new(original_columns, Arc::new(rewritten))?);
        }
        Ok(Transformed::yes(rewritten))
    }
}

/// For each array column that is accessed: what now holds the fields.
type Replacements = HashMap<Column, Cut>;

/// A column that [`SplitOnce::add_fields`] added.
struct Cut {
    column: Expr,
    /// Whether the column is the one field that is wanted; else it is a struct of several.
    single: bool,
}

impl SplitOnce {
    /// Makes the plan's input provide the fields that the plan takes out of `split` columns.
    fn split_below(
        &self,
        plan: &LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<(Option<LogicalPlan>, Replacements)> {
        let mut wanted: BTreeMap<Column, BTreeSet<usize>> = BTreeMap::new();
        for expr in plan.expressions() {
            expr.apply(|expr| {
                if let Some((Expr::Column(column), field)) = access(expr) {
                    wanted.entry(column.clone()).or_default().insert(field);
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        let mut replacements = Replacements::new();
        let mut input: Option<LogicalPlan> = None;
        for (column, fields) in wanted {
            let Some(&original) = plan.inputs().first() else { break };
            let below = input.as_ref().unwrap_or(original);
            let name = config.alias_generator().next("__split");
            if let Some((below, added)) = self.add_fields(below, &column, &fields, &name)? {
                replacements.insert(column, Cut { column: Expr::Column(added), single: fields.len() == 1 });
                input = Some(below);
            }
        }
        Ok((input, replacements))
    }

    /// `plan` with one more column that holds `fields` of the array `column`; `None` if that is no recognised split.
    fn add_fields(
        &self,
        plan: &LogicalPlan,
        column: &Column,
        fields: &BTreeSet<usize>,
        name: &str,
    ) -> Result<Option<(LogicalPlan, Column)>> {
        match plan {
            LogicalPlan::Projection(projection) => {
                let Some(at) = projection.schema.maybe_index_of_column(column) else { return Ok(None) };
                let mut exprs = projection.expr.clone();
                if let Some((text, delimiter)) = literal_split(unaliased(&projection.expr[at])) {
                    exprs.push(self.cut(text, &delimiter, fields).alias(name));
                    let added = Projection::try_new(exprs, Arc::clone(&projection.input))?;
                    return Ok(Some((LogicalPlan::Projection(added), Column::new_unqualified(name))));
                }
                let Expr::Column(inner) = unaliased(&projection.expr[at]) else { return Ok(None) };
                let Some((input, added)) = self.add_fields(&projection.input, inner, fields, name)? else {
                    return Ok(None);
                };
                exprs.push(Expr::Column(added.clone()));
                let projection = Projection::try_new(exprs, Arc::new(input))?;
                Ok(Some((LogicalPlan::Projection(projection), added)))
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let Some(at) = alias.schema.maybe_index_of_column(column) else { return Ok(None) };
                let inner = Column::from(alias.input.schema().qualified_field(at));
                let Some((input, added)) = self.add_fields(&alias.input, &inner, fields, name)? else {
                    return Ok(None);
                };
                let outer = Column::new(Some(alias.alias.clone()), added.name);
                let alias = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
                Ok(Some((LogicalPlan::SubqueryAlias(alias), outer)))
            }
            LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) | LogicalPlan::Repartition(_) => {
                let Some(&input) = plan.inputs().first() else { return Ok(None) };
                let Some((input, added)) = self.add_fields(input, column, fields, name)? else { return Ok(None) };
                Ok(Some((plan.with_new_exprs(plan.expressions(), vec![input])?, added)))
            }
            _ => Ok(None),
        }
    }

    fn cut(&self, text: &Expr, delimiter: &str, fields: &BTreeSet<usize>) -> Expr {
        let mut args = vec![text.clone(), lit(delimiter)];
        args.extend(fields.iter().map(|field| lit(*field as i64)));
        if fields.len() == 1 { self.one.call(args) } else { self.many.call(args) }
    }

    fn rewrite_access(&self, expr: Expr, columns: &Replacements) -> Transformed<Expr> {
        if let Some((array, field)) = access(&expr) {
            if let Some((text, delimiter)) = literal_split(array) {
                return Transformed::yes(self.cut(text, &delimiter, &BTreeSet::from([field])));
            }
            if let Expr::Column(column) = array
                && let Some(cut) = columns.get(column)
            {
                let column = cut.column.clone();
                return Transformed::yes(if cut.single {
                    column
                } else {
                    self.get.call(vec![column, lit(field as i64)])
                });
            }
        }
        // A rule that moves expressions may have put the struct's making into its access.
        if let Some(get) = call_of::<SplitFieldsGet>(&expr)
            && let Some(make) = get.args.first().and_then(|arg| call_of::<SplitFields>(unaliased(arg)))
            && let (Some(text), Some(delimiter), Some(field)) = (make.args.first(), make.args.get(1), get.args.get(1))
        {
            return Transformed::yes(self.one.call(vec![text.clone(), delimiter.clone(), field.clone()]));
        }
        Transformed::no(expr)
    }
}

/// The array and the literal index of `spark_array_get(array, index)`.
fn access(expr: &Expr) -> Option<(&Expr, usize)> {
    let call = call_of::<Element>(expr)?;
    let counts_from_zero = call.func.inner().downcast_ref::<Element>()?.counts_from_zero();
    let [array, Expr::Literal(index, _)] = call.args.as_slice() else { return None };
    let index = match index.cast_to(&arrow::datatypes::DataType::Int64).ok()? {
        ScalarValue::Int64(Some(index)) => usize::try_from(index).ok()?,
        _ => return None,
    };
    (counts_from_zero && index <= MAX_FIELD).then(|| (unaliased(array), index))
}

/// The text and the delimiter of a `split` by a plain string without a limit.
fn literal_split(expr: &Expr) -> Option<(&Expr, String)> {
    let call = call_of::<Split>(expr)?;
    if !call.func.inner().downcast_ref::<Split>()?.is_fast() {
        return None;
    }
    let (text, pattern) = match call.args.as_slice() {
        [text, pattern] => (text, pattern),
        [text, pattern, Expr::Literal(limit, _)] => {
            let limit = limit.cast_to(&arrow::datatypes::DataType::Int64).ok()?;
            match limit {
                ScalarValue::Int64(Some(limit)) if limit <= 0 => (text, pattern),
                _ => return None,
            }
        }
        _ => return None,
    };
    let Expr::Literal(pattern, _) = pattern else { return None };
    match Shape::of(pattern.try_as_str()??)? {
        Shape::Literal(bytes) => Some((text, String::from_utf8(bytes).ok()?)),
        _ => None,
    }
}

fn call_of<T: datafusion::logical_expr::ScalarUDFImpl>(expr: &Expr) -> Option<&ScalarFunction> {
    match expr {
        Expr::ScalarFunction(call) if call.func.inner().is::<T>() => Some(call),
        _ => None,
    }
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(Alias { expr, .. }) => unaliased(expr),
        expr => expr,
    }
}
