//! An app of schemas/ behind a real socket. Its log is in memory; its tables are filled by folding the log in one piece.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test file uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tidefold_app::model::Projection;
use tidefold_app::{App, SourceFile, load};
use tidefold_codec::json_in::{JsonEncoder, JsonLimits};
use tidefold_control::{Control, Entry, Envelope, Manifest};
use tidefold_fold::whole::WholeFold;
use tidefold_fold::{FoldSettings, SchemaFate, TableSlot};
use tidefold_http::{Server, serve};
use tidefold_log::memory::MemoryLog;
use tidefold_log::{Log, ReadLimit, TopicSpec};
use tidefold_query::{Components, Settings, router};
use tidefold_record::headers::Known;
use tidefold_record::{
    BatchBuilder, HeadersBuilder, Offset, Partition, SchemaId, TopicName, frame, partition_of,
};
use tidefold_store::memory::MemoryStore;
use tidefold_store::{Lane, Store, Table, TableWrites};
use tidefold_table::checkpoint::digest;
use tidefold_table::{Checkpoint, GenerationTables, RowWrite, Stamp};
use tidefold_telemetry::Telemetry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// When every record was appended, and what `event_time()` says: 2026-01-31T12:00:00Z.
pub const APPENDED: &str = "2026-01-31T12:00:00Z";
const APPENDED_MICROS: i64 = 1_769_860_800_000_000;

pub struct Reader {
    pub address: SocketAddr,
    pub app: Arc<App>,
    pub log: MemoryLog,
    pub store: Arc<MemoryStore>,
    pub control: watch::Sender<Arc<Control>>,
    client: Client<HttpConnector, Body>,
    sent: Mutex<u64>,
    /// The index keys a partition has in a table, so that those that go are deleted.
    indexed: Mutex<BTreeMap<(String, u32), BTreeSet<Bytes>>>,
    /// Why topics' partitions are halted.
    pub halted: Arc<Mutex<BTreeMap<(String, u32), String>>>,
    pub telemetry: Telemetry,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

pub fn app(name: &str) -> App {
    patched(name, &[])
}

/// An app of schemas/ with pieces of its app.toml replaced.
pub fn patched(name: &str, patches: &[(&str, &str)]) -> App {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas").join(name);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let mut text = std::fs::read_to_string(&path).unwrap();
            if path.ends_with("app.toml") {
                for (find, replace) in patches {
                    assert!(text.contains(find), "{find} does not occur");
                    text = text.replacen(find, replace, 1);
                }
            }
            files.push(SourceFile { path: path.file_name().unwrap().to_str().unwrap().to_owned(), text });
        }
    }
    load(files).unwrap_or_else(|diagnostics| panic!("{:#?}", diagnostics.list))
}

fn put(control: &mut Control, entry: Entry) {
    let at = control.next();
    let json = Envelope { expects: at.0, entry }.to_json().unwrap();
    assert_eq!(control.apply(at, &json), tidefold_control::Outcome::Taken);
}

/// Few waits, short ones.
pub fn impatient() -> Settings {
    Settings { patience: Duration::from_millis(30), ..Settings::default() }
}

impl Reader {
    pub async fn open(app: &str) -> Reader {
        Reader::with(app, Settings::default(), true).await
    }

    /// `built`: generation 1 of every topic is active.
    pub async fn with(name: &str, settings: Settings, built: bool) -> Reader {
        Reader::of(app(name), settings, built).await
    }

