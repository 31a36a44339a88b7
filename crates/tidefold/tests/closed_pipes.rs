//! Output that nobody reads, and output that finds no place: no command panics over it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::json;
use support::{Client, Node, root, tidefold};

/// A command line's exit code and standard error, its standard output being what is given.
fn with_output(args: &[&str], out: impl Into<Stdio>) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidefold"));
    command.args(args).current_dir(root()).stdin(Stdio::null()).stdout(out).stderr(Stdio::piped());
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A pipe that nobody reads.
fn unread() -> std::io::PipeWriter {
    std::io::pipe().unwrap().1
}

#[test]
fn a_command_whose_output_nobody_reads_ends_quietly() {
    for args in [
        &["--help"][..],
        &["--version"],
        &["publish", "--help"],
        &["completions", "bash"],
        &["completions", "zsh"],
        &["config"],
        &["config", "-o", "ndjson"],
        &["check", "schemas/storefront"],
        &["check", "schemas/storefront", "-o", "json"],
        &["check", "schemas/storefront", "--scenarios"],
    ] {
        assert_eq!(with_output(args, unread()), (Some(141), String::new()), "{args:?}");
    }
}

#[test]
fn a_result_that_finds_no_place_is_an_error() {
    for (args, said) in [
        (&["config"][..], "error: the result cannot be written to standard output"),
        (&["--help"], "error: the result cannot be written to standard output"),
        (&["check", "schemas/storefront", "-o", "json"], "{\"error\":\"failed\",\"exit_code\":1,"),
    ] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let (code, err) = with_output(args, full);
        assert!(code == Some(1) && err.starts_with(said) && err.contains("No space left"), "{args:?}: {err}");
    }
}

#[test]
fn a_failure_keeps_its_own_exit_code() {
    let (code, err) = with_output(&["check", "no/such/folder"], unread());
    assert!(code == Some(3) && err.starts_with("error: "), "{code:?}: {err}");
    // Its mistakes are its result, which is why it fails.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("app.toml"), "app = \"x\"\n[topics.t]\npartitons = 1\n").unwrap();
    let (code, err) = with_output(&["check", &folder.path().to_string_lossy(), "-o", "json"], unread());
    assert!(code == Some(1) && !err.contains("panic"), "{code:?}: {err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_a_node_ends_quietly_too() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start("storefront", folder.path());
    let publish =
        ["publish", "storefront", "--synthetic", "20", "--url", &node.http, "--schemas", "schemas", "-q"];
    assert_eq!(with_output(&publish, unread()), (Some(141), String::new()));
    assert_eq!(tidefold(&["status", "--wait", "-q", "--node", &node.admin]).0, 0);
    for args in [
        &["status", "-q"][..],
        &["status", "-q", "-o", "json"],
        &["inspect", "orders", "orders-1-0", "-q"],
        &["verify", "storefront", "-q"],
        &["replay", "storefront", "-q"],
        &["retire", "storefront", "-q"],
        &["schemas", "storefront", "-q"],
        &["dead-letters", "list", "storefront", "-q"],
    ] {
        let ended = with_output(&[args, &["--node", &node.admin]].concat(), unread());
        assert_eq!(ended, (Some(141), String::new()), "{args:?}");
    }
    assert_eq!(node.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_log_nobody_reads_goes_on() {
    for format in ["text", "json"] {
        let folder = tempfile::tempdir().unwrap();
        let (said, err) = std::io::pipe().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidefold"))
            .args(["up", "schemas/storefront", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--data", &folder.path().to_string_lossy(), "--set", &format!("run.log_format={format}")])
            .env("RUST_LOG", "info")
            .current_dir(root())
            .stdout(Stdio::null())
            .stderr(err)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(said);
        let admin = loop {
            let mut line = String::new();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "it did not come up");
            if let Some((_, rest)) = line.split_once("(operators: ") {
                break rest.split(')').next().unwrap().to_owned();
            }
        };
        drop(lines);
        let client = Client::new();
        let (verify, operator) =
            (format!("{admin}/admin/v1/storefront/verify"), [("tidefold-operator", "ann")]);
        // What an operator does is logged, by the task that answers.
        for _ in 0..3 {
            let verified = client.post(&verify, &operator, &json!({})).await;
            assert_eq!(verified.map(|answer| answer.status), Ok(200), "{format}");
        }
        assert_eq!(client.get(&format!("{admin}/readyz"), &[]).await.status, 200, "{format}");
        Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{format}");
    }
}
