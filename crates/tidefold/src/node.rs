//! A node: the parts of Tidefold that one process runs, wired together.
//!
//! Two runtimes: the APIs answer on one while folding runs on the other, so that a long batch never keeps a request
//! waiting.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::routing::get;
use tidefold_app::App;
use tidefold_control::Control;
use tidefold_control_log::{ControlCopy, ControlLogError, Waiting, introduce};
use tidefold_coordinator::{Coordinator, Options};
use tidefold_http::paths::{OUTCOME, Port, Service};
use tidefold_http::{Gate, Limits, Problem, ProblemKind, Readiness};
use tidefold_log::ReadLimit;
use tidefold_telemetry::{Supervised, Supervisor, Telemetry};
use tokio::sync::watch;

use crate::backend::{self, Backends};
use crate::failure::{Code, Failure};
use crate::following::Opened;
use crate::operate::{self, Operator};
use crate::ports::Ports;
use crate::settings::Settings;

/// The release.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The revision of the sources, where the build was told.
pub const REVISION: &str = match option_env!("TIDEFOLD_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Which parts a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// All of them.
    Everything,
    /// The write API.
    Ingest,
    /// Folding, and the operators' API.
    Project,
    /// The read API.
    Query,
}

/// A running node.
pub struct Node {
    /// Where the write and read APIs listen, if this node has them.
    pub http: Option<SocketAddr>,
    /// Where the operators' API listens.
    pub admin: SocketAddr,
    ports: Ports,
    control: ControlSource,
    /// Counts dead letters, where this node folds.
    dead_letters: Option<Supervised>,
    supervisor: Supervisor,
    /// Open until the node stops.
    staying: Gate,
    _folding: Option<Folding>,
}

/// Where a node learns what control says.
enum ControlSource {
    /// It folds, so it drives.
    Operator(Arc<Operator>),
    /// It follows the control topic.
    Following(watch::Receiver<Arc<Control>>, [Supervised; 2]),
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

// === impl Role ===

impl Role {
    fn writes(self) -> bool {
        matches!(self, Role::Everything | Role::Ingest)
    }

    fn reads(self) -> bool {
        matches!(self, Role::Everything | Role::Query)
    }

    fn folds(self) -> bool {
        matches!(self, Role::Everything | Role::Project)
    }

    /// What is served at the public port.
    fn serves(self, has_log: bool) -> &'static [Service] {
        match self {
            Role::Everything => Port::EVERYTHING.serves,
            Role::Ingest => &[Service::Messages, Service::Outcomes],
            Role::Query if has_log => &[Service::Outcomes, Service::Reads],
            Role::Query => &[Service::Reads],
            Role::Project => &[],
        }
    }

    fn serves_operators(self) -> &'static [Service] {
        if self.folds() { &[Service::Operators] } else { &[] }
    }

    /// The command that starts it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Everything => "up",
            Role::Ingest => "ingest",
            Role::Project => "project",
            Role::Query => "query",
        }
    }
}

// === impl Node ===

