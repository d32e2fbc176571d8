//! What can go wrong with a table's files, where, and what to do about it.

use salamander_types::ErrorKind;
use thiserror::Error;

/// Result of this crate's operations.
pub type Result<T, E = HiveError> = std::result::Result<T, E>;

/// An error at a place: an object's path, a table's name.
#[derive(Debug, Error)]
pub enum HiveError {
    /// The store refused or failed.
    #[error("{place}: {source}")]
    Store {
        /// The object.
        place: String,
        /// What the store says.
        #[source]
        source: object_store::Error,
    },
    /// What is stored contradicts itself, its checksum or the log.
    #[error("{place}: {message}")]
    Corrupt {
        /// The object.
        place: String,
        /// The contradiction.
        message: String,
    },
    /// The table's declaration, an option or a batch does not fit.
    #[error("{place}: {message}")]
    Invalid {
        /// The table or column.
        place: String,
        /// What does not fit and what would.
        message: String,
    },
    /// The folder belongs to another table.
    #[error(
        "{place}: the folder belongs to table '{owner_name}' (id {owner_id}); give this table another LOCATION, or drop \
         that table and remove the folder's _salamander/owner.json"
    )]
    Owned {
        /// The folder.
        place: String,
        /// Name of the owner, when it claimed the folder.
        owner_name: String,
        /// Id of the owner.
        owner_id: String,
    },
    /// The file's name has been retired by a newer generation: this writer must stop.
    #[error("{path}: the file was retired by a newer generation of the job; this one must stop")]
    Retired {
        /// The file.
        path: String,
    },
    /// Arrow could not build or convert columns.
    #[error("{place}: {source}")]
    Arrow {
        /// The object or column.
        place: String,
        /// What Arrow says.
        #[source]
        source: arrow::error::ArrowError,
    },
    /// Parquet could not be written or read.
    #[error("{place}: {source}")]
    Parquet {
        /// The file.
        place: String,
        /// What the Parquet library says.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A blocking task died: the process is shutting down, or the engine has a mistake.
    #[error("{place}: {message}")]
    Interrupted {
        /// What was being done.
        place: String,
        /// How it ended.
        message: String,
    },
}

impl HiveError {
    /// What the caller must do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store { source, .. } => match source {
                object_store::Error::NotFound { .. } => ErrorKind::NotFound,
                object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                    ErrorKind::Unauthorized
                }
                object_store::Error::InvalidPath { .. }
                | object_store::Error::NotSupported { .. }
                | object_store::Error::NotImplemented { .. }
                | object_store::Error::UnknownConfigurationKey { .. } => ErrorKind::Invalid,
                _ => ErrorKind::Transient,
            },
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Invalid { .. } | Self::Owned { .. } => ErrorKind::Invalid,
            Self::Retired { .. } => ErrorKind::Fenced,
            Self::Arrow { .. } | Self::Parquet { .. } | Self::Interrupted { .. } => ErrorKind::Internal,
        }
    }

    pub(crate) fn corrupt(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Corrupt { place: place.into(), message: message.into() }
    }

    pub(crate) fn invalid(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { place: place.into(), message: message.into() }
    }
}

/// Adds the place to a library's error.
pub(crate) trait At<T> {
    /// Names the place.
    fn at(self, place: impl Into<String>) -> Result<T>;
}

impl<T> At<T> for std::result::Result<T, object_store::Error> {
    fn at(self, place: impl Into<String>) -> Result<T> {
        self.map_err(|source| HiveError::Store { place: place.into(), source })
    }
}

impl<T> At<T> for std::result::Result<T, arrow::error::ArrowError> {
    fn at(self, place: impl Into<String>) -> Result<T> {
        self.map_err(|source| HiveError::Arrow { place: place.into(), source })
    }
}

impl<T> At<T> for std::result::Result<T, parquet::errors::ParquetError> {
    fn at(self, place: impl Into<String>) -> Result<T> {
        self.map_err(|source| HiveError::Parquet { place: place.into(), source })
    }
}

impl<T> At<T> for std::result::Result<T, tokio::task::JoinError> {
    fn at(self, place: impl Into<String>) -> Result<T> {
        self.map_err(|error| HiveError::Interrupted {
            place: place.into(),
            message: if error.is_panic() {
                "the task panicked: this is a mistake of the engine's own".into()
            } else {
                "the task was cancelled".into()
            },
        })
    }
}
