//! A head in this process, on real folders: statements and their answers, jobs against plain queries, restarts.

mod batch_is_stream;
mod definitions;
mod engine;
mod inserts;
mod joins;
mod lifecycle;
mod materialized;
mod queries;
mod windows;
