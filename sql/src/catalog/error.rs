//! Why a name is not found or a change is refused.

use super::IdError;
use crate::error::SqlError;

/// Why a name is not found or a change is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// No such thing.
    #[error("there is no {what} '{name}'{}", suggestion(.near))]
    Unknown {
        /// `database`, `table`, `table or view`, `view` or `job`.
        what: &'static str,
        /// The name as written.
        name: String,
        /// A name that is near.
        near: Option<String>,
    },
    /// The name is taken.
    #[error("there is a {what} '{name}' already")]
    Exists {
        /// What has the name.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Another kind of thing has the name.
    #[error("'{name}' is a {is}, not a {wanted}")]
    WrongKind {
        /// The name.
        name: String,
        /// What it is.
        is: &'static str,
        /// What was expected.
        wanted: &'static str,
    },
    /// Running jobs use it.
    #[error("{what} '{name}' is used by the running job{} {}: STOP JOB first", plural(.jobs), list(.jobs))]
    InUse {
        /// `table`, `view` or `database`.
        what: &'static str,
        /// Its name.
        name: String,
        /// The jobs' names.
        jobs: Vec<String>,
    },
    /// A database with something in it.
    #[error("database '{name}' is not empty: it holds {}. Drop them first, or write DROP DATABASE {name} CASCADE", list(.holds))]
    NotEmpty {
        /// The database.
        name: String,
        /// Some of what is in it.
        holds: Vec<String>,
    },
    /// The database `default` stays.
    #[error("the database 'default' can't be dropped")]
    DefaultDatabase,
    /// A job that runs can't be dropped.
    #[error("job '{name}' is running: STOP JOB {name} first")]
    JobRuns {
        /// The job.
        name: String,
    },
    /// A job that keeps a materialized view goes with it only.
    #[error("job '{job}' keeps the materialized view {view}: DROP MATERIALIZED VIEW {view} drops both")]
    KeepsView {
        /// The job.
        job: String,
        /// The view.
        view: String,
    },
    /// An id was used before.
    #[error("the id '{0}' was used before: ids are never used twice")]
    IdUsed(String),
    /// A text is no id.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A table's folder lies in another's, or is the same.
    #[error(
        "the location '{location}' overlaps with that of table '{table}' ('{other}'): each table needs a folder of its own"
    )]
    LocationTaken {
        /// The new table's location.
        location: String,
        /// The other table.
        table: String,
        /// The other table's location.
        other: String,
    },
    /// A view that reads itself.
    #[error("view '{0}' reads itself")]
    Cycle(String),
    /// A change whose parts contradict each other; no statement makes one.
    #[error("the change contradicts itself: {0}")]
    Inconsistent(String),
    /// A stored text doesn't parse.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

fn suggestion(near: &Option<String>) -> String {
    near.as_ref().map_or_else(String::new, |name| format!(" (did you mean '{name}'?)"))
}

fn plural(names: &[String]) -> &'static str {
    if names.len() == 1 { "" } else { "s" }
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}
