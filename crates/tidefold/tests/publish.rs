//! `tidefold publish` against a real node: what is sent, what is refused and how it is said.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

#[macro_use]
mod support;

use serde_json::{Value, json};
use support::backends::Backends;
use support::{Node, tidefold, tidefold_given};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn order(id: &str, total_cents: &Value) -> Value {
    json!({ "order_id": id, "customer_id": "c-1", "currency": "EUR", "total_cents": total_cents, "items": [] })
}

fn envelope(id: &str, total_cents: &Value) -> String {
    json!({ "type": "PlaceOrder", "id": format!("place-{id}"), "data": order(id, total_cents) }).to_string()
}

/// Applied and duplicate messages, once everything is folded.
fn verdicts(node: &Node) -> (Value, Value) {
    let (code, out, err) = tidefold(&["status", "--wait", "-q", "-o", "json", "--node", &node.admin]);
    assert_eq!(code, 0, "{err}");
    let verdicts = &json(&out)["generations"][0]["verdicts"];
    (verdicts["applied"].clone(), verdicts["duplicate"].clone())
}

on_every_log_and_store!(
    lines_that_are_no_messages_are_named_and_the_others_are_sent,
    cells_that_do_not_fit_are_named_and_the_other_rows_are_sent,
    of_a_file_whose_shape_is_wrong_nothing_is_sent,
    every_line_counts_unless_an_id_says_otherwise,
    a_run_that_is_killed_anywhere_is_gone_on_with_exactly,
    refused_lines_are_mended_and_sent_alone,
);

async fn lines_that_are_no_messages_are_named_and_the_others_are_sent(backends: &Backends) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with("storefront", folder.path(), &backends.flags());
    let file = folder.path().join("orders.ndjson");
    let lines =
        [envelope("o-1", &5.into()), "nonsense".into(), envelope("o-2", &"five".into()), "[1]".into()];
    std::fs::write(&file, lines.join("\n") + "\n" + &envelope("o-3", &7.into())).unwrap();
    let file = file.to_string_lossy().into_owned();
    let publish = ["publish", "storefront", &file, "--url", &node.http, "-q"];
    let (code, out, err) = tidefold(&[&publish[..], &["-o", "json"]].concat());
    let report = json(&out);
    assert_eq!((code, &report["accepted"], &report["refused"]), (6, &json!(2), &json!(3)), "{err}");
    let refused: Vec<_> = report["refusals"].as_array().unwrap().iter().map(|r| &r["line"]).collect();
    assert_eq!(refused, [2, 3, 4]);
    let (code, out, _) = tidefold(&[&publish[..], &["--again"]].concat());
    let said: Vec<_> = out.lines().collect();
    assert_eq!((code, said.len()), (6, 7), "{out}");
    assert!(said[0].starts_with("2 accepted, 3 refused"), "{out}");
    assert_eq!(said[4], "accepted but not counted: 2 duplicate");
    assert_eq!(said[5..], [format!("{file}:1: duplicate"), format!("{file}:5: duplicate")]);
    assert!(said[1].starts_with(&format!("{file}:2: not a JSON object")), "{out}");
    assert!(said[2].starts_with(&format!("{file}:3: 400 field /")), "{out}");
    assert!(said[2].contains("total_cents: found a string") && !said[2].contains('{'), "{out}");
    assert!(said[3].starts_with(&format!("{file}:4: not a JSON object")), "{out}");
    assert_eq!(verdicts(&node), (2.into(), 2.into()));
}

async fn cells_that_do_not_fit_are_named_and_the_other_rows_are_sent(backends: &Backends) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with("storefront", folder.path(), &backends.flags());
    let rows = "order_id,customer_id,currency,total_cents,items\n\
                o-1,\"c\n1\",EUR,5,[]\n\
                o-2,c-1,EUR,many,[]\n\
                o-3,c-1,EUR\n\
                o-4,c-1,EUR,7,[]\n";
    let arguments = ["publish", "storefront", "-", "--format", "csv", "--type", "PlaceOrder"];
    let more = ["--id-column", "order_id", "--url", &node.http, "-q", "--lenient"];
    let (code, out, err) = tidefold_given(&[&arguments[..], &more].concat(), &[], rows);
    let said: Vec<_> = out.lines().collect();
    assert_eq!((code, said.len()), (6, 3), "{out}{err}");
    assert!(said[0].starts_with("2 accepted, 2 refused"), "{out}");
    assert_eq!(said[1], "line 4: field total_cents: `many` is not a whole number");
    assert_eq!(
        said[2],
        "line 5: 3 cells where the header has 5; column 4, `total_cents`, is the first that is missing"
    );
    assert_eq!(verdicts(&node), (2.into(), 0.into()));
}

