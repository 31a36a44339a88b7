//! The structure of the workspace, held: which crate may know which, and what a source file looks like.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which of our crates each crate may depend on (development dependencies aside).
const ARROWS: &[(&str, &[&str])] = &[
    ("tidefold-record", &[]),
    ("tidefold-codec", &["record"]),
    ("tidefold-table", &["record", "codec"]),
    ("tidefold-app", &["record", "codec", "table"]),
    ("tidefold-fold", &["record", "codec", "table", "app"]),
    ("tidefold-control", &["record", "app"]),
    ("tidefold-log", &["record"]),
    ("tidefold-embedded-files", &[]),
    ("tidefold-log-embedded", &["record", "log", "embedded-files"]),
    ("tidefold-log-kafka", &["record", "log"]),
    ("tidefold-store", &["record", "codec", "table"]),
    ("tidefold-store-embedded", &["record", "codec", "table", "store", "embedded-files"]),
    ("tidefold-store-scylla", &["record", "codec", "table", "store"]),
    ("tidefold-telemetry", &["log", "store"]),
    ("tidefold-http", &["record", "telemetry"]),
    ("tidefold-publisher", &["record", "codec", "app"]),
    ("tidefold-ingest", &["record", "codec", "table", "app", "control", "log", "store", "http", "telemetry"]),
    ("tidefold-query", &["record", "codec", "table", "app", "control", "log", "store", "http", "telemetry"]),
    (
        "tidefold-projector",
        &["record", "codec", "table", "app", "fold", "control", "log", "store", "telemetry"],
    ),
    ("tidefold-control-log", &["record", "table", "app", "control", "log", "store", "telemetry"]),
    (
        "tidefold-coordinator",
        &[
            "record",
            "codec",
            "table",
            "app",
            "fold",
            "control",
            "log",
            "store",
            "telemetry",
            "projector",
            "control-log",
        ],
    ),
];

/// The composition, and what measures it: they may know everything.
const COMPOSITION: &[&str] = &["tidefold", "tidefold-bench"];

/// Crates that take values and return values.
const PURE: &[&str] = &[
    "tidefold-record",
    "tidefold-codec",
    "tidefold-table",
    "tidefold-app",
    "tidefold-fold",
    "tidefold-control",
];

/// What a pure crate must not even be able to name.
const IMPURE: &[&str] = &[
    "tokio",
    "futures-util",
    "fjall",
    "prometheus-client",
    "tracing",
    "rand",
    "getrandom",
    "uuid",
    "axum",
    "hyper",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Normal dependencies of every crate of the workspace.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let names = |package: &serde_json::Value| {
        let all = package["dependencies"].as_array().unwrap().iter();
        all.filter(|d| d["kind"].is_null()).map(|d| d["name"].as_str().unwrap().to_owned()).collect()
    };
    packages.iter().map(|p| (p["name"].as_str().unwrap().to_owned(), names(p))).collect()
}

/// Every tracked Rust file with its text.
fn sources() -> Vec<(String, String)> {
    let output = Command::new("git").args(["ls-files", "*.rs"]).current_dir(root()).output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let files = listed.lines().filter(|file| root().join(file).exists());
    files.map(|file| (file.to_owned(), std::fs::read_to_string(root().join(file)).unwrap())).collect()
}

#[test]
fn crates_know_only_the_crates_they_may_know() {
    let mut wrong = Vec::new();
    for (name, depends) in dependencies() {
        if COMPOSITION.contains(&name.as_str()) {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
            wrong.push(format!("{name} is not in the table of arrows"));
            continue;
        };
        for dependency in
            depends.iter().filter_map(|d| d.strip_prefix("tidefold-").or((d == "tidefold").then_some(d)))
        {
            if !allowed.contains(&dependency) {
                wrong.push(format!("{name} must not know {dependency}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pure_crates_cannot_name_a_runtime_a_clock_or_a_file_system() {
    let all = dependencies();
    let mut wrong = Vec::new();
    for name in PURE {
        wrong.extend(
            all[*name]
                .iter()
                .filter(|d| IMPURE.contains(&d.as_str()))
                .map(|d| format!("{name} depends on {d}")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_source_file_says_what_it_is_and_is_short_enough_to_be_read() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        if !text.starts_with("//!") {
            wrong.push(format!("{file} does not start with what it is"));
        }
        let lines = text.lines().count();
        if lines > 500 {
            wrong.push(format!("{file} has {lines} lines"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_source_file_has_a_leftover_mark() {
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["X", "XX"].concat()];
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark.as_str())) {
                wrong.push(format!("{file}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn links_in_the_documents_lead_to_files() {
    let output = Command::new("git").args(["ls-files", "*.md"]).current_dir(root()).output().unwrap();
    let mut wrong = Vec::new();
    for file in String::from_utf8(output.stdout).unwrap().lines() {
        let Ok(text) = std::fs::read_to_string(root().join(file)) else { continue };
        let folder = root().join(file).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains("://") && !path.contains(' ') && !folder.join(path).exists()
            {
                wrong.push(format!("{file}: {link}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
