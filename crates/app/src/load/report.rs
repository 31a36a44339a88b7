//! Mistakes as they are found.

use std::ops::Range;

use crate::diagnostic::{Diagnostic, Severity};

/// Collects mistakes.
#[derive(Debug)]
pub(crate) struct Report {
    pub list: Vec<Diagnostic>,
    /// The TOML file that is being read.
    file: String,
}

impl Default for Report {
    fn default() -> Report {
        Report::of(crate::source::APP_FILE)
    }
}

impl Report {
    /// An empty report, for a TOML file and what it refers to.
    pub fn of(file: &str) -> Report {
        Report { list: Vec::new(), file: file.to_owned() }
    }

    /// Adds a mistake.
    pub fn add(
        &mut self,
        rule: &'static str,
        file: &str,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<Help>,
    ) {
        self.push(Severity::Error, rule, file.to_owned(), span, message.into(), help.into());
    }

    /// Adds what is right and probably meant otherwise.
    pub fn warn(
        &mut self,
        rule: &'static str,
        file: &str,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<Help>,
    ) {
        self.push(Severity::Warning, rule, file.to_owned(), span, message.into(), help.into());
    }

    /// Whether no mistake was found; there may be warnings.
    pub fn is_right(&self) -> bool {
        self.is_right_since(0)
    }

    /// Whether no mistake was found since there were so many diagnostics.
    pub fn is_right_since(&self, count: usize) -> bool {
        self.list.iter().skip(count).all(|diagnostic| diagnostic.severity == Severity::Warning)
    }

    /// Adds a mistake in the TOML file.
    pub fn toml(
        &mut self,
        rule: &'static str,
        span: &Range<usize>,
        message: impl Into<String>,
        help: impl Into<Help>,
    ) {
        self.push(Severity::Error, rule, self.file.clone(), span.clone(), message.into(), help.into());
    }

    fn push(
        &mut self,
        severity: Severity,
        rule: &'static str,
        file: String,
        span: Range<usize>,
        message: String,
        Help(help): Help,
    ) {
        self.list.push(Diagnostic { severity, rule, file, span, message, help });
    }
}

/// What to do about a mistake, if there is something to say.
pub(crate) struct Help(pub Option<String>);

impl From<&str> for Help {
    fn from(text: &str) -> Help {
        Help(Some(text.to_owned()))
    }
}

impl From<String> for Help {
    fn from(text: String) -> Help {
        Help(Some(text))
    }
}

impl From<Option<String>> for Help {
    fn from(text: Option<String>) -> Help {
        Help(text)
    }
}
