//! How a command ends badly: what to print, and the exit code that says what kind of trouble it was.

use std::error::Error;
use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::{Value, json};

/// The kinds of trouble, as exit codes of their own (2 is clap's: usage).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Anything else.
    Failed = 1,
    /// The command was given something it cannot take.
    Usage = 2,
    /// What was asked for is not there.
    NotFound = 3,
    /// What is there does not allow it.
    Conflict = 5,
    /// A part was done.
    Partial = 6,
    /// Time ran out; the work may go on.
    TimedOut = 7,
    /// SIGINT ended it.
    Interrupted = 130,
    /// SIGTERM ended it.
    Terminated = 143,
}

/// A command that failed.
#[derive(Debug)]
pub struct Failure {
    /// Which kind of trouble.
    pub code: Code,
    /// What to print on standard error.
    pub text: String,
    /// The problem that a node or the write API answered, where it was one (RFC 9457).
    pub problem: Option<Value>,
}

// === impl Code ===

impl Code {
    /// Its name where errors are JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Code::Failed => "failed",
            Code::Usage => "usage",
            Code::NotFound => "not-found",
            Code::Conflict => "conflict",
            Code::Partial => "partial",
            Code::TimedOut => "timed-out",
            Code::Interrupted => "interrupted",
            Code::Terminated => "terminated",
        }
    }
}

// === impl Failure ===

impl Failure {
    /// A failure with a text of its own.
    pub fn new(code: Code, text: impl Into<String>) -> Failure {
        Failure { code, text: text.into(), problem: None }
    }

    /// A failure from an error and its causes, one a line.
    pub fn from_error(code: Code, error: &dyn Error) -> Failure {
        Failure { code, text: chain(error), problem: None }
    }

    /// The same failure, with what a server said of it.
    #[must_use]
    pub fn with_problem(self, problem: Value) -> Failure {
        Failure { problem: Some(problem), ..self }
    }

    /// The failure for a program, on one line: `error`, `exit_code`, `message`, and `problem` where a server said one.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut error =
            json!({ "error": self.code.name(), "exit_code": self.code as u8, "message": self.text });
        if let Some(problem) = &self.problem {
            error["problem"] = problem.clone();
        }
        error.to_string()
    }

    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code as u8)
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::from_error(Code::Failed, &error)
    }
}

/// An error with its causes: errors print themselves only, so this is the one place that prints a chain.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, "\n  because: {cause}");
        source = cause.source();
    }
    text
}
