//! Tracing to standard error: text for a person at a terminal, one JSON object a line for a collector.
//!
//! `RUST_LOG` decides what is written, in the syntax of `tracing_subscriber::EnvFilter`
//! (`RUST_LOG=info,tidefold_ingest=debug`). Standard output stays free for results.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
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

/// Sets up logging for the process. `default` is the filter where `RUST_LOG` says nothing: `info`.
///
/// # Errors
/// When `RUST_LOG` is not a filter or logging was set up before.
pub fn init(format: Format, default: &str) -> Result<(), LoggingError> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) if !text.trim().is_empty() => EnvFilter::try_new(text),
        _ => EnvFilter::try_new(default),
    }
    .map_err(LoggingError::Filter)?;
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        Format::Auto => !terminal,
        Format::Text => false,
        Format::Json => true,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = if json {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).finish().try_init()
    } else {
        builder.with_ansi(terminal).finish().try_init()
    };
    set.map_err(LoggingError::SetBefore)
}
