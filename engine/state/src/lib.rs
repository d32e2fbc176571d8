//! Keyed state of jobs: Arrow chunks in buckets, snapshots of what changed, restore.
//!
//! ```text
//!   operator ── append · replace · drop ──▶ StateStore (memory) ── checkpoint ──▶ Delta ── encode ──▶ one object
//!                                               ▲                                                       │
//!                                               └──────────── restore: the chunks that count ◀──────────┘
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`store`] | the chunks of all operators of a job, and what the next checkpoint must write (pure) |
//! | [`object`] | a state object's bytes (pure) |
//! | [`folder`] | writing, reading and deleting state objects |
//!
//! A chunk never changes: it is appended, and later it is dropped or replaced by a chunk that says the same. So a
//! snapshot is what was appended since the last one, and a state object lives until its last chunk is dropped. Objects
//! of which little still counts are written anew with a later checkpoint.
//!
//! What this crate does not know: SQL, DataFusion, what the columns of a chunk mean, jobs, the log. Who commits a delta
//! commits it whole, or ends the generation: the store takes it for written as soon as it has given it out.

pub mod error;
pub mod folder;
pub mod object;
pub mod store;

pub use error::StateError;
pub use folder::StateFolder;
pub use store::{ChunkId, Delta, StateStore};