async fn of_a_file_whose_shape_is_wrong_nothing_is_sent(backends: &Backends) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with("storefront", folder.path(), &backends.flags());
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let csv = "order_id,customer_id,currency,total_cents,items\no-1,c-1,EUR,5,[]\n";
    let line = order("o-2", &7.into()).to_string();
    let wrong: [(&str, Vec<u8>, &str); 7] = [
        (
            "quote.csv",
            format!("{csv}o-2,\"c-1,EUR,5,[]\no-3,c-1,EUR,5,[]\n").into(),
            "quote.csv:3: column 2: ",
        ),
        ("cells.csv", format!("{csv}o-2,c-1,EUR,5\n").into(), "cells.csv:3: 4 cells"),
        ("twice.csv", csv.replace("items", "currency").into(), "twice.csv:1: columns 3 and 5"),
        ("semicolon.csv", csv.replace(',', ";").into(), "--separator ';'"),
        ("array.json", format!("[\n{line},\n{line}\n]\n").into(), "array.json:1: a JSON array"),
        (
            "laid_out.json",
            format!("{{\n{}", &line[1..]).into(),
            "laid_out.json:1: a JSON object over several lines",
        ),
        ("archive.zip", b"PK\x03\x04\x14\0\0\0rest".to_vec(), "archive.zip:1: this is a zip archive"),
    ];
    let publish = |name: &str, bytes: &[u8], more: &[&str]| {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        let file = file.to_string_lossy().into_owned();
        let all = ["publish", "storefront", &file, "--type", "PlaceOrder", "--url", &node.http, "-q"];
        tidefold(&[&all[..], more].concat())
    };
    for (name, bytes, said) in wrong {
        let (code, out, err) = publish(name, &bytes, &[]);
        assert_eq!((code, out.as_str()), (2, ""), "{name}: {err}");
        assert!(err.contains(said), "{name}: {err}");
    }
    assert_eq!(verdicts(&node), (0.into(), 0.into()));
    let right: [(&str, Vec<u8>); 4] = [
        ("wide.csv", [&[0xff, 0xfe], &wide(csv)[..]].concat()),
        ("marked.csv", format!("\u{feff}{}", csv.replace("o-1", "o-4")).into()),
        ("marked.ndjson", format!("\u{feff}{line}\n").into()),
        ("packed.ndjson.gz", zstd_of(&line.replace("o-2", "o-3"))),
    ];
    for (name, bytes) in right {
        let (code, out, err) = publish(name, &bytes, &[]);
        assert!(code == 0 && out.starts_with("1 accepted, 0 refused"), "{name}: {out}{err}");
    }
    assert_eq!(verdicts(&node), (4.into(), 0.into()));
}

/// Compressed otherwise than the name says.
fn zstd_of(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 1).unwrap()
}

async fn every_line_counts_unless_an_id_says_otherwise(backends: &Backends) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with("storefront", folder.path(), &backends.flags());
    let pay = |id: &str| format!("{}\n", json!({ "order_id": id }));
    let place: String = (0..3).map(|n| format!("{}\n", order(&format!("o-{n}"), &5.into()))).collect();
    let publish = |input: &str, message: &str, more: &[&str]| {
        let all = ["publish", "storefront", "-", "--type", message, "--url", &node.http, "-o", "json", "-q"];
        let (code, out, err) = tidefold_given(&[&all[..], more].concat(), &[], input);
        let report = json(&out);
        let counted = report["uncounted"] == json!({});
        assert_eq!((code, &report["pending"]), (if counted { 0 } else { 6 }, &json!(0)), "{out}{err}");
        report["uncounted"].clone()
    };
    let judged = || {
        let (code, out, err) = tidefold(&["status", "--wait", "-q", "-o", "json", "--node", &node.admin]);
        assert_eq!(code, 0, "{err}");
        let verdicts = json(&out)["generations"][0]["verdicts"].clone();
        ["applied", "rejected", "duplicate"].map(|verdict| verdicts[verdict].as_u64().unwrap())
    };
    assert_eq!(publish(&place, "PlaceOrder", &["--id", "order_id"]), json!({}));
    assert_eq!(judged(), [3, 0, 0]);
    assert_eq!(publish(&place, "PlaceOrder", &["--id", "order_id"]), json!({"duplicate": 3}));
    assert_eq!(judged(), [3, 0, 3], "the same ids");
    assert_eq!(publish(&place, "PlaceOrder", &[]), json!({"rejected": 3}));
    assert_eq!(judged(), [3, 3, 3], "other messages, so they are judged: the orders exist");
    // Two lines of one input that read the same, and one line piped in three times.
    publish(&format!("{}{}", pay("o-0"), pay("o-0")), "PayOrder", &[]);
    assert_eq!(judged(), [4, 4, 3]);
    for n in 0..3 {
        publish(&pay("o-1"), "PayOrder", &[]);
        assert_eq!(judged(), [5, 4 + n, 3]);
    }
}

