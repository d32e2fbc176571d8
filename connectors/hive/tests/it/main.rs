//! Hive tables from batches to files and back, as one test binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cleanup;
mod fixture;
mod live;
mod rolls;
mod scan;
mod segments;
mod spark;
