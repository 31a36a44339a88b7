//! Two apps in one process, over one log and one store: nothing of one is the other's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Answer, Client, root};
use tidefold_app::App;
use tidefold_coordinator::{Coordinator, Options, Phase, ReplayOptions};
use tidefold_http::{Server, serve};
use tidefold_log::{MemoryLog, SharedLog};
use tidefold_log_embedded::EmbeddedLog;
use tidefold_store::SharedStore;
use tidefold_store::memory::MemoryStore;
use tidefold_store_embedded::EmbeddedStore;
use tidefold_telemetry::{Exposition, Supervisor, Telemetry};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What all apps of the process share.
struct Shared {
    log: SharedLog,
    store: SharedStore,
    telemetry: Telemetry,
}

/// One app, folded, written and read here.
struct Served {
    coordinator: Coordinator,
    http: String,
    client: Client,
    _server: JoinSet<()>,
}

// === impl Served ===

impl Served {
    async fn start(name: &str, shared: &Shared) -> Served {
        let files = tidefold::folder::read(&root().join("schemas").join(name), false).unwrap().0;
        let app = Arc::new(tidefold_app::load(files).unwrap());
        let coordinator = Coordinator::start(
            Arc::clone(&app),
            Arc::clone(&shared.log),
            Arc::clone(&shared.store),
            Supervisor::new(shared.telemetry.clone()),
            tokio::runtime::Handle::current(),
            Options::default(),
        );
        let coordinator = coordinator.await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = format!("http://{}", listener.local_addr().unwrap());
        let server = Server {
            name: "public",
            limits: Default::default(),
            admission: Default::default(),
            telemetry: shared.telemetry.clone(),
        };
        let routes = routes(&app, &coordinator, shared);
        let mut serving = JoinSet::new();
        serving.spawn(async {
            let _ = serve(listener, routes, CancellationToken::new(), server).await;
        });
        Served { coordinator, http, client: Client::new(), _server: serving }
    }

    async fn post(&self, path: &str, id: &str, body: Value) -> Answer {
        let headers = [("prefer", "wait=10"), ("idempotency-key", id)];
        self.client.post(&format!("{}/v1/{path}", self.http), &headers, &body).await.unwrap()
    }

    async fn get(&self, path: &str) -> Answer {
        self.client.get(&format!("{}/v1/{path}", self.http), &[]).await
    }
}

fn routes(app: &App, coordinator: &Coordinator, shared: &Shared) -> axum::Router {
    let written = tidefold_ingest::router(tidefold_ingest::Components {
        app: app.name.as_str().into(),
        log: Arc::clone(&shared.log),
        store: Arc::clone(&shared.store),
        control: coordinator.control(),
        refusals: None,
        telemetry: shared.telemetry.clone(),
        settings: Default::default(),
        clock: Arc::new(tidefold_telemetry::clock::now_micros),
    });
    let read = tidefold_query::Components {
        app: app.name.as_str().into(),
        store: Arc::clone(&shared.store),
        control: coordinator.control(),
        log: Some(Arc::clone(&shared.log)),
        halts: None,
        telemetry: shared.telemetry.clone(),
    };
    written.merge(tidefold_query::router(read, Default::default()))
}

async fn two_apps_are_folded_and_read(log: SharedLog, store: SharedStore) {
    let shared = Shared { log, store, telemetry: Telemetry::new() };
    let shop = Served::start("storefront", &shared).await;
    let meter = Served::start("metering", &shared).await;
    for n in 0..20 {
        let order = json!({ "order_id": format!("o-{n}"), "customer_id": "c-1", "currency": "EUR",
                            "total_cents": 5, "items": [] });
        // The same ids in both: they are no duplicates of each other.
        let id = format!("m-{n}");
        assert_eq!(shop.post("storefront/PlaceOrder", &id, order).await.body["outcome"], "applied");
        let metered = meter.post("metering/UsageRecorded", &id, usage("a-1")).await;
        assert_eq!(metered.body["outcome"], "applied", "{:?}", metered.body);
    }
    both_read(&shop, &meter).await;

    // One is built anew and rolled back while the other is read; then one ends and the other goes on.
    for mut build in shop.coordinator.replay(None, ReplayOptions::default()).await.unwrap() {
        assert!(matches!(build.finished().await, Phase::Done(_)));
    }
    assert_eq!(shop.coordinator.control_log().control().active("orders"), Some(2));
    let counted = shared.telemetry.encode(Exposition::Text).unwrap();
    let built = "tidefold_replay_progress_ratio{app=\"storefront\",topic=\"orders\",generation=\"2\"} 1";
    assert!(counted.lines().any(|line| line.starts_with(built)), "{counted}");
    assert_eq!(meter.coordinator.control_log().control().active("usage"), Some(1));
    both_read(&shop, &meter).await;
    shop.coordinator.quiesce("orders", Duration::from_secs(10)).await.unwrap();
    shop.coordinator.shutdown().await;
    let metered = meter.post("metering/UsageRecorded", "m-20", usage("a-2")).await;
    assert_eq!(metered.body["outcome"], "applied");
    meter.coordinator.shutdown().await;
}

fn usage(account: &str) -> Value {
    json!({ "account_id": account, "resource": "compute", "units": 2, "recorded_at": "2026-01-31T12:00:00Z",
            "caller_ip": "10.0.0.1", "failed": false })
}

async fn both_read(shop: &Served, meter: &Served) {
    let orders = shop.get("storefront/orders_by_customer?customer_id=c-1&limit=100").await;
    assert_eq!(orders.body["items"].as_array().map(Vec::len), Some(20), "{:?}", orders.body);
    let used = meter.get("metering/daily_usage?account_id=a-1").await;
    assert_eq!(used.body["items"][0]["units"], 40, "{:?}", used.body);
    // Neither knows the other's tables.
    assert_eq!(shop.get("metering/daily_usage?account_id=a-1").await.status, 404);
    assert_eq!(meter.get("storefront/orders/o-1").await.status, 404);
}

#[tokio::test]
async fn two_apps_over_one_memory_log_and_store_are_folded_and_read() {
    two_apps_are_folded_and_read(Arc::new(MemoryLog::new()), Arc::new(MemoryStore::new())).await;
}

#[tokio::test]
async fn two_apps_over_one_embedded_log_and_store_are_folded_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(folder.path().join("log"), Default::default()).unwrap();
    let store = EmbeddedStore::open(folder.path().join("store"), Default::default()).unwrap();
    two_apps_are_folded_and_read(Arc::new(log), Arc::new(store)).await;
}
