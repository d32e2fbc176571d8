//! The source and the sink against the local broker, over real sockets.

mod access;
mod faults;
mod local;
mod reading;
mod sending;
