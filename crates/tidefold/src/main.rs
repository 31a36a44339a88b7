//! The `tidefold` binary.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    tidefold::run(tidefold::cli::Cli::parse())
}
