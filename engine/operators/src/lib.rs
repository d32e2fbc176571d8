//! The plan nodes of continuous queries, one file each.
//!
//! ```text
//!   EpochSourceExec ─▶ (DataFusion's own filters and projections) ─▶ EpochSinkExec
//!        │ takes raw batches                                            │ leaves output batches
//!        └──────────────── EpochContext (in the task context) ──────────┘
//! ```
//!
//! A node holds nothing of an epoch: its input, output and bad rows are in the [`EpochContext`] that travels with the
//! task context, so one plan runs any number of epochs. [`StreamScanExec`] is the same leaf for an ordinary `SELECT`:
//! it reads a source from its start to the end that it had when the query began.

pub mod epoch;
pub mod epoch_sink;
pub mod epoch_source;
pub mod join;
mod late;
pub mod reused_plan;
mod split_time;
pub mod states;
pub mod stream_rows;
pub mod stream_scan;
pub mod whole_windows;
pub mod window;

pub use epoch::{EpochContext, EpochOutput, EpochTime, OutputSink, OutputWriter, run_epoch};
pub use epoch_sink::EpochSinkExec;
pub use epoch_source::EpochSourceExec;
pub use join::IntervalJoinExec;
pub use reused_plan::{NodeFigures, ReusedPlan};
pub use states::{JobStates, OpenWindows, OperatorState, keeps_state};
pub use stream_rows::{EventTime, StreamRows};
pub use stream_scan::StreamScanExec;
pub use whole_windows::{ClosedRowsExec, WholeWindowsExec};
pub use window::{WindowAggregateExec, WindowSpec};
