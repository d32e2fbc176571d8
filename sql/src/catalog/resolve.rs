//! Finds what a name means.

use super::{Catalog, CatalogError, CatalogJob, CatalogTable, CatalogView, Database};
use crate::name::{Name, TableName, nearest};

/// What the table of a table's bad records is called: its name and this.
pub const BAD_RECORDS_SUFFIX: &str = "$bad_records";
/// What the table of a table's late records is called: its name and this.
pub const LATE_RECORDS_SUFFIX: &str = "$late_records";

/// What a name in FROM means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Relation<'a> {
    /// A table.
    Table(&'a CatalogTable),
    /// A view.
    View(&'a CatalogView),
    /// `table$bad_records`: the rows of that table that didn't decode.
    BadRecords(&'a CatalogTable),
    /// `table$late_records`: the rows of that table that came after their windows had closed.
    LateRecords(&'a CatalogTable),
}

impl Catalog {
    /// The database of that name.
    ///
    /// # Errors
    /// If there is none, with a name that is near.
    pub fn database(&self, name: &Name) -> Result<&Database, CatalogError> {
        self.databases.values().find(|database| database.name == *name).ok_or_else(|| CatalogError::Unknown {
            what: "database",
            name: name.to_string(),
            near: nearest(name.as_str(), self.databases.values().map(|database| database.name.as_str()))
                .map(str::to_owned),
        })
    }

    /// The table or view that a name means in a session whose database is `session_db`.
    ///
    /// # Errors
    /// If there is none, with a name that is near.
    pub fn resolve(&self, name: &TableName, session_db: &Name) -> Result<Relation<'_>, CatalogError> {
        let db = self.database(name.db.as_ref().unwrap_or(session_db))?;
        self.find(&db.name, &name.name).ok_or_else(|| CatalogError::Unknown {
            what: "table or view",
            name: name.to_string(),
            near: self.near(&db.name, name),
        })
    }

    /// The table that a name means.
    ///
    /// # Errors
    /// If there is none, or a view has the name.
    pub fn resolve_table(&self, name: &TableName, session_db: &Name) -> Result<&CatalogTable, CatalogError> {
        match self.resolve(name, session_db)? {
            Relation::Table(table) => Ok(table),
            Relation::View(view) => {
                Err(CatalogError::WrongKind { name: view.name.to_string(), is: "view", wanted: "table" })
            }
            Relation::BadRecords(_) => Err(CatalogError::WrongKind {
                name: name.to_string(),
                is: "table of bad records, which the engine keeps",
                wanted: "table",
            }),
            Relation::LateRecords(_) => Err(CatalogError::WrongKind {
                name: name.to_string(),
                is: "table of late records, which the engine keeps",
                wanted: "table",
            }),
        }
    }

    /// The view that a name means.
    ///
    /// # Errors
    /// If there is none, or a table has the name.
    pub fn resolve_view(&self, name: &TableName, session_db: &Name) -> Result<&CatalogView, CatalogError> {
        match self.resolve(name, session_db)? {
            Relation::View(view) => Ok(view),
            Relation::Table(_) | Relation::BadRecords(_) | Relation::LateRecords(_) => {
                Err(CatalogError::WrongKind { name: name.to_string(), is: "table", wanted: "view" })
            }
        }
    }

    /// The job of that name.
    ///
    /// # Errors
    /// If there is none, with a name that is near.
    pub fn resolve_job(&self, name: &Name) -> Result<&CatalogJob, CatalogError> {
        self.jobs.values().find(|job| job.name == *name).ok_or_else(|| CatalogError::Unknown {
            what: "job",
            name: name.to_string(),
            near: nearest(name.as_str(), self.jobs.values().map(|job| job.name.as_str())).map(str::to_owned),
        })
    }

    pub(super) fn find(&self, db: &Name, name: &Name) -> Option<Relation<'_>> {
        let is =
            |candidate: &TableName, wanted: &str| candidate.db.as_ref() == Some(db) && candidate.name.key() == wanted;
        let table = |wanted: &str| self.tables.values().find(|table| is(&table.def.name, wanted));
        if let Some(found) = table(name.key()) {
            return Some(Relation::Table(found));
        }
        if let Some(found) = self.views.values().find(|view| is(&view.name, name.key())) {
            return Some(Relation::View(found));
        }
        let of = |suffix| name.key().strip_suffix(suffix).and_then(table);
        of(BAD_RECORDS_SUFFIX).map(Relation::BadRecords).or_else(|| of(LATE_RECORDS_SUFFIX).map(Relation::LateRecords))
    }

    /// A name that is near: in the same database, else the same name in another.
    fn near(&self, db: &Name, name: &TableName) -> Option<String> {
        let all: Vec<&TableName> = self
            .tables
            .values()
            .map(|table| &table.def.name)
            .chain(self.views.values().map(|view| &view.name))
            .collect();
        let here = all.iter().filter(|other| other.db.as_ref() == Some(db)).map(|other| other.name.as_str());
        if let Some(found) = nearest(name.name.as_str(), here) {
            return Some(found.to_owned());
        }
        all.iter().find(|other| other.name == name.name).map(|other| other.to_string())
    }
}
