//! What goes wrong with a log, and what the caller must do about it.

use crate::error::kind_of_store;
use salamander_types::ErrorKind;
use thiserror::Error;

/// A log that can't be read or written. Being fenced is no error but an outcome: [`super::Commit::Fenced`].
#[derive(Debug, Error)]
pub enum LogError {
    /// The store said no, and nothing was written.
    #[error("cannot {action} {object}: {source}")]
    Store {
        /// What was tried: an infinitive.
        action: &'static str,
        /// The object or folder.
        object: String,
        /// The store's answer.
        source: object_store::Error,
    },
    /// An object contradicts its checksum, its name or its neighbours.
    #[error("log object {object} is damaged: {reason}; restore it from a backup, nothing is read past it")]
    Corrupt {
        /// The object.
        object: String,
        /// What is wrong.
        reason: String,
    },
    /// An object is sound but not of this version's kind.
    #[error(
        "log object {object} can't be understood: {reason}; use the version of the engine that wrote it, or a newer one"
    )]
    Unsupported {
        /// The object.
        object: String,
        /// What is unknown.
        reason: String,
    },
    /// A write got no clear answer. It may be in the log, or get there later.
    #[error(
        "it is unknown whether {object} was written, after {attempts} attempts (last answer: {last}); \
         stop as a writer and open a new generation, which finds out"
    )]
    OutcomeUnknown {
        /// The object.
        object: String,
        /// Answers that didn't help.
        attempts: u32,
        /// The last one.
        last: String,
    },
    /// Others opened generations faster.
    #[error(
        "could not open a generation of log {log} in {attempts} attempts: others open it all the time; is one job started twice?"
    )]
    Contended {
        /// The log's name.
        log: String,
        /// Numbers tried.
        attempts: u32,
    },
    /// The caller's entries contradict the state, or can't be written down. Nothing was written.
    #[error("entries for log {log} are wrong: {reason}")]
    Entries {
        /// The log's name.
        log: String,
        /// What is wrong.
        reason: String,
    },
}

impl LogError {
    /// What the caller must do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store { source, .. } => kind_of_store(source),
            Self::Corrupt { .. } | Self::Unsupported { .. } => ErrorKind::Corrupt,
            Self::OutcomeUnknown { .. } | Self::Contended { .. } => ErrorKind::Transient,
            Self::Entries { .. } => ErrorKind::Internal,
        }
    }
}
