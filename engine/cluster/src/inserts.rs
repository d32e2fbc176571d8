//! `INSERT INTO` that runs once: recorded, run to its commit, answered, forgotten.
//!
//! ```text
//!   catalog: job that runs once ─▶ its log: rows and Finished ─▶ catalog: dropped ─▶ the number of rows
//! ```
//!
//! In the catalog it keeps its tables from being dropped, SHOW JOBS shows it and STOP JOB ends it. What became of it
//! stands in its log alone, which outlives it: the table is the union of its writers' logs. An insert that a crash, a
//! failure or STOP JOB meets before its commit has inserted nothing and is not tried again, as nobody waits for it any
//! more; one that is met after its commit is finished by the next start.

use crate::answers::Column;
use crate::error::HeadError;
use crate::head::Head;
use crate::jobs::job_id;
use salamander_job::{Ending, INSERTED, JobPhase, JobStatus};
use salamander_sql::catalog::{CatalogChange, CatalogJob, JobState};
use salamander_sql::{Catalog, Insert, Name};
use salamander_types::ErrorKind;
use std::sync::Arc;

/// Why an insert that was met before its commit is at rest.
const CUT_OFF: &str = "it was cut off before its rows were committed";

/// The answer: how many rows were inserted.
pub(crate) fn inserted(rows: u64) -> Vec<Column> {
    vec![Column::Number("count", vec![i64::try_from(rows).ok()])]
}

impl Head {
    /// Inserts what a query over tables gives, and waits until the rows are durable, visible and rolled.
    pub(crate) async fn insert_once(
        &self,
        catalog: &Arc<Catalog>,
        database: &Name,
        insert: &Insert,
    ) -> Result<Vec<Column>, HeadError> {
        self.check_insert(catalog, database, insert, true).await?;
        let job = self.record_job(database, None, insert, true).await?;
        let handle = match self.start_job(&self.catalog.get(), &job).await {
            Ok(handle) => handle,
            Err(error) => {
                self.forget_insert(&job).await?;
                return Err(error);
            }
        };
        let mut status = handle.wait().await;
        let mut failure = None;
        if let JobPhase::Failed { reason, .. } = status.phase {
            let kind = status.last_kind.unwrap_or(ErrorKind::Internal);
            if kind == ErrorKind::Fenced {
                // Whoever has taken over settles it.
                return Err(HeadError::Refused { kind, message: reason });
            }
            failure = Some((reason, kind));
            // A commit whose answer was lost may be there: the next generation finds out.
            status = self.settle_insert(&job).await?;
        }
        let rows = status.committed.rows_written;
        match status.phase {
            JobPhase::Finished(reason) => {
                self.forget_insert(&job).await?;
                if reason == INSERTED || rows > 0 {
                    return Ok(inserted(rows));
                }
                let (reason, kind) = failure.unwrap_or((reason, ErrorKind::Invalid));
                Err(HeadError::Refused { kind, message: format!("{reason} (nothing was inserted)") })
            }
            JobPhase::Paused if rows == 0 => {
                let message = "the engine is shutting down: nothing was inserted".to_owned();
                Err(HeadError::Refused { kind: ErrorKind::Transient, message })
            }
            JobPhase::Failed { reason, .. } if rows == 0 => Err(HeadError::Refused {
                kind: ErrorKind::Transient,
                message: format!(
                    "{reason}: whether the rows were inserted can't be told now. STOP JOB {} says it once the store answers",
                    job.name
                ),
            }),
            _ => Err(HeadError::Refused {
                kind: ErrorKind::Transient,
                message: format!(
                    "{rows} rows are inserted and must not be inserted again; what is left to do ended with: {}. It is \
                     done by STOP JOB {} or at the engine's next start",
                    status.last_failure.unwrap_or_else(|| "the engine is shutting down".to_owned()),
                    job.name
                ),
            }),
        }
    }

    /// Ends an insert that nobody waits for: what it has committed is rolled and delivered; if nothing, it is over.
    pub(crate) async fn settle_insert(&self, job: &CatalogJob) -> Result<JobStatus, HeadError> {
        let how = Ending::Finish { reason: CUT_OFF.to_owned() };
        let handle = self.settle_job(&self.catalog.get(), job, how).await?;
        Ok(handle.wait().await)
    }

    /// Settles an insert that an earlier process has left, and forgets it.
    pub(crate) async fn settle_left(self: Arc<Self>, job: CatalogJob) {
        let settled = match self.settle_insert(&job).await {
            Ok(JobStatus { phase: JobPhase::Finished(_), .. }) => self.forget_insert(&job).await,
            Ok(status) => Err(HeadError::invalid(status.last_failure.unwrap_or_default())),
            Err(error) => Err(error),
        };
        if let Err(error) = settled {
            tracing::error!(job = %job.name, %error, "an insert of an earlier process can't be settled");
            self.not_started.lock().insert(job_id(&job), error.to_string());
        }
    }

    /// STOP JOB of an insert.
    pub(crate) async fn stop_insert(&self, job: &CatalogJob) -> Result<JobStatus, HeadError> {
        let handle = self.jobs.lock().get(&job_id(job)).cloned();
        let ended = match handle {
            Some(handle) => Some(handle.end(Ending::Finish { reason: "it was stopped".to_owned() }).await),
            None => None,
        };
        let status = match ended {
            Some(status) if !matches!(status.phase, JobPhase::Failed { .. }) => status,
            _ => self.settle_insert(job).await?,
        };
        if let JobPhase::Finished(_) = status.phase {
            self.forget_insert(job).await?;
        }
        Ok(status)
    }

    /// Takes an insert out of the catalog; whoever comes first, its statement or STOP JOB.
    async fn forget_insert(&self, job: &CatalogJob) -> Result<(), HeadError> {
        self.catalog
            .change(|catalog| {
                let id = job.id.clone();
                if catalog.job(&id).is_none() {
                    return Ok(Vec::new());
                }
                let at_rest = CatalogChange::SetJobState { id: id.clone(), state: JobState::Stopped };
                Ok(vec![at_rest, CatalogChange::DropJob { id }])
            })
            .await?;
        self.jobs.lock().remove(&job_id(job));
        self.not_started.lock().remove(&job_id(job));
        Ok(())
    }
}
