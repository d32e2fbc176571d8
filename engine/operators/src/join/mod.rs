//! Joins of two streams within bounds of event time, over epochs.
//!
//! | module | what it is |
//! |---|---|
//! | [`spec`] | what is joined: keys, bounds, filter, kind |
//! | `rows` | one side's rows of a stretch of time, with their index |
//! | `state` | what the operator holds between epochs |
//! | `probe` | a batch of one side against the state of the other |
//! | [`exec`] | the plan node |
//!
//! Each batch first enters its own side's state and notes, under the same lock, how many rows the other side has; then it
//! is joined with just these. Of two rows that match, the later one sees the earlier one and not the other way round: so
//! each pair is made exactly once, whatever the order of batches, epochs and plan partitions, and nothing is exchanged
//! between plan partitions. Rows come only from a source that puts aside rows behind its watermark
//! ([`crate::WindowSpec::instant`]): what the watermark has passed can be dropped.

pub mod exec;
mod probe;
mod rows;
pub mod spec;
pub(crate) mod state;
#[cfg(test)]
mod tests;

pub use exec::IntervalJoinExec;
pub use spec::{Bounds, JoinCondition, JoinSpec, Side};
