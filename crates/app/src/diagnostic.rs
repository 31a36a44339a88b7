//! A mistake in an app folder or a doubt about it, and how it is printed: as text with the offending piece underlined, or as JSON.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

use crate::source::{APP_FILE, SourceFile};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The app does not load.
    Error,
    /// The app loads, and probably something else was meant.
    Warning,
}

/// One mistake, or a doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The rule it breaks, a kebab-case name documented in `docs/app-language.md`.
    pub rule: &'static str,
    /// The file, relative to the app folder.
    pub file: String,
    /// Byte range in the file; empty ranges point between bytes.
    pub span: Range<usize>,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do: the nearest valid name, the allowed values.
    pub help: Option<String>,
}

/// All mistakes of a folder, with the texts they point into.
#[derive(Debug)]
pub struct Diagnostics {
    /// The mistakes, by file and place.
    pub list: Vec<Diagnostic>,
    /// The texts of the folder.
    pub sources: Vec<SourceFile>,
}

/// Whether a rendering has terminal colors in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Text only.
    Plain,
    /// With ANSI colors.
    Colored,
}

/// A place in a text, as editors count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// A mistake as `-o json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiagnosticJson {
    /// How bad it is.
    pub severity: Severity,
    /// The file, relative to the app folder.
    pub file: String,
    /// Line of the first character, from 1.
    pub line: usize,
    /// Column of the first character, from 1.
    pub column: usize,
    /// The place behind the last character.
    pub end: Place,
    /// The rule it breaks.
    pub rule: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

// === impl Diagnostics ===

impl Diagnostics {
    /// Puts the mistakes in order of file and place, `app.toml` first, and drops repetitions and doubts about what is wrong
    /// anyway.
    #[must_use]
    pub fn new(mut list: Vec<Diagnostic>, sources: Vec<SourceFile>) -> Diagnostics {
        let rank = |d: &Diagnostic| (d.file != APP_FILE, d.file.clone(), d.span.start, d.span.end);
        list.sort_by_cached_key(rank);
        list.dedup();
        let wrong: Vec<_> = list
            .iter()
            .filter(|one| one.severity == Severity::Error)
            .map(|one| (one.file.clone(), one.span.clone()))
            .collect();
        list.retain(|one| {
            one.severity == Severity::Error
                || !wrong.iter().any(|(file, span)| *file == one.file && *span == one.span)
        });
        Diagnostics { list, sources }
    }

    /// Every mistake as a compiler prints it, with a closing line that counts them.
    #[must_use]
    pub fn render(&self, style: Style) -> String {
        let renderer = match style {
            Style::Plain => Renderer::plain(),
            Style::Colored => Renderer::styled(),
        };
        let mut out = String::new();
        for diagnostic in &self.list {
            out.push_str(&self.render_one(diagnostic, &renderer));
            out.push_str("\n\n");
        }
        out.push_str(&self.count());
        out.push('\n');
        out
    }

    /// How many there are: "2 mistakes, 1 warning".
    #[must_use]
    pub fn count(&self) -> String {
        let warnings = self.list.iter().filter(|one| one.severity == Severity::Warning).count();
        let mistakes = self.list.len() - warnings;
        let counted =
            |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        match (mistakes, warnings) {
            (_, 0) => counted(mistakes, "mistake"),
            (0, _) => counted(warnings, "warning"),
            _ => format!("{}, {}", counted(mistakes, "mistake"), counted(warnings, "warning")),
        }
    }

    /// Every mistake for a machine.
    #[must_use]
    pub fn to_json(&self) -> Vec<DiagnosticJson> {
        let one = |diagnostic: &Diagnostic| {
            let text = self.text(&diagnostic.file);
            let start = place(text, diagnostic.span.start);
            DiagnosticJson {
                severity: diagnostic.severity,
                file: diagnostic.file.clone(),
                line: start.line,
                column: start.column,
                end: place(text, diagnostic.span.end.max(diagnostic.span.start)),
                rule: diagnostic.rule,
                message: diagnostic.message.clone(),
                help: diagnostic.help.clone(),
            }
        };
        self.list.iter().map(one).collect()
    }

    fn render_one(&self, diagnostic: &Diagnostic, renderer: &Renderer) -> String {
        let text = self.text(&diagnostic.file);
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(clean(&diagnostic.message)).id(diagnostic.rule);
        let mut group = title.element(
            Snippet::source(text)
                .path(clean(&diagnostic.file))
                .annotation(AnnotationKind::Primary.span(whole_characters(text, &diagnostic.span))),
        );
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(clean(help)));
        }
        renderer.render(&[group])
    }

    fn text(&self, file: &str) -> &str {
        self.sources.iter().find(|source| source.path == file).map_or("", |source| source.text.as_str())
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Style::Plain))
    }
}

impl std::error::Error for Diagnostics {}

/// Names from the folder stand in messages: what would move the cursor or color the terminal is left out.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// The span, cut to the text and widened to whole characters; an empty span inside a line covers one character.
fn whole_characters(text: &str, span: &Range<usize>) -> Range<usize> {
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(span.start);
    let mut end = floor(span.end).max(start);
    while end < span.end.min(text.len()) {
        end += 1;
        while !text.is_char_boundary(end) {
            end += 1;
        }
    }
    if start == end {
        let next = text.get(start..).and_then(|rest| rest.chars().next());
        end += next.filter(|c| *c != '\n' && *c != '\r').map_or(0, char::len_utf8);
    }
    start..end
}

/// The line and column of a byte.
fn place(text: &str, at: usize) -> Place {
    let at = whole_characters(text, &(at..at)).start;
    let before = text.get(..at).unwrap_or("");
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place {
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).unwrap_or("").chars().count() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnostics(text: &str, span: Range<usize>) -> Diagnostics {
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            rule: "unknown-key",
            file: "app.toml".into(),
            span,
            message: "there is no key `ap`".into(),
            help: Some("write `app`".into()),
        };
        let source = SourceFile { path: "app.toml".into(), text: text.into() };
        Diagnostics::new(vec![diagnostic.clone(), diagnostic], vec![source])
    }

    #[test]
    fn a_place_counts_characters_from_one() {
        let json = diagnostics("äö = 1\näp = 'x'\n", 9..12).to_json();
        assert_eq!((json[0].line, json[0].column), (2, 1));
        assert_eq!(json[0].end, Place { line: 2, column: 3 });
    }

    #[test]
    fn any_span_renders() {
        for text in ["", "ä", "ä\n", "a\r\nb", "\u{1f600}\u{1f600}"] {
            for start in 0..12 {
                for end in 0..12 {
                    let rendered = diagnostics(text, start..end).render(Style::Plain);
                    assert!(rendered.ends_with("1 mistake\n"), "{rendered}");
                }
            }
        }
    }

    #[test]
    fn colors_stand_only_where_they_are_asked_for() {
        let diagnostics = diagnostics("ap = 1", 0..2);
        assert!(!diagnostics.render(Style::Plain).contains('\u{1b}'));
        assert!(diagnostics.render(Style::Colored).contains('\u{1b}'));
    }
}
