//! How a command that did not do what was asked is told: one rule for all of them, mistakes in the call included.
//!
//! What went wrong goes to standard error: as text for people, as one JSON object on one line where `-o json` or
//! `-o ndjson` is given and in the log of a node whose lines are JSON. Both have `error`, `exit_code` and `message`.

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::error::ErrorKind as Misuse;
use tidefold_telemetry::logging::{self, Format};
use tracing::Level;

use crate::failure::{Code, Failure};
use crate::output::{self, Output};

/// The commands that have a log.
const NODES: [&str; 4] = ["up", "ingest", "project", "query"];
/// The exit code of a process that panicked.
const PANICKED: u8 = 101;
/// The exit code where nobody reads standard output any more, as a shell has it for what SIGPIPE ended.
const UNREAD: u8 = 141;
/// The setting that says how the lines of a node's log look.
const LOG_FORMAT: &str = "run.log_format=";

/// Tells a failure.
pub(super) fn report(failure: &Failure, output: &Output) {
    if logging::is_json() {
        let mut fields =
            vec![("error", failure.code.name().into()), ("exit_code", (failure.code as u8).into())];
        fields.extend(failure.problem.clone().map(|problem| ("problem", problem)));
        logging::say(Level::ERROR, &failure.text, &fields);
    } else if output.is_json() {
        write(&failure.to_json());
    } else {
        let is_labelled = failure.text.starts_with("error") || failure.text.contains("error[");
        let label = match (is_labelled, output.colors()) {
            (true, _) => "",
            (false, true) => "\u{1b}[1;31merror\u{1b}[0m: ",
            (false, false) => "error: ",
        };
        write(&format!("{label}{}", failure.text));
    }
}

/// A result that is none of success, told to programs as an error too: they need one place to look at.
pub(super) fn report_result(code: ExitCode, output: &Output) {
    let kinds = [Code::Failed, Code::Usage, Code::NotFound, Code::Conflict, Code::Partial, Code::TimedOut];
    let kind = kinds.into_iter().find(|kind| ExitCode::from(*kind as u8) == code);
    if let Some(kind) = kind.filter(|_| output.is_json() && !logging::is_json()) {
        write(
            &Failure::new(kind, "the result on standard output says what is not as it should be").to_json(),
        );
    }
}

/// The exit code of a command that ended with `code`, if its result could be written. Who reads no further, such as `head`,
/// has what it wanted, so nothing is said of that; and a command that failed says more by the code that it has.
pub(super) fn of_written(code: ExitCode, output: &Output) -> ExitCode {
    let is_done = code == ExitCode::SUCCESS;
    match output::unwritten() {
        None => code,
        Some(error) if error.kind() == ErrorKind::BrokenPipe => {
            if is_done {
                ExitCode::from(UNREAD)
            } else {
                code
            }
        }
        Some(error) => {
            let text = format!("the result cannot be written to standard output\n  because: {error}");
            let failure = Failure::new(Code::Failed, text);
            report(&failure, output);
            if is_done { failure.exit_code() } else { code }
        }
    }
}

/// Tells that a call is no command, or shows the help that was asked for.
pub(super) fn misused(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    let is_told_as_json = asks_for_json(arguments) || is_of_node_with_json(arguments);
    let is_help = !error.use_stderr();
    if is_help || !is_told_as_json {
        let printed = error.print();
        let code = ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Code::Usage as u8));
        if !is_help {
            return code;
        }
        output::written(printed);
        return of_written(code, &Output::plain());
    }
    let text = match error.kind() {
        Misuse::DisplayHelpOnMissingArgumentOrSubcommand => {
            "a command is missing; `tidefold --help` lists them".to_owned()
        }
        _ => error.render().to_string().trim().trim_start_matches("error: ").to_owned(),
    };
    let failure = Failure::new(Code::Usage, text);
    if asks_for_json(arguments) {
        write(&failure.to_json());
    } else {
        let fields = [("error", failure.code.name().into()), ("exit_code", (failure.code as u8).into())];
        write(&logging::json_line(Level::ERROR, &failure.text, &fields));
    }
    failure.exit_code()
}

/// Panics of a command whose errors are JSON are JSON too.
pub(super) fn report_panics(output: &Output) {
    if !output.is_json() {
        return;
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|place| format!(" at {place}")).unwrap_or_default();
        let message = format!("panicked{place}: {}", logging::payload(panic));
        let error = serde_json::json!({ "error": "panic", "exit_code": PANICKED, "message": message });
        write(&error.to_string());
    }));
}

/// Whether `-o json` or `-o ndjson` stands in a call that could not be read.
fn asks_for_json(arguments: &[OsString]) -> bool {
    let texts: Vec<_> = arguments.iter().skip(1).filter_map(|argument| argument.to_str()).collect();
    let is_json = |text: &str| matches!(text.trim_start_matches('='), "json" | "ndjson");
    let alone = |text: &str| text == "--output" || is_short(text, "o");
    let joined = |text: &str| {
        text.strip_prefix("--output=").is_some_and(is_json)
            || text
                .split_once('o')
                .is_some_and(|(flags, value)| is_short(&format!("{flags}o"), "o") && is_json(value))
    };
    texts.windows(2).any(|pair| alone(pair[0]) && is_json(pair[1])) || texts.iter().any(|text| joined(text))
}

/// Whether a text is short flags of ours that end with `last`: `-o`, `-qo`.
fn is_short(text: &str, last: &str) -> bool {
    let flags = text.strip_prefix('-').and_then(|flags| flags.strip_suffix(last));
    flags.is_some_and(|flags| flags.chars().all(|flag| flag == 'q'))
}

/// Whether a call that could not be read would have been a node whose log is JSON.
fn is_of_node_with_json(arguments: &[OsString]) -> bool {
    let texts: Vec<_> = arguments.iter().skip(1).filter_map(|argument| argument.to_str()).collect();
    let given =
        texts.iter().rev().find_map(|text| text.trim_start_matches("--set=").strip_prefix(LOG_FORMAT));
    let environment = || std::env::var("TIDEFOLD_RUN__LOG_FORMAT").ok();
    let format = given.map(str::to_owned).or_else(environment).and_then(|name| Format::named(&name));
    texts.iter().any(|text| NODES.contains(text)) && format.unwrap_or_default().is_json()
}

/// A line on standard error; nobody is left to tell where that is closed.
fn write(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_asked_for_in_every_way_that_clap_reads() {
        let asks = |line: &str| {
            let arguments: Vec<_> = line.split(' ').map(OsString::from).collect();
            asks_for_json(&arguments)
        };
        for line in [
            "tidefold -o json",
            "tidefold status --output json",
            "tidefold x -ojson",
            "tidefold x -o=ndjson",
            "tidefold --output=ndjson x",
            "tidefold x -qo json",
            "tidefold x -qqojson",
        ] {
            assert!(asks(line), "{line}");
        }
        for line in
            ["tidefold status", "tidefold -o table x", "tidefold publish app json", "tidefold --to json"]
        {
            assert!(!asks(line), "{line}");
        }
    }
}
