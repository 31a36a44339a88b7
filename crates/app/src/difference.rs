//! What differs between two definitions of an app, in words: a data folder made by one is not opened by the other.

use std::collections::{BTreeMap, BTreeSet};

use crate::App;
use crate::load::{avro, hash, parse, report::Report};
use crate::source::APP_FILE;

/// What changed from one definition to the other, one line each; empty where both mean the same.
#[must_use]
pub fn difference(old: &App, new: &App) -> Vec<String> {
    let (old, new) = (facts(old), facts(new));
    let subjects: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let came_or_went = |subject: &str| old.contains_key(subject) != new.contains_key(subject);
    let mut lines = Vec::new();
    for subject in subjects {
        let (before, after) = (old.get(subject), new.get(subject));
        // What is said of a whole topic, entity or view goes without saying for its parts.
        let part_of = before.or(after).and_then(|fact| fact.part_of.as_deref());
        if part_of.is_some_and(came_or_went) {
            continue;
        }
        match (before, after) {
            (Some(before), Some(after)) => lines.extend(changed(subject, &before.value, &after.value)),
            (Some(_), None) => lines.push(format!("{subject} was removed")),
            (None, _) => lines.push(format!("{subject} was added")),
        }
    }
    lines
}

fn changed(subject: &str, before: &str, after: &str) -> Option<String> {
    const LONGEST: usize = 160;
    let names = |text: &str| text.split(", ").map(str::to_owned).collect::<BTreeSet<_>>();
    // The columns themselves have lines of their own.
    let told = subject.starts_with(hash::COLUMN_ORDER) && names(before) != names(after);
    if before == after || told {
        return None;
    }
    if before.len() + after.len() > LONGEST {
        return Some(format!("{subject} changed"));
    }
    let quoted = |text: &str| if text.is_empty() { "nothing".to_owned() } else { format!("`{text}`") };
    Some(format!("{subject}: was {}, is {}", quoted(before), quoted(after)))
}

/// What a definition says, by subject. An [`App`] comes from texts without mistakes, so reading them again finds none.
fn facts(app: &App) -> BTreeMap<String, hash::Fact> {
    let mut report = Report::default();
    let files = avro::parse_files(&app.sources, &mut report);
    let schemas = avro::resolve(&files, &mut report);
    let text = app.sources.iter().find(|source| source.path == APP_FILE);
    let spec = text.and_then(|source| parse(&source.text, &source.path, &mut report)).unwrap_or_default();
    hash::facts(&spec, &schemas).into_iter().map(|fact| (fact.subject.clone(), fact)).collect()
}
