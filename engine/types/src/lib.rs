//! The vocabulary of the engine: ids, positions, epochs, manifests, clocks and error kinds.
//!
//! Every other crate speaks in these words. This crate does no IO, starts no task and knows neither tokio nor
//! DataFusion nor Arrow: whatever is here can be used by a simulation as it is.
//!
//! | module | what it names |
//! |---|---|
//! | [`id`] | jobs, tables, generations, log numbers, epochs, writers |
//! | [`position`] | where a source stands: splits, positions, cursors |
//! | [`manifest`] | what one log object says, and the state that a log folds to |
//! | [`state`] | a job's keyed state: objects, chunks, what still counts |
//! | [`clock`] | time and randomness, always injected |
//! | [`error`] | what the caller of a failed operation must do |

pub mod clock;
pub mod error;
pub mod id;
pub mod manifest;
pub mod position;
pub mod state;

pub use clock::{Clock, Entropy, SystemClock, SystemEntropy};
pub use error::ErrorKind;
pub use id::{Epoch, Generation, JobId, LogNumber, TableId, WriterId};
pub use position::{Cursor, Position, SplitId};
