//! What a node says on standard error: where JSON is promised, every line is one JSON object, from the first to the one
//! that says why it ends; what starts and who asks for what stands in it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use support::{Client, root, tidefold, tidefold_given};

/// A node with its log.
struct Logged {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStderr>>,
    read: Vec<Value>,
}

/// An app's folder, flags, variables, and the error and exit code that come of them.
type Refused<'a> = (&'a Path, &'a [&'a str], &'a [(&'a str, &'a str)], &'a str, u8);

impl Logged {
    fn start(folder: &Path, data: &Path, flags: &[&str], environment: &[(&str, &str)]) -> Logged {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidefold"))
            .args(["up", &folder.to_string_lossy(), "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--data", &data.to_string_lossy()])
            .args(flags)
            .env_remove("RUST_LOG")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Logged { child, lines, read: Vec::new() }
    }

    /// Reads until a line that is looked for.
    fn until(&mut self, found: impl Fn(&Value) -> bool) -> Value {
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            let value = object(&line);
            self.read.push(value.clone());
            if found(&value) {
                return value;
            }
        }
        panic!("it ended before that: {:#?}", self.read);
    }

    /// SIGTERM, and all that was said until the end.
    fn end(mut self) -> Vec<Value> {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        self.rest()
    }

    fn rest(&mut self) -> Vec<Value> {
        for line in self.lines.by_ref() {
            self.read.push(object(&line.unwrap()));
        }
        self.child.wait().unwrap();
        std::mem::take(&mut self.read)
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line as every line has to be.
fn object(line: &str) -> Value {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    for member in ["timestamp", "level", "message"] {
        assert!(value[member].is_string(), "no {member}: {line}");
    }
    value
}

/// Whatever the caller sent, the line of an act has the id that its answer has.
fn answers_and_lines_have_one_id(node: &mut Logged, admin: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (sent, path) in [
        (None, "storefront/abandon"),
        (None, "nothing/abandon"),
        (Some("mine-1"), "storefront/abandon"),
        (Some("mine-2"), "nothing/abandon"),
        (Some("not fit"), "storefront/abandon"),
        (Some("not fit"), "nothing/abandon"),
    ] {
        let url = format!("{admin}/admin/v1/{path}");
        let id = sent.map(|id| ("x-request-id", id));
        let headers: Vec<_> = [("tidefold-operator", "ann")].into_iter().chain(id).collect();
        let client = Client::new();
        let answer = runtime.block_on(client.send("POST", &url, &headers, String::new())).unwrap();
        let line = node.until(|line| line["target"] == "tidefold::operator");
        let id = line["request_id"].as_str().unwrap();
        assert_eq!(answer.headers["x-request-id"], id, "{sent:?} {path}: {line}");
        assert!(!id.is_empty() && sent.is_none_or(|sent| (sent == id) != sent.contains(' ')), "{line}");
        if answer.status != 200 {
            assert_eq!(answer.body["request_id"], id, "{sent:?} {path}");
        }
    }
}

#[test]
fn every_line_of_a_node_is_json_and_every_act_of_an_operator_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let flags =
        ["--set", "kafka.sasl.password=hush", "--set", "run.log_format=json", "--set", "run.drain=9s"];
    let mut node =
        Logged::start(&root().join("schemas/storefront"), folder.path(), &flags, &[("RUST_LOG", "debug")]);
    let start = node.until(|line| line["message"] == "starting");
    assert_eq!(start["settings"]["run.drain"], "9s");
    assert_eq!(start["settings"]["kafka.sasl.password"], "***");
    assert_eq!(start["settings"].get("log.url"), None, "a default is no news: {start}");
    assert_eq!(
        (&start["log"], &start["app"], &start["role"]),
        (&"embedded".into(), &"storefront".into(), &"up".into())
    );
    assert_eq!(start["version"], env!("CARGO_PKG_VERSION"));
    assert!(Path::new(start["folder"].as_str().unwrap()).is_absolute());
    let up = node.until(|line| line["http"].as_str().is_some_and(|http| http.starts_with("http://")));
    let (http, admin) = (up["http"].as_str().unwrap().to_owned(), up["admin"].as_str().unwrap().to_owned());
    let at = ["--node", admin.as_str()];
    tidefold(&["publish", "storefront", "--synthetic", "20", "--url", &http, "-q"]);
    let acts = [
        (&["verify", "storefront"][..], "verify", 200),
        (&["replay", "storefront"][..], "replay", 200),
        (&["rollback", "storefront", "orders"][..], "rollback", 200),
        (&["retire", "storefront"][..], "retire", 200),
        (&["abandon", "storefront"][..], "abandon", 200),
        (&["rollback", "storefront"][..], "rollback", 409),
        (&["retire", "nothing"][..], "retire", 404),
    ];
    for (command, act, status) in acts {
        let (_, _, told) = tidefold_given(&[command, &at].concat(), &[("USER", "ann")], "");
        let line = node.until(|line| line["target"] == "tidefold::operator");
        assert_eq!((&line["act"], &line["status"]), (&act.into(), &status.into()), "{line} {told}");
        assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
        assert!(line["user_agent"].as_str().unwrap().starts_with("tidefold/"), "{line}");
        assert_eq!(line["by"], "ann");
        assert_ne!(line["request_id"], "", "{line}");
    }
    answers_and_lines_have_one_id(&mut node, &admin);
    let anonymous = Command::new(env!("CARGO_BIN_EXE_tidefold"))
        .args([&["abandon", "storefront"][..], &at].concat())
        .env_remove("USER")
        .env_remove("LOGNAME")
        .output()
        .unwrap();
    assert!(anonymous.status.success());
    let line = node.until(|line| line["target"] == "tidefold::operator");
    let user = Command::new("id").arg("-un").output().unwrap();
    let number = Command::new("id").arg("-u").output().unwrap();
    let text = |output: Vec<u8>| String::from_utf8(output).unwrap().trim().to_owned();
    let names = [text(user.stdout), format!("uid {}", text(number.stdout))];
    assert!(names.contains(&line["by"].as_str().unwrap().to_owned()), "{line}: {names:?}");
    let said = node.end();
    let messages: Vec<_> = said.iter().filter_map(|line| line["message"].as_str()).collect();
    for entry in ["control: activated orders 2", "control: activated orders 1", "control: retired orders 2"] {
        assert!(messages.contains(&entry), "{entry}: {messages:#?}");
    }
    assert_eq!(messages.last(), Some(&"stopped"));
    assert!(!said.iter().any(|line| line.to_string().contains("hush")));
}