/// Starts `publish` on a file; kills it once it has settled some lines, or at once.
fn killed(arguments: &[&str], ledger: &std::path::Path, entries: usize) {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_tidefold"))
        .args(arguments)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    loop {
        let lines = std::fs::read_to_string(ledger).map_or(0, |text| text.lines().count());
        if lines > entries || child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::yield_now();
    }
    let _ = child.kill();
    child.wait().unwrap();
}

async fn a_run_that_is_killed_anywhere_is_gone_on_with_exactly(backends: &Backends) {
    const LINES: u64 = 12_000;
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with("storefront", folder.path(), &backends.flags());
    let file = folder.path().join("orders.ndjson");
    let lines: String = (0..LINES).map(|n| format!("{}\n", order(&format!("o-{n}"), &5.into()))).collect();
    std::fs::write(&file, &lines).unwrap();
    let ledger = folder.path().join("orders.ndjson.publish-ledger");
    let file = file.to_string_lossy().into_owned();
    let fresh = ["publish", "storefront", &file, "--type", "PlaceOrder", "--url", &node.http, "-q"];
    let resume = [&fresh[..], &["--resume"]].concat();
    let (code, _, err) = tidefold(&resume);
    assert_eq!((code, err.contains("there is no ledger")), (3, true), "{err}");

    killed(&fresh, &ledger, 1);
    assert!(ledger.exists(), "the run was cut");
    let (code, out, err) = tidefold(&fresh);
    assert_eq!((code, out.as_str()), (2, ""));
    for said in ["nothing was sent", "--resume", "--again", "behind line"] {
        assert!(err.contains(said), "{said} is not in: {err}");
    }
    // A forgotten flag is named in words.
    let forgetful = ["publish", "storefront", &file, "--url", &node.http, "-q", "--resume"];
    let (code, _, err) = tidefold(&forgetful);
    assert_eq!((code, err.contains("other flags: --type PlaceOrder is missing")), (2, true), "{err}");
    // A file that changed is not gone on with.
    std::fs::write(&file, lines.replacen("EUR", "USD", 1)).unwrap();
    let (code, _, err) = tidefold(&resume);
    assert_eq!((code, err.contains("the run was begun with")), (2, true), "{err}");
    std::fs::write(&file, &lines).unwrap();

    for more in [0, 1, 2] {
        let before = std::fs::read_to_string(&ledger).unwrap().lines().count();
        killed(&resume, &ledger, before - 1 + more);
        if !ledger.exists() {
            break;
        }
    }
    if ledger.exists() {
        let (code, out, err) = tidefold(&resume);
        assert_eq!(code, 0, "{err}");
        assert!(out.contains("were accepted before"), "{out}");
    }
    assert!(!ledger.exists());
    let (applied, _) = verdicts(&node);
    assert_eq!(applied, LINES);
    let (_, out, _) = tidefold(&["status", "-q", "-o", "json", "--node", &node.admin]);
    assert_eq!(json(&out)["generations"][0]["verdicts"]["rejected"], 0, "what was sent twice had its id");
}

