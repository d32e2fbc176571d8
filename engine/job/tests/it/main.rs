//! Jobs end to end without a server: real plans, logs, segments and rolls, over disks that forget, stores that fail,
//! and a source in memory.
//!
//! | module | what must hold |
//! |---|---|
//! | `crashes` | each row exactly once after any number of power cuts; at most once for plain readers at each of them |
//! | `faults` | the same over a store that fails before and after the effect |
//! | `fencing` | of two generations at once the older stops without effect |
//! | `backpressure` | a store that doesn't take rows stops the job from taking them |
//! | `inputs` | identities, gaps, new splits, the end of input |
//! | `once` | an insert over tables is there whole and once, or not at all; a stopped job goes on, a finished one doesn't |
//! | `joins` | joins of two streams, over any cutting into epochs and lives: what a batch gives of the same rows |
//! | `windows` | aggregates by window, over any cutting into epochs and lives: what a batch gives of the same rows |
//! | `delivery` | a sink outside gets each row at least once, always under the same name |

mod backpressure;
mod crashes;
mod delivery;
mod faults;
mod fencing;
mod inputs;
mod joins;
mod memory_source;
mod once;
mod windows;
mod world;
