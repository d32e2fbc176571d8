//! Materialized views: made with their job, read from their table and their job's state, dropped with both.

use crate::answers::{Column, done};
use crate::error::HeadError;
use crate::head::Head;
use crate::jobs::job_id;
use crate::relations::{Pin, Relations, table_id};
use datafusion::logical_expr::LogicalPlan;
use futures::TryStreamExt;
use salamander_hive::HiveTable;
use salamander_job::{JobHandle, Peek, peek_at_rest};
use salamander_planner::{Relation, column_type};
use salamander_sql::catalog::{CatalogChange, CatalogJob, CatalogTable, ChangeContext};
use salamander_sql::{Catalog, ColumnDef, CreateView, Insert, Name, Statement, TableName};
use salamander_types::JobId;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Head {
    /// `CREATE MATERIALIZED VIEW`: a hidden table with the query's columns, and a job of the view's name that keeps it.
    pub(crate) async fn create_materialized_view(
        &self,
        database: &Name,
        create: &CreateView,
    ) -> Result<Vec<Column>, HeadError> {
        let catalog = self.catalog.get();
        if create.if_not_exists && catalog.resolve(&create.name, database).is_ok() {
            return Ok(done("nothing to do"));
        }
        let columns = self.view_columns(&catalog, database, create).await?;
        let insert = insert_into(create)?;
        let now = self.options.clock.now_micros();
        let plan = |catalog: &Catalog| -> Result<(CatalogTable, CatalogJob), HeadError> {
            let mut new_id = || crate::statements::fresh_id("v", self.options.entropy.as_ref());
            let mut context = ChangeContext { session_db: database, now_micros: now, new_id: &mut new_id };
            let table = catalog.plan_materialized_view(create, columns.clone(), &mut context)?;
            let table = table.ok_or_else(|| HeadError::invalid(format!("there is a '{}' already", create.name)))?;
            let mut with_table = catalog.clone();
            with_table.apply(&CatalogChange::CreateTable { table: table.clone() })?;
            let job = with_table.plan_job(create.name.name.clone(), &insert, &mut context)?;
            with_table.apply(&CatalogChange::CreateJob { job: job.clone() })?;
            Ok((table, job))
        };
        // Most mistakes are found before anything is written down.
        let (table, _) = plan(&catalog)?;
        let planned = self.plan_insert(&catalog, database.key(), &insert, &table, false).await?;
        for input in &planned.inputs {
            input.stream.source.describe().await?;
        }
        let mut created = None;
        self.catalog
            .change(|catalog| {
                let (table, job) = plan(catalog)?;
                created = Some(job.clone());
                Ok(vec![CatalogChange::CreateTable { table }, CatalogChange::CreateJob { job }])
            })
            .await?;
        let job = created.ok_or_else(|| HeadError::invalid("the view was not created"))?;
        self.start_job(&self.catalog.get(), &job).await?;
        Ok(done(format!("materialized view {} is kept by job {} ({})", create.name, job.name, job_id(&job))))
    }

    /// The columns of a view's query.
    async fn view_columns(
        &self,
        catalog: &Arc<Catalog>,
        database: &Name,
        create: &CreateView,
    ) -> Result<Vec<ColumnDef>, HeadError> {
        let plan = self.planner.query(self.relations(catalog), database.key(), &create.query).await?;
        let fields = plan.schema().fields();
        if !create.columns.is_empty() && create.columns.len() != fields.len() {
            let (named, has) = (create.columns.len(), fields.len());
            return Err(HeadError::invalid(format!("{} names {named} columns, its query has {has}", create.name)));
        }
        let mut columns: Vec<ColumnDef> = Vec::with_capacity(fields.len());
        for (index, field) in fields.iter().enumerate() {
            let name = match create.columns.get(index) {
                Some(name) => name.clone(),
                None => Name::new(field.name().to_lowercase()).map_err(|_| {
                    HeadError::invalid(format!("column {} of {} needs a name: write AS name", index + 1, create.name))
                })?,
            };
            let column_type = column_type(field.data_type()).ok_or_else(|| {
                let (view, type_of) = (&create.name, field.data_type());
                HeadError::invalid(format!("column '{name}' of {view} is a {type_of}, which no column can be: cast it"))
            })?;
            if columns.iter().any(|other| other.name == name) {
                return Err(HeadError::invalid(format!("{} has two columns '{name}': name them with AS", create.name)));
            }
            columns.push(ColumnDef { name, column_type, nullable: true, comment: None });
        }
        Ok(columns)
    }

    /// `DROP MATERIALIZED VIEW`: its job is stopped, both go, and so do its rows.
    pub(crate) async fn drop_materialized_view(
        &self,
        database: &Name,
        name: &TableName,
        if_exists: bool,
    ) -> Result<Vec<Column>, HeadError> {
        let catalog = self.catalog.get();
        if if_exists && catalog.resolve(name, database).is_err() {
            return Ok(done("nothing to do"));
        }
        let table = catalog.resolve_table(name, database)?;
        if table.def.materialized().is_none() {
            return Err(HeadError::invalid(format!(
                "'{name}' is a table, not a materialized view: DROP TABLE drops it"
            )));
        }
        let job = keeper(&catalog, table);
        if let Some(job) = job.filter(|job| job.is_running()) {
            self.stop_job(job).await?;
        }
        let (table_of, job_of) = (table.id.clone(), job.map(|job| job.id.clone()));
        self.catalog
            .change(|_| {
                let job = job_of.clone().map(|id| CatalogChange::DropJob { id });
                Ok(job.into_iter().chain([CatalogChange::DropTable { id: table_of.clone() }]).collect())
            })
            .await?;
        let id = table_id(table);
        if let Some(job) = job {
            self.jobs.lock().remove(&job_id(job));
            self.delete_state(&job_id(job)).await;
        }
        let rows = self.tables.hidden_folder(&id);
        self.tables.forget(&id);
        self.delete_folder(&rows).await;
        Ok(done("done"))
    }

    /// The state of a job that is gone. What is left behind by a failure costs room, nothing else.
    async fn delete_state(&self, job: &JobId) {
        self.delete_folder(&self.root.clone().join("jobs").join(job.as_str()).join("state")).await;
    }

    async fn delete_folder(&self, folder: &object_store::path::Path) {
        let objects: Result<Vec<_>, _> = self.store.list(Some(folder)).try_collect().await;
        for object in objects.unwrap_or_default() {
            if let Err(error) = object_store::ObjectStoreExt::delete(self.store.as_ref(), &object.location).await {
                tracing::warn!(object = %object.location, %error, "what a dropped view left could not be deleted");
            }
        }
    }
}

