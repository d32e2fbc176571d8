//! From statements to changes: names resolved, IF [NOT] EXISTS decided, ids and times filled in.

use super::{
    Catalog, CatalogChange, CatalogError, CatalogJob, CatalogTable, CatalogView, Database, DatabaseId, JobId, JobState,
    Relation, TableId, ViewId,
};
use crate::name::{Name, TableName};
use crate::statement::{CreateDatabase, CreateTable, CreateView, Insert, Statement};
use crate::table::{ColumnDef, MaterializedView, TableDef, TableKind};

/// What a change takes from outside.
pub struct ChangeContext<'a> {
    /// The session's database.
    pub session_db: &'a Name,
    /// Now: microseconds since 1970 in UTC.
    pub now_micros: i64,
    /// Makes an id that was never used: lower-case letters, digits and `-`.
    pub new_id: &'a mut dyn FnMut() -> String,
}

/// What a statement means for the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Planned {
    /// It changes the catalog.
    Change(Box<CatalogChange>),
    /// It leaves the catalog as it is, because of IF EXISTS or IF NOT EXISTS.
    Nothing,
    /// It is not about the catalog: a query, an insert, SHOW, STOP JOB and the like.
    NotCatalog,
}

impl From<CatalogChange> for Planned {
    fn from(change: CatalogChange) -> Self {
        Self::Change(Box::new(change))
    }
}

impl Catalog {
    /// The change that a statement asks for, checked. It is not applied.
    ///
    /// # Errors
    /// If a name is not found, or the change is refused.
    pub fn plan(&self, statement: &Statement, context: &mut ChangeContext<'_>) -> Result<Planned, CatalogError> {
        let planned = match statement {
            Statement::CreateDatabase(create) => self.plan_create_database(create, context)?,
            Statement::DropDatabase { name, if_exists, cascade } => match self.database(name) {
                Ok(database) => CatalogChange::DropDatabase { id: database.id.clone(), cascade: *cascade }.into(),
                Err(error) => nothing_if(*if_exists, error)?,
            },
            Statement::CreateTable(create) => self.plan_create_table(create, context)?,
            Statement::CreateView(create) => self.plan_create_view(create, context)?,
            Statement::CreateJob(create) if create.if_not_exists && self.resolve_job(&create.name).is_ok() => {
                Planned::Nothing
            }
            Statement::CreateJob(create) => {
                CatalogChange::CreateJob { job: self.plan_job(create.name.clone(), &create.insert, context)? }.into()
            }
            Statement::DropTable { name, if_exists } => match self.resolve_table(name, context.session_db) {
                Ok(table) if table.def.materialized().is_some() => {
                    let is = "materialized view, which DROP MATERIALIZED VIEW drops";
                    return Err(CatalogError::WrongKind { name: table.def.name.to_string(), is, wanted: "table" });
                }
                Ok(table) => CatalogChange::DropTable { id: table.id.clone() }.into(),
                Err(error) => nothing_if(*if_exists, error)?,
            },
            Statement::DropView { name, if_exists } => match self.resolve_view(name, context.session_db) {
                Ok(view) => CatalogChange::DropView { id: view.id.clone() }.into(),
                Err(error) => nothing_if(*if_exists, error)?,
            },
            Statement::DropJob { name, if_exists } => match self.resolve_job(name) {
                Ok(job) => match self.table(&job.writes).filter(|table| table.def.materialized().is_some()) {
                    Some(view) => {
                        return Err(CatalogError::KeepsView {
                            job: job.name.to_string(),
                            view: view.def.name.to_string(),
                        });
                    }
                    None => CatalogChange::DropJob { id: job.id.clone() }.into(),
                },
                Err(error) => nothing_if(*if_exists, error)?,
            },
            Statement::CreateMaterializedView(_)
            | Statement::DropMaterializedView { .. }
            | Statement::Insert(_)
            | Statement::StartJob { .. }
            | Statement::StopJob { .. }
            | Statement::Show(_)
            | Statement::Describe { .. }
            | Statement::Use { .. }
            | Statement::Set { .. }
            | Statement::Explain { .. }
            | Statement::Query(_) => Planned::NotCatalog,
        };
        if let Planned::Change(change) = &planned {
            self.check(change)?;
        }
        Ok(planned)
    }

