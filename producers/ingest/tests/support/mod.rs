//! A small shop behind a real socket, on a log and a store in memory.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tidefold_app::model::Projection;
use tidefold_app::{App, SourceFile, load};
use tidefold_control::{Control, Entry, Envelope, Manifest};
use tidefold_http::{Server, serve};
use tidefold_ingest::{Components, Settings, router};
use tidefold_log::memory::MemoryLog;
use tidefold_log::{Bounds, Log, ReadLimit, SharedLog, TopicSpec};
use tidefold_record::headers::{HeadersBuilder, Known};
use tidefold_record::{BatchBuilder, Offset, Partition, SchemaId, TopicName, unframe};
use tidefold_store::memory::MemoryStore;
use tidefold_store::{Lane, Store, Table, TableWrites};
use tidefold_table::checkpoint::digest;
use tidefold_table::verdict;
use tidefold_table::{Checkpoint, RowWrite, Stamp, Verdict};
use tidefold_telemetry::Telemetry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const APP: &str = r#"
app = "shop"

[topics.orders]
key = ["order_id"]
partitions = 4
commands = ["PlaceOrder", "PayOrder"]
events = []

[topics.clicks]
key = ["page"]
partitions = 2
commands = []
events = ["Clicked"]

[entities.orders]
topic = "orders"
[entities.orders.columns]
total_cents = "long"
paid = "boolean"

[entities.orders.on.PlaceOrder]
when = "absent"
set = "total_cents = msg.total_cents, paid = FALSE"

[entities.orders.on.PayOrder]
require.paid_before = "NOT state.paid"
set = "paid = TRUE"

[views.clicks_by_page]
sql = "SELECT c.page AS page, count(*) AS clicks FROM Clicked AS c GROUP BY 1"
partition_key = ["page"]
"#;

const SCHEMAS: [(&str, &str); 4] = [
    (
        "Item.avsc",
        r#"{"type":"record","name":"Item","fields":[{"name":"sku","type":"string"},{"name":"qty","type":"int"}]}"#,
    ),
    (
        "PlaceOrder.avsc",
        r#"{"type":"record","name":"PlaceOrder","fields":[{"name":"order_id","type":"string"},
           {"name":"total_cents","type":"long"},{"name":"weight","type":["null","double"],"default":null},
           {"name":"items","type":{"type":"array","items":"Item"},"default":[]}]}"#,
    ),
    (
        "PayOrder.avsc",
        r#"{"type":"record","name":"PayOrder","fields":[{"name":"order_id","type":"string"}]}"#,
    ),
    ("Clicked.avsc", r#"{"type":"record","name":"Clicked","fields":[{"name":"page","type":"string"}]}"#),
];

/// 2026-01-31T12:00:00Z: what the test's clock says.
pub const NOW_MICROS: i64 = 1_769_860_800_000_000;

pub struct Shop {
    pub address: SocketAddr,
    pub app: Arc<App>,
    pub log: MemoryLog,
    pub store: Arc<MemoryStore>,
    pub telemetry: Telemetry,
    pub control: watch::Sender<Arc<Control>>,
    /// Topics whose halts are known in the process, and why.
    pub refused: Arc<Mutex<BTreeMap<String, String>>>,
    client: Client<HttpConnector, Body>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub offset: u64,
    pub key: String,
    pub schema: SchemaId,
    pub datum: Vec<u8>,
    pub headers: Vec<(String, String)>,
}

pub fn app() -> App {
    changed(|_, text| text)
}

/// The app with its files changed, by path.
pub fn changed(change: impl Fn(&str, String) -> String) -> App {
    let file = |path: &str, text: &str| SourceFile { path: path.into(), text: change(path, text.into()) };
    let mut files = vec![file("app.toml", APP)];
    files.extend(SCHEMAS.map(|(path, text)| file(path, text)));
    load(files).unwrap_or_else(|diagnostics| panic!("{:#?}", diagnostics.list))
}

/// Control once every schema is registered and generation 1 of every projection is active.
pub fn control(app: &App) -> Control {
    let mut control = Control::default();
    let mut schemas: Vec<_> = app.messages().map(|m| &m.schema_json).collect();
    schemas.sort();
    put(&mut control, Entry::defined(app));
    for (n, schema) in schemas.into_iter().enumerate() {
        let id = SchemaId(100 + n as u32);
        put(&mut control, Entry::SchemaRegistered { id, schema: schema.clone() });
    }
    for projection in &app.projections {
        put(&mut control, building(projection, 1));
        put(&mut control, Entry::Activated { topic: projection.name().to_owned(), generation: 1 });
    }
    control
}

