//! Durable objects, and the log that everything is committed to.
//!
//! | module | what it is |
//! |---|---|
//! | [`open_store`] | from a location (a folder, `abfss://…`, `wasbs://…`) to a store |
//! | [`DurableLocal`] | local folders as an object store whose writes survive a power cut |
//! | [`log`] | numbered objects, created once each, that fold to a state: jobs and the catalog |
//! | [`commit`] | the pure decisions behind one log number |
//! | [`failpoint`] | places where a kill test lets the process die |
//! | [`disk`], [`sleep`] | what is injected: file operations, waiting |
//! | [`testing`] | a disk that forgets what wasn't synced, a store that fails |
//!
//! What this crate does not know: Arrow, DataFusion, SQL, what a job is. It starts no task (but the blocking file
//! operations of one call) and keeps no connection of its own.
//! The protocol is written down in docs/protocol.md.

pub mod commit;
pub mod disk;
mod durable_write;
mod error;
pub mod failpoint;
mod local;
pub mod log;
mod open;
mod remote;
pub mod sleep;
pub mod testing;

pub use commit::{RetryPolicy, Rival};
pub use error::{StoreError, kind_of_store};
pub use local::DurableLocal;
pub use log::{Commit, Head, Loaded, Log, LogContext, LogError, LogOptions, RETENTION};
pub use open::open_store;
