//! Windows of event time: their two spellings, and what becomes of them in a batch query and in a job.
//!
//! ```text
//!   GROUP BY window(ts, '1 minute', '10 seconds')   ─┐ syntax: both become
//!   FROM HOP(TABLE t, DESCRIPTOR(ts), …)            ─┘ calls of window(…) ─▶ LogicalPlan
//!
//!   batch:  sessions numbered; explode ─▶ one row for each of a row's windows ─▶ DataFusion's own aggregate
//!   job:    continuous ─▶ WindowAggregate (panes, state) for aggregates, WholeWindows for what works on their
//!           results window by window; explode for what is left
//! ```
//!
//! The same query gives the same rows either way. `window(…)` of a tumbling window is an ordinary function; of windows
//! that overlap it only stands for them until one of the two rewrites has replaced it.

pub(crate) mod carry;
mod continuous;
mod explode;
mod functions;
mod marks;
mod node;
mod sessions;
mod syntax;
mod whole;

pub(crate) use carry::stream_of;
pub(crate) use continuous::{make_continuous, resolve};
pub(crate) use explode::explode;
pub(crate) use functions::{register, window_call};
pub(crate) use node::WindowPlanner;
pub(crate) use syntax::rewrite_syntax;
pub(crate) use whole::{as_aggregate, reads_global, set_apart};