    /// The record of a job that runs an insert: also for a bare INSERT INTO over a stream, whose name the caller makes.
    ///
    /// # Errors
    /// If a name is not found.
    pub fn plan_job(
        &self,
        name: Name,
        insert: &Insert,
        context: &mut ChangeContext<'_>,
    ) -> Result<CatalogJob, CatalogError> {
        let writes = self.resolve_table(&insert.table, context.session_db)?.id.clone();
        let reads = self.dependencies(&insert.query, context.session_db)?;
        Ok(CatalogJob {
            id: JobId::new((context.new_id)())?,
            name,
            sql: insert.text.clone(),
            session_db: context.session_db.clone(),
            writes,
            reads: reads.tables,
            views: reads.views,
            state: JobState::Running,
            once: false,
            created_at_micros: context.now_micros,
        })
    }

    fn plan_create_database(
        &self,
        create: &CreateDatabase,
        context: &mut ChangeContext<'_>,
    ) -> Result<Planned, CatalogError> {
        if create.if_not_exists && self.database(&create.name).is_ok() {
            return Ok(Planned::Nothing);
        }
        let database = Database {
            id: DatabaseId::new((context.new_id)())?,
            name: create.name.clone(),
            comment: create.comment.clone(),
            location: create.location.clone(),
            created_at_micros: context.now_micros,
        };
        Ok(CatalogChange::CreateDatabase { database }.into())
    }

    fn plan_create_table(
        &self,
        create: &CreateTable,
        context: &mut ChangeContext<'_>,
    ) -> Result<Planned, CatalogError> {
        let (database, name) = self.placed(&create.table.name, context.session_db)?;
        if create.if_not_exists && self.find(&database.name, &name.name).is_some() {
            return Ok(Planned::Nothing);
        }
        let mut def = create.table.clone();
        def.name = name;
        let table = CatalogTable {
            id: TableId::new((context.new_id)())?,
            database: database.id.clone(),
            def,
            writers: std::collections::BTreeSet::new(),
            created_at_micros: context.now_micros,
        };
        Ok(CatalogChange::CreateTable { table }.into())
    }

    /// A materialized view's table, whose columns the caller has found by planning its query; none if IF NOT EXISTS finds
    /// that the name is taken.
    ///
    /// # Errors
    /// If the name is taken, or its database isn't there.
    pub fn plan_materialized_view(
        &self,
        create: &CreateView,
        columns: Vec<ColumnDef>,
        context: &mut ChangeContext<'_>,
    ) -> Result<Option<CatalogTable>, CatalogError> {
        let (name, comment) = (create.name.clone(), create.comment.clone());
        let kind = TableKind::Materialized(MaterializedView { query: create.query_text.clone() });
        let table = TableDef { name, columns, comment, kind };
        let create = CreateTable { table, if_not_exists: create.if_not_exists };
        match self.plan_create_table(&create, context)? {
            Planned::Change(change) => match *change {
                CatalogChange::CreateTable { table } => Ok(Some(table)),
                _ => Ok(None),
            },
            Planned::Nothing | Planned::NotCatalog => Ok(None),
        }
    }

    fn plan_create_view(&self, create: &CreateView, context: &mut ChangeContext<'_>) -> Result<Planned, CatalogError> {
        let (database, name) = self.placed(&create.name, context.session_db)?;
        let there = self.find(&database.name, &name.name);
        if create.if_not_exists && there.is_some() {
            return Ok(Planned::Nothing);
        }
        let old = match there {
            Some(Relation::View(view)) if create.or_replace => Some(view.id.clone()),
            Some(Relation::Table(_)) if create.or_replace => {
                return Err(CatalogError::WrongKind { name: name.to_string(), is: "table", wanted: "view" });
            }
            _ => None,
        };
        let reads = self.dependencies(&create.query, context.session_db)?;
        if old.as_ref().is_some_and(|old| reads.views.contains(old)) {
            return Err(CatalogError::Cycle(name.to_string()));
        }
        let view = CatalogView {
            id: ViewId::new((context.new_id)())?,
            database: database.id.clone(),
            name,
            columns: create.columns.clone(),
            comment: create.comment.clone(),
            query: create.query_text.clone(),
            session_db: context.session_db.clone(),
            created_at_micros: context.now_micros,
        };
        Ok(match old {
            Some(old) => CatalogChange::ReplaceView { old, view },
            None => CatalogChange::CreateView { view },
        }
        .into())
    }

    /// A new name with its database.
    fn placed(&self, name: &TableName, session_db: &Name) -> Result<(&Database, TableName), CatalogError> {
        let database = self.database(name.db.as_ref().unwrap_or(session_db))?;
        Ok((database, TableName { db: Some(database.name.clone()), name: name.name.clone() }))
    }
}

/// With IF EXISTS, a thing that isn't there is no error; a thing of another kind is.
fn nothing_if(if_exists: bool, error: CatalogError) -> Result<Planned, CatalogError> {
    match error {
        CatalogError::Unknown { .. } if if_exists => Ok(Planned::Nothing),
        error => Err(error),
    }
}
