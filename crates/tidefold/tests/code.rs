//! What functions, traits, names and tests look like, held for every source file.
//!
//! It reads lines as rustfmt leaves them: what opens at an indent is closed by a brace at the same indent. It knows no
//! Rust beyond that, so it may pass over what is written in an unusual way, but names nothing that is right.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

use std::path::Path;
use std::process::Command;

/// The most lines of a function, the most methods of a trait.
const FUNCTION_LINES: usize = 70;
const TRAIT_METHODS: usize = 6;

/// Words that name nothing. The code of others may have them: `util` counts only as a name of ours.
const EMPTY_WORDS: &[&str] = &["manager", "handler", "common", "helper"];
const EMPTY_NAMES: &[&str] = &["util", "utils"];

/// Tests that another test runs as a process of its own.
const RUN_BY_OTHERS: &[&str] = &[
    "crates/log-embedded/tests/kill.rs",
    "crates/log-embedded/tests/disk_full.rs",
    "crates/telemetry/tests/panics.rs",
    // In full by `make damage`; a sample of theirs is a test.
    "crates/log-embedded/tests/every_byte.rs",
    "crates/store-embedded/tests/every_byte.rs",
];

/// Where waiting for time to pass is what is wanted: back-off.
const PAUSES: &[&str] = &[
    "crates/telemetry/src/clock.rs",
    "producers/publisher/src/publish.rs",
    "crates/log-kafka/src/waiting.rs",
];

/// One source file.
struct Source {
    file: String,
    text: String,
}

/// Something with a body: its line (from 0), its name, and where the body's brace closes.
struct Item<'a> {
    line: usize,
    name: &'a str,
    end: usize,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new("git").args(["ls-files", "*.rs"]).current_dir(&root).output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let files = listed.lines().filter(|file| root.join(file).exists());
    files
        .map(|file| Source { file: file.to_owned(), text: std::fs::read_to_string(root.join(file)).unwrap() })
        .collect()
}

/// The name behind a keyword, where a line declares one: `pub(super) async fn name(` for `fn`.
fn declared<'a>(line: &'a str, keyword: &str) -> Option<&'a str> {
    let before = ["pub", "const", "async", "unsafe", "extern"];
    let mut words = line.split_whitespace();
    let found = words.by_ref().find(|word| {
        let bare = word.split_once('(').map_or(*word, |(bare, _)| bare);
        !before.contains(&bare) && *word != "\"C\"" && !word.ends_with(')')
    })?;
    if found != keyword {
        return None;
    }
    let name = words.next()?;
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|name| !name.is_empty())
}

/// Everything a keyword declares that has a body.
fn items<'a>(lines: &[&'a str], keyword: &str) -> Vec<Item<'a>> {
    let mut found = Vec::new();
    for (line, text) in lines.iter().enumerate() {
        let Some(name) = declared(text, keyword) else { continue };
        let indent = text.len() - text.trim_start().len();
        let is_at_indent = |text: &str| text.len() > indent && !text[indent..].starts_with(' ');
        let mut opened = text.ends_with('{');
        // A signature may be back at this indent before its body opens.
        let end = (line..lines.len()).find(|at| {
            let text = lines[*at];
            if *at > line && (!is_at_indent(text) || !text[..indent].trim().is_empty()) {
                return false;
            }
            let is_end = if opened { &text[indent..] == "}" } else { text.ends_with([';', '}']) };
            opened |= text.ends_with('{');
            is_end
        });
        found.extend(end.map(|end| Item { line, name, end }));
    }
    found
}

/// Whether a file is tests, contract suites or an example only.
fn is_test(file: &str) -> bool {
    ["/tests/", "/tests.rs", "/contract/", "/contract.rs", "/examples/"]
        .iter()
        .any(|part| file.contains(part))
}

/// The lines, with their numbers, that are compiled outside tests: what stands below `#[cfg(test)]` is left out.
fn without_tests<'a>(lines: &[&'a str]) -> Vec<(usize, &'a str)> {
    let mut kept = Vec::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        if line.trim_start() != "#[cfg(test)]" {
            kept.push((at + 1, *line));
            at += 1;
            continue;
        }
        let closing = line.replace("#[cfg(test)]", "}");
        let is_short = lines.get(at + 1).is_some_and(|next| next.ends_with([';', ',', '}']));
        let end = (at + 1..lines.len()).find(|end| is_short || lines[*end] == closing);
        at = end.map_or(lines.len(), |end| end + 1);
    }
    kept
}

/// A line's code: without its texts and its comment.
fn code(line: &str) -> String {
    let mut code = String::new();
    let mut rest = line;
    loop {
        let (quote, comment) = (rest.find('"'), rest.find("//"));
        match (quote, comment) {
            (Some(quote), comment) if comment.is_none_or(|comment| quote < comment) => {
                code.push_str(&rest[..quote]);
                code.push_str("\"\"");
                let text = &rest[quote + 1..];
                let mut escaped = false;
                let end = text.find(|c| {
                    let closes = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    closes
                });
                let Some(end) = end else { return code };
                rest = &text[end + 1..];
            }
            (_, Some(comment)) => return code + &rest[..comment],
            _ => return code + rest,
        }
    }
}

