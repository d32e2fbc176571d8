//! `salamander`: the one binary. It starts servers and talks to them.
//!
//! Commands are one file each under `commands`. What they share: [`config`] (file, environment, flags), [`client`]
//! (Flight SQL), [`output`] (tables, CSV, JSON). The binary knows no SQL beyond where a statement ends; everything
//! that a statement means is the server's.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed, 2 wrong usage.

mod args;
mod client;
mod commands;
mod config;
mod logging;
mod output;
mod script;
mod shell;

use args::Cli;
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    salamander_cluster::memory::keep_freed_memory();
    let cli = Cli::parse();
    let result =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(anyhow::Error::from).and_then(
            |runtime| {
                let result = commands::run(cli, &runtime);
                // A reader of standard input may block for ever: don't wait for it.
                runtime.shutdown_background();
                result
            },
        );
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if output::is_reader_gone() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