    #[expect(clippy::disallowed_methods, reason = "a test's server ends with its runtime")]
    pub async fn of(app: App, settings: Settings, built: bool) -> Reader {
        let app = Arc::new(app);
        let (log, store) = (MemoryLog::new(), Arc::new(MemoryStore::new()));
        for projection in &app.projections {
            let (name, partitions) = (projection.log_topic(), projection.topic.partitions);
            let spec = TopicSpec { name, partitions, create: true };
            log.open(&spec).await.unwrap();
        }
        let (telemetry, halted) =
            (Telemetry::new(), Arc::<Mutex<BTreeMap<(String, u32), String>>>::default());
        let (control, receiver) = watch::channel(Arc::new(Control::default()));
        let routes = router(
            Components {
                app: app.name.as_str().into(),
                store: Arc::clone(&store) as Arc<dyn Store>,
                control: receiver,
                log: Some(Arc::new(log.clone())),
                halts: Some(Arc::new({
                    let halted = Arc::clone(&halted);
                    move |topic, _, partition| {
                        halted.lock().unwrap().get(&(topic.to_owned(), partition.0)).cloned()
                    }
                })),
                telemetry: telemetry.clone(),
            },
            settings,
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server {
            name: "test",
            limits: Default::default(),
            admission: Default::default(),
            telemetry: telemetry.clone(),
        };
        tokio::spawn(serve(listener, routes, CancellationToken::new(), server));
        let client = Client::builder(TokioExecutor::new()).build_http();
        let (sent, indexed) = (Mutex::new(0), Mutex::default());
        let reader = Reader { address, app, log, store, control, client, sent, indexed, halted, telemetry };
        reader.define(&reader.app);
        if built {
            for topic in reader.topics() {
                reader.build(&topic, 1).await;
                reader.activate(&topic, 1);
            }
        }
        reader
    }

    pub fn projection(&self, topic: &str) -> &Arc<Projection> {
        self.app.projection(topic).unwrap()
    }

    pub fn topics(&self) -> Vec<String> {
        self.app.projections.iter().map(|projection| projection.name().to_owned()).collect()
    }

    /// Another definition, which generations are built from from now on.
    pub fn define(&self, app: &App) {
        self.say(Entry::defined(app));
    }

    /// The definition in force of a topic, and what a manifest calls it.
    fn in_force(&self, topic: &str) -> (Arc<Projection>, String) {
        let control = self.control.borrow();
        let definition = control.definition().unwrap();
        (Arc::clone(definition.projection(topic).unwrap()), definition.name_of(topic).to_owned())
    }

    /// What a generation was built from.
    fn built_from(&self, topic: &str, generation: u32) -> Arc<Projection> {
        Arc::clone(self.control.borrow().built_from(topic, generation).unwrap())
    }

    /// Opens a generation's tables and says so in control.
    pub async fn build(&self, topic: &str, generation: u32) {
        let (projection, definition) = self.in_force(topic);
        let tables = projection.tables(generation);
        let tables: Vec<Table> =
            tables.all().map(|t| Table { id: t.id.clone(), layout: Arc::clone(&t.layout) }).collect();
        self.store.open(&tables).await.unwrap();
        let manifest = Manifest {
            definition,
            cluster: "c".into(),
            incarnation: "i".into(),
            partitions: self.projection(topic).topic.partitions,
            partitioner: "murmur2".into(),
            semantics: 1,
            window: 100,
            verdicts_of: None,
        };
        self.say(Entry::Building { topic: topic.to_owned(), generation, manifest });
    }

    pub fn activate(&self, topic: &str, generation: u32) {
        self.say(Entry::Activated { topic: topic.to_owned(), generation });
    }

    fn say(&self, entry: Entry) {
        self.control.send_modify(|control| put(Arc::make_mut(control), entry));
    }

    pub fn tables(&self, topic: &str, generation: u32) -> GenerationTables {
        self.built_from(topic, generation).tables(generation)
    }

    /// Appends a message; returns its position as a caller sees it.
    pub async fn send(&self, message: &str, json: &Value) -> String {
        self.send_at(message, APPENDED, json).await
    }

    pub async fn send_at(&self, message: &str, time: &str, json: &Value) -> String {
        let id = self.app.messages().position(|m| m.name == message).expect("a message of the app");
        let (projection, place) = self.app.message(message).unwrap();
        let topic = &projection.topic;
        let found = &topic.messages[place];
        let limits = JsonLimits { depth: 32, violations: 10 };
        let encoder = JsonEncoder::new(Arc::clone(&found.record), found.key.clone(), limits);
        let (mut value, mut datum, mut key) = (Vec::new(), Vec::new(), Vec::new());
        encoder.encode(json.to_string().as_bytes(), &mut datum, &mut key).expect("a valid message");
        frame(SchemaId(id as u32), &mut value);
        value.extend_from_slice(&datum);
        let ce_id = {
            let mut sent = self.sent.lock().unwrap();
            *sent += 1;
            format!("m-{sent}")
        };
        let mut headers = HeadersBuilder::new();
        headers.push(Known::CeId, ce_id.as_bytes());
        headers.push(Known::CeSource, b"/test");
        headers.push(Known::CeType, message.as_bytes());
        headers.push(Known::CeTime, time.as_bytes());
        headers.push(Known::AppendTime, APPENDED.as_bytes());
        let mut batch = BatchBuilder::new();
        batch.push(Some(&key), Some(&value), headers.as_headers());
        let partition = partition_of(&key, topic.partitions);
        let name = projection.log_topic();
        self.log.append(&name, partition, batch).await.unwrap();
        let end = self.log.bounds(&name, partition).await.unwrap().end;
        format!("{}:{}:{}", topic.name, partition.0, end.0 - 1)
    }

    /// Folds all of every topic into generation 1.
    pub async fn fold(&self) {
        for topic in self.topics() {
            self.fold_into(&topic, 1).await;
        }
    }

    /// Folds all of a topic into a generation.
    pub async fn fold_into(&self, topic: &str, generation: u32) {
        for partition in 0..self.projection(topic).topic.partitions {
            self.fold_partition(topic, generation, partition).await;
        }
    }

    async fn fold_partition(&self, topic: &str, generation: u32, partition: u32) {
        let projection = self.built_from(topic, generation);
        let at = Partition(partition);
        let settings = FoldSettings { window: 100 };
        let mut whole = WholeFold::new(Arc::clone(&projection), at, settings);
        let schemas: Vec<_> = self.app.messages().collect();
        let fate = |id: SchemaId| match schemas.get(id.0 as usize) {
            Some(message) => SchemaFate::Registered(message.schema_json.clone().into()),
            None => SchemaFate::Refused,
        };
        let name = projection.log_topic();
        loop {
            let limit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
            let batch = self.log.read(&name, at, whole.next_offset(), limit).await.unwrap();
            if batch.is_empty() {
                break;
            }
            whole.fold(&batch, None, fate).unwrap();
        }
        if whole.next_offset() == Offset::ZERO {
            return;
        }
        let tables = self.tables(topic, generation);
        let last = Offset(whole.next_offset().0 - 1);
        let mut writes = Vec::new();
        let slots = tables.views.iter().enumerate().map(|(view, table)| (TableSlot::View(view), table));
        for (slot, table) in slots.chain(tables.entity.iter().map(|table| (TableSlot::Entity, table))) {
            let mut rows: Vec<RowWrite> = whole
                .rows(slot)
                .into_iter()
                .map(|(key, value)| RowWrite { key, value: Some(value), stamp: Stamp::put(last) })
                .collect();
            let keys: BTreeSet<Bytes> = rows.iter().map(|row| row.key.clone()).collect();
            let known = (table.id.to_string(), partition);
            let before = self.indexed.lock().unwrap().insert(known, keys.clone()).unwrap_or_default();
            let gone = before.difference(&keys).cloned();
            rows.extend(gone.map(|key| RowWrite { key, value: None, stamp: Stamp::put(last) }));
            writes.push(TableWrites { table: table.id.clone(), rows });
        }
        let lane = Lane { checkpoints: tables.checkpoints.id, partition };
        self.store.write(&lane, &writes).await.unwrap();
        self.checkpoint(topic, generation, partition, whole.next_offset().0).await;
    }

    /// Writes a checkpoint alone.
    pub async fn checkpoint(&self, topic: &str, generation: u32, partition: u32, next: u64) {
        let table = self.tables(topic, generation).checkpoints.id;
        let lane = Lane { checkpoints: table.clone(), partition };
        // Where no record stands, it is a checkpoint of another log.
        let last = Offset(next - 1);
        let limit = ReadLimit { records: 1, bytes: 1 };
        let name = TopicName::new(topic).in_app(&self.app.name);
        let read = self.log.read(&name, Partition(partition), last, limit).await.ok();
        let digest = read.and_then(|batch| batch.get(last).map(|record| digest(&record))).unwrap_or(1);
        let next = Offset(next);
        let checkpoint = Checkpoint { next, last, digest, appended_at_micros: APPENDED_MICROS };
        let row = RowWrite {
            key: Bytes::copy_from_slice(&partition.to_be_bytes()),
            value: Some(Bytes::copy_from_slice(&checkpoint.encode())),
            stamp: Stamp::put(next),
        };
        self.store.write(&lane, &[TableWrites { table, rows: vec![row] }]).await.unwrap();
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.client.request(request.body(Body::empty()).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    /// The rows of a list that fits one page.
    pub async fn items(&self, path: &str) -> Vec<Value> {
        let list = self.get(path).await.ok();
        assert_eq!(list["next_cursor"], Value::Null, "{path} has more than one page");
        list["items"].as_array().unwrap().clone()
    }

    /// The rows of all pages, and how many rows each had.
    pub async fn pages(&self, path: &str) -> (Vec<Value>, Vec<usize>) {
        let (mut rows, mut sizes, mut next) = (Vec::new(), Vec::new(), path.to_owned());
        loop {
            let answer = self.get(&next).await;
            let list = answer.ok();
            let items = list["items"].as_array().unwrap();
            sizes.push(items.len());
            rows.extend(items.clone());
            let Some(cursor) = list["next_cursor"].as_str() else {
                assert_eq!(answer.header("link"), None);
                return (rows, sizes);
            };
            let link = answer.header("link").unwrap();
            next = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
            assert!(next.contains(cursor));
            assert!(sizes.len() < 10_000, "paging does not end");
        }
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&self.body)))
    }

    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks that this is a problem of a kind, and returns it.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let json = self.json();
        assert_eq!((self.status.as_u16(), json["code"].as_str()), (status, Some(code)), "{json:#}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        json
    }

    /// The (parameter, code) of every mistake.
    pub fn mistakes(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| (text(&error["parameter"]), text(&error["code"]))).collect()
    }
}
