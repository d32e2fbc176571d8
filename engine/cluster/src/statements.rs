//! What each statement does.

use crate::answers::{Column, done, stream};
use crate::error::HeadError;
use crate::head::Head;
use crate::jobs::job_id;
use crate::show::plan_text;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::execute_stream;
use salamander_planner::JobPlan;
use salamander_serve::Session;
use salamander_sql::catalog::{CatalogChange, CatalogJob, ChangeContext, Planned};
use salamander_sql::{Catalog, CreateJob, Insert, Name, Statement};
use salamander_types::{Entropy, JobId, TableId};
use std::sync::Arc;

/// The database of a session that names none.
pub(crate) const DEFAULT_DATABASE: &str = "default";

/// A statement, understood.
pub(crate) struct Understood {
    pub(crate) statement: Statement,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) database: Name,
}

impl Head {
    /// Parses one statement in a session.
    pub(crate) fn understand(&self, session: &Session, sql: &str) -> Result<Understood, HeadError> {
        let statement = salamander_sql::parse_one(sql)?.statement;
        let chosen = self.databases.of(session, self.options.clock.monotonic());
        let database = chosen.or_else(|| session.database.clone()).unwrap_or_else(|| DEFAULT_DATABASE.to_owned());
        let database = Name::new(database).map_err(|e| HeadError::invalid(format!("the session's database: {e}")))?;
        Ok(Understood { statement, catalog: self.catalog.get(), database })
    }

    /// Carries a statement out.
    pub(crate) async fn run(&self, session: &Session, sql: &str) -> Result<SendableRecordBatchStream, HeadError> {
        let Understood { statement, catalog, database } = self.understand(session, sql)?;
        let answer = match &statement {
            Statement::Query(query) => return self.select(&catalog, &database, query).await,
            Statement::Show(show) => self.show(&catalog, &database, show).await?,
            Statement::Describe { name, extended } => self.describe_table(&catalog, &database, name, *extended).await?,
            Statement::Explain { analyze, verbose, statement } => {
                return self.explain(&catalog, &database, statement, *analyze, *verbose).await;
            }
            Statement::CreateJob(create) => self.create_job(&database, create).await?,
            Statement::Insert(insert) => self.insert(&catalog, &database, insert).await?,
            Statement::CreateMaterializedView(create) => self.create_materialized_view(&database, create).await?,
            Statement::DropMaterializedView { name, if_exists } => {
                self.drop_materialized_view(&database, name, *if_exists).await?
            }
            Statement::StartJob { name } => {
                let job = catalog.resolve_job(name)?;
                self.resume_job(&catalog, job).await?;
                done(format!("job {} started ({})", job.name, job_id(job)))
            }
            Statement::StopJob { name } => {
                let job = catalog.resolve_job(name)?;
                let status = self.stop_job(job).await?;
                done(format!(
                    "job {} stopped: {} rows read, {} bad",
                    job.name, status.counters.rows_read, status.counters.rows_bad
                ))
            }
            Statement::Use { db } => {
                catalog.database(db)?;
                self.databases.choose(session, db.key(), self.options.clock.monotonic());
                done(format!("database {db}"))
            }
            Statement::Set { name, .. } => {
                return Err(HeadError::invalid(format!("there is no setting '{name}': sessions have none yet")));
            }
            Statement::CreateDatabase(_)
            | Statement::DropDatabase { .. }
            | Statement::CreateTable(_)
            | Statement::CreateView(_)
            | Statement::DropTable { .. }
            | Statement::DropView { .. }
            | Statement::DropJob { .. } => self.define(&database, &statement).await?,
        };
        Ok(stream(answer)?)
    }

