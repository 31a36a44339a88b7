//! The `tidefold` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidefold::run(std::env::args_os())
}
