//! Results on standard output: a table for people, JSON for programs. Everything else goes to standard error.

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use tidefold_telemetry::logging;

use crate::cli::{Format, OutputArgs, When};

/// Where a command prints.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    args: OutputArgs,
}

/// Progress of long work: a bar on a terminal, a plain line every ten seconds elsewhere, nothing with `--quiet`.
pub struct Progress {
    bar: ProgressBar,
    plain: bool,
    json: bool,
    what: &'static str,
    last_line: Option<std::time::Instant>,
    since: std::time::Instant,
}

/// What kept a result from standard output. A process has one, and so one trouble with it to tell at the end.
static UNWRITTEN: OnceLock<std::io::Error> = OnceLock::new();

/// How often plain progress is printed.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

// === impl Output ===

impl Output {
    /// As the flags say.
    #[must_use]
    pub fn new(args: OutputArgs) -> Output {
        Output { args }
    }

    /// For programs that use this crate as a library: text, no colors, no progress.
    #[must_use]
    pub fn plain() -> Output {
        Output { args: OutputArgs { output: Format::Table, color: When::Never, quiet: true } }
    }

    /// The format asked for.
    #[must_use]
    pub fn format(&self) -> Format {
        self.args.output
    }

    /// Whether a program reads: then every line on standard error is a JSON object too.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.args.output != Format::Table
    }

    /// Whether standard error may be colored.
    #[must_use]
    pub fn colors(&self) -> bool {
        match self.args.color {
            When::Always => true,
            When::Never => false,
            When::Auto => {
                let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
                    || std::env::var("TERM").is_ok_and(|term| term == "dumb");
                !forbidden && std::io::stderr().is_terminal()
            }
        }
    }

    /// Prints a result: for people as `table` makes it, else as JSON (of an array with ndjson: one line an element).
    pub fn print(&self, value: &Value, table: impl FnOnce() -> String) {
        match (self.args.output, value) {
            (Format::Table, _) => self.line(table().trim_end()),
            (Format::Json, value) => self.line(&format!("{value:#}")),
            (Format::Ndjson, Value::Array(items)) => {
                items.iter().for_each(|item| self.line(&item.to_string()))
            }
            (Format::Ndjson, value) => self.line(&value.to_string()),
        }
    }

    /// Prints a line. What keeps it from being printed is told when the command ends.
    pub fn line(&self, text: &str) {
        self.bytes(format!("{text}\n").as_bytes());
    }

    /// Prints bytes as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) {
        if unwritten().is_none() {
            let mut out = std::io::stdout().lock();
            written(out.write_all(bytes).and_then(|()| out.flush()));
        }
    }

    /// Says something that is not the result.
    pub fn say(&self, text: &str) {
        self.say_with(text, &[]);
    }

    /// The same with what it says as fields, for a log whose lines are JSON.
    pub fn say_with(&self, text: &str, fields: &[(&str, Value)]) {
        if self.args.quiet {
            return;
        }
        if logging::is_json() {
            logging::say(tracing::Level::INFO, text, fields);
        } else {
            note(text, fields, self.is_json());
        }
    }

    /// Progress over `total` steps; without a total, a count.
    #[must_use]
    pub fn progress(&self, what: &'static str, total: Option<u64>) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::no_length(),
        };
        let shown = terminal && !self.args.quiet;
        bar.set_draw_target(if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() });
        let template = match total {
            Some(_) => "{prefix} {wide_bar} {human_pos}/{human_len} {per_sec} eta {eta}",
            None => "{prefix} {spinner} {human_pos} {per_sec} {elapsed}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(what);
        let since = tidefold_telemetry::clock::instant();
        let plain = !terminal && !self.args.quiet;
        Progress { bar, plain, json: self.is_json(), what, last_line: None, since }
    }
}

// === impl Progress ===

impl Progress {
    /// How far it is.
    pub fn at(&mut self, done: u64) {
        self.bar.set_position(done);
        let last = self.last_line.unwrap_or(self.since);
        if self.plain && last.elapsed() >= PLAIN_EVERY {
            self.last_line = Some(tidefold_telemetry::clock::instant());
            self.print_line(done);
        }
    }

    /// Says something in between, above the bar.
    pub fn say(&self, text: &str) {
        if self.plain {
            note(text, &[], self.json);
        } else {
            self.bar.println(text);
        }
    }

    /// A new total.
    pub fn total(&mut self, total: u64) {
        self.bar.set_length(total);
    }

    /// Ends it without a word: nothing was done.
    pub fn discard(self) {
        self.bar.finish_and_clear();
    }

    /// Ends it; returns steps a second.
    pub fn finish(self, done: u64) -> f64 {
        self.bar.finish_and_clear();
        if self.plain {
            self.print_line(done);
        }
        done as f64 / self.since.elapsed().as_secs_f64().max(1e-9)
    }

    fn print_line(&self, done: u64) {
        let seconds = self.since.elapsed().as_secs_f64();
        let rate = done as f64 / seconds.max(1e-9);
        if self.json {
            let line = json!({ "progress": self.what, "done": done, "total": self.bar.length(),
                               "per_second": rate.round(), "seconds": seconds });
            let _ = writeln!(std::io::stderr().lock(), "{line}");
            return;
        }
        let total = self.bar.length().map(|total| format!(" of {total}")).unwrap_or_default();
        let _ = writeln!(
            std::io::stderr().lock(),
            "{}: {done}{total}, {rate:.0} a second, {seconds:.1} s",
            self.what
        );
    }
}

/// A line that is neither result nor error.
fn note(text: &str, fields: &[(&str, Value)], json: bool) {
    let mut note = json!({ "note": text });
    fields.iter().for_each(|(name, value)| note[*name] = value.clone());
    let line = if json { note.to_string() } else { text.to_owned() };
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Remembers what kept a result from standard output, for the end of the command.
pub(crate) fn written(result: std::io::Result<()>) {
    if let Err(error) = result {
        let _ = UNWRITTEN.set(error);
    }
}

/// What kept a result from standard output, if anything did.
pub(crate) fn unwritten() -> Option<&'static std::io::Error> {
    UNWRITTEN.get()
}

/// Rows with a header, in columns as wide as their widest cell.
#[must_use]
pub fn columns(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.chain([header.get(at).map_or(0, |name| name.len())]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut text = line(&mut header.iter().copied());
    for row in rows {
        text.push('\n');
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["orders".into(), "1".into()], vec!["x".into(), "20000".into()]];
        assert_eq!(columns(&["topic", "lag"], &rows), "topic   lag\norders  1\nx       20000");
    }
}
