//! Hive-compatible Parquet tables: hidden segments, rolls into right-sized files, and the hot tail.
//!
//! ```text
//!   batches ──split by partition──▶ segment (hidden, durable) ──roll──▶ sal-….parquet (visible, Spark and Hive read it)
//!      │                               │                                   │
//!      └────────── memory ─────────────┴──────────── files ────────────────┴──▶ HiveTable: one table, each row once
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`layout`] | a table on its store: folder, columns, options |
//! | [`partition`], [`split`] | Hive's names for partitions; batches by partition |
//! | [`segment`] | the hidden objects in which a checkpoint's rows become durable |
//! | [`roll`] | segments become visible files: planning (pure), carrying out (idempotent), tombstones |
//! | [`cleanup`], [`owner`] | orphans and superseded segments; whose folder it is |
//! | [`live`] | what readers see at an instant |
//! | [`scan`] | the table for DataFusion |
//!
//! What this crate does not know: epochs' plans, the log's storage, SQL. It is told what the log says
//! ([`salamander_types::manifest::TableState`]) and answers with entries to commit. The guarantee to plain Hive readers
//! stands in `docs/guarantees.md`.

mod bounds;
pub mod cleanup;
mod dictionary;
pub mod error;
pub mod layout;
pub mod live;
pub mod owner;
mod parquet_file;
pub mod partition;
pub mod roll;
pub mod scan;
pub mod segment;
pub mod split;

pub use cleanup::{SupersededSegments, delete_orphans, delete_superseded};
pub use error::{HiveError, Result};
pub use layout::{TableLayout, TableLocation, TableOptions, TextEncoding};
pub use live::{JobView, LiveTable, MemoryEpoch, Snapshot};
pub use owner::claim_folder;
pub use roll::{RollRequest, RolledFile, execute_roll, plan_rolls, tombstone};
pub use scan::HiveTable;
pub use segment::{
    EncodedRows, RowsEncoder, SegmentStamp, TableRows, encode_segment, read_part, store_segment, write_segment,
};
pub use split::{PartitionedBatch, split_by_partition};

/// This crate's fail points, in the order in which a row's way to a visible file passes them.
pub const FAIL_POINTS: [&str; 8] = [
    "hive.segment-before-put",
    "hive.segment-after-put",
    "hive.roll-before-read",
    "hive.roll-before-put",
    "hive.roll-after-put",
    "hive.tombstone-before-put",
    "hive.tombstone-after-put",
    "hive.cleanup-before-delete",
];
