//! The source and the sink against the local broker, over real sockets.

// A test's helpers fail as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod faults;
mod local;
mod reading;
mod sending;
