//! What can go wrong with stored state.

use salamander_storage::kind_of_store;
use salamander_types::ErrorKind;
use thiserror::Error;

/// State that can't be written or read.
#[derive(Debug, Error)]
pub enum StateError {
    /// The store.
    #[error("state object {path}: {source}")]
    Store {
        /// The object.
        path: String,
        /// The store's own error.
        source: object_store::Error,
    },
    /// The bytes are not what the log says.
    #[error("state object {path}: {message}")]
    Corrupt {
        /// The object.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// Written by another build, in a way that this one can't read.
    #[error("{0}")]
    Unknown(String),
    /// Chunks that can't be encoded.
    #[error("state can't be encoded: {0}")]
    Encode(#[from] arrow::error::ArrowError),
    /// A task ended without an answer.
    #[error("encoding state ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl StateError {
    /// What the caller must do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store { source, .. } => kind_of_store(source),
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Unknown(_) => ErrorKind::Invalid,
            Self::Encode(_) | Self::Task(_) => ErrorKind::Internal,
        }
    }
}
