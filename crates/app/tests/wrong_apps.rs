//! Wrong and doubtful apps and what is said of each: a right app with a few pieces replaced, and the rendering kept in `golden/`.
//! `UPDATE_GOLDEN=1 cargo test -p tidefold-app` writes the renderings anew; read them before they are committed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where something is not there")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tidefold_app::diagnostic::Severity;
use tidefold_app::{App, Diagnostics, SourceFile, Style, load};

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(default)]
    patches: Vec<Patch>,
    #[serde(default)]
    remove: Vec<String>,
}

#[derive(Deserialize)]
struct Patch {
    #[serde(default = "app_toml")]
    file: String,
    find: String,
    replace: String,
}

fn app_toml() -> String {
    "app.toml".to_owned()
}

fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The files of an app folder of the repository.
fn folder(name: &str) -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas").join(name);
    let entries = std::fs::read_dir(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(".toml") || name.ends_with(".avsc") {
            files.push(SourceFile { path: name, text: std::fs::read_to_string(&path).unwrap() });
        }
    }
    files
}

/// The storefront, and a topic of events without an entity.
fn base() -> Vec<SourceFile> {
    let mut files = folder("storefront");
    let app = files.iter_mut().find(|file| file.path == "app.toml").unwrap();
    app.text.push_str(include_str!("wrong_apps/visits.toml"));
    let text = include_str!("wrong_apps/PageViewed.avsc").to_owned();
    files.push(SourceFile { path: "PageViewed.avsc".to_owned(), text });
    files
}

fn cases() -> Vec<Case> {
    toml::from_str::<Cases>(include_str!("wrong_apps/cases.toml")).unwrap().case
}

fn patched(case: &Case) -> Vec<SourceFile> {
    let mut files = base();
    files.retain(|file| !case.remove.contains(&file.path));
    for patch in &case.patches {
        let file = files.iter_mut().find(|file| file.path == patch.file).unwrap();
        assert!(file.text.contains(&patch.find), "{}: `{}` does not occur", case.name, patch.find);
        file.text = file.text.replacen(&patch.find, &patch.replace, 1);
    }
    files
}

/// The mistakes, or the warnings of what loads in spite of them.
fn diagnostics(case: &Case) -> Result<Diagnostics, Box<App>> {
    match load(patched(case)) {
        Ok(app) if app.warnings.list.is_empty() => Err(Box::new(app)),
        Ok(app) => Ok(app.warnings),
        Err(diagnostics) => Ok(diagnostics),
    }
}

#[test]
fn every_wrong_app_is_refused_in_the_golden_words() {
    let update = std::env::var("UPDATE_GOLDEN").is_ok_and(|value| value == "1");
    let mut differing = Vec::new();
    for case in cases() {
        let path = tests_folder().join("golden").join(format!("{}.txt", case.name));
        let rendered = match diagnostics(&case) {
            Ok(diagnostics) => diagnostics.render(Style::Plain),
            Err(_) => {
                differing.push(format!("{}: it loads", case.name));
                continue;
            }
        };
        if update {
            std::fs::write(&path, rendered).unwrap();
        } else if std::fs::read_to_string(&path).unwrap_or_default() != rendered {
            differing.push(format!("{}:\n{rendered}", case.name));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn what_is_only_warned_of_loads() {
    for case in cases() {
        let warned = diagnostics(&case)
            .is_ok_and(|said| said.list.iter().all(|one| one.severity == Severity::Warning));
        assert_eq!(load(patched(&case)).is_ok(), warned, "{}", case.name);
    }
}

#[test]
fn no_golden_file_is_left_over() {
    let names: BTreeSet<String> = cases().into_iter().map(|case| format!("{}.txt", case.name)).collect();
    let files: BTreeSet<String> = std::fs::read_dir(tests_folder().join("golden"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, names);
    assert!(names.len() >= 60);
}

#[test]
fn every_rule_has_a_wrong_app() {
    let mut shown = BTreeSet::new();
    for diagnostics in cases().iter().filter_map(|case| diagnostics(case).ok()) {
        shown.extend(diagnostics.list.iter().map(|diagnostic| diagnostic.rule));
    }
    let rules = tidefold_app::rules::RULES.iter().map(|rule| rule.name);
    // Scenarios and sizes have tests of their own.
    let elsewhere = [
        "file-too-large",
        "unknown-scenario-name",
        "bad-data",
        "bad-time",
        "bad-outcome",
        "bad-expectation",
        "scenario-failed",
        "duplicate-scenario",
    ];
    let missing: Vec<&str> =
        rules.filter(|rule| !shown.contains(rule) && !elsewhere.contains(rule)).collect();
    assert!(missing.is_empty(), "no wrong app breaks {missing:?}");
}

#[test]
fn every_diagnostic_has_a_place_in_its_file_and_a_known_rule() {
    for case in cases() {
        let Ok(diagnostics) = diagnostics(&case) else { continue };
        for (diagnostic, json) in diagnostics.list.iter().zip(diagnostics.to_json()) {
            if diagnostic.rule == "missing-file" {
                continue;
            }
            let source = diagnostics.sources.iter().find(|source| source.path == diagnostic.file);
            let text = &source.unwrap_or_else(|| panic!("{}: no file {}", case.name, diagnostic.file)).text;
            assert!(diagnostic.span.end <= text.len(), "{}: {diagnostic:?}", case.name);
            let line = text.split('\n').nth(json.line - 1).unwrap();
            assert!(json.column <= line.chars().count() + 1, "{}: {json:?}", case.name);
        }
    }
}
