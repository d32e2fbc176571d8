//! From statements to plans. Nothing runs here: no source is read, no file opened, no task started.
//!
//! ```text
//!   sqlparser Query ─▶ windows spelled alike ─▶ names bound by [`Tables`] ─▶ LogicalPlan ─┬─▶ batch: a DataFusion plan
//!                                                                                         └─▶ job: checks, target's
//!                       types, aggregates by windows ─▶ optimiser ─▶ EpochSourceExec … WindowAggregateExec … EpochSinkExec
//! ```
//!
//! The same query text means the same rows either way; only the leaves differ. What a table *is* (a stream with its
//! source and decoder, a provider over files and the hot tail, a view's query) the head says through [`Tables`].

pub mod arrow_types;
mod binding;
mod duplicates;
pub mod error;
pub mod job;
mod joins;
mod materialized;
mod rlike;
pub mod session;
pub mod tables;
mod wildcard;
mod windows;

pub use arrow_types::{arrow_schema, arrow_type, column_type};
pub use error::PlanError;
pub use job::{JobInput, JobPlan, JobTarget, Keeps};
pub use materialized::ViewQuery;
pub use session::Planner;
pub use tables::{Relation, StreamRelation, Tables};