    /// CREATE and DROP of databases, tables and views; DROP JOB.
    async fn define(&self, database: &Name, statement: &Statement) -> Result<Vec<Column>, HeadError> {
        self.check_definition(database, statement).await?;
        let now = self.options.clock.now_micros();
        let mut changed = None;
        self.catalog
            .change(|catalog| {
                let mut new_id = || fresh_id("t", self.options.entropy.as_ref());
                let mut context = ChangeContext { session_db: database, now_micros: now, new_id: &mut new_id };
                // A job that came to its end by itself holds nothing back.
                let (mut changes, mut current) = (self.at_rest(catalog), catalog.clone());
                for change in &changes {
                    current.apply(change)?;
                }
                if let Planned::Change(change) = current.plan(statement, &mut context)? {
                    changed = Some(change.as_ref().clone());
                    changes.push(*change);
                }
                Ok(changes)
            })
            .await?;
        match &changed {
            Some(CatalogChange::DropTable { id }) => self.tables.forget(&TableId::from_text(id.as_str())),
            Some(CatalogChange::DropJob { id }) => {
                self.jobs.lock().remove(&JobId::from_text(id.as_str()));
            }
            _ => {}
        }
        Ok(done(if changed.is_some() { "done" } else { "nothing to do" }))
    }

    /// What can be found wrong before anything is written: options that don't open, a view that doesn't plan.
    async fn check_definition(&self, database: &Name, statement: &Statement) -> Result<(), HeadError> {
        match statement {
            Statement::CreateTable(create) => {
                if let Some(connector) = create.table.connector()
                    && connector.connector_name() != Some("blackhole")
                    && !connector.options.has_references()
                {
                    crate::connectors::open_stream(&create.table)?;
                }
                Ok(())
            }
            Statement::CreateView(create) => {
                let catalog = self.catalog.get();
                let columns: Vec<String> = create.columns.iter().map(|c| c.key().to_owned()).collect();
                let (relations, name) = (self.relations(&catalog), create.name.to_string());
                Ok(self.planner.check_view(relations, database.key(), &name, &create.query, &columns).await?)
            }
            _ => Ok(()),
        }
    }

    async fn create_job(&self, database: &Name, create: &CreateJob) -> Result<Vec<Column>, HeadError> {
        let catalog = self.catalog.get();
        if create.if_not_exists && catalog.resolve_job(&create.name).is_ok() {
            return Ok(done("nothing to do"));
        }
        self.begin_job(&catalog, database, Some(&create.name), &create.insert).await
    }

    /// A bare INSERT runs once over tables; over a stream it is a job with a name of its own.
    async fn insert(&self, catalog: &Arc<Catalog>, database: &Name, insert: &Insert) -> Result<Vec<Column>, HeadError> {
        if self.is_job(catalog, database, insert).await? {
            self.begin_job(catalog, database, None, insert).await
        } else {
            self.insert_once(catalog, database, insert).await
        }
    }

    pub(crate) async fn is_job(
        &self,
        catalog: &Arc<Catalog>,
        database: &Name,
        insert: &Insert,
    ) -> Result<bool, HeadError> {
        Ok(self.planner.reads_stream(self.relations(catalog), database.key(), &insert.query).await?)
    }

    async fn begin_job(
        &self,
        catalog: &Arc<Catalog>,
        database: &Name,
        name: Option<&Name>,
        insert: &Insert,
    ) -> Result<Vec<Column>, HeadError> {
        let plan = self.check_insert(catalog, database, insert, false).await?;
        for input in &plan.inputs {
            input.stream.source.describe().await?;
        }
        let job = self.record_job(database, name, insert, false).await?;
        self.start_job(&self.catalog.get(), &job).await?;
        Ok(done(format!("job {} started ({})", job.name, job_id(&job))))
    }

    /// Plans and looks at an INSERT before it is written down, so that most mistakes cost nothing.
    pub(crate) async fn check_insert(
        &self,
        catalog: &Arc<Catalog>,
        database: &Name,
        insert: &Insert,
        once: bool,
    ) -> Result<JobPlan, HeadError> {
        let target = catalog.resolve_table(&insert.table, database)?;
        if target.def.materialized().is_some() {
            let name = &target.def.name;
            return Err(HeadError::invalid(format!("{name} is a materialized view: its own query alone writes to it")));
        }
        if target.def.hive().is_none() {
            crate::connectors::open_sink(&target.def)?;
        }
        self.plan_insert(catalog, database.key(), insert, target, once).await
    }