async fn refused_lines_are_mended_and_sent_alone(backends: &Backends) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with("storefront", folder.path(), &backends.flags());
    let file = folder.path().join("orders.ndjson");
    let line = |n: u64, total: Value| format!("{}\n", order(&format!("o-{n}"), &total));
    let write = |lines: [String; 4]| std::fs::write(&file, lines.concat()).unwrap();
    let publish = |more: &[&str]| {
        let file = file.to_string_lossy().into_owned();
        let all = ["publish", "storefront", &file, "--type", "PlaceOrder", "--url", &node.http, "-q"];
        tidefold(&[&all[..], more].concat())
    };
    write([line(1, 5.into()), "nonsense\n".into(), line(3, "five".into()), line(4, 5.into())]);
    let (code, out, err) = publish(&[]);
    assert!(code == 6 && out.starts_with("2 accepted, 2 refused"), "{out}{err}");
    write([line(1, 5.into()), line(2, 5.into()), line(3, "five".into()), line(4, 5.into())]);
    let (code, _, err) = publish(&[]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("2 refused, the first on line 2") && err.contains("--resume"), "{err}");
    let (code, out, err) = publish(&["--resume"]);
    assert!(code == 6 && out.starts_with("1 accepted, 1 refused"), "{out}{err}");
    // A line deleted, one put in above, an accepted one edited: nothing is sent.
    for (lines, named) in [
        (
            vec![line(1, 5.into()), line(2, 5.into()), line(4, 5.into())],
            "line 4 was accepted, and there is none now",
        ),
        (
            vec![line(0, 5.into()), line(1, 5.into()), line(2, 5.into()), line(3, 5.into())],
            "line 1 is not the one",
        ),
        (
            vec![line(1, 5.into()), line(2, 6.into()), line(3, 5.into()), line(4, 5.into())],
            "line 2 is not the one",
        ),
    ] {
        std::fs::write(&file, lines.concat()).unwrap();
        let (code, out, err) = publish(&["--resume"]);
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        for said in [named, "nothing was sent", "back as and where it was", "--again"] {
            assert!(err.contains(said), "{said} is not in: {err}");
        }
    }
    // What is new behind the end goes with what was mended.
    let lines =
        [line(1, 5.into()), line(2, 5.into()), line(3, 5.into()), line(4, 5.into()), line(5, 5.into())];
    std::fs::write(&file, lines.concat()).unwrap();
    let (code, out, err) = publish(&["--resume"]);
    assert!(code == 0 && out.starts_with("2 accepted, 0 refused"), "{out}{err}");
    assert_eq!(verdicts(&node), (5.into(), 0.into()));
    // Then the file is done with, and its lines count once more where it is sent once more.
    let (code, out, err) = publish(&[]);
    assert!(code == 6 && out.starts_with("5 accepted, 0 refused"), "{out}{err}");
    assert!(out.contains("accepted but not counted: 5 rejected") && out.contains("already_exists"), "{out}");
}

