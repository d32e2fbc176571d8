//! Partitions on disk.
//!
//! ```text
//! DATA_DIR/hubs/<hub>/hub.json                      name, created_at, partition count
//! DATA_DIR/hubs/<hub>/<partition>/<base offset>.log one segment: a header, then records
//! DATA_DIR/hubs/<hub>/<partition>/<base offset>.idx the sparse index of a closed segment
//! ```
//!
//! * An event's *offset* is the place of its record in the partition's whole log: it only grows, also over segments that retention has deleted.
//! * A record holds the message as it will be delivered, annotations included, so that reading is copying.
//! * [`record`] is the codec and is pure; [`segment`] is one file; [`partition`] orders appends, syncs them in groups and serves reads; [`tail`] keeps the newest
//!   bytes in memory for readers that keep up.
//!
//! Invariants: nothing is acknowledged or delivered before it has been fsynced; after a crash the last segment is cut at its first record that is not whole;
//! sequence numbers in a partition have no gaps, except before the first one that retention left.

pub mod partition;
pub mod record;
pub mod segment;
pub mod tail;

pub use partition::{Appended, Chunk, LogError, LogOptions, NewEvent, PartitionLog, PartitionStatus};
pub use record::{Record, Records};
