//! The transcripts of the documents are what today's binary answers: every `$ command` of a fenced block is run, in the
//! order of its document, against fresh nodes, and compared with what stands below it.
//!
//! `UPDATE_DOCS=1` writes what was answered into the documents; read the difference before it is committed. A line `…` of a
//! document stands for any lines; times of today, ids that are drawn, rates and the like are compared as such.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::path::Path;
use std::process::Command;

use support::{Node, root, tidefold};

/// The documents whose transcripts are run.
const DOCUMENTS: [&str; 3] = ["README.md", "docs/http-api.md", "docs/operating.md"];

/// Files that transcripts name.
const FILES: &[(&str, &str)] = &[
    (
        "order.json",
        r#"{"order_id":"o-1","customer_id":"c-1","currency":"EUR","total_cents":4200,"items":[{"sku":"tea","qty":2,"price_cents":2100}]}"#,
    ),
    (
        "three.ndjson",
        r#"{"type":"PayOrder","id":"n-1","data":{"order_id":"o-2"}}
{"type":"PayOrdr","id":"n-2","data":{"order_id":"o-2"}}
{"type":"ShipOrder","id":"n-3","data":{"order_id":"o-2"}}
"#,
    ),
    (
        "orders.ndjson",
        r#"{"type":"PlaceOrder","id":"f-1","data":{"order_id":"f-1","customer_id":"c-9","currency":"EUR","total_cents":5,"items":[]}}
order_id=o-2
{"type":"PlaceOrder","id":"f-3","data":{"order_id":"o-3","customer_id":"c-1","currency":"EUR","total_cents":"x","items":[]}}
{"type":"PlaceOrder","id":"f-4","data":{"order_id":"f-4","customer_id":"c-9","currency":"EUR","total_cents":5,"items":[]}}
"#,
    ),
    (
        "evening.ndjson",
        r#"{"type":"PlaceOrder","id":"f-1","data":{"order_id":"f-1","customer_id":"c-9","currency":"EUR","total_cents":5,"items":[]}}
{"type":"ShipOrder","id":"f-5","data":{"order_id":"f-4"}}
"#,
    ),
    (
        "people.csv",
        r#"person_id,name
p-1,Ann
p-2,"Bob
p-3,Cy
"#,
    ),
    (
        "schemas/people/app.toml",
        r#"app = "people"
[topics.people]
key = ["person_id"]
partitions = 1
events = ["PersonSeen"]
[views.names]
sql = "SELECT person_id, name FROM PersonSeen"
partition_key = ["person_id"]
clustering = ["name"]
"#,
    ),
    (
        "schemas/people/PersonSeen.avsc",
        r#"{"type":"record","name":"PersonSeen","fields":[{"name":"person_id","type":"string"},{"name":"name","type":"string"}]}"#,
    ),
];

/// A command with its continuation lines, and the lines of the document that it stands on and is answered on.
struct Transcript {
    line: usize,
    command: String,
    answer: std::ops::Range<usize>,
}

/// What commands are run with: nodes of the two apps, the folder of their files and of the binary.
struct Shell {
    storefront: Node,
    pizzeria: Option<Node>,
    folder: tempfile::TempDir,
    exports: String,
}

/// The transcripts of a document, in order; one whose command is a comment is none.
fn transcripts(lines: &[String]) -> Vec<Transcript> {
    let mut found: Vec<Transcript> = Vec::new();
    let (mut is_code, mut is_open) = (false, false);
    let mut at = 0;
    while at < lines.len() {
        let line = &lines[at];
        if line.starts_with("```") {
            (is_code, is_open) = (!is_code, false);
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| is_code) {
            let mut command = command.to_owned();
            let first = at;
            while command.ends_with('\\') {
                at += 1;
                command.push('\n');
                command.push_str(&lines[at]);
            }
            found.push(Transcript { line: first + 1, command, answer: at + 1..at + 1 });
            is_open = true;
        } else if is_open {
            found.last_mut().unwrap().answer.end = at + 1;
        }
        at += 1;
    }
    for one in &mut found {
        while one.answer.end > one.answer.start && lines[one.answer.end - 1].is_empty() {
            one.answer.end -= 1;
        }
    }
    found
}

