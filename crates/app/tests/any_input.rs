//! Whatever stands in a folder's files, loading answers; it never panics and never points outside a file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use proptest::prelude::*;
use support::folder;
use tidefold_app::scenario;
use tidefold_app::{SourceFile, Style, load};

fn judged(files: Vec<SourceFile>) {
    if let Err(diagnostics) = load(files) {
        assert!(!diagnostics.list.is_empty());
        assert!(!diagnostics.render(Style::Colored).is_empty());
        for diagnostic in &diagnostics.list {
            let length = diagnostics
                .sources
                .iter()
                .find(|file| file.path == diagnostic.file)
                .map_or(0, |f| f.text.len());
            assert!(
                diagnostic.span.start <= diagnostic.span.end && diagnostic.span.end <= length,
                "{diagnostic:?}"
            );
        }
        assert_eq!(diagnostics.to_json().len(), diagnostics.list.len());
    }
}

/// The storefront with one file's bytes cut, doubled or overwritten.
fn damaged(file: usize, at: usize, length: usize, with: &str) -> Vec<SourceFile> {
    let mut files = folder("storefront");
    files.retain(|file| !file.path.starts_with("scenarios/"));
    let count = files.len();
    let text = &mut files[file % count].text;
    let mut start = at % (text.len() + 1);
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = (start + length).min(text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    text.replace_range(start..end, with);
    files
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_texts_are_answered(toml in ".{0,200}", avsc in ".{0,200}") {
        judged(vec![
            SourceFile { path: "app.toml".into(), text: toml },
            SourceFile { path: "X.avsc".into(), text: avsc },
        ]);
    }

    #[test]
    fn texts_of_the_languages_own_signs_are_answered(
        toml in "([\\[\\]{}\"'=.,\n ]|app|topics|entities|views|x|on|columns|key|set|sql|1|true){0,60}",
        avsc in "([\\[\\]{}\":, ]|\"type\"|\"record\"|\"name\"|\"fields\"|\"X\"|\"array\"|\"items\"|null|1){0,40}",
    ) {
        judged(vec![
            SourceFile { path: "app.toml".into(), text: toml },
            SourceFile { path: "X.avsc".into(), text: avsc },
        ]);
    }

    #[test]
    fn a_damaged_app_is_answered(
        file in 0_usize..8,
        at in 0_usize..4_000,
        length in 0_usize..12,
        with in "([a-zä\u{1f600}\"'\\\\(),.?<>\\[\\]{}\n= ]|state\\.|msg\\.|sum\\(|NULL|ORDER BY|\\*){0,6}",
    ) {
        judged(damaged(file, at, length, &with));
    }

    #[test]
    fn arbitrary_scenarios_are_answered(text in "(\\[\\[scenario\\]\\]\n|name|given|when|then|\\.|orders|=|\\{|\\}|\\[|\\]|\"|,|type|PayOrder|\n| ){0,60}") {
        let app = support::app(folder("storefront"));
        let file = SourceFile { path: "scenarios/x.toml".into(), text };
        if let Err(diagnostics) = scenario::parse(&[file], &app) {
            prop_assert!(!diagnostics.render(Style::Plain).is_empty());
        }
    }
}

#[test]
fn deep_nesting_and_large_files_are_answered() {
    let deep = "[".repeat(100_000);
    judged(vec![
        SourceFile { path: "app.toml".into(), text: format!("app = {deep}") },
        SourceFile { path: "X.avsc".into(), text: deep },
    ]);
    let nested = format!("{}\"X\"{}", "{\"type\":".repeat(5_000), "}".repeat(5_000));
    judged(vec![SourceFile { path: "X.avsc".into(), text: nested }]);
    let large = SourceFile { path: "app.toml".into(), text: "#".repeat((1 << 20) + 1) };
    assert_eq!(load(vec![large]).unwrap_err().list[0].rule, "file-too-large");
}
