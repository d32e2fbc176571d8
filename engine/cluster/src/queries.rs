//! SELECT: a plan and its rows, also when a file goes away under it.
//!
//! A query pins the files that it reads when it begins. One of them may be gone when its turn comes: Spark has
//! overwritten the folder, retention has passed. Before the first row the query pins anew; later it must fail, since a
//! part of the old rows is with the client.

use crate::error::HeadError;
use crate::head::Head;
use crate::relations::Relations;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use salamander_planner::Planner;
use salamander_serve::StatementError;
use salamander_sql::{Catalog, Name, ast::Query};
use salamander_types::ErrorKind;
use std::error::Error;
use std::sync::Arc;

/// So often a query pins anew.
const PINS: u32 = 3;

/// A query that can begin again.
struct Select {
    planner: Planner,
    relations: Arc<Relations>,
    database: String,
    plan: LogicalPlan,
}

struct Rows {
    select: Select,
    rows: SendableRecordBatchStream,
    has_begun: bool,
    pins_left: u32,
}

impl Head {
    pub(crate) async fn select(
        &self,
        catalog: &Arc<Catalog>,
        database: &Name,
        query: &Query,
    ) -> Result<SendableRecordBatchStream, HeadError> {
        let relations = self.relations(catalog);
        let plan = self.planner.query(relations.clone(), database.key(), query).await?;
        let select = Select { planner: self.planner.clone(), relations, database: database.key().to_owned(), plan };
        let rows = select.pin_and_run().await?;
        let schema = rows.schema();
        let rows = Rows { select, rows, has_begun: false, pins_left: PINS };
        let rows =
            futures::stream::try_unfold(rows, |mut rows| async move { Ok(rows.next().await?.map(|b| (b, rows))) });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

impl Select {
    /// Tables are pinned as their scans are planned.
    async fn pin_and_run(&self) -> Result<SendableRecordBatchStream> {
        let state = self.planner.state(self.relations.clone(), &self.database);
        let physical = state.create_physical_plan(&self.plan).await?;
        execute_stream(physical, state.task_ctx())
    }
}

impl Rows {
    async fn next(&mut self) -> Result<Option<arrow::array::RecordBatch>> {
        loop {
            match self.rows.next().await {
                Some(Err(error)) if is_gone(&error) => {
                    if self.has_begun || self.pins_left == 0 {
                        return Err(gone(&error));
                    }
                    tracing::info!(%error, "a file is gone before the first row: the query pins anew");
                    self.pins_left -= 1;
                    self.rows = self.select.pin_and_run().await?;
                }
                Some(Ok(batch)) => {
                    self.has_begun |= batch.num_rows() > 0;
                    return Ok(Some(batch));
                }
                end => return end.transpose(),
            }
        }
    }
}

/// Whether an object that was to be read is not there.
pub(crate) fn is_gone(error: &DataFusionError) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if matches!(error.downcast_ref(), Some(object_store::Error::NotFound { .. })) {
            return true;
        }
        next = match error.downcast_ref() {
            // What `External` holds is not its `source()`.
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            _ => error.source(),
        };
    }
    false
}

fn gone(error: &DataFusionError) -> DataFusionError {
    let message = format!(
        "a file that the query reads was removed while it ran, so its result is not complete: run it again ({})",
        salamander_planner::error::datafusion_message(error)
    );
    DataFusionError::External(Box::new(StatementError::new(ErrorKind::Transient, message)))
}
