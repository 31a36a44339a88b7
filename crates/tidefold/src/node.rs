//! A node: everything in one process, wired together. The only place that knows which log and store there are.
//!
//! Two runtimes: the APIs answer on one while folding runs on the other, so that a long batch never keeps a request
//! waiting.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tidefold_app::App;
use tidefold_deployer::{Deployer, Options};
use tidefold_http::{Limits, Readiness, Server};
use tidefold_log::{ReadLimit, SharedLog};
use tidefold_log_embedded::EmbeddedLog;
use tidefold_store::SharedStore;
use tidefold_store_embedded::EmbeddedStore;
use tidefold_telemetry::Telemetry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::failure::{Code, Failure};
use crate::operate::{self, Operator};
use crate::settings::Settings;

/// A running node.
pub struct Node {
    /// Where the write and read APIs listen.
    pub http: SocketAddr,
    /// Where the operators' API listens.
    pub admin: SocketAddr,
    shutdown: CancellationToken,
    servers: Vec<JoinHandle<tidefold_http::Drained>>,
    operator: Arc<Operator>,
    _folding: Folding,
}

/// The runtime that folds. Dropped anywhere, it ends without waiting: a runtime must not be waited for on another one.
struct Folding(Option<tokio::runtime::Runtime>);

impl Drop for Folding {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The log and store of an app's data folder.
struct Backends {
    log: SharedLog,
    store: SharedStore,
}

impl Node {
    /// Opens the data folder, brings the app up and serves it. Ports are bound first, so that a second node says so
    /// before it touches anything.
    ///
    /// # Errors
    /// When a port is taken, the data folder is in use, damaged or another app's, or the definition has changed.
    pub async fn start(app: App, settings: &Settings) -> Result<Node, Failure> {
        let app = Arc::new(app);
        let public = bind(settings.http).await?;
        let admin = bind(settings.admin).await?;
        let telemetry = Telemetry::new();
        let readiness = Readiness::new();
        let folded = readiness.gate("projections");
        let backends = open(&app, settings)?;
        let folding = folding_runtime()?;
        let handle = folding
            .0
            .as_ref()
            .map_or_else(tokio::runtime::Handle::current, |runtime| runtime.handle().clone());
        let deployer = Deployer::start(
            Arc::clone(&app),
            Arc::clone(&backends.log),
            Arc::clone(&backends.store),
            telemetry.clone(),
            handle,
            options(settings),
        );
        let deployer = deployer.await.map_err(|error| Failure::from_error(Code::Conflict, &error))?;
        let operator = Arc::new(Operator::new(Arc::clone(&app), backends.log, backends.store, deployer));
        let routes = public_routes(&operator, &telemetry, settings);
        let admin_routes =
            tidefold_http::admin(readiness, telemetry.clone()).merge(operate::router(Arc::clone(&operator)));
        let shutdown = CancellationToken::new();
        let (http_address, admin_address) = (public.local_addr()?, admin.local_addr()?);
        let mut servers = Vec::new();
        for (name, listener, routes) in [("public", public, routes), ("admin", admin, admin_routes)] {
            let server = Server { name, limits: limits(settings), telemetry: telemetry.clone() };
            servers.push(serve(listener, routes, shutdown.clone(), server));
        }
        folded.open();
        Ok(Node { http: http_address, admin: admin_address, shutdown, servers, operator, _folding: folding })
    }

    /// Lets a projection stand still until what is returned is dropped; its log goes on growing.
    ///
    /// # Errors
    /// When the topic does not exist or does not come to a stand.
    pub async fn hold(&self, topic: &str) -> Result<tidefold_deployer::Still, Failure> {
        let limit = std::time::Duration::from_secs(30);
        Ok(self.operator.deployer().still(topic, limit).await?)
    }

    /// Stops accepting, answers what is open, finishes the batches in hand, closes the data folder.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        for server in self.servers.drain(..) {
            if let Ok(tidefold_http::Drained::Cut(open)) = server.await {
                tracing::warn!(open, "connections were cut at the end of the time allowed");
            }
        }
        match Arc::try_unwrap(self.operator) {
            Ok(operator) => operator.shutdown().await,
            Err(_) => tracing::warn!("an operation is still under way; it goes on at the next start"),
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let text = format!(
            "{address} cannot be listened on\n  because: {error}\nchoose another with --http or --admin"
        );
        Failure::new(Code::Conflict, text)
    })
}

