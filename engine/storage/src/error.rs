//! What goes wrong with stores, and what the caller must do about it.

use salamander_types::ErrorKind;
use std::path::PathBuf;
use thiserror::Error;

/// A store that can't be opened or used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The location is not one that can be understood.
    #[error("cannot use location '{location}': {reason}")]
    InvalidLocation {
        /// The location, without anything that may be a secret.
        location: String,
        /// What is wrong with it and what to write instead.
        reason: String,
    },
    /// The file system said no.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: an infinitive.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The object store said no.
    #[error("store at '{location}': {source}")]
    Store {
        /// The location, without anything that may be a secret.
        location: String,
        /// The store's answer.
        source: object_store::Error,
    },
}

impl StoreError {
    /// What the caller must do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidLocation { .. } => ErrorKind::Invalid,
            Self::Io { source, .. } => kind_of_io(source),
            Self::Store { source, .. } => kind_of_store(source),
        }
    }
}

fn kind_of_io(error: &std::io::Error) -> ErrorKind {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Unauthorized,
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        std::io::ErrorKind::NotADirectory | std::io::ErrorKind::AlreadyExists => ErrorKind::Invalid,
        _ => ErrorKind::Transient,
    }
}

/// What the caller of a store must do about its answer.
pub fn kind_of_store(error: &object_store::Error) -> ErrorKind {
    use object_store::Error;
    match error {
        Error::NotFound { .. } => ErrorKind::NotFound,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => ErrorKind::Unauthorized,
        Error::InvalidPath { .. }
        | Error::NotSupported { .. }
        | Error::NotImplemented { .. }
        | Error::UnknownConfigurationKey { .. } => ErrorKind::Invalid,
        Error::AlreadyExists { .. } | Error::Precondition { .. } => ErrorKind::Fenced,
        _ => ErrorKind::Transient,
    }
}
