//! The pages on the app language say what the code says: every rule, bound and function, and no other. With
//! `TIDEFOLD_WRITE_DOCS=1` the tables of functions are written instead.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::collections::BTreeSet;

use tidefold_app::functions::FUNCTIONS;
use tidefold_app::rules::RULES;
use tidefold_table::aggregate::AGGREGATES;
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

/// Holds the table below a heading equal to these lines, or writes them.
fn hold_table(head: &str, lines: impl Iterator<Item = String>) {
    let path = support::root().join("docs/app-language-sql.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let start = page.find(head).unwrap_or_else(|| panic!("docs/app-language-sql.md lacks: {head}"));
    let end = page[start..].find("\n\n").unwrap() + start;
    let rule = "|---".repeat(head.matches(" | ").count() + 1);
    let table = format!("{head}\n{rule}|\n{}", lines.collect::<Vec<_>>().join("\n"));
    if std::env::var_os("TIDEFOLD_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{}{table}{}", &page[..start], &page[end..])).unwrap();
        return;
    }
    let lacks: Vec<&str> =
        table.lines().filter(|line| !page[start..end].lines().any(|other| other == *line)).collect();
    assert!(page[start..end] == table, "the table differs; docs/app-language-sql.md lacks: {lacks:#?}");
}

#[test]
fn the_page_lists_every_function_as_its_row_says() {
    hold_table("| function | gives | NULL | fails with |", FUNCTIONS.iter().map(|row| row.line()));
}

#[test]
fn the_page_lists_every_aggregate_as_its_row_says() {
    hold_table("| aggregate | over | gives |", AGGREGATES.iter().map(|row| row.line()));
}

#[test]
fn functions_have_different_names() {
    let mut names = tidefold_app::functions::function_names();
    names.extend(AGGREGATES.iter().map(|row| row.name));
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
}
