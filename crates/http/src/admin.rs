//! The admin port: `/livez`, `/readyz`, `/healthz` (the same as `/readyz`) and `/metrics`.
//!
//! Being alive means answering at all: it never depends on a log or store, or an outage of theirs would restart the whole
//! fleet. Whether the node is ready is what its parts say ([`Readiness`]).

use std::fmt::Write as _;

use axum::extract::{Path, RawQuery, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tidefold_telemetry::{Exposition, Telemetry};

use crate::catalog::ProblemKind;
use crate::problem::Problem;
use crate::readiness::{Readiness, is_ready};

#[derive(Clone, Debug)]
struct Admin {
    readiness: Readiness,
    telemetry: Telemetry,
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

/// Text for people (`ok`, and notes), and the list of checks where that is asked for; JSON with the reasons where the node is
/// not ready, or where it is accepted by name.
async fn ready(State(admin): State<Admin>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let excluded: Vec<&str> = query.split('&').filter_map(|pair| pair.strip_prefix("exclude=")).collect();
    let counted = |name: &str| !excluded.contains(&name);
    let verbose = query.split('&').any(|pair| pair == "verbose" || pair.starts_with("verbose="));
    // Once: the status and what the body says are of the same moment.
    let mut states = admin.readiness.snapshot();
    states.retain(|(name, _)| counted(name));
    let open = is_ready(&states);
    if accepts_json(&headers) || (!open && !verbose) {
        return (status(open), Json(admin.readiness.report(&states))).into_response();
    }
    let mut text = String::new();
    if verbose {
        for (name, state) in &states {
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

fn accepts_json(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|range| {
        let media = range.split(';').next().unwrap_or_default().trim();
        media.eq_ignore_ascii_case("application/json")
    })
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
