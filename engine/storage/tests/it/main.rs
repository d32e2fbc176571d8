//! Tests of storage through its public face: one file a subject.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod ballots;
mod crash;
mod failpoints;
mod interleaved;
mod local;
mod log;