impl Node {
    /// Judges the settings, listens, opens the log and the store, brings the app up and serves it. Ports are bound before
    /// anything is opened, so that a second node says so before it touches anything; until all is there they answer that the
    /// node is alive and what it waits for.
    ///
    /// # Errors
    /// When a port is taken, the data folder is in use, damaged or another app's, the definition has changed, or a part of
    /// a fleet is given a log or store that no other process can open.
    pub async fn start(app: App, settings: &Settings, role: Role) -> Result<Node, Failure> {
        backend::check(settings)?;
        let store_alone = needs_the_store_alone(settings, role)?;
        let parts = Parts::new(app);
        parts.telemetry.build_info(VERSION, REVISION).set(1);
        let gate = parts.readiness.gate(if role.folds() { "projections" } else { "control" });
        let http = (role.writes() || role.reads()).then_some(settings.listen.http);
        gate.close("not begun: what it needs is opened before it");
        let Parts { readiness, telemetry, supervisor, .. } = &parts;
        let ports = Ports::open(http, settings, limits(settings), readiness, supervisor, telemetry).await?;
        let backends = match store_alone {
            true => Backends::open_store(settings, readiness, telemetry).await?,
            false => Backends::open(&parts.app, settings, role.name(), readiness, telemetry).await?,
        };
        let folding = if role.folds() { Some(folding_runtime()?) } else { None };
        let control = parts.control(&backends, folding.as_ref(), settings, &gate).await?;
        let public = parts.public_routes(role, &control, &backends, settings);
        let operators = parts.operator_routes(control.operator());
        let serves = role.serves(backends.log.is_some());
        let public_port = Port { process: role.name(), is_admin: false, serves, beside: None };
        let beside = ports.http.map(|address| (address.port(), serves));
        let admin_port = Port { is_admin: true, serves: role.serves_operators(), beside, ..public_port };
        ports.answer_with((public, public_port), (operators, admin_port));
        let node = Node {
            http: ports.http,
            admin: ports.admin,
            ports,
            dead_letters: control.operator().map(|operator| {
                let watch = operate::watch(Arc::downgrade(operator), parts.telemetry.clone());
                supervisor.spawn("dead-letters", watch)
            }),
            supervisor: supervisor.clone(),
            staying: parts.staying(),
            control,
            _folding: folding,
        };
        gate.open();
        Ok(node)
    }

    /// Quiesces a projection until what is returned is dropped; its log goes on growing.
    ///
    /// # Errors
    /// When this node does not fold, the topic does not exist or does not come to a stand.
    pub async fn hold(&self, topic: &str) -> Result<tidefold_coordinator::Quiesced, Failure> {
        let limit = std::time::Duration::from_secs(30);
        match &self.control {
            ControlSource::Operator(operator) => Ok(operator.coordinator().quiesce(topic, limit).await?),
            ControlSource::Following(..) => Err(Failure::new(Code::Usage, "this node does not fold")),
        }
    }

    /// Stops accepting, answers what is open, finishes the batches in hand, closes the log and the store.
    pub async fn stop(self) {
        self.supervisor.stopping();
        self.staying.close("the node stops: it finishes what is open");
        let _told_until_the_end = self.ports.close().await;
        if let Some(task) = self.dead_letters {
            task.end().await;
        }
        match self.control {
            ControlSource::Following(_, tasks) => drop(tasks),
            ControlSource::Operator(operator) => match Arc::try_unwrap(operator) {
                Ok(operator) => operator.shutdown().await,
                Err(_) => {
                    tracing::warn!("an operation is still under way; it goes on at the next start");
                }
            },
        }
    }
}

// === impl ControlSource ===

impl ControlSource {
    fn operator(&self) -> Option<&Arc<Operator>> {
        match self {
            ControlSource::Operator(operator) => Some(operator),
            ControlSource::Following(..) => None,
        }
    }

    /// Why partitions do not go on: known where they are folded.
    fn halts(&self) -> Option<tidefold_query::Halts> {
        let operator = Arc::downgrade(self.operator()?);
        Some(Arc::new(move |topic, generation, partition| {
            operator.upgrade()?.coordinator().halted(topic, generation, partition)
        }))
    }

    /// Why appending is of no use: known where what is appended is folded.
    fn refusals(&self) -> Option<tidefold_ingest::Refusals> {
        let operator = Arc::downgrade(self.operator()?);
        Some(Arc::new(move |topic, partition| operator.upgrade()?.coordinator().refuses(topic, partition)))
    }

    fn watch(&self) -> watch::Receiver<Arc<Control>> {
        match self {
            ControlSource::Operator(operator) => operator.coordinator().control(),
            ControlSource::Following(control, _) => control.clone(),
        }
    }
}

/// What every part of a node is given.
struct Parts {
    app: Arc<App>,
    telemetry: Telemetry,
    readiness: Readiness,
    supervisor: Supervisor,
}

// === impl Parts ===

