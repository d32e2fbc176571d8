//! Jobs: the epoch loop and the checkpoint protocol.
//!
//! ```text
//!            ┌───────────── run (IO shell, one task a job) ─────────────┐
//!  readers ─▶│ take ─▶ run_epoch ─▶ publish to live tables              │
//!            │            │                                             │
//!            │            ▼ events            effects                   │
//!            │        protocol (pure) ──▶ Write · Commit · PlanRolls · Roll · Done
//!            └──────────────────────────────────────────────────────────┘
//! ```
//!
//! [`protocol`] decides and touches nothing; [`run`] carries out and decides nothing; [`supervisor`] begins a new
//! generation after a failure. Exactly once rests on the log alone: a generation begins by winning a log number and
//! restores only what precedes it, and one manifest commits source positions and segments together.

mod delivery;
mod encoding;
pub mod error;
pub mod inputs;
mod keyed_state;
mod pace;
pub mod peek;
pub mod protocol;
pub mod run;
pub mod spec;
pub mod status;
pub mod supervisor;
mod watermarks;

pub use error::JobError;
pub use peek::{Peek, peek_at_rest};
pub use protocol::Ending;
pub use run::{INSERTED, STOPPED, reopen};
pub use spec::{JobEnvironment, JobOptions, JobSpec, SinkTable};
pub use status::{JobPhase, JobStatus};
pub use supervisor::JobHandle;
pub use watermarks::SplitTime;
