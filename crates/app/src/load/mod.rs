//! The texts of an app folder to an [`App`].
//!
//! In this order: [`spec`] reads `app.toml` strictly, [`avro`] the schemas, [`topics`] finds the messages,
//! [`entities`] and [`views`] compile the SQL, [`hash`] says what the folder means. Each step reports all it finds and
//! passes on what is right; what is broken counts as known, so that one mistake is one diagnostic.

pub(crate) mod avro;
mod buckets;
mod clauses;
mod elsewhere;
mod entities;
pub(crate) mod hash;
mod json;
pub(crate) mod names;
mod projections;
pub(crate) mod reader;
pub(crate) mod report;
pub(crate) mod spec;
pub(crate) mod text;
mod topics;
mod views;
pub(crate) mod words;

use std::sync::Arc;

use toml::de::DeTable;

use report::Report;
use spec::Spec;

use crate::model::Projection;
use crate::source::{APP_FILE, SourceFile};
use crate::{App, Diagnostics, rules};

/// The largest file, and the most files of a folder.
const FILE_BYTES_MAX: usize = 1 << 20;
const FILES_MAX: usize = 1_000;

/// Checks the folder's files: `app.toml` and every `*.avsc`. Others are left aside.
///
/// # Errors
/// Every mistake in them.
pub fn load(files: Vec<SourceFile>) -> Result<App, Diagnostics> {
    let mut sources = unmarked(files);
    sources.retain(|source| source.path == APP_FILE || source.path.ends_with(".avsc"));
    sources.sort_by(|a, b| (a.path != APP_FILE, &a.path).cmp(&(b.path != APP_FILE, &b.path)));
    let mut report = Report::default();
    let loaded = if fits(&sources, &mut report) { check(&sources, &mut report) } else { None };
    match loaded {
        Some(loaded) if report.is_right() => Ok(App {
            name: loaded.name,
            projections: loaded.projections,
            definition_hash: loaded.definition_hash,
            warnings: Diagnostics::new(report.list, sources.clone()),
            sources,
        }),
        _ => Err(Diagnostics::new(report.list, sources)),
    }
}

/// The files without the byte order marks that Windows tools write in front of a text.
pub(crate) fn unmarked(mut files: Vec<SourceFile>) -> Vec<SourceFile> {
    for file in &mut files {
        if file.text.starts_with('\u{feff}') {
            file.text.remove(0);
        }
    }
    files
}

/// What [`load`] puts into an [`App`].
struct Loaded {
    name: String,
    projections: Vec<Arc<Projection>>,
    definition_hash: String,
}

fn check(sources: &[SourceFile], report: &mut Report) -> Option<Loaded> {
    let files = avro::parse_files(sources, report);
    let schemas = avro::resolve(&files, report);
    let Some(app) = sources.first().filter(|source| source.path == APP_FILE) else {
        let help = "an app folder has an app.toml beside its .avsc files";
        report.toml(rules::MISSING_FILE, &(0..0), "there is no app.toml", help);
        return None;
    };
    let spec = parse(&app.text, APP_FILE, report)?;
    let topics = topics::draft(&spec, &schemas, report);
    let entities = entities::build(&spec, &topics, &schemas, report);
    let views = views::build(&spec, &topics, &entities, &schemas, report);
    elsewhere::explain(&spec, &app.text, report);
    let definition_hash = hash::definition_hash(&spec, &schemas);
    let name = spec.app.as_ref()?.value.clone();
    let projections = projections::assemble(&spec, (topics, entities, views), &schemas);
    Some(Loaded { name, projections, definition_hash })
}

/// Reads `app.toml`; `None` where it is not TOML.
pub(crate) fn parse(text: &str, file: &str, report: &mut Report) -> Option<Spec> {
    let document = parse_toml(text, file, report)?;
    Some(spec::read(document.get_ref(), text, report))
}

/// Parses TOML and reports every mistake in its syntax.
pub(crate) fn parse_toml<'t>(
    text: &'t str,
    file: &str,
    report: &mut Report,
) -> Option<toml::Spanned<DeTable<'t>>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Some(document);
    }
    // The parser stops at the first mistake: go on without its line, as long as no bracket or quote opens there.
    let mut rest = text.to_owned();
    let mut errors = errors;
    for _ in 0..TOML_MISTAKES_MAX {
        let Some(error) = errors.first() else { break };
        let span = error.span().unwrap_or(0..0);
        report.add(rules::TOML_SYNTAX, file, span.clone(), toml_message(error, &rest), None);
        let start =
            rest.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
        let Some(line) = rest.get(start..).and_then(|after| after.lines().next()) else { break };
        if line.contains(['"', '\'', '[', '{']) {
            break;
        }
        let blank = " ".repeat(line.len());
        rest.replace_range(start..start + blank.len(), &blank);
        errors = DeTable::parse_recoverable(&rest).1;
    }
    None
}

/// How many mistakes in the syntax are looked for in one file.
const TOML_MISTAKES_MAX: usize = 10;

fn toml_message(error: &toml::de::Error, text: &str) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let line = text.get(start..).unwrap_or("").lines().next().unwrap_or("");
    if error.message().starts_with("string values must be quoted") && line.trim().is_empty() {
        return "a value is missing".to_owned();
    }
    error.message().replace('\n', "; ")
}

/// Whether the folder is small enough to be looked at.
fn fits(sources: &[SourceFile], report: &mut Report) -> bool {
    if sources.len() > FILES_MAX {
        let message = format!("the folder has {} files; {FILES_MAX} are the most", sources.len());
        report.toml(rules::FILE_TOO_LARGE, &(0..0), message, None);
    }
    for source in sources.iter().filter(|source| source.text.len() > FILE_BYTES_MAX) {
        let message = format!("the file has {} bytes; {FILE_BYTES_MAX} are the most", source.text.len());
        report.add(rules::FILE_TOO_LARGE, &source.path, 0..0, message, None);
    }
    report.list.is_empty()
}