impl Parts {
    fn new(app: App) -> Parts {
        let telemetry = Telemetry::new();
        let supervisor = Supervisor::new(telemetry.clone());
        Parts { app: Arc::new(app), telemetry, readiness: Readiness::new(), supervisor }
    }

    /// The last gates: tasks that last as long as the node, and that it is not to stop.
    fn staying(&self) -> Gate {
        let supervisor = self.supervisor.clone();
        self.readiness.gate("tasks").open_until(move || supervisor.ended());
        let staying = self.readiness.gate("staying");
        staying.open();
        staying
    }

    /// Starts folding, or follows control where this node does not fold.
    async fn control(
        &self,
        backends: &Backends,
        folding: Option<&Folding>,
        settings: &Settings,
        gate: &Gate,
    ) -> Result<ControlSource, Failure> {
        gate.close("starting");
        let told = gate.clone();
        let waiting = Waiting::report_to(move |what| told.close(what));
        let refused = |error: ControlLogError| Failure::from_error(Code::Conflict, &error);
        let runtime = tokio::runtime::Handle::current();
        let store = Arc::clone(&backends.store);
        let Some(log) = backends.log.clone() else {
            let copy = ControlCopy::open(store, &self.app.name, &waiting).await.map_err(refused)?;
            let control = copy.watch();
            same_definition(&self.app, &control.borrow())?;
            let source = copy.keep_up(self.telemetry.retry());
            let source = self.supervisor.spawn_until_halted("control-copy", source);
            return self.follow(control, source, backends, gate).await;
        };
        let app = Arc::clone(&self.app);
        let Some(folding) = folding else {
            let introduced = introduce(app, log, &self.telemetry.retry(), &waiting).await;
            let control_log = introduced.map_err(refused)?;
            let control = control_log.watch();
            let source = self.supervisor.spawn("control", control_log.keep_up());
            return self.follow(control, source, backends, gate).await;
        };
        let handle = folding.0.as_ref().map(|runtime| runtime.handle().clone());
        let (handle, supervisor) = (handle.unwrap_or(runtime), self.supervisor.clone());
        let (of_log, of_store) = (Arc::clone(&log), Arc::clone(&store));
        let coordinator = Coordinator::start(
            app,
            of_log,
            of_store,
            supervisor,
            handle,
            Options { waiting, ..options(settings) },
        );
        let coordinator = coordinator.await.map_err(|error| Failure::from_error(Code::Conflict, &error))?;
        Ok(ControlSource::Operator(Arc::new(Operator::new(
            self.app.name.as_str().into(),
            log,
            store,
            coordinator,
            settings.log.topic_prefix.clone(),
        ))))
    }

    /// Follows control, which `source` keeps up with.
    async fn follow(
        &self,
        control: watch::Receiver<Arc<Control>>,
        source: Supervised,
        backends: &Backends,
        gate: &Gate,
    ) -> Result<ControlSource, Failure> {
        let retry = self.telemetry.retry();
        let opened = Opened::new(Arc::clone(&backends.store), control, retry, gate).await;
        let opened = opened.map_err(|error| Failure::from_error(Code::Conflict, &error))?;
        let control = opened.watch();
        let opening = self.supervisor.spawn("tables", opened.keep_up());
        Ok(ControlSource::Following(control, [source, opening]))
    }

    /// The admin port's routes, with the operators' where this node folds.
    fn operator_routes(&self, operator: Option<&Arc<Operator>>) -> axum::Router {
        let routes = tidefold_http::admin(self.readiness.clone(), self.telemetry.clone());
        let Some(operator) = operator else { return routes };
        let (halts, lanes) = (Arc::downgrade(operator), Arc::downgrade(operator));
        self.readiness.notes(move || halts.upgrade().map(|operator| operator.halts()).unwrap_or_default());
        self.readiness
            .gate("lanes")
            .open_until(move || lanes.upgrade().and_then(|operator| operator.ended()));
        routes.merge(operate::router(Arc::clone(operator)))
    }

