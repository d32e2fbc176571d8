//! Sinks outside the engine's tables, fed from committed segments only.

use crate::source::ConnectorError;
use arrow::array::RecordBatch;
use async_trait::async_trait;
use salamander_types::{JobId, LogNumber};
use std::fmt::Debug;

/// Committed rows on their way out. Delivered at least once; the triple (job, log number, index) names each row, so
/// that a consumer can drop doubles.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// The job that made the rows.
    pub job: &'a JobId,
    /// The manifest that committed them.
    pub number: LogNumber,
    /// Index of the first row among those committed by that manifest.
    pub first_index: u64,
    /// The rows.
    pub batch: &'a RecordBatch,
}

/// An external sink (a hub, say). At least once: exactly once ends where the engine's log ends.
#[async_trait]
pub trait DeliverySink: Send + Sync + Debug {
    /// Delivers the rows and returns when the other side has accepted them durably.
    ///
    /// # Errors
    /// When it doesn't accept them; transient ones are retried by the engine with the same rows.
    async fn deliver(&self, delivery: Delivery<'_>) -> Result<(), ConnectorError>;
}