/// The `INSERT INTO` that a view's job runs.
fn insert_into(create: &CreateView) -> Result<Insert, HeadError> {
    let sql = format!("INSERT INTO {} {}", create.name.to_sql(), create.query_text);
    match salamander_sql::parse_one(&sql)?.statement {
        Statement::Insert(insert) => Ok(insert),
        _ => Err(HeadError::invalid(format!("{} has no query that a job can run", create.name))),
    }
}

/// The job that keeps a view.
fn keeper<'a>(catalog: &'a Catalog, view: &CatalogTable) -> Option<&'a CatalogJob> {
    catalog.jobs().find(|job| job.writes == view.id)
}

impl Relations {
    /// A materialized view as a plan over its rows at one epoch's end. A statement that names it twice sees the same.
    pub(crate) async fn materialized(&self, view: &CatalogTable) -> Result<Relation, HeadError> {
        let name = &view.def.name;
        if self.pin == Pin::Committed {
            return Err(HeadError::invalid(format!(
                "{name} is a materialized view, whose rows change until they are complete: it is read by SELECT. For rows \
                 that are added once, write a job with the view's query"
            )));
        }
        let id = table_id(view);
        if let Some(plan) = self.views.lock().get(&id) {
            return Ok(Relation::Plan(plan.clone()));
        }
        let plan = self.read_view(view).await?;
        self.views.lock().insert(id, plan.clone());
        Ok(Relation::Plan(plan))
    }

    async fn read_view(&self, view: &CatalogTable) -> Result<LogicalPlan, HeadError> {
        let name = &view.def.name;
        let job = keeper(&self.catalog, view);
        let job = job.ok_or_else(|| HeadError::not_found(format!("the job that keeps {name} is gone")))?;
        let head = self.head.upgrade().ok_or_else(|| HeadError::invalid("the engine is stopping"))?;
        let handle: Option<Arc<JobHandle>> = head.jobs.lock().get(&job_id(job)).cloned();
        let (peek, spec) = match handle {
            Some(handle) => (handle.peek().await?, Arc::clone(handle.spec())),
            None => {
                let spec = Arc::new(head.job_spec(&self.catalog, job).await?);
                (peek_at_rest(&spec, &head.job_environment(&spec.id)).await?, spec)
            }
        };
        let Peek { open, written } = peek;
        let (Some(query), Some(written)) = (&spec.plan.view, written) else {
            return Err(HeadError::not_found(format!("job {} doesn't keep {name}", job.name)));
        };
        let mut rows = BTreeMap::new();
        for windows in open {
            rows.insert(windows.operator.clone(), windows.rows().await?);
        }
        Ok(query.read(Arc::new(HiveTable::pinned(written)), &rows)?)
    }
}

/// Whether a job keeps a materialized view.
pub(crate) fn keeps(target: &CatalogTable) -> salamander_planner::Keeps {
    match target.def.materialized() {
        Some(_) => salamander_planner::Keeps::View,
        None => salamander_planner::Keeps::Table,
    }
}
