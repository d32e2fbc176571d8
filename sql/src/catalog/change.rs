//! Changes of the catalog: what the catalog's log holds as deltas.

use serde::{Deserialize, Serialize};

use super::{CatalogJob, CatalogTable, CatalogView, Database, DatabaseId, JobId, JobState, TableId, ViewId};

/// One change. It carries all that it needs (ids and times too), so that replaying the log gives the same catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum CatalogChange {
    /// A database is made.
    CreateDatabase {
        /// The database.
        database: Database,
    },
    /// A database is dropped.
    DropDatabase {
        /// Its id.
        id: DatabaseId,
        /// Drop its tables and views too.
        cascade: bool,
    },
    /// A table is made.
    CreateTable {
        /// The table.
        table: CatalogTable,
    },
    /// A table is dropped.
    DropTable {
        /// Its id.
        id: TableId,
    },
    /// A view is made.
    CreateView {
        /// The view.
        view: CatalogView,
    },
    /// A view takes the place of another of the same name, whose id is retired.
    ReplaceView {
        /// The view that goes.
        old: ViewId,
        /// The view that comes.
        view: CatalogView,
    },
    /// A view is dropped.
    DropView {
        /// Its id.
        id: ViewId,
    },
    /// A job is made.
    CreateJob {
        /// The job.
        job: CatalogJob,
    },
    /// A job starts, stops or fails.
    SetJobState {
        /// Its id.
        id: JobId,
        /// What it does from now on.
        state: JobState,
    },
    /// A job that doesn't run is dropped. What it wrote stays.
    DropJob {
        /// Its id.
        id: JobId,
    },
}
