//! What a window aggregate computes: grouping keys, aggregate functions, and the columns of their state.

use super::groups::Groups;
use super::spec::WindowSpec;
use crate::states::compact;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::DATAFUSION_VERSION;
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use std::collections::HashMap;
use std::sync::Arc;

/// The layout of our own around DataFusion's state columns.
const LAYOUT: &str = "window 1";
const LAYOUT_KEY: &str = "salamander.state";
const DATAFUSION_KEY: &str = "datafusion";

/// One aggregate function, with its `FILTER (WHERE …)`.
#[derive(Debug, Clone)]
pub struct WindowFunction {
    /// The function with its arguments.
    pub function: Arc<AggregateFunctionExpr>,
    /// Rows for which this is not true don't count.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
}

/// A column by which rows are grouped, in the order of the output.
#[derive(Debug, Clone)]
pub enum WindowKey {
    /// The window, as a struct of its start and end.
    Window,
    /// The window's start.
    Start,
    /// So many microseconds before the window's end.
    BeforeEnd(i64),
    /// Any other expression.
    Expression(Arc<dyn PhysicalExpr>),
    /// Which of the grouping sets a group belongs to, behind all other keys.
    GroupingId,
}

/// One of several sets of keys (GROUPING SETS, ROLLUP, CUBE) by which every row is grouped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupingSet {
    /// For each [`WindowKey::Expression`], in their order: true if the set lacks it. Its column is NULL then.
    pub lacks: Vec<bool>,
    /// Its value of [`WindowKey::GroupingId`].
    pub id: u64,
}

/// A window aggregate. Its output is the keys, then the functions, in the columns of `schema`.
#[derive(Debug, Clone)]
pub struct Aggregation {
    /// The windows.
    pub windows: WindowSpec,
    /// The event time of a row, in microseconds.
    pub time: Arc<dyn PhysicalExpr>,
    /// The watermark before a row, in microseconds, where rows can be in several windows: those that had closed by then
    /// don't get it.
    pub watermark: Option<Arc<dyn PhysicalExpr>>,
    /// How far the rows may be behind the job's watermark, where they come from another operator that keeps state: of
    /// what that one has to emit, no row with a time before the watermark less this is missing at an epoch's end. None
    /// where they come from streams.
    pub behind: Option<i64>,
    /// The keys.
    pub keys: Vec<WindowKey>,
    /// The grouping sets; none if there is one with all keys.
    pub sets: Vec<GroupingSet>,
    /// The functions.
    pub functions: Vec<WindowFunction>,
    /// Columns of the output.
    pub schema: SchemaRef,
}

/// A batch's evaluated keys and arguments.
#[derive(Debug, Clone)]
pub(crate) struct Evaluated {
    pub(crate) keys: Vec<ArrayRef>,
    pub(crate) arguments: Vec<Vec<ArrayRef>>,
    pub(crate) filters: Vec<Option<BooleanArray>>,
    pub(crate) rows: usize,
}

impl Aggregation {
    fn key_expressions(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        self.keys.iter().filter_map(|key| match key {
            WindowKey::Expression(expression) => Some(expression),
            _ => None,
        })
    }

