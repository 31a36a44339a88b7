//! A real node as a child process, and a client for it.

#![allow(dead_code, reason = "each test uses a part")]

#[macro_use]
pub mod backends;
pub mod chaos;
pub mod exposition;
pub mod fleet;
pub mod ledger;
pub mod tables;
pub mod tally;
#[cfg(feature = "kafka")]
pub mod topics;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A node that is killed when it is dropped.
pub struct Node {
    child: Child,
    pub http: String,
    pub admin: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: hyper::HeaderMap,
    pub body: Value,
}

/// A client with kept connections.
#[derive(Clone)]
pub struct Client {
    http: HyperClient<HttpConnector, Full<Bytes>>,
}

impl Node {
    /// Starts a node on free ports and waits until it is up.
    pub fn start(app: &str, data: &Path) -> Node {
        Node::start_with(app, data, &[])
    }

    /// The same with flags.
    pub fn start_with(app: &str, data: &Path, flags: &[&str]) -> Node {
        Node::try_start(&root().join("schemas").join(app), data, flags)
            .unwrap_or_else(|text| panic!("{text}"))
    }

    /// Starts a node; what it printed when it does not come up.
    pub fn try_start(folder: &Path, data: &Path, flags: &[&str]) -> Result<Node, String> {
        Node::spawn("up", folder, data, flags)
    }

    /// Starts a part of a node: `up`, `ingest`, `project` or `query`. One without public APIs has an empty `http`.
    pub fn spawn(command: &str, folder: &Path, data: &Path, flags: &[&str]) -> Result<Node, String> {
        Node::spawn_given(command, folder, data, flags, &[])
    }

    /// The same with variables in its environment.
    pub fn spawn_given(
        command: &str,
        folder: &Path,
        data: &Path,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Node, String> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidefold"))
            .args([command, &folder.to_string_lossy(), "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--data", &data.to_string_lossy()])
            .args(flags)
            .env("RUST_LOG", "warn")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut printed = String::new();
        for line in lines.by_ref().map_while(Result::ok) {
            if let Some((_, rest)) = line.split_once(" is up") {
                let urls = rest.split(['(', ')', ' ']).filter(|word| word.starts_with("http://"));
                let mut urls: Vec<_> = urls.map(str::to_owned).collect();
                let admin = urls.pop().unwrap();
                let http = urls.pop().unwrap_or_default();
                // The pipe has to be read on, or the node would block on its own warnings.
                std::thread::Builder::new()
                    .spawn(move || {
                        let shown = std::env::var_os("TIDEFOLD_TEST_SHOW").is_some();
                        lines.map_while(Result::ok).filter(|_| shown).for_each(|line| eprintln!("{line}"));
                    })
                    .unwrap();
                return Ok(Node { child, http, admin });
            }
            let said = serde_json::from_str::<Value>(&line).ok();
            printed.push_str(said.as_ref().and_then(|said| said["message"].as_str()).unwrap_or(&line));
            printed.push('\n');
        }
        let _ = child.wait();
        Err(printed)
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(mut self) -> Option<i32> {
        self.signal("-TERM");
        self.child.wait().unwrap().code()
    }

    /// SIGINT, and how it ended.
    pub fn interrupt(mut self) -> Option<i32> {
        self.signal("-INT");
        self.child.wait().unwrap().code()
    }

    /// SIGTERM, again and again until it has ended, and how.
    pub fn terminate_again(mut self) -> Option<i32> {
        loop {
            self.signal("-TERM");
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
        }
    }

    pub fn signal(&self, signal: &str) {
        Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Client {
    pub fn new() -> Client {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Client { http: HyperClient::builder(TokioExecutor::new()).build(connector) }
    }

    /// One request; an error where there is no answer.
    pub async fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<Answer, String> {
        let mut request = hyper::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let response = self.http.request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, headers, body })
    }

    pub async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", url, headers, String::new()).await.unwrap()
    }

    pub async fn post(&self, url: &str, headers: &[(&str, &str)], body: &Value) -> Result<Answer, String> {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.send("POST", url, &all, body.to_string()).await
    }
}

/// Runs the command line against a node; its exit code, standard output and standard error.
pub fn tidefold(args: &[&str]) -> (i32, String, String) {
    tidefold_given(args, &[], "")
}

/// The same with variables in its environment and a text on its standard input.
pub fn tidefold_given(args: &[&str], environment: &[(&str, &str)], input: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidefold"))
        .args(args)
        .envs(environment.iter().copied())
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads nothing may have ended before.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// A node's `verify`, which has to be clean.
pub fn verify(node: &Node, app: &str) -> Value {
    let (code, out, err) = tidefold(&["verify", app, "--node", &node.admin, "-o", "json", "-q"]);
    assert_eq!(code, 0, "verify found differences:\n{out}\n{err}");
    serde_json::from_str(&out).unwrap()
}

/// A number from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A small generator: the same seed draws the same numbers.
pub struct Draw(pub u64);

impl Draw {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }
}