    fn public_routes(
        &self,
        role: Role,
        source: &ControlSource,
        backends: &Backends,
        settings: &Settings,
    ) -> axum::Router {
        let control = source.watch();
        let mut routes = axum::Router::new();
        if role == Role::Project {
            return routes;
        }
        if let Some(log) = &backends.log {
            // What a write's `Location` names is asked wherever reads go, so a `query` answers it too.
            let serve = if role.writes() { tidefold_ingest::router } else { tidefold_ingest::outcomes };
            routes = routes.merge(serve(tidefold_ingest::Components {
                app: self.app.name.as_str().into(),
                log: Arc::clone(log),
                store: Arc::clone(&backends.store),
                control: control.clone(),
                refusals: source.refusals(),
                telemetry: self.telemetry.clone(),
                settings: tidefold_ingest::Settings {
                    limits: limits(settings),
                    memory_bytes: settings.ingest.memory_bytes,
                    append_timeout: settings.ingest.append_timeout,
                    ..Default::default()
                },
                clock: Arc::new(tidefold_telemetry::clock::now_micros),
            }));
        } else {
            routes = routes.route(OUTCOME, get(outcomes_elsewhere));
        }
        if role.reads() {
            let read = tidefold_query::Components {
                app: self.app.name.as_str().into(),
                store: Arc::clone(&backends.store),
                control,
                log: backends.log.clone(),
                halts: source.halts(),
                telemetry: self.telemetry.clone(),
            };
            routes = routes.merge(tidefold_query::router(read, tidefold_query::Settings::default()));
        }
        routes
    }
}

/// Outcomes are told of records that stand in the log, which this process cannot know.
async fn outcomes_elsewhere() -> Problem {
    let detail = "this process is `query` without a log; outcomes are served by `ingest`, and by a `query` that has the log (--log)";
    Problem::new(ProblemKind::NotFound, detail)
}

/// A copy of control that is about another folder serves other tables.
fn same_definition(app: &App, control: &Control) -> Result<(), Failure> {
    match control.definition() {
        Some(definition) if !definition.is(app) => {
            let text = format!(
                "the store holds app {} as another folder defines it\nstart with the folder that `tidefold project` was started with",
                app.name
            );
            Err(Failure::new(Code::Conflict, text))
        }
        _ => Ok(()),
    }
}

/// Whether a process of this role needs no log, or why it cannot run on what is set.
fn needs_the_store_alone(settings: &Settings, role: Role) -> Result<bool, Failure> {
    let embedded = backend::not_shared(settings);
    // Who reads needs the store alone; with a log it knows besides whether an answer is the newest there is.
    let store_alone = role == Role::Query && embedded == ["log.url"];
    if role == Role::Everything || store_alone || embedded.is_empty() {
        return Ok(store_alone);
    }
    let text = format!(
        "`tidefold {}` is a part of a fleet, which shares its log and store: {} must name servers, such as \
         --log kafka://127.0.0.1:9092 --store scylla://127.0.0.1:9042\nfor one process with all of it, use `tidefold up`",
        role.name(),
        embedded.join(" and ")
    );
    Err(Failure::new(Code::Usage, text))
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
    options.lanes.batch =
        ReadLimit { records: settings.projector.batch_records, bytes: settings.projector.batch_bytes };
    options.lanes.stalled_after = settings.projector.stall;
    if !settings.projector.breaker {
        options.lanes.breaker = None;
    }
    options.cache_bytes = settings.projector.cache_bytes;
    options.batch_bytes = settings.projector.memory_bytes;
    options.window = settings.fold.window as u64;
    options.drain = settings.run.drain;
    options
}

fn limits(settings: &Settings) -> Limits {
    Limits {
        body_bytes: settings.ingest.body_bytes,
        line_bytes: settings.ingest.line_bytes,
        body_stall: settings.ingest.stall,
        body_rate: settings.ingest.body_rate,
        body_time: settings.ingest.body_time,
        connections: settings.listen.connections,
        waits: settings.listen.waiting,
        address_share: settings.listen.address_share,
        requests: settings.ingest.concurrent_requests,
        drain: settings.run.drain,
        ..Limits::default()
    }
}