    /// The grouping keys beside the window, as columns.
    pub(crate) fn key_schema(&self) -> SchemaRef {
        let own = |key: &WindowKey| matches!(key, WindowKey::Expression(_) | WindowKey::GroupingId);
        let fields = self.keys.iter().zip(self.schema.fields()).filter(|(key, _)| own(key));
        let fields = fields.map(|(_, field)| Field::new(field.name(), field.data_type().clone(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The columns of a state chunk: keys, then the state of each function. Its metadata says who wrote it.
    ///
    /// # Errors
    /// When a function doesn't say what its state is.
    pub fn state_schema(&self) -> Result<SchemaRef> {
        let mut fields: Vec<_> = self.key_schema().fields().iter().cloned().collect();
        for function in &self.functions {
            let state = function.function.state_fields()?;
            fields.extend(state.iter().map(|f| Arc::new(f.as_ref().clone().with_nullable(true))));
        }
        let metadata = HashMap::from([
            (LAYOUT_KEY.to_owned(), LAYOUT.to_owned()),
            (DATAFUSION_KEY.to_owned(), DATAFUSION_VERSION.to_owned()),
        ]);
        Ok(Arc::new(Schema::new(fields).with_metadata(metadata)))
    }

    /// Checks a restored chunk: another layout or another version's accumulators can't be read on.
    ///
    /// # Errors
    /// When the chunk was written by another build or for another query.
    pub fn check_state(&self, operator: &str, chunk: &Schema) -> Result<()> {
        let expected = self.state_schema()?;
        for key in [LAYOUT_KEY, DATAFUSION_KEY] {
            let (found, wanted) = (chunk.metadata().get(key), expected.metadata().get(key));
            if found != wanted {
                return exec_err!(
                    "the state of {operator} was written with {key} {}, this build has {}: run the build that wrote \
                     it, or stop the job and create it anew",
                    found.map_or("(unknown)", String::as_str),
                    wanted.map_or("(unknown)", String::as_str)
                );
            }
        }
        if chunk.fields() != expected.fields() {
            let names = |schema: &Schema| {
                schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect::<Vec<_>>().join(", ")
            };
            return exec_err!(
                "the state of {operator} has the columns ({}), the query needs ({}): stop the job and create it anew",
                names(chunk),
                names(&expected)
            );
        }
        Ok(())
    }

    /// Empty accumulators.
    pub(crate) fn groups(&self) -> Result<Groups> {
        Groups::try_new(&self.key_schema(), &self.functions)
    }

    /// Keys, arguments and filters of a batch's rows, without the grouping id.
    pub(crate) fn evaluate(&self, batch: &RecordBatch) -> Result<Evaluated> {
        let rows = batch.num_rows();
        let column = |expression: &Arc<dyn PhysicalExpr>| expression.evaluate(batch)?.into_array(rows);
        let keys = self.key_expressions().map(column).collect::<Result<Vec<_>>>()?;
        let (mut arguments, mut filters) = (Vec::new(), Vec::new());
        for function in &self.functions {
            let mut expressions = function.function.expressions();
            expressions.extend(function.function.order_bys().iter().map(|order| Arc::clone(&order.expr)));
            arguments.push(expressions.iter().map(column).collect::<Result<Vec<_>>>()?);
            let filter = function.filter.as_ref().map(column).transpose()?;
            filters.push(match filter {
                Some(filter) => Some(
                    filter
                        .as_boolean_opt()
                        .cloned()
                        .ok_or_else(|| DataFusionError::Internal(format!("a FILTER is {}", filter.data_type())))?,
                ),
                None => None,
            });
        }
        Ok(Evaluated { keys, arguments, filters, rows })
    }

    /// The rows once for each grouping set, the columns of keys that it lacks NULL, its id behind them.
    pub(crate) fn by_set(&self, rows: Evaluated) -> Result<Vec<Evaluated>> {
        if self.sets.is_empty() {
            return Ok(vec![rows]);
        }
        let id_type = self.key_schema().fields().last().map(|field| field.data_type().clone());
        let of_set = |set: &GroupingSet| {
            let keys = rows.keys.iter().zip(&set.lacks);
            let mut keys: Vec<ArrayRef> = keys
                .map(|(key, lacks)| if *lacks { new_null_array(key.data_type(), rows.rows) } else { Arc::clone(key) })
                .collect();
            let id = ScalarValue::UInt64(Some(set.id)).cast_to(id_type.as_ref().unwrap_or(&DataType::UInt64))?;
            keys.push(id.to_array_of_size(rows.rows)?);
            Ok(Evaluated { keys, arguments: rows.arguments.clone(), filters: rows.filters.clone(), rows: rows.rows })
        };
        self.sets.iter().map(of_set).collect()
    }

    /// A state chunk of emitted accumulators. Views are copied out of the buffers that they point into, so that a key
    /// doesn't hold on to a whole payload.
    pub(crate) fn chunk(&self, groups: Groups) -> Result<RecordBatch> {
        let rows = groups.len();
        self.state_chunk(groups.into_state()?, rows)
    }

    /// A state chunk of its columns.
    pub(crate) fn state_chunk(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let columns = columns.into_iter().map(compact).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.state_schema()?, columns, &options)?)
    }
}
