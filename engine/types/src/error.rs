//! What the caller of a failed operation must do. Each crate has its own error type and maps it to one of these.

use serde::{Deserialize, Serialize};

/// The reader's next step after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// The input (SQL, an option, a file, a token) must be changed: trying again changes nothing.
    Invalid,
    /// It is not there: a table, a hub, a file.
    NotFound,
    /// The caller may not.
    Unauthorized,
    /// It may work later: the network, a throttled service, a full disk.
    Transient,
    /// Another generation has taken over: stop without any further effect.
    Fenced,
    /// What is stored contradicts itself or its checksum: a person must look.
    Corrupt,
    /// A mistake of the engine's own.
    Internal,
}
