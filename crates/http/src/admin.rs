//! The admin port: `/livez`, `/readyz`, `/healthz` (the same as `/readyz`) and `/metrics`.
//!
//! Each part of the node holds a [`Gate`] and says when it is ready, and what tells that it has ended; the node is ready
//! while all are. Being alive means answering at all: it never depends on a log or store, or an outage of theirs would restart the whole fleet.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tidefold_telemetry::{Exposition, Telemetry};

use crate::catalog::ProblemKind;
use crate::problem::Problem;

/// Why a part has ended, once it has.
type Ended = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// A part of the node.
#[derive(Clone)]
struct Check {
    name: String,
    /// Why it is not ready if it is not.
    state: Result<(), String>,
    ended: Option<Ended>,
}

/// What has to be ready before the node is.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    gates: Arc<Mutex<Vec<Check>>>,
    notes: Arc<Mutex<Option<Notes>>>,
}

/// Tells what is wrong without making the node unready.
struct Notes(Box<dyn Fn() -> Vec<String> + Send + Sync>);

impl std::fmt::Debug for Notes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Notes")
    }
}

/// One part's say in it.
#[derive(Clone, Debug)]
pub struct Gate {
    readiness: Readiness,
    place: usize,
}

#[derive(Clone, Debug)]
struct Admin {
    readiness: Readiness,
    telemetry: Telemetry,
}

// === impl Readiness ===

impl Readiness {
    /// Nothing to wait for yet.
    #[must_use]
    pub fn new() -> Readiness {
        Readiness::default()
    }

    /// A part that is not ready until its gate opens.
    #[must_use]
    pub fn gate(&self, name: &str) -> Gate {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.push(Check { name: name.to_owned(), state: Err("starting".to_owned()), ended: None });
        Gate { readiness: self.clone(), place: gates.len() - 1 }
    }

    /// Whether every gate is open.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.snapshot().iter().all(|(_, state)| state.is_ok())
    }

    /// What to say beside the gates, asked at each answer: trouble that does not make the node unready.
    pub fn notes(&self, tell: impl Fn() -> Vec<String> + Send + Sync + 'static) {
        *self.notes.lock().unwrap_or_else(PoisonError::into_inner) = Some(Notes(Box::new(tell)));
    }

    fn told(&self) -> Vec<String> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.as_ref().map(|notes| (notes.0)()).unwrap_or_default()
    }

    /// Every part with its state now: why it is not ready, or why it has ended.
    #[must_use]
    pub fn snapshot(&self) -> Vec<(String, Result<(), String>)> {
        let checks = self.gates.lock().unwrap_or_else(PoisonError::into_inner).clone();
        checks.into_iter().map(|check| (check.name.clone(), check.now())).collect()
    }
}

// === impl Check ===

impl Check {
    fn now(self) -> Result<(), String> {
        self.state?;
        self.ended.and_then(|ended| ended()).map_or(Ok(()), Err)
    }
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check").field("name", &self.name).field("state", &self.state).finish_non_exhaustive()
    }
}

// === impl Gate ===

impl Gate {
    /// The part is ready, for ever.
    pub fn open(&self) {
        self.set(Ok(()));
    }

    /// The part is ready until it ends: `ended` is asked at each answer, and tells why once it has. It has to answer at
    /// once, from what the part knows of itself: an outage of what the part talks to is not its end.
    pub fn open_until(&self, ended: impl Fn() -> Option<String> + Send + Sync + 'static) {
        let mut gates = self.readiness.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get_mut(self.place) {
            gate.ended = Some(Arc::new(ended));
            gate.state = Ok(());
        }
    }

    /// The part is not ready, with the reason.
    pub fn close(&self, reason: impl Into<String>) {
        self.set(Err(reason.into()));
    }

    fn set(&self, state: Result<(), String>) {
        let mut gates = self.readiness.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get_mut(self.place) {
            gate.state = state;
        }
    }
}

/// The routes of the admin port.
pub fn admin(readiness: Readiness, telemetry: Telemetry) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/readyz/{check}", get(ready_one))
        .route("/healthz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Admin { readiness, telemetry })
}

async fn ready(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let excluded: Vec<&str> = query.split('&').filter_map(|pair| pair.strip_prefix("exclude=")).collect();
    let verbose = query.split('&').any(|pair| pair == "verbose" || pair.starts_with("verbose="));
    let gates = admin.readiness.snapshot();
    let counted = |name: &str| !excluded.contains(&name);
    let open = gates.iter().filter(|(name, _)| counted(name)).all(|(_, state)| state.is_ok());
    let mut text = String::new();
    if verbose || !open {
        for (name, state) in gates.iter().filter(|(name, _)| counted(name)) {
            let _ = match state {
                Ok(()) => writeln!(text, "[+]{name} ok"),
                Err(reason) => writeln!(text, "[-]{name} failed: {reason}"),
            };
        }
    }
    for note in admin.readiness.told() {
        let _ = writeln!(text, "[!]{note}");
    }
    text.push_str(if open { "ok\n" } else { "not ready\n" });
    (status(open), text).into_response()
}

async fn ready_one(State(admin): State<Admin>, Path(check): Path<String>) -> Response {
    match admin.readiness.snapshot().into_iter().find(|(name, _)| *name == check) {
        Some((_, Ok(()))) => (StatusCode::OK, "ok\n").into_response(),
        Some((_, Err(reason))) => (status(false), format!("{reason}\n")).into_response(),
        None => Problem::new(ProblemKind::NotFound, "there is no such check; GET /readyz?verbose lists them")
            .into_response(),
    }
}

async fn metrics(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    for (check, state) in admin.readiness.snapshot() {
        admin.telemetry.ready(&check).set(state.is_ok().into());
    }
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let format = Exposition::accepted(accepted);
    match admin.telemetry.encode(format) {
        Ok(text) => ([(CONTENT_TYPE, format.content_type()), (VARY, "accept")], text).into_response(),
        Err(_) => Problem::new(ProblemKind::Internal, "the metrics cannot be written").into_response(),
    }
}

fn status(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