#[test]
fn a_run_that_never_reached_a_server_leaves_no_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orders.ndjson");
    std::fs::write(&file, envelope("o-1", &5.into())).unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = file.to_string_lossy().into_owned();
    for _ in 0..2 {
        let (code, _, err) = tidefold(&["publish", "storefront", &file, "--url", &format!("http://{free}")]);
        assert_eq!((code, err.contains("nothing was sent")), (1, true), "{err}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn without_a_server_it_says_so_at_once_and_what_to_do() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    let lines = envelope("o-1", &5.into());
    let (code, out, err) = tidefold_given(&["publish", "storefront", "-", "--url", &url], &[], &lines);
    assert_eq!((code, out.as_str()), (1, ""));
    for said in ["nothing was sent", &url, "tidefold up", "--url"] {
        assert!(err.contains(said), "{said} is not in: {err}");
    }
}

#[test]
fn flags_that_would_be_ignored_are_refused() {
    let cases: [(&[&str], &str); 13] = [
        (&["orders.ndjson", "--column", "a=b"], "--column"),
        (&["-", "--id", "a"], "--id works with --type"),
        (&["-", "--resume"], "--ledger"),
        (&["-", "--again"], "--ledger"),
        (&["orders.ndjson", "--type", "A", "--id", "a", "--resume"], "--id"),
        (&["--synthetic", "5", "--ledger", "l"], "--ledger"),
        (&["-", "--separator", ";"], "--separator"),
        (&["orders.ndjson", "--lenient"], "--lenient"),
        (&["orders.ndjson", "--synthetic", "5"], "--synthetic"),
        (&["--synthetic", "5", "--type", "PlaceOrder"], "--type"),
        (&["--synthetic", "5", "--column", "a=b"], "--column"),
        (&["--synthetic", "5", "--format", "csv"], "--format"),
        (&["orders.ndjson", "--seed", "5"], "--seed"),
    ];
    for (flags, said) in cases {
        let (code, out, err) = tidefold(&[&["publish", "storefront"], flags].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{flags:?}");
        assert!(err.contains(said), "{flags:?}: {err}");
    }
}

#[test]
fn what_is_not_there_ends_with_3_and_says_what_to_give() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("there.csv");
    std::fs::write(&there, "order_id\no-1\n").unwrap();
    let there = there.to_string_lossy().into_owned();
    let nowhere = folder.path().to_string_lossy().into_owned();
    let cases: [(&[&str], i32, &[&str]); 8] = [
        (&["none.ndjson"], 3, &["none.ndjson: cannot be read"]),
        (&["none.csv", "--type", "PlaceOrder"], 3, &["none.csv: cannot be read"]),
        (&["none.ndjson", "--type", "PlaceOrder", "--id", "order_id"], 3, &["none.ndjson: cannot be read"]),
        (&[&nowhere], 2, &["cannot be read"]),
        (&[&there, "--type", "PlaceOrder", "--schemas", &nowhere], 3, &["--schemas DIR", &nowhere]),
        (&["--synthetic", "5", "--schemas", &nowhere], 3, &["--schemas DIR", &nowhere]),
        (&[&there, "--type", "PlaceOrdr"], 2, &["no message type `PlaceOrdr`", "did you mean `PlaceOrder`?"]),
        (&[&there], 2, &["CSV needs --type, one of: "]),
    ];
    for (flags, expected, said) in cases {
        let url = ["--url", "http://127.0.0.1:1"];
        let (code, out, err) = tidefold(&[&["publish", "storefront"], flags, &url[..]].concat());
        assert_eq!((code, out.as_str()), (expected, ""), "{flags:?}: {err}");
        for said in said {
            assert!(err.contains(said), "{flags:?}: {said} is not in: {err}");
        }
    }
}

/// Starts `publish`, sends it a signal once `is_time`, and returns its exit code and standard error.
fn signalled(arguments: &[&str], signal: &str, is_time: impl Fn() -> bool) -> (Option<i32>, String) {
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidefold"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // A first line, and no second one: it waits for it.
    std::io::Write::write_all(&mut input, format!("{}\n", envelope("o-1", &5.into())).as_bytes()).unwrap();
    while !is_time() {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    drop(input);
    (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
}

#[test]
fn a_run_that_a_signal_ends_says_where_and_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with("storefront", folder.path(), &[]);
    for (signal, code, name) in [("-INT", 130, "interrupted"), ("-TERM", 143, "terminated")] {
        let file = folder.path().join(format!("orders{code}.ndjson"));
        let lines: String =
            (0..5_000).map(|n| envelope(&format!("o-{code}-{n}"), &5.into()) + "\n").collect();
        std::fs::write(&file, lines).unwrap();
        let ledger = folder.path().join(format!("orders{code}.ndjson.publish-ledger"));
        let file = file.to_string_lossy().into_owned();
        let has_begun = |entries: usize| {
            std::fs::read_to_string(&ledger).is_ok_and(|text| text.lines().count() > entries)
        };
        let url = ["--url", &node.http, "-q"];
        let publish = [&["publish", "storefront", &file, "--rate", "40"], &url[..]].concat();
        let (ended, err) = signalled(&publish, signal, || has_begun(2));
        assert_eq!(ended, Some(code), "{err}");
        assert!(err.contains("cut behind line ") && err.contains("--resume goes on from there"), "{err}");
        // For programs one line of JSON says the same.
        let before = std::fs::read_to_string(&ledger).unwrap().lines().count();
        let resume = [&publish[..], &["--resume", "-o", "json"]].concat();
        let (ended, err) = signalled(&resume, signal, || has_begun(before));
        let told = json(err.trim());
        assert_eq!(
            (ended, &told["error"], &told["exit_code"]),
            (Some(code), &json!(name), &json!(code)),
            "{err}"
        );
        assert!(told["message"].as_str().unwrap().contains("cut behind line "), "{err}");
    }
    // One that waits for a line of a pipe ends too.
    let ledger = folder.path().join("pipe.ledger");
    let kept = ledger.to_string_lossy().into_owned();
    let publish = ["publish", "storefront", "-", "--ledger", &kept, "--url", &node.http, "-q"];
    let (ended, err) = signalled(&publish, "-INT", || ledger.exists());
    assert_eq!((ended, err.contains("cut before anything was sent")), (Some(130), true), "{err}");
}