#[test]
fn what_a_node_does_not_come_up_for_is_a_line_of_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let (good, none) = (root().join("schemas/storefront"), folder.path().join("none"));
    let wrong = folder.path().join("wrong");
    std::fs::create_dir(&wrong).unwrap();
    std::fs::write(wrong.join("app.toml"), "app = \"Wrong\"\n[topics.x]\nkey = 1\n").unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("listen.http={}", taken.local_addr().unwrap());
    let cases: [Refused<'_>; 9] = [
        (&none, &[], &[], "not-found", 3),
        (&wrong, &[], &[], "failed", 1),
        (&good, &["--set", &taken], &[], "conflict", 5),
        (&good, &["--set", "run.drian=1s"], &[], "usage", 2),
        (&good, &["--set", "run.drain=soon"], &[], "usage", 2),
        (&good, &["--set", "run.log_format=yaml"], &[], "usage", 2),
        (&good, &["--log", "nats://x"], &[], "usage", 2),
        (&good, &["--no-such-flag"], &[], "usage", 2),
        (&good, &[], &[("RUST_LOG", "a=b=c")], "failed", 1),
    ];
    for (app, flags, environment, error, code) in cases {
        let mut node = Logged::start(app, &folder.path().join("data"), flags, environment);
        let said = node.rest();
        let last = said.last().unwrap_or_else(|| panic!("nothing was said: {flags:?}"));
        assert_eq!((&last["level"], &last["error"]), (&"ERROR".into(), &error.into()), "{last}");
        assert_eq!(last["exit_code"], code, "{last}");
        assert_eq!(node.child.wait().unwrap().code(), Some(i32::from(code)));
    }
}

#[test]
fn a_log_for_people_is_text_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_string_lossy().into_owned();
    let call =
        ["up", "schemas/storefront", "--data", &data, "--set", "run.log_format=text", "--set", "run.drain=0"];
    let (code, _, told) = tidefold(&call);
    assert_eq!(code, 2);
    assert!(told.starts_with("error: flag --set: run.drain"), "{told}");
}
