//! A node that waits for its log or store: it answers that it is alive and what it waits for, and a signal ends the wait.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::io::{BufRead, BufReader, Lines};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::{Value, json};
use support::{Client, root, tidefold};

/// A node that is starting.
struct Starting {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    admin: String,
    http: String,
}

/// What is away, how a node is pointed at it, and the check that says so.
struct Away {
    flags: Vec<String>,
    check: &'static str,
}

// === impl Starting ===

impl Starting {
    fn of(role: &str, flags: &[String], data: &std::path::Path) -> Starting {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidefold"))
            .args([role, &root().join("schemas/storefront").to_string_lossy()])
            .args(["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", &data.to_string_lossy()])
            .args(["--set", "run.log_format=json"])
            .args(flags)
            .env("RUST_LOG", "info,librdkafka=off,scylla=off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listening: Value = lines
            .by_ref()
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .find(|line: &Value| line["message"] == "listening")
            .expect("it says where it listens before anything else");
        let url = |name: &str| format!("http://{}", listening[name].as_str().unwrap());
        Starting { child, lines, admin: url("admin"), http: url("http") }
    }

    fn signal(&self, signal: &str) {
        Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
    }

    /// What it said until it ended, and how it ended.
    fn end(mut self) -> (Vec<String>, Option<i32>) {
        let said = self.lines.by_ref().map_while(Result::ok).collect();
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), None, "it ends by itself");
        (said, status.code())
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every server that may be away, at a port that nobody has.
fn away(port: u16) -> Vec<Away> {
    let flags = |log: &str, store: &str| {
        let all = ["--log", log, "--store", store];
        all.map(str::to_owned).to_vec()
    };
    let (kafka, scylla) = (format!("kafka://127.0.0.1:{port}"), format!("scylla://127.0.0.1:{port}"));
    let mut all = vec![Away { flags: flags("embedded", &scylla), check: "store" }];
    if cfg!(feature = "kafka") {
        all.push(Away { flags: flags(&kafka, "embedded"), check: "log" });
        all.push(Away { flags: flags("kafka://nobody.invalid:9092", "embedded"), check: "log" });
        all.push(Away { flags: flags(&kafka, &scylla), check: "log" });
    }
    all
}

/// A port that nobody listens at, for as long as the listener is kept from listening.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_a_node_that_waits_is_told_what_for_and_a_signal_ends_it() {
    let client = Client::new();
    for (round, Away { flags, check }) in away(closed_port()).into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let node = Starting::of("up", &flags, folder.path());
        let livez = client.get(&format!("{}/livez", node.admin), &[]).await;
        assert_eq!((livez.status, livez.body.as_str()), (200, Some("ok\n")), "{flags:?}");
        let mut ready = client.get(&format!("{}/readyz?verbose", node.admin), &[]).await;
        let waits = format!("[-]{check} failed: waiting for the {check}: ");
        while !ready.body.as_str().unwrap().contains(&waits) {
            assert_eq!(ready.status, 503, "{flags:?}: {ready:?}");
            ready = client.get(&format!("{}/readyz?verbose", node.admin), &[]).await;
        }
        let told = client.get(&format!("{}/readyz", node.admin), &[]).await;
        assert_eq!((told.status, &told.body["ready"]), (503, &json!(false)), "{told:?}");
        // What waits for its turn does not say that it starts.
        let checks = told.body["checks"].as_array().unwrap();
        assert!(checks.iter().all(|check| check["reason"] != "starting"), "{told:?}");
        let one = client.get(&format!("{}/readyz/{check}", node.admin), &[]).await;
        assert_eq!(one.status, 503, "{one:?}");
        let metrics = client.get(&format!("{}/metrics", node.admin), &[]).await;
        let metric = format!("tidefold_ready{{check=\"{check}\"}} 0");
        assert!(metrics.body.as_str().unwrap().contains(&metric), "{metrics:?}");
        let order = json!({ "order_id": "o-1" });
        let sent =
            client.post(&format!("{}/v1/storefront/PlaceOrder", node.http), &[], &order).await.unwrap();
        let asked = client.get(&format!("{}/v1/storefront/orders/o-1", node.http), &[]).await;
        let operator = client.get(&format!("{}/admin/v1/status", node.admin), &[]).await;
        for answer in [sent, asked, operator] {
            assert_eq!((answer.status, &answer.body["code"]), (503, &json!("not_ready")), "{answer:?}");
            assert!(answer.body["detail"].as_str().unwrap().contains("waiting for the"), "{answer:?}");
            assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
        }
        let (signal, code) = if round % 2 == 0 { ("-TERM", 0) } else { ("-INT", 130) };
        node.signal(signal);
        let (said, ended) = node.end();
        assert_eq!(ended, Some(code), "{flags:?}: {said:#?}");
        assert!(said.last().is_some_and(|line| line.contains("stopped while it was starting")), "{said:#?}");
        assert!(!said.iter().any(|line| line.contains("\"ERROR\"")), "{said:#?}");
    }
}

#[test]
fn wrong_settings_are_refused_all_at_once_before_anything_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, folder) = (taken.local_addr().unwrap().to_string(), tempfile::tempdir().unwrap());
    let data = folder.path().join("data");
    let data_text = data.to_string_lossy();
    for command in ["up", "ingest", "project", "query", "config"] {
        let app = if command == "config" { None } else { Some("schemas/storefront") };
        let wrong = ["--log", "nats://x", "--store", "scylla://nowhere", "--set", "log.group_protocol=x"];
        let more = ["--set", "run.drian=1s", "--set", "run.drain=soon", "--http", &address, "--data"];
        let arguments = [&[command], app.as_slice(), &wrong, &more, &[&data_text]].concat();
        let (code, _, err) = tidefold(&arguments);
        assert_eq!(code, 2, "{command}: {err}");
        for said in [
            "flag --log: log.url = \"nats://x\" is neither",
            "flag --store: store.url = \"scylla://nowhere\" is neither",
            "run.drian",
            "run.drain",
            "log.group_protocol",
        ] {
            // A node's lines are JSON here, which quotes the quotes.
            assert!(err.replace('\\', "").contains(said), "{command}: {said}: {err}");
        }
        assert!(!err.contains("listening") && !data.exists(), "{command}: {err}");
    }
}