// === impl Shell ===

impl Shell {
    fn start(needs_pizzeria: bool) -> Shell {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("schemas/people")).unwrap();
        for (name, text) in FILES {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        std::fs::write(folder.path().join(".curlrc"), "silent\n").unwrap();
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tidefold"), folder.path().join("bin/tidefold"))
            .unwrap();
        let apps = root().join("schemas").canonicalize().unwrap();
        std::os::unix::fs::symlink(apps.join("storefront"), folder.path().join("schemas/storefront"))
            .unwrap();
        let storefront = Node::start("storefront", &folder.path().join("storefront"));
        let pizzeria = needs_pizzeria.then(|| {
            let node = Node::start("pizzeria", &folder.path().join("pizzeria"));
            let file = root().join("schemas/pizzeria/orders.ndjson.zst");
            let publish = ["publish", "pizzeria", &file.to_string_lossy(), "--url", &node.http, "-q"];
            let (code, _, err) = tidefold(&publish);
            assert_eq!(code, 0, "{err}");
            assert_eq!(tidefold(&["status", "--wait", "--node", &node.admin]).0, 0);
            node
        });
        Shell { storefront, pizzeria, folder, exports: String::new() }
    }

    /// What a command prints, with the addresses that documents have.
    fn run(&mut self, command: &str) -> String {
        let node = match &self.pizzeria {
            Some(pizzeria) if command.contains("pizzeria") => pizzeria,
            _ => &self.storefront,
        };
        let addresses =
            [("http://127.0.0.1:8080", node.http.clone()), ("http://127.0.0.1:8081", node.admin.clone())];
        let mut command = command.replace("$PWD/target/release", "$PWD/bin");
        for (in_document, here) in &addresses {
            command = command.replace(in_document, here);
        }
        if let Some(exports) = command.strip_prefix("export ") {
            self.exports.push_str(&format!("export {exports}\n"));
            return String::new();
        }
        let path = format!("{}:{}", self.folder.path().join("bin").display(), std::env::var("PATH").unwrap());
        let output = Command::new("bash")
            .args(["-c", &format!("{}{command}", self.exports)])
            .current_dir(self.folder.path())
            .env("PATH", path)
            .env("CURL_HOME", self.folder.path())
            .env("H", &node.http)
            .env("TIDEFOLD_NODE", &node.admin)
            .env("TIDEFOLD_URL", &node.http)
            .env_remove("RUST_LOG")
            .output()
            .unwrap();
        let mut said = String::from_utf8(output.stdout).unwrap();
        if said.is_empty() {
            said.push_str(&String::from_utf8_lossy(&output.stderr));
        }
        for (in_document, here) in &addresses {
            said = said.replace(here, in_document);
        }
        said.replace('\r', "").trim_end().to_owned()
    }
}

/// A line with what differs from run to run replaced.
fn timeless(line: &str) -> String {
    for header in ["date: ", "content-length: ", "x-request-id: ", "tidefold-age-ms: "] {
        if line.starts_with(header) {
            return header.to_owned();
        }
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | ':' | '.' | '_');
    let (mut out, mut rest) = (String::new(), line.trim_end());
    while let Some(first) = rest.chars().next() {
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len()).max(if is_part(first) {
            1
        } else {
            first.len_utf8()
        });
        let (word, behind) = rest.split_at(if is_part(first) { length } else { first.len_utf8() });
        let is_rate = [" a second", " records a second"].iter().any(|rate| behind.starts_with(rate))
            || out.ends_with("\"rate\":")
            || out.ends_with("\"per_second\":");
        out.push_str(match word {
            word if is_rate && word.starts_with(|c: char| c.is_ascii_digit()) => "N",
            word if is_of_today(word) => "TIME",
            word if is_drawn(word) => "ID",
            word => word,
        });
        rest = behind;
    }
    out
}