/// The words of an identifier: of `HttpHandler` and `http_handler` the same.
fn words(identifier: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in identifier.chars() {
        if c == '_' || c.is_uppercase() {
            words.push(String::new());
        }
        if c != '_' {
            words.last_mut().unwrap().extend(c.to_lowercase());
        }
    }
    words
}

fn is_empty_name(identifier: &str) -> bool {
    words(identifier).iter().any(|word| EMPTY_WORDS.contains(&word.trim_end_matches('s')))
}

#[test]
fn functions_can_be_read_at_once_and_traits_be_implemented() {
    let mut wrong = Vec::new();
    for Source { file, text } in sources() {
        let lines: Vec<_> = text.lines().collect();
        for function in items(&lines, "fn") {
            let count = function.end - function.line + 1;
            if count > FUNCTION_LINES {
                wrong.push(format!("{file}:{}: {} has {count} lines", function.line + 1, function.name));
            }
        }
        for item in items(&lines, "trait") {
            let indent = lines[item.line].len() - lines[item.line].trim_start().len() + 4;
            let body = lines.get(item.line + 1..item.end).unwrap_or_default();
            let is_method = |line: &&&str| {
                line.len() - line.trim_start().len() == indent && declared(line, "fn").is_some()
            };
            let count = body.iter().filter(is_method).count();
            if count > TRAIT_METHODS {
                wrong.push(format!("{file}:{}: {} has {count} methods", item.line + 1, item.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_test_is_left_out_and_none_waits_for_time_to_pass() {
    let ignore = ["#[", "ignore"].concat();
    let sleeps = [["thread::", "sleep"].concat(), ["time::", "sleep"].concat()];
    let mut wrong = Vec::new();
    for Source { file, text } in sources() {
        for (number, line) in text.lines().enumerate() {
            let is_ignored = line.contains(&ignore) && !RUN_BY_OTHERS.contains(&file.as_str());
            let code = code(line);
            let sleeps = sleeps.iter().any(|sleep| code.contains(sleep.as_str()));
            if is_ignored || (sleeps && !PAUSES.contains(&file.as_str())) {
                wrong.push(format!("{file}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_panics_on_purpose_outside_tests() {
    // Parsers have an `expect` of their own; that of `Result` is given a text.
    let panics = [".unwrap()", ".expect(\"\")", "panic!(", "todo!(", "unimplemented!("];
    // Over a pipe that nobody reads any more.
    let prints = ["print!(", "println!("];
    let outputs = ["crates/tidefold/src/output.rs", "crates/bench/src/figure.rs"];
    let mut wrong = Vec::new();
    // What a build prints is read by cargo.
    let is_ours = |source: &Source| !is_test(&source.file) && !source.file.ends_with("/build.rs");
    for Source { file, text } in sources().into_iter().filter(is_ours) {
        let lines: Vec<_> = text.lines().collect();
        for (number, line) in without_tests(&lines) {
            let code = code(line);
            let is_output = code.contains("io::stdout()") && !outputs.contains(&file.as_str());
            if panics.iter().chain(&prints).any(|panic| code.contains(panic)) || is_output {
                wrong.push(format!("{file}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn names_say_what_things_are() {
    let mut wrong = Vec::new();
    for Source { file, text } in sources() {
        let stems = file.trim_end_matches(".rs").split('/');
        if stems.into_iter().any(|stem| is_empty_name(stem) || EMPTY_NAMES.contains(&stem)) {
            wrong.push(format!("{file} is named after nothing"));
        }
        for (number, line) in text.lines().enumerate() {
            let code = code(line);
            let mut identifiers = code.split(|c: char| !c.is_alphanumeric() && c != '_');
            let is_module = declared(line, "mod").is_some_and(|name| EMPTY_NAMES.contains(&name));
            if is_module || identifiers.any(is_empty_name) {
                wrong.push(format!("{file}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_reads_the_code_sees_what_is_wrong_with_it() {
    let long = format!(
        "impl X {{\n    pub(super) async fn long(\n    ) {{\n{}    }}\n}}",
        "        x;\n".repeat(80)
    );
    let lines: Vec<_> = long.lines().collect();
    let found = items(&lines, "fn");
    assert_eq!((found.len(), found[0].name, found[0].end - found[0].line + 1), (1, "long", 83));
    let short = ["trait T {", "    fn a(&self);", "    fn b(&self) {}", "}", "fn c() {", "}"];
    let ends: Vec<_> = items(&short, "fn").iter().map(|item| (item.name, item.end - item.line)).collect();
    assert_eq!(ends, [("a", 0), ("b", 0), ("c", 1)]);
    let tested = ["a", "#[cfg(test)]", "mod tests {", "    b", "}", "c", "#[cfg(test)]", "use d;", "e"];
    assert_eq!(without_tests(&tested), [(1, "a"), (6, "c"), (9, "e")]);
    assert_eq!(code("let a = \"x \\\" // y\"; // z"), "let a = \"\"; ");
    assert!(
        is_empty_name("HttpHandler") && is_empty_name("order_helpers") && !is_empty_name("commonly_used")
    );
}
