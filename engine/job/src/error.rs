//! Why a job's generation ended.

use datafusion::common::DataFusionError;
use salamander_connector_api::ConnectorError;
use salamander_hive::HiveError;
use salamander_hive::live::LiveError;
use salamander_planner::error::{datafusion_kind, datafusion_message};
use salamander_state::StateError;
use salamander_storage::LogError;
use salamander_types::ErrorKind;
use thiserror::Error;

/// Whatever ends a generation.
#[derive(Debug, Error)]
pub enum JobError {
    /// A source or an external sink.
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    /// The job's log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A table: segments, rolls.
    #[error(transparent)]
    Table(#[from] HiveError),
    /// What readers see contradicts what the job says: a mistake of the engine's own.
    #[error(transparent)]
    Live(#[from] LiveError),
    /// Keyed state.
    #[error(transparent)]
    State(#[from] StateError),
    /// Rows that can't be made.
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
    /// The plan.
    #[error("epoch failed: {}", datafusion_message(.0))]
    Epoch(#[from] DataFusionError),
    /// The query of an insert that runs once.
    #[error("{}", datafusion_message(.0))]
    Query(DataFusionError),
    /// A job that came to rest by itself has nothing to go on with.
    #[error(
        "job {job} has come to its end: {reason}. There is nothing to go on with; DROP JOB and CREATE JOB begin anew"
    )]
    AtRest {
        /// Its name.
        job: String,
        /// Why it is at rest.
        reason: String,
    },
    /// A job that is starting, or being tried again.
    #[error("the job that keeps the view gives no answer, it is {phase}: SHOW JOBS says more")]
    NoAnswer {
        /// Where it stands.
        phase: String,
    },
    /// Another generation rules the log: this process must not touch it any more.
    #[error("another engine has taken over job {0}")]
    Fenced(String),
    /// The source is not the one that the job began with.
    #[error("{0}")]
    SourceChanged(String),
    /// A task of the job's own ended without an answer.
    #[error("{0}")]
    Internal(String),
}

impl JobError {
    /// What the supervisor must do: try again (`Transient`, `Internal`), stop (`Fenced`), or wait for a person.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Connector(e) => e.kind,
            Self::Log(e) => e.kind(),
            Self::Table(e) => e.kind(),
            Self::State(e) => e.kind(),
            Self::Epoch(e) | Self::Query(e) => datafusion_kind(e),
            Self::Fenced(_) => ErrorKind::Fenced,
            Self::NoAnswer { .. } => ErrorKind::Transient,
            Self::SourceChanged(_) | Self::AtRest { .. } => ErrorKind::Invalid,
            Self::Internal(_) | Self::Live(_) | Self::Arrow(_) => ErrorKind::Internal,
        }
    }
}
