//! One message on its way to the write API.

use std::path::{Path, PathBuf};

/// A message as an NDJSON envelope, with its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its place in the source, from 1: a line of a file, a number of a made-up message.
    pub number: u64,
    /// `{"type":…,"id":…,"data":…}`, without a line break.
    pub text: String,
    /// Whether its id is the run's and its number: then it is nobody's duplicate but its own.
    pub is_runs: bool,
}

/// A mistake in a source's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong, and what to do.
    pub detail: String,
}

/// What a source has instead of a message. After [`SourceError::Line`] the next line can be read; after the others none.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be opened or read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not what the source promises.
    #[error("line {number}: {detail}")]
    Line {
        /// The line.
        number: u64,
        /// What is wrong and what to do.
        detail: String,
    },
    /// The source is not of the shape that was promised, so that none of its lines can be trusted.
    #[error("{}", told(path, faults, *more))]
    Shape {
        /// The file.
        path: PathBuf,
        /// The first mistakes, at least one.
        faults: Vec<Fault>,
        /// How many more there are.
        more: u64,
    },
    /// The message type or a column does not fit the app.
    #[error("{0}")]
    Mapping(String),
}

fn told(path: &Path, faults: &[Fault], more: u64) -> String {
    let mut text = String::new();
    for Fault { line, detail } in faults {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&match path.to_str() {
            Some("-") => format!("line {line}: {detail}"),
            _ => format!("{}:{line}: {detail}", path.display()),
        });
    }
    if more > 0 {
        text.push_str(&format!("\nand {more} more"));
    }
    text
}

// === impl SourceError ===

impl SourceError {
    /// The one mistake that makes a source useless.
    #[must_use]
    pub fn shape(path: &Path, fault: Fault) -> SourceError {
        SourceError::Shape { path: path.to_owned(), faults: vec![fault], more: 0 }
    }
}

/// The id of a line that several texts name together; joined so that no two lists of texts have one id.
#[must_use]
pub fn joined(texts: &[&str]) -> String {
    match texts {
        [only] => (*only).to_owned(),
        several => {
            let parts = several.iter().map(|text| text.replace('%', "%25").replace(':', "%3A"));
            parts.collect::<Vec<_>>().join(":")
        }
    }
}

/// An envelope around data that is JSON already.
#[must_use]
pub fn envelope(message_type: &str, id: &str, data: &str) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    format!("{{\"type\":{},\"id\":{},\"data\":{data}}}", quoted(message_type), quoted(id))
}
