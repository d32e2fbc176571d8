//! Reads the parts of segments that no file holds yet, and rows that wait in memory to become such parts.

use super::PartitionPruner;
use crate::layout::TableLayout;
use crate::live::Snapshot;
use crate::segment::{EncodedRows, PartReader};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties,
};
use futures::{Stream, StreamExt, TryStreamExt};
use salamander_types::manifest::TableState;
use std::fmt;
use std::sync::Arc;

/// One part to read.
#[derive(Debug, Clone)]
struct PartTask {
    origin: Origin,
    part: usize,
    rows: u64,
}

#[derive(Debug, Clone)]
enum Origin {
    /// A segment of this name.
    Segment(Arc<TableState>, String),
    /// Rows that are encoded and not in a segment yet.
    Memory(Arc<EncodedRows>),
}

impl PartTask {
    fn open(&self, layout: &Arc<TableLayout>) -> Result<PartReader> {
        match &self.origin {
            Origin::Segment(state, name) => match state.segments.get(name) {
                Some(segment) => Ok(PartReader::new(layout.clone(), segment, self.part)?),
                None => internal_err!("segment {name} left its own state"),
            },
            Origin::Memory(encoded) => match encoded.parts.get(self.part) {
                Some(part) => Ok(PartReader::in_memory(layout.clone(), part)),
                None => internal_err!("encoded rows have no part {}", self.part),
            },
        }
    }
}

/// A leaf that reads parts of segments, lazily, block by block.
#[derive(Debug)]
pub struct SegmentScanExec {
    layout: Arc<TableLayout>,
    partitions: Vec<Vec<PartTask>>,
    projection: Vec<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// The scan of a snapshot's live parts and encoded memory; none if there are none.
pub(super) fn plan(
    state: &dyn Session,
    snapshot: &Snapshot,
    pruner: &PartitionPruner,
    projection: &[usize],
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let mut tasks = Vec::new();
    let mut values = Vec::new();
    for view in snapshot.jobs.values() {
        for segment in view.state.segments.values() {
            for (index, part) in segment.parts.iter().enumerate() {
                if view.state.is_rolled(part) {
                    continue;
                }
                values.push(&part.values);
                let origin = Origin::Segment(view.state.clone(), segment.path.clone());
                tasks.push(PartTask { origin, part: index, rows: part.rows });
            }
        }
        for encoded in view.memory.iter().flat_map(|epoch| &epoch.rows.encoded) {
            for (index, part) in encoded.parts.iter().enumerate() {
                values.push(&part.values);
                tasks.push(PartTask { origin: Origin::Memory(encoded.clone()), part: index, rows: part.rows });
            }
        }
    }
    let needed = pruner.needed(values.into_iter())?;
    let tasks: Vec<PartTask> = tasks.into_iter().zip(needed).filter(|(_, n)| *n).map(|(t, _)| t).collect();
    if tasks.is_empty() {
        return Ok(None);
    }
    let partitions = share_out(tasks, state.config().target_partitions());
    let exec = SegmentScanExec::new(snapshot.layout.clone(), partitions, projection.to_vec())?;
    Ok(Some(Arc::new(exec)))
}

/// Spreads parts over at most `count` partitions of about equal rows.
fn share_out(mut tasks: Vec<PartTask>, count: usize) -> Vec<Vec<PartTask>> {
    let count = count.clamp(1, tasks.len().max(1));
    let mut partitions = vec![(0u64, Vec::new()); count];
    tasks.sort_by_key(|t| std::cmp::Reverse(t.rows));
    for task in tasks {
        if let Some(least) = partitions.iter_mut().min_by_key(|(rows, _)| *rows) {
            least.0 += task.rows;
            least.1.push(task);
        }
    }
    partitions.into_iter().map(|(_, tasks)| tasks).collect()
}

impl SegmentScanExec {
    fn new(layout: Arc<TableLayout>, partitions: Vec<Vec<PartTask>>, projection: Vec<usize>) -> Result<Self> {
        let schema: SchemaRef = Arc::new(layout.schema().project(&projection)?);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            layout,
            partitions,
            projection,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for SegmentScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: usize = self.partitions.iter().map(Vec::len).sum();
        let rows: u64 = self.partitions.iter().flatten().map(|t| t.rows).sum();
        write!(f, "SegmentScanExec: table={}, parts={parts}, rows={rows}", self.layout.name)
    }
}

impl ExecutionPlan for SegmentScanExec {
    fn name(&self) -> &'static str {
        "SegmentScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(tasks) = self.partitions.get(partition) else {
            return internal_err!("SegmentScanExec has no partition {partition}");
        };
        let schema = self.schema();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batch_size = context.session_config().batch_size();
        let (layout, projection, output) = (self.layout.clone(), self.projection.clone(), schema.clone());
        let stream = futures::stream::iter(tasks.clone())
            .then(move |task| {
                let opened = task.open(&layout);
                let (projection, output) = (projection.clone(), output.clone());
                async move { Ok::<_, DataFusionError>(batches(opened?, projection, output, batch_size)) }
            })
            .try_flatten()
            .inspect_ok(move |batch| {
                metrics.record_output(batch.num_rows());
            });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let rows: u64 = match args.partition() {
            Some(partition) => self.partitions.get(partition).into_iter().flatten().map(|t| t.rows).sum(),
            None => self.partitions.iter().flatten().map(|t| t.rows).sum(),
        };
        let mut statistics = Statistics::new_unknown(&self.schema());
        statistics.num_rows = usize::try_from(rows).map_or(Precision::Absent, Precision::Exact);
        Ok(Arc::new(statistics))
    }
}

/// The rows of one part in batches of the session's size.
fn batches(
    reader: PartReader,
    projection: Vec<usize>,
    schema: SchemaRef,
    batch_size: usize,
) -> impl Stream<Item = Result<RecordBatch>> + Send {
    let blocks =
        futures::stream::try_unfold((reader, projection, schema), |(mut reader, projection, schema)| async move {
            let Some(block) = reader.next_block().await? else {
                return Ok(None);
            };
            let batch = reader.to_batch(&block, &projection, &schema)?;
            Ok::<_, DataFusionError>(Some((batch, (reader, projection, schema))))
        });
    blocks
        .map_ok(move |block| {
            let size = batch_size.max(1);
            let starts = (0..block.num_rows()).step_by(size);
            futures::stream::iter(starts.map(move |start| {
                let rows = size.min(block.num_rows() - start);
                Ok(block.slice(start, rows))
            }))
        })
        .try_flatten()
}
