//! A panic in a process whose log is JSON is a line of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::process::Command;

use serde_json::Value;
use tidefold_telemetry::logging::{self, Format};

#[test]
#[ignore = "the other test runs it as a process of its own"]
fn child() {
    logging::init(Format::Json, "off").unwrap();
    let thread = std::thread::Builder::new().name("folding".into());
    let thread = thread.spawn(|| panic!("no such\n\"row\"")).unwrap();
    assert!(thread.join().is_err());
}

#[test]
fn a_panic_is_one_line_of_json_with_its_thread_and_place() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored", "--nocapture"])
        .env_remove("RUST_LOG")
        .env("RUST_BACKTRACE", "1")
        .output()
        .unwrap();
    let told = String::from_utf8(child.stderr).unwrap();
    let lines: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1, "{told}");
    assert_eq!(lines[0]["message"], "panicked: no such\n\"row\"");
    assert_eq!((&lines[0]["level"], &lines[0]["thread"]), (&"ERROR".into(), &"folding".into()));
    assert!(lines[0]["location"].as_str().unwrap().contains("panics.rs:"), "{told}");
    assert!(lines[0]["backtrace"].is_string());
}
