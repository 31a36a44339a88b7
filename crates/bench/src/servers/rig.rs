//! An app under a name of its own, `tidefold` processes, and what they answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::Value;
use tempfile::TempDir;
use tidefold_telemetry::clock;

use super::orders::SCHEMA;
use super::places::{Addresses, PARTITIONS, connect, keyspace};
use crate::child::Server;
use crate::figure::Failed;

/// Where an app is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Commands with guards, three views.
    Storefront,
    /// Events that say what an order is now: state, an index, a rollup.
    Changes,
}

/// An app of this run alone. Its topics and its keyspace go when it is dropped.
pub(super) struct Rig {
    /// The app's name, which its topics and its keyspace carry.
    pub(super) name: String,
    addresses: Addresses,
    folder: TempDir,
}

/// A `tidefold` process; killed when dropped.
pub(super) struct Node {
    /// The process; its address is the public one, empty where it has none.
    pub(super) server: Server,
    admin: String,
}

/// How far a projector is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// The next offsets to fold, summed over all partitions.
    pub(super) next: u64,
    /// Records that were applied by this process.
    pub(super) applied: u64,
}

/// A connection that asks and reads the whole answer.
pub(super) struct Caller {
    stream: BufReader<TcpStream>,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// How long a process may take to come up.
const START: Duration = Duration::from_secs(60);

// === impl Rig ===

impl Rig {
    /// A copy of an app under a new name.
    pub(super) fn new(addresses: &Addresses, source: Source, part: &str) -> Result<Rig, Failed> {
        let name = format!("bench_{part}_{}", clock::now_micros() / 1_000 % 1_000_000_000);
        let folder = tempfile::tempdir()?;
        let renamed =
            |text: &str, was: &str| text.replace(&format!("app = \"{was}\""), &format!("app = \"{name}\""));
        let app = folder.path().join("app");
        std::fs::create_dir(&app)?;
        match source {
            Source::Storefront => {
                for entry in std::fs::read_dir(crate::child::storefront())? {
                    let path = entry?.path();
                    if let (true, Some(file)) = (path.is_file(), path.file_name()) {
                        std::fs::write(
                            app.join(file),
                            renamed(&std::fs::read_to_string(&path)?, "storefront"),
                        )?;
                    }
                }
            }
            Source::Changes => {
                std::fs::write(app.join("app.toml"), renamed(include_str!("app.toml"), "changes"))?;
                std::fs::write(app.join("OrderChanged.avsc"), SCHEMA)?;
            }
        }
        Ok(Rig { name, addresses: addresses.clone(), folder })
    }

    /// The topic that the app's messages are in.
    pub(super) fn topic(&self) -> String {
        format!("{}.orders", self.name)
    }

    /// A part of a fleet on Kafka and CQL.
    pub(super) fn start(&self, role: &str) -> Result<Node, Failed> {
        self.spawn(role, &format!("scylla://{}", self.addresses.cql))
    }

    /// Everything in one process on Kafka and the embedded store.
    pub(super) fn start_embedded(&self) -> Result<Node, Failed> {
        self.spawn("up", "embedded")
    }

    fn spawn(&self, role: &str, store: &str) -> Result<Node, Failed> {
        let kafka = format!("kafka://{}", self.addresses.kafka);
        let binary = std::env::var_os("TIDEFOLD_BIN").filter(|path| !path.is_empty());
        let mut command = match &binary {
            Some(path) => Command::new(path),
            // This program has the same commands.
            None => Command::new(std::env::current_exe()?),
        };
        if binary.is_none() {
            command.arg("tidefold");
        }
        command.arg(role).arg(self.folder.path().join("app"));
        command.args(["--log", &kafka, "--store", store, "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        command.arg("--data").arg(self.folder.path().join("data"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let errors = child.stderr.take().ok_or("no standard error")?;
        let mut server = Server::of(child, String::new());
        let (told, lines) = channel();
        std::thread::Builder::new().spawn(move || report(errors, &told))?;
        let (http, admin) = up(&lines).map_err(|text| format!("tidefold {role}: {text}"))?;
        server.address = http;
        Ok(Node { server, admin })
    }

    /// Makes a topic with as many partitions as the app's.
    pub(super) fn make_topic(&self, topic: &str) -> Result<(), Failed> {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.addresses.kafka).create()?;
        let new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
        for made in runtime()?.block_on(admin.create_topics(&[new], &AdminOptions::new()))? {
            made.map_err(|(topic, code)| format!("{topic}: {code}"))?;
        }
        Ok(())
    }

    fn clear(&self) -> Result<(), Failed> {
        let topics = ["orders", "control", "bare"].map(|topic| format!("{}.{topic}", self.name));
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        runtime()?.block_on(async {
            let admin: AdminClient<DefaultClientContext> =
                ClientConfig::new().set("bootstrap.servers", &self.addresses.kafka).create()?;
            admin.delete_topics(&topics, &AdminOptions::new()).await?;
            let session = connect(&self.addresses.cql).await?;
            for keyspace in [self.name.clone(), keyspace(&self.name)] {
                session.query_unpaged(format!("DROP KEYSPACE IF EXISTS \"{keyspace}\""), ()).await?;
            }
            Ok(())
        })
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            let _ =
                writeln!(std::io::stderr().lock(), "what {} left on the servers stays: {error}", self.name);
        }
    }
}

/// A runtime for the drivers' administrative calls.
pub(super) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()
}

