//! Applies changes: each is checked in full before anything is changed, so a refused one leaves no trace.

use super::{
    BTreeSet, Catalog, CatalogChange, CatalogError, CatalogJob, CatalogTable, CatalogView, DEFAULT_DATABASE, Database,
    DatabaseId, JobId, JobState, Relation, TableId, ViewId,
};
use crate::name::TableName;
use crate::table::TableKind;

/// How many names an error lists.
const LISTED: usize = 5;

impl Catalog {
    /// Applies a change.
    ///
    /// # Errors
    /// As [`Catalog::check`]; the catalog is then as it was.
    pub fn apply(&mut self, change: &CatalogChange) -> Result<(), CatalogError> {
        self.check(change)?;
        match change {
            CatalogChange::CreateDatabase { database } => {
                self.databases.insert(database.id.clone(), database.clone());
            }
            CatalogChange::DropDatabase { id, .. } => self.remove_database(id),
            CatalogChange::CreateTable { table } => {
                self.tables.insert(table.id.clone(), table.clone());
            }
            CatalogChange::DropTable { id } => self.remove_table(id),
            CatalogChange::CreateView { view } => {
                self.views.insert(view.id.clone(), view.clone());
            }
            CatalogChange::ReplaceView { old, view } => {
                self.remove_view(old);
                self.views.insert(view.id.clone(), view.clone());
            }
            CatalogChange::DropView { id } => self.remove_view(id),
            CatalogChange::CreateJob { job } => {
                if let Some(table) = self.tables.get_mut(&job.writes) {
                    table.writers.insert(job.id.clone());
                }
                self.jobs.insert(job.id.clone(), job.clone());
            }
            CatalogChange::SetJobState { id, state } => {
                if let Some(job) = self.jobs.get_mut(id) {
                    job.state = state.clone();
                }
            }
            CatalogChange::DropJob { id } => {
                self.jobs.remove(id);
                self.retired.insert(id.to_string());
            }
        }
        Ok(())
    }

    /// Whether a change can be applied.
    ///
    /// # Errors
    /// Why it can't.
    pub fn check(&self, change: &CatalogChange) -> Result<(), CatalogError> {
        match change {
            CatalogChange::CreateDatabase { database } => self.check_new_database(database),
            CatalogChange::DropDatabase { id, cascade } => self.check_drop_database(id, *cascade),
            CatalogChange::CreateTable { table } => self.check_new_table(table),
            CatalogChange::DropTable { id } => {
                let table = self.tables.get(id).ok_or_else(|| unknown("table", id.as_str()))?;
                self.check_unused("table", &table.def.name, &BTreeSet::from([id]), &BTreeSet::new())
            }
            CatalogChange::CreateView { view } => {
                self.check_new_id(view.id.as_str())?;
                self.check_placed(&view.name, &view.database)?;
                self.check_free(&view.name)
            }
            CatalogChange::ReplaceView { old, view } => self.check_replace_view(old, view),
            CatalogChange::DropView { id } => {
                let view = self.views.get(id).ok_or_else(|| unknown("view", id.as_str()))?;
                self.check_unused("view", &view.name, &BTreeSet::new(), &BTreeSet::from([id]))
            }
            CatalogChange::CreateJob { job } => self.check_new_job(job),
            CatalogChange::SetJobState { id, state } => {
                let job = self.jobs.get(id).ok_or_else(|| unknown("job", id.as_str()))?;
                if *state == JobState::Running { self.check_job_objects(job) } else { Ok(()) }
            }
            CatalogChange::DropJob { id } => self.check_drop_job(id),
        }
    }

    fn check_new_database(&self, database: &Database) -> Result<(), CatalogError> {
        self.check_new_id(database.id.as_str())?;
        match self.databases.values().find(|other| other.name == database.name) {
            Some(other) => Err(CatalogError::Exists { what: "database", name: other.name.to_string() }),
            None => Ok(()),
        }
    }

    fn check_drop_database(&self, id: &DatabaseId, cascade: bool) -> Result<(), CatalogError> {
        let database = self.databases.get(id).ok_or_else(|| unknown("database", id.as_str()))?;
        if database.name.key() == DEFAULT_DATABASE {
            return Err(CatalogError::DefaultDatabase);
        }
        let (tables, views) = (self.tables_in(id), self.views_in(id));
        if !cascade && !(tables.is_empty() && views.is_empty()) {
            let names =
                tables.iter().map(|t| t.def.name.name.to_string()).chain(views.iter().map(|v| v.name.name.to_string()));
            return Err(CatalogError::NotEmpty {
                name: database.name.to_string(),
                holds: names.take(LISTED).collect(),
            });
        }
        let name = TableName { db: None, name: database.name.clone() };
        self.check_unused(
            "database",
            &name,
            &tables.iter().map(|t| &t.id).collect(),
            &views.iter().map(|v| &v.id).collect(),
        )
    }

