//! The binary as its users run it: real processes, real sockets.

#[path = "cli/commands.rs"]
mod commands;
#[path = "cli/demo.rs"]
mod demo;
#[path = "cli/kills.rs"]
mod kills;
#[path = "cli/process.rs"]
mod process;
#[path = "cli/slt.rs"]
mod slt;
