//! Spark's SQL functions with Spark's results (ANSI mode off: NULL, never an error) on DataFusion.
//!
//! Users bring their queries from Spark; this crate makes them mean the same here. It adds to DataFusion and to
//! datafusion-spark what those lack: functions that take Java's regular expressions and Java's date-time patterns, access
//! to array elements from 0, and casts. `docs/sql/functions.md` lists what there is.
//!
//! ```text
//! registration   into a session: with_spark or register_all (to plan SQL), register_functions (to decode plans)
//! split, regexp_extract, regexp_replace, rlike     on   java_regex   (+ patterns: compiled once)
//! to_timestamp, date_format, date_fields           on   java_time    (+ time_patterns: compiled once)
//! cast           CAST as functions;   rules::SparkCasts puts them into plans
//! split_fields   split(x, lit)[i] in one pass;   rules::SplitOnce puts it into plans
//! views          string columns that share their input's bytes
//! ```
//!
//! Invariants:
//! - no function fails on data: a row that can't be converted or matched is NULL. Errors come from planning, and say what
//!   is wrong with a literal pattern;
//! - fast kernels ([`Kernels::Fast`]) and general ones give the same results; property tests compare them;
//! - a string that is cut out of another is a view of it: keep `gc()` in mind where strings are held for long;
//! - Spark's TIMESTAMP is [`timestamp_type`]: microseconds since 1970-01-01 UTC. The session's zone is
//!   `datafusion.execution.time_zone`, UTC if not set;
//! - no clock, no I/O, no threads. The only unsafe code is in `views`.

mod arguments;
mod cache;
mod cast;
mod date_fields;
mod date_format;
mod element;
mod java_regex;
mod java_time;
mod kernels;
mod nonzero;
mod patterns;
mod planner;
mod regexp_extract;
mod regexp_replace;
mod registration;
mod rlike;
pub mod rules;
mod split;
mod split_fields;
mod time_patterns;
mod to_timestamp;
mod views;
mod words;

pub use kernels::Kernels;
pub use planner::{SparkExprPlanner, SparkTypePlanner};
pub use registration::{register_all, register_all_with, register_functions, with_spark, with_spark_kernels};
pub use time_patterns::timestamp_type;
