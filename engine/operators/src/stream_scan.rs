//! A bounded read of a source for an ordinary `SELECT`: from its start to the end that it had when the query began.

use crate::stream_rows::StreamRows;
use arrow::array::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, ReplaceChildrenOptions,
    SendableRecordBatchStream,
};
use salamander_connector_api::{ConnectorError, RawBatch, Source, SourceDescription, SplitInfo, SplitReader, Take};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Rows that a read takes at a time.
const ROWS: usize = 8_192;
/// So often a source that doesn't know its end is asked whether it has been reached.
const LOOK: Duration = Duration::from_millis(2);
/// Bytes that a read takes at a time.
const BYTES: usize = 4 << 20;

/// One plan partition a split. Rows that don't decode are left out: they are a job's `$bad_records`, since only a job
/// records them.
#[derive(Debug)]
pub struct StreamScanExec {
    table: String,
    source: Arc<dyn Source>,
    splits: Vec<SplitInfo>,
    bounded: bool,
    rows: StreamRows,
    properties: Arc<PlanProperties>,
}

impl StreamScanExec {
    /// A read of what the source holds by this description.
    pub fn new(table: String, source: Arc<dyn Source>, description: SourceDescription, rows: StreamRows) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(rows.schema())),
            Partitioning::UnknownPartitioning(description.splits.len().max(1)),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            table,
            source,
            splits: description.splits,
            bounded: description.bounded,
            rows,
            properties: Arc::new(properties),
        }
    }
}

impl DisplayAs for StreamScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamScanExec: table={}, splits={}", self.table, self.splits.len())
    }
}

/// What the stream of one split holds between batches.
struct Reading {
    reader: Box<dyn SplitReader>,
    notify: Arc<Notify>,
    /// Sequence number to stop before; none to stop when the split ends.
    end: Option<u64>,
    /// The end isn't known: stop where the source has no more for now.
    until_at_end: bool,
    rows: StreamRows,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(RecordBatch, Self)>> {
        loop {
            match self.reader.take(ROWS, BYTES).map_err(external)? {
                Take::Finished => return Ok(None),
                Take::Gap { to, .. } => {
                    // A SELECT reads what is there; only a job records what is not.
                    if self.end.is_some_and(|end| to >= end) {
                        return Ok(None);
                    }
                }
                // A source that doesn't know its end beforehand is read until it says that it has been reached.
                Take::Empty if self.until_at_end && self.reader.status().at_end => return Ok(None),
                Take::Empty if self.until_at_end => {
                    let _ = tokio::time::timeout(LOOK, self.notify.notified()).await;
                }
                Take::Empty => self.notify.notified().await,
                Take::Batch(raw) => {
                    let Some(raw) = self.cut(raw) else {
                        return Ok(None);
                    };
                    let batch = self.rows.rows(&raw)?.batch;
                    if self.end.is_some_and(|end| raw.next.next >= end) {
                        self.end = Some(0);
                    }
                    return Ok(Some((batch, self)));
                }
            }
        }
    }

    /// Leaves out rows from the end on; none when all of them are.
    fn cut(&self, mut raw: RawBatch) -> Option<RawBatch> {
        let Some(end) = self.end else {
            return Some(raw);
        };
        let rows = usize::try_from(end.saturating_sub(raw.first_sequence)).unwrap_or(usize::MAX);
        if rows == 0 {
            return None;
        }
        if rows < raw.len() {
            raw.payload = raw.payload.slice(0, rows);
            raw.offsets = raw.offsets.map(|a| a.slice(0, rows));
            raw.enqueued = raw.enqueued.map(|a| a.slice(0, rows));
            raw.partition_key = raw.partition_key.map(|a| a.slice(0, rows));
            raw.properties = raw.properties.map(|a| a.slice(0, rows));
        }
        Some(raw)
    }
}

fn external(error: ConnectorError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl ExecutionPlan for StreamScanExec {
    fn name(&self) -> &'static str {
        "StreamScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let split = self.splits.get(partition).cloned();
        let end = split.as_ref().and_then(|s| if self.bounded { None } else { s.end });
        let nothing = split.as_ref().is_none_or(|s| !self.bounded && s.end.is_some_and(|end| end <= s.start.next));
        let until_at_end = !self.bounded && end.is_none();
        let (source, rows) = (Arc::clone(&self.source), self.rows.clone());
        let open = async move {
            let Some(split) = split.filter(|_| !nothing) else {
                return Ok::<_, DataFusionError>(None);
            };
            let notify = Arc::new(Notify::new());
            let reader = source.open(&split.split, &split.start, Arc::clone(&notify)).await.map_err(external)?;
            Ok(Some(Reading { reader, notify, end, until_at_end, rows }))
        };
        let stream = futures::stream::once(open).map_ok(|reading| {
            futures::stream::try_unfold(reading, |reading| async move {
                match reading {
                    None => Ok(None),
                    Some(r) if r.end == Some(0) => Ok(None),
                    Some(r) => Ok(r.next().await?.map(|(batch, r)| (batch, Some(r)))),
                }
            })
        });
        use futures::TryStreamExt;
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(self.rows.schema()), stream.try_flatten())))
    }
}