/// A time of the last years: those of the documents' own data are older.
fn is_of_today(word: &str) -> bool {
    word.len() >= 10 && word.starts_with("202") && word.get(4..5) == Some("-") && word.get(7..8) == Some("-")
}

/// A UUID, or the id of a request.
fn is_drawn(word: &str) -> bool {
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let uuid = word.len() == 36 && word.split('-').count() == 5 && word.split('-').all(hex);
    let request =
        word.split_once('-').is_some_and(|(start, count)| start.len() == 13 && hex(start) && hex(count));
    uuid || request
}

/// Whether a document's lines are what was printed.
fn is_same(expected: &[String], printed: &[&str]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line == "…" => {
            (0..=printed.len()).any(|skipped| is_same(rest, &printed[skipped..]))
        }
        Some((line, rest)) => match printed.split_first() {
            Some((found, others)) => timeless(line) == timeless(found) && is_same(rest, others),
            None => false,
        },
    }
}

#[test]
fn every_transcript_is_what_the_binary_answers() {
    let update = std::env::var("UPDATE_DOCS").is_ok_and(|value| value == "1");
    let mut wrong = Vec::new();
    for document in DOCUMENTS {
        let path = root().join(document);
        let mut lines: Vec<String> =
            std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
        let all = transcripts(&lines);
        assert!(all.len() > 2, "{document} has transcripts");
        let mut shell = Shell::start(all.iter().any(|one| one.command.contains("pizzeria")));
        let mut replaced = Vec::new();
        for one in &all {
            if one.command == "make run" {
                continue;
            }
            let said = shell.run(&one.command);
            let printed: Vec<&str> = if said.is_empty() { Vec::new() } else { said.lines().collect() };
            let expected = &lines[one.answer.clone()];
            if is_same(expected, &printed) {
                continue;
            }
            wrong.push(format!(
                "{document}:{}: $ {}\n{said}\n--- the document has\n{}",
                one.line,
                one.command,
                expected.join("\n")
            ));
            replaced.push((
                one.answer.clone(),
                printed.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>(),
            ));
        }
        if update {
            for (range, printed) in replaced.into_iter().rev() {
                lines.splice(range, printed);
            }
            std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        }
    }
    assert!(update || wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn no_transcript_stands_in_a_document_that_is_not_run() {
    let output = Command::new("git").args(["ls-files", "*.md"]).current_dir(root()).output().unwrap();
    for file in String::from_utf8(output.stdout).unwrap().lines() {
        let Ok(text) = std::fs::read_to_string(Path::new(&root()).join(file)) else { continue };
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        assert!(
            DOCUMENTS.contains(&file) || transcripts(&lines).is_empty(),
            "{file} has transcripts that nobody runs"
        );
    }
}

#[test]
fn what_differs_from_run_to_run_is_no_difference() {
    for (one, other) in [
        ("date: Tue, 24 Nov 2026 14:28:37 GMT", "date: Sun, 29 Nov 2026 06:00:00 GMT"),
        (r#"{"placed_at":"2026-11-24T14:28:37.743Z"}"#, r#"{"placed_at":"2026-11-29T06:00:00Z"}"#),
        (r#"{"instance":"/problems/6610686b1fc62-1"}"#, r#"{"instance":"/problems/661648c393837-10"}"#),
        ("id 01a20df5-6d0b-78a4-98a4-44dd97e84e8a  x", "id 01a20df5-6d0b-78a4-98a4-44dd97e84e8b  x"),
        ("84 records a second; x", "7 records a second; x"),
        ("3 refused, 812 a second", "3 refused, 7 a second"),
    ] {
        assert_eq!(timeless(one), timeless(other));
    }
    for (one, other) in [
        (r#"{"day":"2015-01-01T00:00:00"}"#, r#"{"day":"2015-01-02T00:00:00"}"#),
        ("etag: \"2.g1\"", "etag: \"3.g1\""),
        (r#"{"position":"orders:6:0"}"#, r#"{"position":"orders:6:1"}"#),
    ] {
        assert_ne!(timeless(one), timeless(other));
    }
}
