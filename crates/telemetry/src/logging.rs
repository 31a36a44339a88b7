//! The log of a process on standard error: text for a person at a terminal, one JSON object a line for a collector.
//!
//! `RUST_LOG` decides what is written, in the syntax of `tracing_subscriber::EnvFilter`
//! (`RUST_LOG=info,tidefold_ingest=debug`). Standard output stays free for results. What a process says outside of
//! `tracing` (that it is up, why it ends, a panic) goes through [`say`], so that a collector never meets a line that is
//! none of its own.

use std::io::{IsTerminal, Write as _};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;

use serde_json::{Map, Value};
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::util::SubscriberInitExt;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// `RUST_LOG` is not a filter.
    #[error("RUST_LOG is not a filter; write for example RUST_LOG=info,tidefold_ingest=debug")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// It was set up before.
    #[error("logging was set up before in this process")]
    SetBefore(#[source] tracing_subscriber::util::TryInitError),
}

/// Whether the lines of this process are JSON; nothing before it has a log.
static JSON: OnceLock<bool> = OnceLock::new();

// === impl Format ===

impl Format {
    /// Whether lines are JSON where standard error is as it is.
    #[must_use]
    pub fn is_json(self) -> bool {
        match self {
            Format::Auto => !std::io::stderr().is_terminal(),
            Format::Text => false,
            Format::Json => true,
        }
    }

    /// `auto`, `text` or `json`.
    #[must_use]
    pub fn named(name: &str) -> Option<Format> {
        match name {
            "auto" => Some(Format::Auto),
            "text" => Some(Format::Text),
            "json" => Some(Format::Json),
            _ => None,
        }
    }
}

/// Sets up logging for the process, panics included. `default` is the filter where `RUST_LOG` says nothing: `info`.
///
/// # Errors
/// When `RUST_LOG` is not a filter (then lines look as asked for, filtered by `default`) or logging was set up before.
pub fn init(format: Format, default: &str) -> Result<(), LoggingError> {
    let wanted = match std::env::var("RUST_LOG") {
        Ok(text) if !text.trim().is_empty() => EnvFilter::try_new(text),
        _ => EnvFilter::try_new(default),
    };
    let (filter, wrong) = match wanted {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(default), Some(error)),
    };
    let json = *JSON.get_or_init(|| format.is_json());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Where standard error is closed it would panic to say so, and who logged a line with it.
    let builder = builder.log_internal_errors(false);
    let set = if json {
        std::panic::set_hook(Box::new(report_panic));
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).finish().try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).finish().try_init()
    };
    set.map_err(LoggingError::SetBefore)?;
    wrong.map_or(Ok(()), |error| Err(LoggingError::Filter(error)))
}

/// Whether this process has a log and its lines are JSON.
#[must_use]
pub fn is_json() -> bool {
    JSON.get().copied().unwrap_or_default()
}

/// Writes a line that no filter holds back: as an event of `tracing` where lines are JSON, else `message` alone.
pub fn say(level: Level, message: &str, fields: &[(&str, Value)]) {
    let line = if is_json() { json_line(level, message, fields) } else { message.to_owned() };
    // Nobody is left to tell where standard error is closed.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// A line as the JSON formatter of `tracing_subscriber` writes it, with values of any depth.
#[must_use]
pub fn json_line(level: Level, message: &str, fields: &[(&str, Value)]) -> String {
    let mut time = String::new();
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    let mut line = Map::new();
    line.insert("timestamp".into(), time.into());
    line.insert("level".into(), level.as_str().into());
    line.insert("message".into(), message.into());
    line.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    line.insert("target".into(), "tidefold".into());
    Value::Object(line).to_string()
}

fn report_panic(panic: &PanicHookInfo<'_>) {
    let mut fields = vec![("thread", Value::from(std::thread::current().name().unwrap_or("unnamed")))];
    fields.extend(panic.location().map(|place| ("location", Value::from(place.to_string()))));
    let trace = std::backtrace::Backtrace::capture();
    if trace.status() == std::backtrace::BacktraceStatus::Captured {
        fields.push(("backtrace", trace.to_string().into()));
    }
    say(Level::ERROR, &format!("panicked: {}", payload(panic)), &fields);
}

/// What a panic says.
#[must_use]
pub fn payload<'p>(panic: &'p PanicHookInfo<'_>) -> &'p str {
    panic.payload_as_str().unwrap_or("a value that is no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_object_on_one_line_whatever_it_says() {
        let line = json_line(Level::ERROR, "a \"quote\"\nand a break\u{1}", &[("settings", [1, 2].into())]);
        assert_eq!(line.lines().count(), 1);
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["message"], "a \"quote\"\nand a break\u{1}");
        assert_eq!((&value["level"], &value["settings"][1]), (&"ERROR".into(), &2.into()));
        assert!(value["timestamp"].as_str().unwrap().ends_with('Z'));
    }
}
