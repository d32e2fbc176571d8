//! The plan node of a windowed aggregate.

use super::aggregation::{Aggregation, WindowKey};
use super::groups::Groups;
use super::spec::Window;
use super::state::{Closing, WindowState};
use crate::epoch::EpochContext;
use arrow::array::{
    Array, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StructArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::Field;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_datafusion_err};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties,
    Partitioning, PlanProperties, ReplaceChildrenOptions, SendableRecordBatchStream,
};
use futures::{StreamExt, TryStreamExt};
use salamander_connector_api::timestamp_type;
use std::fmt;
use std::sync::Arc;

/// Rows of an output batch.
const OUTPUT_ROWS: usize = 8_192;
/// After so many merged rows the task lets others run.
const YIELD_ROWS: usize = 65_536;

/// Aggregates rows by window and keys, over epochs.
///
/// Each plan partition takes its rows into accumulators of its own; nothing is exchanged between them. The first one
/// begins each epoch by emitting the windows that the job's watermark has passed: it merges what all partitions have of
/// them. Over another operator that keeps state there is one plan partition, which takes that one's rows first. What it holds between epochs is in the job's [`crate::JobStates`], by the operator's id.
#[derive(Debug)]
pub struct WindowAggregateExec {
    /// Stable as long as the query is: state is stored under it.
    operator: String,
    aggregation: Arc<Aggregation>,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl WindowAggregateExec {
    /// An aggregate over the rows of `input`.
    pub fn new(operator: String, aggregation: Arc<Aggregation>, input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&aggregation.schema)),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { operator, aggregation, input, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }

    /// What its state is stored under.
    pub fn operator(&self) -> &str {
        &self.operator
    }

    /// What it computes.
    pub fn aggregation(&self) -> &Arc<Aggregation> {
        &self.aggregation
    }

    /// Empty state for it.
    pub(crate) fn state(&self) -> WindowState {
        let partitions = self.input.output_partitioning().partition_count();
        WindowState::new(self.operator.clone(), Arc::clone(&self.aggregation), partitions)
    }
}

impl DisplayAs for WindowAggregateExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.aggregation.keys.iter().map(|key| match key {
            WindowKey::Window => "window".to_owned(),
            WindowKey::Start => "window start".to_owned(),
            WindowKey::BeforeEnd(0) => "window end".to_owned(),
            WindowKey::BeforeEnd(before) => format!("window end - {before} µs"),
            WindowKey::Expression(expression) => expression.to_string(),
            WindowKey::GroupingId => format!("{} grouping sets", self.aggregation.sets.len()),
        });
        let functions = self.aggregation.functions.iter().map(|f| f.function.name().to_owned());
        write!(
            f,
            "WindowAggregateExec: window=[{} of {}], by=[{}], aggr=[{}]{}",
            self.aggregation.windows,
            self.aggregation.time,
            keys.collect::<Vec<_>>().join(", "),
            functions.collect::<Vec<_>>().join(", "),
            if self.aggregation.behind.is_some() { ", over emitted rows" } else { "" }
        )
    }
}

impl ExecutionPlan for WindowAggregateExec {
    fn name(&self) -> &'static str {
        "WindowAggregateExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        // All that another operator emits in an epoch must be here before windows close.
        vec![match self.aggregation.behind {
            Some(_) => Distribution::SinglePartition,
            None => Distribution::UnspecifiedDistribution,
        }]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| internal_datafusion_err!("WindowAggregateExec needs its input"))?;
        Ok(Arc::new(Self::new(self.operator.clone(), Arc::clone(&self.aggregation), input)))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let context = EpochContext::of(&task)?;
        let state: Arc<WindowState> = context.states().of(&self.operator)?;
        let mut input = self.input.execute(partition, task)?;
        let (aggregation, taking) = (Arc::clone(&self.aggregation), Arc::clone(&state));
        let closed = async move {
            // Partitions after the first have nothing to emit: it takes what all of them hold.
            match context.time().watermark {
                Some(watermark) if partition == 0 && state.aggregation().windows.is_session() => {
                    let rows = state.close_sessions(context.states().store(), watermark)?;
                    Ok::<_, DataFusionError>((Vec::new(), rows))
                }
                Some(watermark) if partition == 0 => {
                    Ok((state.close(context.states().store(), context.time().closed, watermark)?, None))
                }
                _ => Ok((Vec::new(), None)),
            }
        };
        let emit = futures::stream::once(closed)
            .map_ok(move |(closed, sessions)| {
                let sessions = sessions.map(|rows| slices(&rows)).unwrap_or_default();
                let sessions = futures::stream::iter(sessions.into_iter().map(Ok));
                let aggregation = Arc::clone(&aggregation);
                let windows = futures::stream::iter(closed.into_iter().map(Ok));
                let merged = windows.and_then(move |closing| merge(Arc::clone(&aggregation), closing));
                let merged =
                    merged.map_ok(|batch| futures::stream::iter(slices(&batch).into_iter().map(Ok))).try_flatten();
                sessions.chain(merged)
            })
            .try_flatten();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let emitted = metrics.clone();
        let emit = emit.inspect_ok(move |batch| emitted.record_output(batch.num_rows()));
        let take = async move {
            while let Some(batch) = input.next().await {
                let batch = batch?;
                let _timer = metrics.elapsed_compute().timer();
                taking.add(partition, &batch)?;
            }
            Ok::<_, DataFusionError>(())
        };
        let take = futures::stream::once(take).filter_map(async |done| done.err().map(Err));
        let schema = Arc::clone(&self.aggregation.schema);
        Ok(match self.aggregation.behind {
            None => Box::pin(RecordBatchStreamAdapter::new(schema, emit.chain(take))),
            Some(_) => Box::pin(RecordBatchStreamAdapter::new(schema, take.chain(emit))),
        })
    }
}

