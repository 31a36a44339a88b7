//! Mistakes as they are found.

use std::ops::Range;

use crate::Diagnostic;

/// Collects mistakes.
#[derive(Debug)]
pub(crate) struct Report {
    pub list: Vec<Diagnostic>,
    /// The TOML file that is being read.
    file: String,
}

impl Default for Report {
    fn default() -> Report {
        Report::of(super::APP_FILE)
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
        let Help(help) = help.into();
        self.list.push(Diagnostic { rule, file: file.to_owned(), span, message: message.into(), help });
    }

    /// Adds a mistake in the TOML file.
    pub fn toml(
        &mut self,
        rule: &'static str,
        span: &Range<usize>,
        message: impl Into<String>,
        help: impl Into<Help>,
    ) {
        let Help(help) = help.into();
        let (file, span) = (self.file.clone(), span.clone());
        self.list.push(Diagnostic { rule, file, span, message: message.into(), help });
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
