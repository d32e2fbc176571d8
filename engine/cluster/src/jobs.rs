//! The jobs that this head runs.

use crate::connectors::open_sink;
use crate::error::HeadError;
use crate::head::Head;
use crate::materialized::keeps;
use crate::relations::{Pin, table_id};
use crate::tables::outbox_id;
use salamander_job::spec::Target;
use salamander_job::{Ending, JobEnvironment, JobHandle, JobOptions, JobPhase, JobSpec, JobStatus, STOPPED};
use salamander_planner::{JobPlan, JobTarget};
use salamander_sql::catalog::{CatalogChange, CatalogJob, CatalogTable, JobState};
use salamander_sql::{Catalog, Insert, Statement};
use salamander_types::JobId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A catalog id as the engine's.
pub(crate) fn job_id(job: &CatalogJob) -> JobId {
    JobId::from_text(job.id.as_str())
}

impl Head {
    /// Plans an INSERT, to run once or as a job; nothing is changed.
    pub(crate) async fn plan_insert(
        &self,
        catalog: &Arc<Catalog>,
        session_db: &str,
        insert: &Insert,
        target: &CatalogTable,
        once: bool,
    ) -> Result<JobPlan, HeadError> {
        let schema = crate::connectors::declared_schema(&target.def);
        let planned = JobTarget {
            name: target.def.name.to_string(),
            schema,
            columns: insert.columns.iter().map(|c| c.key().to_owned()).collect(),
        };
        let relations = Arc::new(self.relations_at(catalog, Pin::Committed));
        Ok(if once {
            self.planner.insertion(relations, session_db, &insert.query, &planned).await?
        } else {
            self.planner
                .job(relations, session_db, &insert.query, &planned, self.options.job_partitions, keeps(target))
                .await?
        })
    }

    /// Makes what a job needs to run.
    pub(crate) async fn job_spec(&self, catalog: &Arc<Catalog>, job: &CatalogJob) -> Result<JobSpec, HeadError> {
        let insert = match salamander_sql::parse_one(&job.sql)?.statement {
            Statement::Insert(insert) => insert,
            _ => return Err(HeadError::invalid(format!("job {} holds no INSERT", job.name))),
        };
        let target = catalog
            .table(&job.writes)
            .ok_or_else(|| HeadError::not_found(format!("the table that job {} writes is gone", job.name)))?;
        let plan = self.plan_insert(catalog, job.session_db.key(), &insert, target, job.once).await?;
        let (mut bad_records, mut late_records) = (BTreeMap::new(), BTreeMap::new());
        for input in &plan.inputs {
            let table = self.tables.bad_records(&input.stream.id, &input.stream.name)?;
            bad_records.insert(input.stream.id.clone(), table);
            if plan.keeps_state {
                let table = self.tables.late_records(&input.stream.id, &input.stream.name)?;
                late_records.insert(input.stream.id.clone(), table);
            }
        }
        Ok(JobSpec {
            id: job_id(job),
            name: job.name.to_string(),
            sql: job.sql.clone(),
            plan,
            target: self.job_target(job, target).await?,
            bad_records,
            late_records,
            options: JobOptions {
                checkpoint_interval: self.options.checkpoint_interval,
                epoch_rows: self.options.epoch_rows,
                ..JobOptions::default()
            },
        })
    }

    async fn job_target(&self, job: &CatalogJob, target: &CatalogTable) -> Result<Target, HeadError> {
        if target.def.hive().is_some() {
            return Ok(Target::Table(self.tables.external(&table_id(target), &target.def).await?));
        }
        let schema = crate::connectors::declared_schema(&target.def);
        if target.def.materialized().is_some() {
            return Ok(Target::Table(self.tables.hidden(table_id(target), target.def.name.to_string(), &schema)?));
        }
        Ok(match open_sink(&target.def)? {
            None => Target::Blackhole,
            Some(sink) => {
                let outbox = self.tables.hidden(outbox_id(&job_id(job)), format!("{}$outbox", job.name), &schema)?;
                Target::Delivery { outbox, sink }
            }
        })
    }

    pub(crate) fn job_environment(&self, job: &JobId) -> JobEnvironment {
        JobEnvironment {
            store: Arc::clone(&self.store),
            log_folder: self.root.clone().join("jobs").join(job.as_str()).join("log"),
            state_folder: self.root.clone().join("jobs").join(job.as_str()).join("state"),
            writer: self.writer.clone(),
            clock: Arc::clone(&self.options.clock),
            entropy: Arc::clone(&self.options.entropy),
        }
    }