fn open(app: &App, settings: &Settings) -> Result<Backends, Failure> {
    for (setting, url) in [("log.url", &settings.log_url), ("store.url", &settings.store_url)] {
        if url != "embedded" {
            let text = format!("{setting} = \"{url}\": only \"embedded\" is there so far");
            return Err(Failure::new(Code::Usage, text));
        }
    }
    let folder = settings.data_folder.join(&app.name);
    std::fs::create_dir_all(&folder).map_err(|error| {
        let text = format!("{} cannot be created\n  because: {error}", folder.display());
        Failure::new(Code::Failed, text)
    })?;
    let log = open_log(&folder, settings)?;
    // Rows say nothing of another log's records, even of the same app's.
    let owner = format!("app {}, log {}", app.name, log.id());
    let store = open_store(&folder, owner, settings)?;
    Ok(Backends { log: Arc::new(log), store: Arc::new(store) })
}

fn open_log(folder: &Path, settings: &Settings) -> Result<EmbeddedLog, Failure> {
    let of_log =
        tidefold_log_embedded::Settings { queue_bytes: settings.log_queue_bytes, ..Default::default() };
    EmbeddedLog::open(folder.join("log"), of_log).map_err(|error| Failure::from_error(Code::Conflict, &error))
}

fn open_store(folder: &Path, owner: String, settings: &Settings) -> Result<EmbeddedStore, Failure> {
    let of_store = tidefold_store_embedded::Settings {
        cache_bytes: settings.store_cache_bytes as u64,
        identity: Some(owner),
        ..Default::default()
    };
    EmbeddedStore::open(folder.join("store"), of_store)
        .map_err(|error| Failure::from_error(Code::Conflict, &error))
}

fn folding_runtime() -> Result<Folding, Failure> {
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("fold")
        .enable_all()
        .build()?;
    Ok(Folding(Some(runtime)))
}

fn options(settings: &Settings) -> Options {
    let mut options = Options::default();
    options.lanes.batch = ReadLimit { records: settings.batch_records, bytes: settings.batch_bytes };
    options.lanes.stalled_after = settings.stall;
    if !settings.breaker {
        options.lanes.breaker = None;
    }
    options.cache_bytes = settings.cache_bytes;
    options.batch_bytes = settings.memory_bytes;
    options.window = settings.window;
    options.drain = settings.drain;
    options
}

fn limits(settings: &Settings) -> Limits {
    Limits {
        body_bytes: settings.body_bytes,
        line_bytes: settings.line_bytes,
        body_stall: settings.body_stall,
        requests: settings.concurrent_requests,
        drain: settings.drain,
        ..Limits::default()
    }
}

fn public_routes(operator: &Operator, telemetry: &Telemetry, settings: &Settings) -> axum::Router {
    let control = operator.deployer().control();
    let write = tidefold_ingest::Components {
        app: Arc::clone(operator.app()),
        log: Arc::clone(operator.log()),
        store: Arc::clone(operator.store()),
        control: control.clone(),
        telemetry: telemetry.clone(),
        settings: tidefold_ingest::Settings { limits: limits(settings), ..Default::default() },
        clock: Arc::new(tidefold_telemetry::clock::now_micros),
    };
    let read = tidefold_query::Components {
        app: Arc::clone(operator.app()),
        store: Arc::clone(operator.store()),
        control,
        log: Some(Arc::clone(operator.log())),
    };
    tidefold_ingest::router(write).merge(tidefold_query::router(read, tidefold_query::Settings::default()))
}

fn serve(
    listener: TcpListener,
    routes: axum::Router,
    shutdown: CancellationToken,
    server: Server,
) -> JoinHandle<tidefold_http::Drained> {
    tokio::runtime::Handle::current().spawn(tidefold_http::serve(listener, routes, shutdown, server))
}