    fn check_new_table(&self, table: &CatalogTable) -> Result<(), CatalogError> {
        self.check_new_id(table.id.as_str())?;
        self.check_placed(&table.def.name, &table.database)?;
        self.check_free(&table.def.name)?;
        if !table.writers.is_empty() {
            return Err(CatalogError::Inconsistent("a new table has writers".into()));
        }
        let TableKind::Hive(hive) = &table.def.kind else { return Ok(()) };
        for other in self.tables.values() {
            if let TableKind::Hive(taken) = &other.def.kind {
                if overlap(&hive.location, &taken.location) {
                    return Err(CatalogError::LocationTaken {
                        location: hive.location.clone(),
                        table: other.def.name.to_string(),
                        other: taken.location.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    fn check_replace_view(&self, old: &ViewId, view: &CatalogView) -> Result<(), CatalogError> {
        self.check_new_id(view.id.as_str())?;
        self.check_placed(&view.name, &view.database)?;
        let replaced = self.views.get(old).ok_or_else(|| unknown("view", old.as_str()))?;
        if replaced.name != view.name {
            return Err(CatalogError::Inconsistent(format!("view '{}' can't replace '{}'", view.name, replaced.name)));
        }
        self.check_unused("view", &view.name, &BTreeSet::new(), &BTreeSet::from([old]))
    }

    fn check_new_job(&self, job: &CatalogJob) -> Result<(), CatalogError> {
        self.check_new_id(job.id.as_str())?;
        if let Some(other) = self.jobs.values().find(|other| other.name == job.name) {
            return Err(CatalogError::Exists { what: "job", name: other.name.to_string() });
        }
        self.check_job_objects(job)
    }

    fn check_job_objects(&self, job: &CatalogJob) -> Result<(), CatalogError> {
        for id in job.reads.iter().chain([&job.writes]) {
            if !self.tables.contains_key(id) {
                return Err(CatalogError::Inconsistent(format!(
                    "job '{}' uses the table with id '{id}', which is not there",
                    job.name
                )));
            }
        }
        for id in &job.views {
            if !self.views.contains_key(id) {
                return Err(CatalogError::Inconsistent(format!(
                    "job '{}' uses the view with id '{id}', which is not there",
                    job.name
                )));
            }
        }
        Ok(())
    }

    fn check_drop_job(&self, id: &JobId) -> Result<(), CatalogError> {
        let job = self.jobs.get(id).ok_or_else(|| unknown("job", id.as_str()))?;
        if job.is_running() { Err(CatalogError::JobRuns { name: job.name.to_string() }) } else { Ok(()) }
    }

    /// An id must be new to the whole catalog, whatever it is for.
    fn check_new_id(&self, id: &str) -> Result<(), CatalogError> {
        let used = self.retired.contains(id)
            || self.databases.keys().any(|other| other.as_str() == id)
            || self.tables.keys().any(|other| other.as_str() == id)
            || self.views.keys().any(|other| other.as_str() == id)
            || self.jobs.keys().any(|other| other.as_str() == id)
            || self.tables.values().any(|table| table.writers.iter().any(|other| other.as_str() == id));
        if used { Err(CatalogError::IdUsed(id.to_owned())) } else { Ok(()) }
    }

    /// A name's database must be given, there, and the one with that id.
    fn check_placed(&self, name: &TableName, database: &DatabaseId) -> Result<(), CatalogError> {
        let Some(db) = &name.db else {
            return Err(CatalogError::Inconsistent(format!("'{name}' has no database")));
        };
        if self.database(db)?.id == *database {
            Ok(())
        } else {
            Err(CatalogError::Inconsistent(format!("'{name}' is not in the database with id '{database}'")))
        }
    }

    fn check_free(&self, name: &TableName) -> Result<(), CatalogError> {
        match name.db.as_ref().and_then(|db| self.find(db, &name.name)) {
            Some(Relation::View(view)) => Err(CatalogError::Exists { what: "view", name: view.name.to_string() }),
            Some(Relation::Table(table) | Relation::BadRecords(table) | Relation::LateRecords(table)) => {
                Err(CatalogError::Exists { what: "table", name: table.def.name.to_string() })
            }
            None => Ok(()),
        }
    }

    /// No running job may use any of these.
    fn check_unused(
        &self,
        what: &'static str,
        name: &TableName,
        tables: &BTreeSet<&TableId>,
        views: &BTreeSet<&ViewId>,
    ) -> Result<(), CatalogError> {
        let uses = |job: &CatalogJob| {
            tables.contains(&job.writes)
                || job.reads.iter().any(|id| tables.contains(id))
                || job.views.iter().any(|id| views.contains(id))
        };
        let jobs: Vec<String> = self
            .jobs
            .values()
            .filter(|job| job.is_running() && uses(job))
            .map(|job| job.name.to_string())
            .take(LISTED)
            .collect();
        if jobs.is_empty() { Ok(()) } else { Err(CatalogError::InUse { what, name: name.to_string(), jobs }) }
    }

    fn remove_database(&mut self, id: &DatabaseId) {
        let tables: Vec<TableId> = self.tables_in(id).into_iter().map(|table| table.id.clone()).collect();
        let views: Vec<ViewId> = self.views_in(id).into_iter().map(|view| view.id.clone()).collect();
        tables.iter().for_each(|table| self.remove_table(table));
        views.iter().for_each(|view| self.remove_view(view));
        self.databases.remove(id);
        self.retired.insert(id.to_string());
    }

    fn remove_table(&mut self, id: &TableId) {
        if let Some(table) = self.tables.remove(id) {
            // Jobs that are gone already are remembered by the table only.
            self.retired
                .extend(table.writers.iter().filter(|job| !self.jobs.contains_key(job)).map(ToString::to_string));
        }
        self.retired.insert(id.to_string());
    }

    fn remove_view(&mut self, id: &ViewId) {
        self.views.remove(id);
        self.retired.insert(id.to_string());
    }
}

fn unknown(what: &'static str, id: &str) -> CatalogError {
    CatalogError::Unknown { what, name: id.to_owned(), near: None }
}

/// Whether one folder is the other or lies in it.
fn overlap(a: &str, b: &str) -> bool {
    let (a, b) = (a.trim_end_matches('/'), b.trim_end_matches('/'));
    let inside = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    inside(a, b) || inside(b, a)
}
