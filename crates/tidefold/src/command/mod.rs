//! What each command does.

mod acts;
mod admin;
mod check;
mod config;
mod dead_letters;
mod ending;
mod operate;
mod publish;
mod unfolded;
mod up;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::cli::{Cli, Command};
use crate::failure::{Code, Failure};
use crate::node::Role;
use crate::output::Output;

/// Runs the command of a command line; prints what went wrong, a call that is no command included.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return ending::misused(&error, &arguments),
    };
    let output = Output::new(cli.output);
    ending::report_panics(&output);
    let code = match dispatch(cli.command, &output) {
        Ok(code) => {
            ending::report_result(code, &output);
            code
        }
        Err(failure) => {
            ending::report(&failure, &output);
            failure.exit_code()
        }
    };
    ending::of_written(code, &output)
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
        Command::DeadLetters { command } => on_runtime(dead_letters::dead_letters(command, output)),
        Command::Breaker { command } => on_runtime(acts::breaker(command, output)),
        Command::Config(args) => config::config(&args, output),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tidefold", &mut script);
            output.bytes(&script);
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
