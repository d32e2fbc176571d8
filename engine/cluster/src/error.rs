//! Why a statement failed, or the head can't start.

use datafusion::common::DataFusionError;
use salamander_connector_api::ConnectorError;
use salamander_hive::HiveError;
use salamander_job::JobError;
use salamander_planner::PlanError;
use salamander_planner::error::{datafusion_kind, datafusion_message};
use salamander_serve::StatementError;
use salamander_sql::{CatalogError, SqlError};
use salamander_storage::{LogError, StoreError};
use salamander_types::ErrorKind;
use thiserror::Error;

/// An error of the head.
#[derive(Debug, Error)]
pub enum HeadError {
    /// The text of a statement or an option.
    #[error("{}", .0.render().trim_start_matches("error: "))]
    Sql(#[from] SqlError),
    /// A name that isn't there, is there already, or is in use.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A query or a job's query.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A source or a sink.
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    /// A table's files.
    #[error(transparent)]
    Table(#[from] HiveError),
    /// What readers see contradicts a log.
    #[error(transparent)]
    Live(#[from] salamander_hive::live::LiveError),
    /// A log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A location.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A job.
    #[error(transparent)]
    Job(#[from] JobError),
    /// A query that runs.
    #[error("{}", datafusion_message(.0))]
    Query(#[from] DataFusionError),
    /// What is asked for is not there, or can't be.
    #[error("{message}")]
    Refused {
        /// What the caller must do.
        kind: ErrorKind,
        /// For people.
        message: String,
    },
}

impl HeadError {
    /// A statement that can't be carried out as it is.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Refused { kind: ErrorKind::Invalid, message: message.into() }
    }

    /// A name that isn't there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::Refused { kind: ErrorKind::NotFound, message: message.into() }
    }

    /// What the caller must do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Sql(_) => ErrorKind::Invalid,
            Self::Catalog(_) => ErrorKind::Invalid,
            Self::Plan(e) => e.kind(),
            Self::Connector(e) => e.kind,
            Self::Table(e) => e.kind(),
            Self::Live(_) => ErrorKind::Internal,
            Self::Log(e) => e.kind(),
            Self::Store(e) => e.kind(),
            Self::Job(e) => e.kind(),
            Self::Query(e) => datafusion_kind(e),
            Self::Refused { kind, .. } => *kind,
        }
    }
}

impl From<HeadError> for StatementError {
    fn from(error: HeadError) -> Self {
        Self::new(error.kind(), error)
    }
}
