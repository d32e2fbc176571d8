//! Windowed aggregates over epochs.
//!
//! | module | what it is |
//! |---|---|
//! | [`spec`] | windows and panes as arithmetic |
//! | [`aggregation`] | keys and functions, and the columns of their state |
//! | `groups` | live accumulators |
//! | `sessions` | groups of panes put together to sessions |
//! | `state` | what an operator holds between epochs; which windows close |
//! | [`exec`] | the plan node |

pub mod aggregation;
pub mod exec;
mod groups;
mod sessions;
pub mod spec;
pub(crate) mod state;
#[cfg(test)]
mod tests;

pub use aggregation::{Aggregation, GroupingSet, WindowFunction, WindowKey};
pub use exec::WindowAggregateExec;
pub use spec::{Window, WindowKind, WindowSpec};