/// The rows of a window that has closed.
pub(crate) async fn merge(aggregation: Arc<Aggregation>, closing: Closing) -> Result<RecordBatch> {
    let Closing { window, mut live, mut chunks } = closing;
    let mut groups = match (live.pop(), live.is_empty() && chunks.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            for groups in live.into_iter().chain(last) {
                chunks.push(aggregation.chunk(groups)?);
            }
            aggregation.groups()?
        }
    };
    let mut rows = 0;
    for chunk in &chunks {
        groups.merge(chunk)?;
        rows += chunk.num_rows();
        if rows >= YIELD_ROWS {
            rows = 0;
            tokio::task::yield_now().await;
        }
    }
    output(&aggregation, window, groups)
}

fn output(aggregation: &Aggregation, window: Window, groups: Groups) -> Result<RecordBatch> {
    let rows = groups.len();
    let (keys, values) = groups.into_values()?;
    let mut keys = keys.into_iter();
    let fields = aggregation.schema.fields();
    let mut columns = Vec::with_capacity(fields.len());
    for (key, field) in aggregation.keys.iter().zip(fields) {
        columns.push(match key {
            WindowKey::Window => window_struct(times(window.start, rows), times(window.end, rows)),
            WindowKey::Start => times(window.start, rows),
            WindowKey::BeforeEnd(before) => times(window.end.saturating_sub(*before), rows),
            WindowKey::Expression(_) | WindowKey::GroupingId => {
                keys.next().ok_or_else(|| internal_datafusion_err!("the key {} is missing", field.name()))?
            }
        });
    }
    columns.extend(values);
    fitted(aggregation, columns, rows)
}

/// Columns as the output's schema has them.
pub(super) fn fitted(aggregation: &Aggregation, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let fields = aggregation.schema.fields();
    // Nullability and time zones as the schema has them.
    let columns = columns.into_iter().zip(fields).map(|(column, field)| fit(column, field)).collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(&aggregation.schema), columns, &options)?)
}

fn fit(column: ArrayRef, field: &Field) -> Result<ArrayRef> {
    if column.data_type() == field.data_type() { Ok(column) } else { Ok(cast(&column, field.data_type())?) }
}

fn times(micros: i64, rows: usize) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_value(micros, rows).with_timezone("UTC"))
}

/// Microseconds since 1970 as a TIMESTAMP column.
pub(super) fn time_column(micros: Int64Array) -> Result<ArrayRef> {
    Ok(cast(&micros, &timestamp_type())?)
}

pub(super) fn window_struct(starts: ArrayRef, ends: ArrayRef) -> ArrayRef {
    let field = |name: &str| Arc::new(Field::new(name, timestamp_type(), true));
    Arc::new(StructArray::from(vec![(field("start"), starts), (field("end"), ends)]))
}

fn slices(batch: &RecordBatch) -> Vec<RecordBatch> {
    let starts = (0..batch.num_rows()).step_by(OUTPUT_ROWS);
    starts.map(|from| batch.slice(from, OUTPUT_ROWS.min(batch.num_rows() - from))).collect()
}