    /// Writes a job down; without a name, under one of its own.
    pub(crate) async fn record_job(
        &self,
        database: &Name,
        name: Option<&Name>,
        insert: &Insert,
        once: bool,
    ) -> Result<CatalogJob, HeadError> {
        let now = self.options.clock.now_micros();
        let mut created = None;
        self.catalog
            .change(|catalog| {
                let mut new_id = || fresh_id("j", self.options.entropy.as_ref());
                let mut context = ChangeContext { session_db: database, now_micros: now, new_id: &mut new_id };
                let name = name.cloned().or_else(|| free_name(catalog, insert));
                let name = name.ok_or_else(|| HeadError::invalid("no free job name"))?;
                let job = CatalogJob { once, ..catalog.plan_job(name, insert, &mut context)? };
                created = Some(job.clone());
                Ok(vec![CatalogChange::CreateJob { job }])
            })
            .await?;
        created.ok_or_else(|| HeadError::invalid("the job was not created"))
    }

    async fn explain(
        &self,
        catalog: &Arc<Catalog>,
        database: &Name,
        statement: &Statement,
        analyze: bool,
        verbose: bool,
    ) -> Result<SendableRecordBatchStream, HeadError> {
        let (logical, physical) = match statement {
            Statement::Query(query) => {
                let relations = self.relations(catalog);
                let plan = self.planner.query(relations.clone(), database.key(), query).await?;
                let state = self.planner.state(relations, database.key());
                let optimized = state.optimize(&plan)?;
                let physical = state.create_physical_plan(&plan).await?;
                if analyze {
                    let analyzed =
                        datafusion::logical_expr::LogicalPlanBuilder::from(plan).explain(verbose, true)?.build()?;
                    let physical = state.create_physical_plan(&analyzed).await?;
                    return Ok(execute_stream(physical, state.task_ctx())?);
                }
                (optimized, physical)
            }
            Statement::Insert(insert) => {
                let once = !self.is_job(catalog, database, insert).await?;
                self.explain_insert(catalog, database, insert, once).await?
            }
            Statement::CreateJob(create) => self.explain_insert(catalog, database, &create.insert, false).await?,
            _ => return Err(HeadError::invalid("EXPLAIN takes a query, an INSERT or a CREATE JOB")),
        };
        if analyze {
            return Err(HeadError::invalid(
                "EXPLAIN ANALYZE takes a query: it would insert. EXPLAIN ANALYZE JOB name has a job's figures",
            ));
        }
        let kinds = vec![Some("logical".to_owned()), Some("physical".to_owned())];
        let plans = vec![Some(logical.display_indent().to_string()), Some(plan_text(&physical))];
        Ok(stream(vec![Column::Text("plan", kinds), Column::Text("text", plans)])?)
    }

    async fn explain_insert(
        &self,
        catalog: &Arc<Catalog>,
        database: &Name,
        insert: &Insert,
        once: bool,
    ) -> Result<(datafusion::logical_expr::LogicalPlan, Arc<dyn datafusion::physical_plan::ExecutionPlan>), HeadError>
    {
        let target = catalog.resolve_table(&insert.table, database)?;
        let plan = self.plan_insert(catalog, database.key(), insert, target, once).await?;
        Ok((plan.logical, plan.physical))
    }
}

/// A name for an INSERT's job that no other job has.
fn free_name(catalog: &Catalog, insert: &Insert) -> Option<Name> {
    (1..)
        .map(|n| format!("insert_{}_{n}", insert.table.name.key()))
        .find_map(|n| Name::new(n).ok().filter(|n| catalog.resolve_job(n).is_err()))
}

/// A fresh id in the catalog's alphabet.
pub(crate) fn fresh_id(prefix: &str, entropy: &dyn Entropy) -> String {
    format!("{prefix}{:016x}", entropy.next_u64())
}