/// Waits on this thread.
pub(super) fn pause(time: Duration) {
    let since = clock::instant();
    while since.elapsed() < time {
        std::thread::park_timeout(time.saturating_sub(since.elapsed()));
    }
}

/// Passes on what a process says until it ends.
fn report(errors: impl Read, told: &Sender<String>) {
    for line in BufReader::new(errors).lines().map_while(Result::ok) {
        // Once it is up nobody listens, and its pipe must not fill.
        let _ = told.send(line);
    }
}

/// The addresses of a process that says it is up: public (or empty) and admin.
fn up(lines: &Receiver<String>) -> Result<(String, String), String> {
    let since = clock::instant();
    let mut said = Vec::new();
    loop {
        let left = START.saturating_sub(since.elapsed());
        let Ok(line) = lines.recv_timeout(left) else {
            return Err(format!("did not come up: {}", said.join(" | ")));
        };
        let address = |after: &str| {
            let rest = line.split(after).nth(1)?;
            Some(rest.split([' ', ')']).next()?.to_owned())
        };
        if let Some(admin) = address("(operators: http://") {
            return Ok((address("is up: http://").unwrap_or_default(), admin));
        }
        said.push(line);
    }
}

// === impl Node ===

impl Node {
    /// How far it is.
    pub(super) fn progress(&self) -> Result<Progress, Failed> {
        let answer = Caller::connect(&self.admin)?.get("/admin/v1/status", "")?;
        let status: Value = serde_json::from_slice(&answer.body)?;
        let mut progress = Progress::default();
        for generation in status["generations"].as_array().into_iter().flatten() {
            if let Some(halted) = generation["halted"].as_str() {
                return Err(halted.to_owned().into());
            }
            progress.applied += generation["verdicts"]["applied"].as_u64().unwrap_or(0);
            for partition in generation["partitions"].as_array().into_iter().flatten() {
                progress.next += partition["next"].as_u64().unwrap_or(0);
                let state = partition["state"].as_str().unwrap_or_default();
                if state.starts_with("halted") {
                    return Err(state.to_owned().into());
                }
            }
        }
        Ok(progress)
    }

    /// The mean of a histogram, and of how many, over all its series with a label.
    pub(super) fn mean(&self, histogram: &str, label: &str) -> Result<(f64, f64), Failed> {
        let answer = Caller::connect(&self.admin)?.get("/metrics", "")?;
        let text = String::from_utf8_lossy(&answer.body);
        let total = |of: &str| -> f64 {
            let name = format!("{histogram}_{of}");
            let meant = text.lines().filter(|line| line.starts_with(&name) && line.contains(label));
            meant.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        let count = total("count");
        Ok((total("sum") / count.max(1.0), count))
    }

    /// Waits until it is so far; how far it was when that, or the limit, came.
    pub(super) fn wait(
        &self,
        limit: Duration,
        so_far: impl Fn(&Progress) -> bool,
    ) -> Result<(Progress, Instant), Failed> {
        let since = clock::instant();
        loop {
            let progress = self.progress()?;
            if so_far(&progress) || since.elapsed() > limit {
                return Ok((progress, clock::instant()));
            }
            pause(Duration::from_millis(20));
        }
    }

    /// Ends it as an operator would, and waits.
    pub(super) fn end(mut self) -> Result<(), Failed> {
        self.server.terminate()?;
        Ok(())
    }
}

// === impl Caller ===

impl Caller {
    /// To a server.
    pub(super) fn connect(address: &str) -> std::io::Result<Caller> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Caller { stream: BufReader::new(stream) })
    }

    /// GET, with header lines. The admin port answers no host but its own.
    pub(super) fn get(&mut self, path: &str, headers: &str) -> std::io::Result<Answer> {
        self.ask(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n").as_bytes())
    }

    /// Any request.
    pub(super) fn ask(&mut self, request: &[u8]) -> std::io::Result<Answer> {
        self.stream.get_mut().write_all(request)?;
        let (mut status, mut length, mut chunked) = (0, 0, false);
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0);
            } else if let Some(rest) = line.strip_prefix("content-length: ") {
                length = rest.parse().unwrap_or(0);
            } else if line.starts_with("transfer-encoding: chunked") {
                chunked = true;
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        while chunked {
            let mut size = String::new();
            self.stream.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim(), 16).map_err(std::io::Error::other)?;
            let mut piece = vec![0; size + 2];
            self.stream.read_exact(&mut piece)?;
            body.extend_from_slice(piece.get(..size).unwrap_or_default());
            chunked = size > 0;
        }
        Ok(Answer { status, body })
    }
}

/// Runs this program with other words to its end: the numbers it printed.
pub(super) fn numbers(words: &[&str]) -> Result<Vec<f64>, Failed> {
    let output = Command::new(std::env::current_exe()?).args(words).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    if !output.status.success() || numbers.is_empty() {
        return Err(format!("{} ended with {}: {text}", words.join(" "), output.status).into());
    }
    Ok(numbers)
}

/// A server of this program's, waited for.
pub(super) fn serve(words: &[&str]) -> Result<Server, Failed> {
    let server = Server::start(words)?;
    if server.address.is_empty() {
        Err(format!("{} did not start", words.join(" ")).into())
    } else {
        Ok(server)
    }
}
