//! Why a statement can't be planned.

use datafusion::common::DataFusionError;
use salamander_types::ErrorKind;
use thiserror::Error;

/// A statement that can't be planned, and what to change.
#[derive(Debug, Error)]
pub enum PlanError {
    /// The query is wrong or asks for what a job can't do.
    #[error("{0}")]
    Invalid(String),
    /// A table, or a source that a table names, can't be reached or doesn't exist.
    #[error("{message}")]
    Unavailable {
        /// What the caller must do.
        kind: ErrorKind,
        /// For people.
        message: String,
    },
    /// DataFusion's own.
    #[error("{}", datafusion_message(.0))]
    DataFusion(#[from] DataFusionError),
}

impl PlanError {
    /// What the caller must do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Unavailable { kind, .. } => *kind,
            Self::DataFusion(error) => datafusion_kind(error),
        }
    }
}

/// The kind of a DataFusion error.
pub fn datafusion_kind(error: &DataFusionError) -> ErrorKind {
    use salamander_connector_api::ConnectorError;
    match error.find_root() {
        DataFusionError::External(inner) => match inner.downcast_ref::<ConnectorError>() {
            Some(connector) => connector.kind,
            None => match inner.downcast_ref::<PlanError>() {
                Some(plan) => plan.kind(),
                None => ErrorKind::Internal,
            },
        },
        DataFusionError::ResourcesExhausted(_) | DataFusionError::ObjectStore(_) => ErrorKind::Transient,
        DataFusionError::Internal(_) | DataFusionError::ExecutionJoin(_) => ErrorKind::Internal,
        _ => ErrorKind::Invalid,
    }
}

/// The message of a DataFusion error without its wrappers, for people.
pub fn datafusion_message(error: &DataFusionError) -> String {
    let root = error.find_root();
    match root {
        DataFusionError::External(inner) => inner.to_string(),
        DataFusionError::Plan(message) | DataFusionError::Execution(message) => message.clone(),
        other => other.strip_backtrace(),
    }
}
