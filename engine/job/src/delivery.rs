//! Committed rows on their way to a sink outside.
//!
//! Rows for such a sink are first committed as segments of the job's *outbox*, a hidden table, and queued under the
//! number of the manifest that commits them. One delivery is under way at a time, in the order of the numbers; when the
//! sink has accepted all of a number's rows, a fact says so and the segments go. A crash between acceptance and the
//! fact delivers the same rows again under the same names (job, number, index): at least once, never less.

use crate::error::JobError;
use arrow::array::RecordBatch;
use futures::StreamExt;
use salamander_connector_api::{ConnectorError, Delivery, DeliverySink};
use salamander_hive::{TableLayout, read_part};
use salamander_types::manifest::{JobEntry, TableState};
use salamander_types::{ErrorKind, JobId, LogNumber, TableId};
use std::sync::Arc;
use std::time::Duration;

/// The first pause before a refused delivery is tried again; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often a transient error is borne before the generation ends with it.
const ATTEMPTS: u32 = 10;

/// What a commit must say of the outbox's segments among its entries.
pub(crate) fn queue_entry(outbox: &TableId, number: LogNumber, entries: &[JobEntry]) -> Option<JobEntry> {
    let paths: Vec<String> = entries
        .iter()
        .filter_map(|entry| match entry {
            JobEntry::Segment { table, segment } if table == outbox => Some(segment.path.clone()),
            _ => None,
        })
        .collect();
    (!paths.is_empty()).then(|| JobEntry::Queued { table: outbox.clone(), number, paths })
}

/// Delivers what is queued first; returns its number.
pub(crate) async fn deliver_next(
    job: JobId,
    layout: Arc<TableLayout>,
    sink: Arc<dyn DeliverySink>,
    state: TableState,
) -> Result<LogNumber, JobError> {
    let (number, paths) =
        state.queued.first_key_value().ok_or_else(|| JobError::Internal(format!("job {job}: nothing is queued")))?;
    let mut first_index = 0;
    for path in paths {
        let segment = state
            .segments
            .get(path)
            .ok_or_else(|| JobError::Internal(format!("job {job}: {path} is queued but not there")))?;
        for part in 0..segment.parts.len() {
            let mut batches = std::pin::pin!(read_part(&layout, segment, part)?);
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                deliver(sink.as_ref(), &job, *number, first_index, &batch).await?;
                first_index += batch.num_rows() as u64;
            }
        }
    }
    Ok(*number)
}

async fn deliver(
    sink: &dyn DeliverySink,
    job: &JobId,
    number: LogNumber,
    first_index: u64,
    batch: &RecordBatch,
) -> Result<(), ConnectorError> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        match sink.deliver(Delivery { job, number, first_index, batch }).await {
            Err(error) if error.kind == ErrorKind::Transient => {
                tracing::warn!(%job, %error, "delivery is tried again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            other => return other,
        }
    }
    sink.deliver(Delivery { job, number, first_index, batch }).await
}
