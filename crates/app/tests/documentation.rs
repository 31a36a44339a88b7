//! The page on the app language names every rule, and no other.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::collections::BTreeSet;

use tidefold_app::rules::RULES;
use tidefold_table::limits::{BOUNDS, KEY_COLUMN_BYTES, ROW_KEY_BYTES};

#[test]
fn the_page_lists_every_bound_as_the_code_has_it() {
    let page = std::fs::read_to_string(support::root().join("docs/app-language.md")).unwrap();
    for (what, most) in BOUNDS {
        let line = format!("| {what} | {most} |");
        assert!(page.lines().any(|other| other == line), "docs/app-language.md lacks: {line}");
    }
}

#[test]
fn the_page_says_what_is_left_of_a_keys_bound() {
    let page = std::fs::read_to_string(support::root().join("docs/app-language.md")).unwrap();
    let left = |columns: usize| ROW_KEY_BYTES - columns * KEY_COLUMN_BYTES;
    let said = format!(
        "{} with one column, {} with two, {} with three, {} with four",
        left(1),
        left(2),
        left(3),
        left(4)
    );
    assert!(page.contains(&said), "docs/app-language.md lacks: {said}");
}

#[test]
fn the_page_lists_every_rule_with_its_line() {
    let page = std::fs::read_to_string(support::root().join("docs/app-language.md")).unwrap();
    for rule in RULES {
        let line = format!("| `{}` | {} |", rule.name, rule.text);
        assert!(page.lines().any(|other| other == line), "docs/app-language.md lacks: {line}");
    }
    let (_, rules) = page.split_once("## The rules").unwrap();
    let listed: BTreeSet<&str> =
        rules.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(listed, RULES.iter().map(|rule| rule.name).collect());
}

#[test]
fn rules_have_different_names() {
    let names: BTreeSet<&str> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(names.len(), RULES.len());
}
