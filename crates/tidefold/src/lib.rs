//! The command line, configuration and composition of Tidefold: the only crate that knows every backend.
//!
//! A walk through it:
//! * [`cli`]: the commands and their flags.
//! * [`settings`]: flag, environment, file, default.

pub mod cli;
pub mod settings;

use std::process::ExitCode;

/// Runs a command.
#[must_use]
pub fn run(cli: cli::Cli) -> ExitCode {
    let _ = cli;
    ExitCode::FAILURE
}
