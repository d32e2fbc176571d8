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

pub(crate) mod partition;
pub(crate) mod record;
pub(crate) mod segment;
pub(crate) mod tail;

pub use partition::LogError;
pub(crate) use partition::{Appended, Chunk, FileRange, LogOptions, Look, NewEvent, PartitionLog, Subscription};
pub(crate) use record::Records;
