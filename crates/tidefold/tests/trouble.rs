//! A disk that is full or fails, a folder that can only be read, a clock that is years off: what a node says and keeps.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::{Answer, Client, Node, root, tidefold};

/// Compiles what is loaded before the C library; `None` where this machine has no C compiler.
fn interposed(folder: &Path) -> Option<PathBuf> {
    let (source, library) =
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trouble.c"), folder.join("trouble.so"));
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl").output();
    match compiled {
        Ok(output) if output.status.success() => Some(library),
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            println!("skipped: this machine has no cc: {error}");
            None
        }
    }
}

/// A node whose disk or clock has trouble.
fn troubled(data: &Path, library: &Path, trouble: &[(&str, &str)]) -> Node {
    let mut environment = vec![("LD_PRELOAD", library.to_str().unwrap())];
    environment.extend_from_slice(trouble);
    Node::spawn_given("up", &root().join("schemas/storefront"), data, &[], &environment).unwrap()
}

async fn place(node: &Node, order: &str) -> Answer {
    let body =
        json!({ "order_id": order, "customer_id": "c-1", "currency": "EUR", "total_cents": 5, "items": [] });
    let url = format!("{}/v1/storefront/PlaceOrder", node.http);
    Client::new().post(&url, &[("prefer", "wait=3")], &body).await.unwrap()
}

/// A node on a sound disk: nothing acknowledged is lost, and every table equals the log.
async fn all_is_kept(data: &Path, orders: &[&str]) {
    let node = Node::start("storefront", data);
    assert_eq!(place(&node, "o-after").await.body["outcome"], "applied");
    for order in orders {
        let read = Client::new().get(&format!("{}/v1/storefront/orders/{order}", node.http), &[]).await;
        assert_eq!(read.status, 200, "{order}: {read:?}");
    }
    let (code, out, err) = tidefold(&["verify", "storefront", "-q", "--node", &node.admin]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(node.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_or_fails_is_named_and_the_node_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = interposed(folder.path()) else { return };
    for (part, errno, said) in [
        ("/log/", "28", "the disk is full; make room"),
        ("/log/", "5", "the disk does not do it (Input/output error"),
        ("/log/", "24", "raise the limit"),
        ("/store/", "28", "the disk is full; make room"),
        ("/store/", "5", "the disk does not do it (Input/output error"),
        ("/store/", "24", "raise the limit"),
    ] {
        let name = part.trim_matches('/');
        let data = folder.path().join(format!("{name}-{errno}"));
        let trigger = folder.path().join("trigger");
        let trouble =
            [("TROUBLE_FILE", trigger.to_str().unwrap()), ("TROUBLE_PATH", part), ("TROUBLE_ERRNO", errno)];
        let node = troubled(&data, &library, &trouble);
        assert_eq!(place(&node, "o-1").await.body["outcome"], "applied");
        std::fs::write(&trigger, "").unwrap();
        let during = place(&node, "o-2").await;
        // The store is not the truth: what the log has is acknowledged, and folded later.
        let refused = during.status >= 500 || name == "store" && during.status == 202;
        assert!(refused, "{name} {errno}: {during:?}");
        let ready = Client::new().get(&format!("{}/readyz", node.admin), &[]).await;
        let text = ready.body.to_string();
        assert_eq!(ready.status, 503, "{name} {errno}: {text}");
        let named = |check: &&Value| check["name"] == name && check["ready"] == false;
        let check = ready.body["checks"].as_array().unwrap().iter().find(named);
        let reason = check.and_then(|check| check["reason"].as_str());
        assert!(reason.is_some_and(|reason| reason.contains(said)), "{name} {errno}: {text}");
        let read = Client::new().get(&format!("{}/v1/storefront/orders/o-1", node.http), &[]).await;
        assert_eq!(read.status, 200, "{name} {errno}: reads go on: {read:?}");
        if name == "store" {
            blames_no_record(&node, during.body["position"].as_str().unwrap());
        }
        std::fs::remove_file(&trigger).unwrap();
        node.terminate();
        let kept: &[&str] = if during.status == 202 { &["o-1", "o-2"] } else { &["o-1"] };
        all_is_kept(&data, kept).await;
    }
}

/// The lane stands for the store's sake, and the record that it had in hand cannot be buried for it.
fn blames_no_record(node: &Node, position: &str) {
    let since = tokio::time::Instant::now();
    loop {
        let (code, out, err) = tidefold(&["status", "--node", &node.admin]);
        assert_eq!(code, 0, "{err}");
        assert!(!out.contains("the fold stops at the record") && !out.contains("dead-letters add"), "{out}");
        if out.contains("halted: the store has failed and takes nothing more") {
            break;
        }
        assert!(since.elapsed().as_secs() < 60, "no lane is halted: {out}");
    }
    let (code, out, err) =
        tidefold(&["dead-letters", "add", position, "--reason", "the disk", "--node", &node.admin]);
    assert!(code != 0 && err.contains("not by a record"), "{code}: {out}{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_years_off_changes_no_table_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = interposed(folder.path()) else { return };
    let data = folder.path().join("data");
    let years = 20 * 365 * 86_400i64;
    for (order, seconds) in [("o-right", 0), ("o-late", years), ("o-early", -years)] {
        let node = troubled(&data, &library, &[("TROUBLE_SECONDS", &seconds.to_string())]);
        assert_eq!(place(&node, order).await.body["outcome"], "applied", "{order}");
        let (code, out, err) = tidefold(&["verify", "storefront", "-q", "--node", &node.admin]);
        assert_eq!(code, 0, "{order}: {out}{err}");
        assert_eq!(node.terminate(), Some(0));
    }
    all_is_kept(&data, &["o-right", "o-late", "o-early"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_can_only_be_read_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let node = Node::start("storefront", &data);
    assert_eq!(place(&node, "o-1").await.body["outcome"], "applied");
    assert_eq!(node.terminate(), Some(0));
    let script =
        "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" || exit 77; shift; exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(&data)
        .args([env!("CARGO_BIN_EXE_tidefold"), "up"])
        .arg(root().join("schemas/storefront"))
        .args(["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"])
        .arg(&data)
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => return println!("skipped: this machine has no unshare(1): {error}"),
    };
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(77) || text.contains("unshare failed") {
        return println!("skipped: this machine lets no test mount a folder: {text}");
    }
    assert!(text.contains("cannot be used") && text.contains("Read-only file system"), "{text}");
    assert_eq!(output.status.code(), Some(5), "{text}");
    all_is_kept(&data, &["o-1"]).await;
}
