//! The head: accepts statements, keeps the catalog, runs jobs, answers queries.
//!
//! ```text
//!   Flight SQL ─▶ service ─▶ statements ─┬─▶ catalog_log (DDL)
//!                                        ├─▶ jobs (CREATE JOB, START JOB, STOP JOB), inserts (INSERT over tables)
//!                                        └─▶ queries ─▶ relations ─▶ planner ─▶ DataFusion (SELECT)
//! ```
//!
//! One node for now: the head runs its jobs itself, in its own process. It holds no truth of its own: the catalog's
//! log and the jobs' logs do, and a head that starts reads them.

pub mod answers;
pub mod catalog_log;
pub mod connectors;
pub mod error;
pub mod explain_job;
mod head;
mod inserts;
mod jobs;
mod materialized;
pub mod memory;
mod progress;
mod queries;
mod relations;
mod service;
mod sessions;
mod show;
mod statements;
mod tables;

pub use error::HeadError;
pub use head::{Head, HeadOptions};
