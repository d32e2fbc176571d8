//! The catalog as a pure value: databases, tables, views and jobs.
//!
//! The engine stores it as a log: the whole [`Catalog`] as a base now and then, [`CatalogChange`]s as deltas. Both are
//! JSON; a field or variant that this version doesn't know is refused on reading, never skipped.
//!
//! Invariants, which [`Catalog::apply`] keeps and which a failed change leaves as they were:
//! - An id is used once, ever: ids of what was dropped are remembered. Folders are named by ids.
//! - Tables and views of a database share their names; jobs' names are of the whole catalog.
//! - The database `default` is always there.
//! - What a running job reads or writes is there as long as it runs.
//! - A table knows all jobs that ever wrote to it, since it is the union of their logs.

mod apply;
mod change;
mod dependencies;
mod error;
mod ids;
mod plan;
mod resolve;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use change::CatalogChange;
pub use dependencies::{Dependencies, relations};
pub use error::CatalogError;
pub use ids::{DatabaseId, IdError, JobId, TableId, ViewId};
pub use plan::{ChangeContext, Planned};
pub use resolve::{BAD_RECORDS_SUFFIX, LATE_RECORDS_SUFFIX, Relation};

use crate::error::Position;
use crate::name::{Name, TableName};
use crate::table::TableDef;

/// The database that sessions begin in.
pub const DEFAULT_DATABASE: &str = "default";

/// Databases, tables, views and jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    databases: BTreeMap<DatabaseId, Database>,
    tables: BTreeMap<TableId, CatalogTable>,
    views: BTreeMap<ViewId, CatalogView>,
    jobs: BTreeMap<JobId, CatalogJob>,
    /// Ids of what was dropped.
    retired: BTreeSet<String>,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Its id.
    pub id: DatabaseId,
    /// Its name.
    pub name: Name,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Where its tables go by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// When it was made: microseconds since 1970 in UTC.
    pub created_at_micros: i64,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogTable {
    /// Its id.
    pub id: TableId,
    /// Its database.
    pub database: DatabaseId,
    /// What it is. Its name's database is always given.
    pub def: TableDef,
    /// All jobs that ever wrote to it, dropped ones included.
    pub writers: BTreeSet<JobId>,
    /// When it was made: microseconds since 1970 in UTC.
    pub created_at_micros: i64,
}

/// A view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogView {
    /// Its id.
    pub id: ViewId,
    /// Its database.
    pub database: DatabaseId,
    /// Its name; the database is always given.
    pub name: TableName,
    /// New names for the query's columns; empty to keep them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<Name>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Its query as written.
    pub query: String,
    /// The database that names without one were meant in.
    pub session_db: Name,
    /// When it was made: microseconds since 1970 in UTC.
    pub created_at_micros: i64,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogJob {
    /// Its id.
    pub id: JobId,
    /// Its name.
    pub name: Name,
    /// Its `INSERT INTO …` as written.
    pub sql: String,
    /// The database that names without one were meant in.
    pub session_db: Name,
    /// The table it writes to.
    pub writes: TableId,
    /// The tables it reads, through views too.
    pub reads: BTreeSet<TableId>,
    /// The views it reads through.
    pub views: BTreeSet<ViewId>,
    /// What it does.
    pub state: JobState,
    /// An INSERT that runs once: it leaves the catalog when its statement is answered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub once: bool,
    /// When it was made: microseconds since 1970 in UTC.
    pub created_at_micros: i64,
}

/// What a job does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum JobState {
    /// It runs, or will as soon as the engine does.
    Running,
    /// It was stopped, with a final checkpoint.
    Stopped,
    /// It came to its end by itself.
    Finished {
        /// Why, for people.
        reason: String,
    },
    /// It can't go on.
    Failed {
        /// Why, for people.
        reason: String,
    },
}

impl std::fmt::Display for JobState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::Stopped => f.write_str("stopped"),
            Self::Finished { reason } => write!(f, "finished: {reason}"),
            Self::Failed { reason } => write!(f, "failed: {reason}"),
        }
    }
}

impl CatalogJob {
    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.state == JobState::Running
    }
}

impl CatalogTable {
    /// Its name, always with the database.
    pub fn name(&self) -> &TableName {
        &self.def.name
    }
}

impl CatalogView {
    /// The statement that makes this view, as SHOW CREATE TABLE shows it.
    pub fn to_sql(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(Name::to_sql).collect();
        let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
        let comment =
            self.comment.as_deref().map_or_else(String::new, |c| format!("\nCOMMENT {}", crate::table::string_sql(c)));
        format!("CREATE VIEW {}{columns}{comment} AS\n{}", self.name.to_sql(), self.query)
    }

    /// Its query, parsed.
    ///
    /// # Errors
    /// If the stored text is no query, which a catalog of this version never holds.
    pub fn parse(&self) -> Result<Box<sqlparser::ast::Query>, CatalogError> {
        match crate::parse_one(&self.query)?.statement {
            crate::Statement::Query(query) => Ok(query),
            _ => Err(crate::SqlError::new(Position::default(), format!("view '{}' holds no query", self.name)).into()),
        }
    }
}

impl Default for Catalog {
    fn default() -> Self {
        Self::new()
    }
}

impl Catalog {
    /// A catalog with the database `default` and nothing else.
    pub fn new() -> Self {
        let default = Database {
            id: DatabaseId::default_database(),
            name: Name::known(DEFAULT_DATABASE),
            comment: None,
            location: None,
            created_at_micros: 0,
        };
        Self {
            databases: BTreeMap::from([(default.id.clone(), default)]),
            tables: BTreeMap::new(),
            views: BTreeMap::new(),
            jobs: BTreeMap::new(),
            retired: BTreeSet::new(),
        }
    }

    /// All databases, by id.
    pub fn databases(&self) -> impl Iterator<Item = &Database> {
        self.databases.values()
    }

    /// All tables, by id.
    pub fn tables(&self) -> impl Iterator<Item = &CatalogTable> {
        self.tables.values()
    }

    /// All views, by id.
    pub fn views(&self) -> impl Iterator<Item = &CatalogView> {
        self.views.values()
    }

    /// All jobs, by id.
    pub fn jobs(&self) -> impl Iterator<Item = &CatalogJob> {
        self.jobs.values()
    }

    /// The table with that id.
    pub fn table(&self, id: &TableId) -> Option<&CatalogTable> {
        self.tables.get(id)
    }

    /// The view with that id.
    pub fn view(&self, id: &ViewId) -> Option<&CatalogView> {
        self.views.get(id)
    }

    /// The job with that id.
    pub fn job(&self, id: &JobId) -> Option<&CatalogJob> {
        self.jobs.get(id)
    }

    /// Tables of a database, by name.
    pub fn tables_in(&self, database: &DatabaseId) -> Vec<&CatalogTable> {
        let mut tables: Vec<_> = self.tables.values().filter(|table| table.database == *database).collect();
        tables.sort_by(|a, b| a.def.name.name.cmp(&b.def.name.name));
        tables
    }

    /// Views of a database, by name.
    pub fn views_in(&self, database: &DatabaseId) -> Vec<&CatalogView> {
        let mut views: Vec<_> = self.views.values().filter(|view| view.database == *database).collect();
        views.sort_by(|a, b| a.name.name.cmp(&b.name.name));
        views
    }
}