/// One entry more.
pub fn put(control: &mut Control, entry: Entry) {
    let at = control.next();
    let json = Envelope { expects: at.0, entry }.to_json().unwrap();
    assert_eq!(control.apply(at, &json), tidefold_control::Outcome::Taken);
}

/// A generation of a projection.
pub fn building(projection: &Projection, generation: u32) -> Entry {
    let manifest = Manifest {
        definition: projection.hash.to_string(),
        cluster: "c".into(),
        incarnation: "i".into(),
        partitions: projection.topic.partitions,
        partitioner: "murmur2".into(),
        semantics: 1,
        window: 10,
        verdicts_of: None,
    };
    Entry::Building { topic: projection.name().to_owned(), generation, manifest }
}

impl Shop {
    pub async fn open() -> Shop {
        Shop::with(Settings::default()).await
    }

    pub async fn with(settings: Settings) -> Shop {
        let log = MemoryLog::new();
        Shop::on(settings, log.clone(), Arc::new(log)).await
    }

    /// On a log that stands before the memory log.
    #[expect(clippy::disallowed_methods, reason = "a test's server ends with its runtime")]
    pub async fn on(settings: Settings, log: MemoryLog, front: SharedLog) -> Shop {
        let app = Arc::new(app());
        let store = Arc::new(MemoryStore::new());
        for projection in &app.projections {
            let (name, partitions) = (projection.log_topic(), projection.topic.partitions);
            let spec = TopicSpec { name, partitions, create: true };
            log.open(&spec).await.unwrap();
            let tables = projection.tables(1);
            let tables: Vec<Table> =
                tables.all().map(|t| Table { id: t.id.clone(), layout: Arc::clone(&t.layout) }).collect();
            store.open(&tables).await.unwrap();
        }
        let (sender, receiver) = watch::channel(Arc::new(control(&app)));
        let telemetry = Telemetry::new();
        let refused = Arc::<Mutex<BTreeMap<String, String>>>::default();
        let routes = router(Components {
            app: app.name.as_str().into(),
            log: front,
            store: Arc::clone(&store) as Arc<dyn Store>,
            control: receiver,
            refusals: Some(Arc::new({
                let refused = Arc::clone(&refused);
                move |topic, _| refused.lock().unwrap().get(topic).cloned()
            })),
            telemetry: telemetry.clone(),
            settings,
            clock: Arc::new(|| NOW_MICROS),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server {
            name: "test",
            limits: settings.limits,
            admission: Default::default(),
            telemetry: telemetry.clone(),
        };
        tokio::spawn(serve(listener, routes, CancellationToken::new(), server));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Shop { address, app, log, store, telemetry, control: sender, refused, client }
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Body) -> Answer {
        let response = self.start(method, path, headers, body).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    /// The answer's head, with its body to come.
    pub async fn start(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> axum::http::Response<hyper::body::Incoming> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.client.request(request.body(body).unwrap()).await.unwrap()
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut all = vec![("content-type", "application/json")];
        all.extend(headers);
        self.send(Method::POST, path, &all, body.into()).await
    }

    pub async fn stream(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut all = vec![("content-type", "application/x-ndjson")];
        all.extend(headers);
        self.send(Method::POST, path, &all, body.into()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], Body::empty()).await
    }

    pub async fn bounds(&self, topic: &str, partition: u32) -> Bounds {
        self.log.bounds(&TopicName::new(topic).in_app("shop"), Partition(partition)).await.unwrap()
    }

    /// The records of a partition.
    pub async fn records(&self, topic: &str, partition: u32) -> Vec<Found> {
        let limit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
        let name = TopicName::new(topic).in_app("shop");
        let mut found = Vec::new();
        let mut from = Offset::ZERO;
        loop {
            let batch = self.log.read(&name, Partition(partition), from, limit).await.unwrap();
            if batch.is_empty() {
                return found;
            }
            found.extend(batch.iter().map(|record| {
                let (schema, datum) = unframe(record.value.unwrap()).unwrap();
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                Found {
                    offset: record.offset.0,
                    key: text(record.key.unwrap()),
                    schema,
                    datum: datum.to_vec(),
                    headers: record.headers.iter().map(|(n, v)| (n.as_str().to_owned(), text(v))).collect(),
                }
            }));
            from = batch.next_offset();
        }
    }

    /// All records of a topic, partition by partition.
    pub async fn all_records(&self, topic: &str) -> Vec<Found> {
        let partitions = self.app.projection(topic).unwrap().topic.partitions;
        let mut found = Vec::new();
        for partition in 0..partitions {
            found.extend(self.records(topic, partition).await);
        }
        found
    }

    /// Appends records of somebody else, with no headers but an id where one is given.
    pub async fn append(&self, topic: &str, partition: u32, ids: &[Option<&str>]) {
        let mut batch = BatchBuilder::new();
        for id in ids {
            let mut headers = HeadersBuilder::new();
            if let Some(id) = id {
                headers.push(Known::CeId, id.as_bytes());
            }
            batch.push(Some(b"o-1"), Some(b"x"), headers.as_headers());
        }
        self.log.append(&TopicName::new(topic).in_app("shop"), Partition(partition), batch).await.unwrap();
    }

    /// What a lane would write that has read the log up to `next`; where the log does not reach there, what one has written
    /// that read another log.
    async fn checkpoint(&self, topic: &str, partition: u32, next: u64) -> Checkpoint {
        let name = TopicName::new(topic).in_app("shop");
        let mut checkpoint = Checkpoint { next: Offset(next), last: Offset(next), ..Checkpoint::START };
        if self.bounds(topic, partition).await.end < Offset(next) {
            return Checkpoint { last: Offset(next - 1), digest: 1, ..checkpoint };
        }
        let limit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
        let mut from = Offset::ZERO;
        while from < Offset(next) {
            let batch =
                self.log.read(&name, Partition(partition), from, limit).await.unwrap().before(Offset(next));
            if let Some(last) = batch.iter().next_back() {
                (checkpoint.last, checkpoint.digest) = (last.offset, digest(&last));
            }
            from = batch.next_offset();
        }
        checkpoint
    }

    /// Writes a checkpoint and verdicts, as a projector would.
    pub async fn fold(&self, topic: &str, partition: u32, next: u64, verdicts: &[(u64, Verdict)]) {
        let tables = self.app.projection(topic).unwrap().tables(1);
        let lane = Lane { checkpoints: tables.checkpoints.id.clone(), partition };
        let rows = verdicts
            .iter()
            .map(|(offset, verdict)| {
                let mut value = Vec::new();
                verdict.encode(&mut value);
                row(
                    &verdict::Key { partition: Partition(partition), offset: Offset(*offset) }.encode(),
                    value,
                    *offset,
                )
            })
            .collect();
        let checkpoint = self.checkpoint(topic, partition, next).await;
        let checkpoint = row(&partition.to_be_bytes(), checkpoint.encode().to_vec(), next);
        for (table, rows) in [(tables.verdicts.id, rows), (tables.checkpoints.id, vec![checkpoint])] {
            self.store.write(&lane, &[TableWrites { table, rows }]).await.unwrap();
        }
    }
}

fn row(key: &[u8], value: Vec<u8>, offset: u64) -> RowWrite {
    RowWrite {
        key: Bytes::copy_from_slice(key),
        value: Some(value.into()),
        stamp: Stamp::put(Offset(offset)),
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn lines(&self) -> Vec<Value> {
        let text = std::str::from_utf8(&self.body).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
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
        assert_eq!(json["status"], status);
        json
    }
}

/// The (pointer, code) of every mistake in a problem.
pub fn mistakes(problem: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    errors.iter().map(|error| (text(&error["pointer"]), text(&error["code"]))).collect()
}

/// The value of a header of a record.
pub fn header(found: &Found, name: Known) -> Option<&str> {
    found.headers.iter().find(|(n, _)| n == name.as_str()).map(|(_, v)| v.as_str())
}

/// Settings with little patience.
pub fn impatient() -> Settings {
    let mut settings = Settings::default();
    settings.limits.body_stall = Duration::from_millis(40);
    settings.full_patience = Duration::ZERO;
    settings
}
