//! The operators' API on the admin port.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tidefold_coordinator::ReplayOptions;
use tidefold_http::{Problem, ProblemKind};
use tidefold_record::Position;

use super::letter::DeadLetterRecord;
use super::ndjson::{ndjson, ndjson_line};
use super::operator::Operator;
use super::parameters::Parameters;
use super::replay::{Change, Replay};
use super::{acts, audit, dead_letters, inspect, replay, schemas, status, verify};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicParameter {
    topic: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplayParameters {
    topic: Option<String>,
    #[serde(default)]
    accept_differences: bool,
}

type Shared = State<Arc<Operator>>;

/// How often a long answer says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// The routes.
pub fn router(operator: Arc<Operator>) -> Router {
    Router::new()
        .route("/admin/v1", get(apps))
        .route("/admin/v1/status", get(status_of))
        .route("/admin/v1/{app}/schemas", get(schemas_of))
        .route("/admin/v1/{app}/verify", post(verify_all))
        .route("/admin/v1/{app}/replay", post(replay_topics))
        .route("/admin/v1/{app}/builds", get(builds))
        .route("/admin/v1/{app}/rollback", post(rollback))
        .route("/admin/v1/{app}/retire", post(retire))
        .route("/admin/v1/{app}/abandon", post(abandon))
        .route("/admin/v1/{app}/inspect/{table}/{key}", get(inspect_key))
        .route("/admin/v1/{app}/dead-letters", get(dead_list))
        .route("/admin/v1/{app}/dead-letters/{position}", get(dead_show).post(acts::dead_add))
        .route("/admin/v1/{app}/breaker/lift", post(acts::lift_breaker))
        .route_layer(axum::middleware::from_fn(audit::audit))
        .with_state(operator)
}

async fn apps(State(operator): Shared) -> Json<Value> {
    let name = &operator.app();
    Json(json!({ "apps": [{ "name": name, "href": format!("/admin/v1/{name}") }] }))
}

async fn status_of(State(operator): Shared) -> Json<status::Status> {
    Json(status::status(&operator).await)
}

async fn schemas_of(State(operator): Shared, Path(app): Path<String>) -> Result<Json<Value>, Problem> {
    operator.check_app(&app)?;
    Ok(Json(json!({ "items": schemas::schemas(&operator) })))
}

async fn inspect_key(
    State(operator): Shared,
    Path((app, table, key)): Path<(String, String, String)>,
) -> Result<Json<Value>, Problem> {
    operator.check_app(&app)?;
    let steps = inspect::inspect(&operator, &table, &key).await?;
    Ok(Json(json!({ "table": table, "key": key, "steps": steps })))
}

async fn dead_list(
    State(operator): Shared,
    Path(app): Path<String>,
    Parameters(filter): Parameters<dead_letters::Filter>,
) -> Result<Json<dead_letters::Listed>, Problem> {
    operator.check_app(&app)?;
    Ok(Json(dead_letters::list(&operator, &filter).await?))
}

async fn dead_show(
    State(operator): Shared,
    Path((app, position)): Path<(String, String)>,
) -> Result<Json<DeadLetterRecord>, Problem> {
    operator.check_app(&app)?;
    let position: Position = position.parse().map_err(|error: tidefold_record::ParsePositionError| {
        Problem::new(ProblemKind::InvalidPosition, error.to_string())
    })?;
    Ok(Json(dead_letters::show(&operator, &position).await?))
}

async fn verify_all(State(operator): Shared, Path(app): Path<String>) -> Result<Response, Problem> {
    operator.check_app(&app)?;
    Ok(verify::answer(operator))
}

async fn replay_topics(
    State(operator): Shared,
    Path(app): Path<String>,
    Parameters(parameters): Parameters<ReplayParameters>,
) -> Result<Response, Problem> {
    operator.check_app(&app)?;
    let options = ReplayOptions { accept_differences: parameters.accept_differences };
    let replay = replay::start(&operator, parameters.topic.as_deref(), options).await?;
    Ok(follow(operator, replay))
}

async fn builds(State(operator): Shared, Path(app): Path<String>) -> Result<Json<Value>, Problem> {
    operator.check_app(&app)?;
    let reports: Vec<_> = operator.coordinator().builds().iter().map(replay::report).collect();
    Ok(Json(json!({ "items": reports })))
}

async fn rollback(
    operator: Shared,
    app: Path<String>,
    topic: Parameters<TopicParameter>,
) -> Result<Json<Value>, Problem> {
    change(operator, app, topic, Change::Rollback).await
}

async fn retire(
    operator: Shared,
    app: Path<String>,
    topic: Parameters<TopicParameter>,
) -> Result<Json<Value>, Problem> {
    change(operator, app, topic, Change::Retire).await
}

async fn abandon(
    operator: Shared,
    app: Path<String>,
    topic: Parameters<TopicParameter>,
) -> Result<Json<Value>, Problem> {
    change(operator, app, topic, Change::Abandon).await
}

async fn change(
    State(operator): Shared,
    Path(app): Path<String>,
    Parameters(topic): Parameters<TopicParameter>,
    what: Change,
) -> Result<Json<Value>, Problem> {
    operator.check_app(&app)?;
    let changed = replay::change(&operator, topic.topic.as_deref(), what).await?;
    let items: Vec<_> = changed
        .into_iter()
        .map(|(topic, generations)| json!({ "topic": topic, "generations": generations }))
        .collect();
    Ok(Json(json!({ "items": items })))
}

/// Builds under way as NDJSON: every half second a line with all of them, the last one when all have ended.
fn follow(operator: Arc<Operator>, replay: Replay) -> Response {
    let lines = stream::unfold((operator, replay, false), async |(operator, replay, ended)| {
        if ended {
            return None;
        }
        let finished = replay.builds.iter().map(|build| {
            let mut build = build.clone();
            async move { build.finished().await }
        });
        let all = futures_util::future::join_all(finished);
        let ended = tokio::time::timeout(PROGRESS_EVERY, all).await.is_ok();
        let reports = if ended { replay.ended(&operator).await } else { replay.reports() };
        Some((ndjson_line(&json!({ "builds": reports })), (operator, replay, ended)))
    });
    ndjson(Body::from_stream(lines))
}
