//! What each command does.

mod admin;
mod check;
mod config;
mod operate;
mod publish;
mod up;

use std::process::ExitCode;

use clap::CommandFactory;

use crate::cli::{Cli, Command};
use crate::failure::{Code, Failure};
use crate::node::Role;
use crate::output::Output;

/// Runs a command; prints what went wrong.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let output = Output::new(cli.output);
    match dispatch(cli.command, &output) {
        Ok(code) => code,
        Err(failure) => {
            let label = if output.colors() { "\u{1b}[1;31merror\u{1b}[0m: " } else { "error: " };
            let label =
                if failure.text.starts_with("error") || failure.text.contains("error[") { "" } else { label };
            eprintln!("{label}{}", failure.text);
            failure.exit_code()
        }
    }
}

fn dispatch(command: Command, output: &Output) -> Result<ExitCode, Failure> {
    match command {
        Command::Up(args) => on_runtime(up::up(args, Role::Everything, output)),
        Command::Ingest(args) => on_runtime(up::up(args, Role::Ingest, output)),
        Command::Project(args) => on_runtime(up::up(args, Role::Project, output)),
        Command::Query(args) => on_runtime(up::up(args, Role::Query, output)),
        Command::Check(args) => check::check(&args, output),
        Command::Publish(args) => on_runtime(publish::publish(args, output)),
        Command::Status(args) => on_runtime(operate::status(args, output)),
        Command::Inspect(args) => on_runtime(operate::inspect(args, output)),
        Command::Verify(args) => on_runtime(operate::verify(args, output)),
        Command::Replay(args) => on_runtime(operate::replay(args, output)),
        Command::Rollback(args) => on_runtime(operate::change(args, "rollback", output)),
        Command::Retire(args) => on_runtime(operate::change(args, "retire", output)),
        Command::Abandon(args) => on_runtime(operate::change(args, "abandon", output)),
        Command::Schemas(args) => on_runtime(operate::schemas(args, output)),
        Command::DeadLetters { command } => on_runtime(operate::dead_letters(command, output)),
        Command::Config(args) => config::config(&args, output),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "tidefold", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn on_runtime(command: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("http").build();
    let runtime = runtime.map_err(|error| Failure::from_error(Code::Failed, &error))?;
    let result = runtime.block_on(command);
    runtime.shutdown_background();
    result
}