    /// Starts a job that stands in the catalog as running.
    pub(crate) async fn start_job(
        &self,
        catalog: &Arc<Catalog>,
        job: &CatalogJob,
    ) -> Result<Arc<JobHandle>, HeadError> {
        let spec = Arc::new(self.job_spec(catalog, job).await?);
        let environment = self.job_environment(&spec.id);
        Ok(self.keep(JobHandle::spawn(spec, environment)))
    }

    /// Ends what a job has committed, and starts nothing.
    pub(crate) async fn settle_job(
        &self,
        catalog: &Arc<Catalog>,
        job: &CatalogJob,
        how: Ending,
    ) -> Result<Arc<JobHandle>, HeadError> {
        let spec = Arc::new(self.job_spec(catalog, job).await?);
        let environment = self.job_environment(&spec.id);
        Ok(self.keep(JobHandle::settle(spec, environment, how)))
    }

    fn keep(&self, handle: JobHandle) -> Arc<JobHandle> {
        let handle = Arc::new(handle);
        let id = handle.spec().id.clone();
        self.not_started.lock().remove(&id);
        self.jobs.lock().insert(id, Arc::clone(&handle));
        handle
    }

    /// START JOB: a job that was stopped, has failed or could not be started goes on from its last checkpoint.
    pub(crate) async fn resume_job(&self, catalog: &Arc<Catalog>, job: &CatalogJob) -> Result<(), HeadError> {
        let id = job_id(job);
        if job.once {
            let name = &job.name;
            let message =
                format!("{name} is an INSERT that runs once: STOP JOB {name} ends it, then run the INSERT again");
            return Err(HeadError::invalid(message));
        }
        if let Some(status) = self.job_status(&id).filter(|_| job.is_running()) {
            match status.phase {
                JobPhase::Finished(_) | JobPhase::Paused | JobPhase::Failed { retrying: false, .. } => {}
                _ => return Err(HeadError::invalid(format!("job {} is running already", job.name))),
            }
        }
        let spec = Arc::new(self.job_spec(catalog, job).await?);
        let environment = self.job_environment(&id);
        // First the log, then the catalog: between the two the job is stopped and can be started again.
        salamander_job::reopen(&spec, &environment).await?;
        let change = CatalogChange::SetJobState { id: job.id.clone(), state: JobState::Running };
        self.catalog.change(|_| Ok(vec![change])).await?;
        self.keep(JobHandle::spawn(spec, environment));
        Ok(())
    }

    /// What the catalog doesn't know yet: jobs that have come to their end by themselves.
    pub(crate) fn at_rest(&self, catalog: &Catalog) -> Vec<CatalogChange> {
        let running = catalog.jobs().filter(|job| job.is_running() && !job.once);
        let ended = running.filter_map(|job| match self.job_status(&job_id(job))?.phase {
            JobPhase::Finished(reason) => {
                let state = JobState::Finished { reason };
                Some(CatalogChange::SetJobState { id: job.id.clone(), state })
            }
            _ => None,
        });
        ended.collect()
    }

    /// A job's figures, if this head runs it.
    pub(crate) fn job_status(&self, job: &JobId) -> Option<JobStatus> {
        self.jobs.lock().get(job).map(|handle| handle.status())
    }

    /// Ends a job for good: final checkpoint, everything rolled, then its place in the catalog.
    pub(crate) async fn stop_job(&self, job: &CatalogJob) -> Result<JobStatus, HeadError> {
        if job.once {
            return self.stop_insert(job).await;
        }
        let id = job_id(job);
        let handle = self.jobs.lock().get(&id).cloned();
        let status = match handle {
            Some(handle) => handle.end(Ending::Finish { reason: STOPPED.to_owned() }).await,
            None => JobStatus::default(),
        };
        let state = match &status.phase {
            JobPhase::Failed { reason, .. } => JobState::Failed { reason: reason.clone() },
            JobPhase::Finished(reason) if reason != STOPPED => JobState::Finished { reason: reason.clone() },
            _ => JobState::Stopped,
        };
        let change = CatalogChange::SetJobState { id: job.id.clone(), state };
        self.catalog.change(|_| Ok(vec![change])).await?;
        self.not_started.lock().remove(&id);
        Ok(status)
    }
}
