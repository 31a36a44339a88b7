//! What `/` and `/v1/{app}` say: everything that can be asked, with links that work.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use bumpalo::Bump;
use serde_json::{Value, json};
use tidefold_app::model::{MessageKind, Topic};
use tidefold_codec::{ordered, schema, text};
use tidefold_http::paths::segment;
use tidefold_http::{FieldError, Problem, ProblemKind};
use tidefold_store::Scan;
use tidefold_table::entity::StateRef;
use tidefold_table::{Row, TableKind, TableLayout};
use tidefold_telemetry::ReadKind;

use crate::allowed::allowed;
use crate::serving::{Api, bad_path};
use crate::table::ReadTable;

/// How many rows are looked at for an example: some may be marked as deleted.
const EXAMPLES: usize = 16;

/// `GET /`.
pub(crate) async fn root(State(api): State<Arc<Api>>) -> Json<Value> {
    api.count(ReadKind::Index, Ok(StatusCode::OK));
    let app = &*api.app;
    Json(json!({
        "tidefold": env!("CARGO_PKG_VERSION"),
        "apps": [{ "name": app, "href": format!("/v1/{app}") }],
    }))
}

/// `GET /v1/{app}`.
pub(crate) async fn app(
    State(api): State<Arc<Api>>,
    place: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let answer = match query.filter(|query| !query.is_empty()) {
        None => describe(&api, place).await,
        Some(query) => {
            let detail = format!(
                "what an app has takes no parameters; ask its tables: {}",
                api.generations.known().names().join(", ")
            );
            let name = query.split(['=', '&']).next().unwrap_or_default().to_owned();
            let errors = vec![FieldError::in_parameter(name, "not_allowed_by_key", detail.clone())];
            Err(Problem::new(ProblemKind::InvalidQuery, detail).with_errors(errors))
        }
    };
    api.count(ReadKind::Index, answer.as_ref().map(|_| StatusCode::OK));
    answer
}

async fn describe(api: &Api, place: Result<Path<String>, PathRejection>) -> Result<Json<Value>, Problem> {
    let Path(name) = place.map_err(bad_path)?;
    api.check_app(&name)?;
    let known = api.generations.known();
    let mut tables = Vec::new();
    for layout in known.projections().iter().flat_map(|projection| projection.layouts()) {
        let example = match api.generations.table(&layout.name).await {
            Some(Ok(table)) => example(api, &name, &table).await,
            _ => None,
        };
        tables.push(table_json(&name, layout, example));
    }
    let topics = known.projections().iter().map(|projection| &projection.topic);
    let messages: Vec<Value> = topics.flat_map(|topic| messages_json(&name, topic)).collect();
    Ok(Json(json!({
        "app": name,
        "definition": known.definition(),
        "read": tables,
        "write": messages,
        "outcomes": format!("/v1/{name}/outcomes/{{topic}}:{{partition}}:{{offset}}"),
        "headers": {
            "Tidefold-Min-Position": "on a read: the position of a write to be seen; waits until it is",
            "Prefer": "wait=N on a write: answer with the outcome; on a read with Tidefold-Min-Position: wait that long",
            "Idempotency-Key": "on a write: the message id; a retry with the same id counts once",
            "If-Match": "on a command: only if the entity has this version",
            "If-None-Match": "on a read of a row: 304 if nothing changed",
        },
    })))
}

fn table_json(app: &str, layout: &TableLayout, example: Option<String>) -> Value {
    let columns: serde_json::Map<String, Value> = layout
        .columns
        .iter()
        .map(|column| (column.name.clone(), schema::type_text(&column.column).into()))
        .collect();
    let name = |at: usize| layout.columns.get(at).map_or("", |column| column.name.as_str());
    let clustering: Vec<String> = layout
        .clustering
        .iter()
        .map(|c| format!("{}{}", name(c.column), if c.descending { " DESC" } else { "" }))
        .collect();
    let kind = match layout.kind {
        TableKind::Entity => "entity",
        TableKind::Rollup => "rollup",
        TableKind::Index | TableKind::Verdicts | TableKind::Checkpoints | TableKind::ControlCopy => "index",
    };
    json!({
        "table": layout.name,
        "kind": kind,
        "columns": columns,
        "partition_key": layout.partition_key.iter().map(|at| name(*at)).collect::<Vec<_>>(),
        "clustering": clustering,
        "bucket": layout.bucket.map(|bucket| bucket.to_string()),
        "href": format!("/v1/{app}/{}", layout.name),
        "allows": allowed(layout),
        "example": example,
    })
}

fn messages_json(app: &str, topic: &Topic) -> Vec<Value> {
    let message = |message: &tidefold_app::model::Message| {
        let fields: serde_json::Map<String, Value> = message
            .record
            .fields
            .iter()
            .map(|field| (field.name.to_string(), schema::type_text(&field.column).into()))
            .collect();
        json!({
            "type": message.name,
            "kind": if message.kind == MessageKind::Command { "command" } else { "event" },
            "topic": topic.name.as_str(),
            "post": format!("/v1/{app}/{}", message.name),
            "fields": fields,
        })
    };
    topic.messages.iter().map(message).collect()
}

/// A link to a row or range that is there.
async fn example(api: &Api, app: &str, table: &ReadTable) -> Option<String> {
    let scan = Scan::All { after: None, limit: EXAMPLES };
    let rows = api.store.scan(&table.table.id, &scan).await.ok()?;
    let layout = &table.table.layout;
    if let Some(entity) = table.entity() {
        let single = layout.partition_key.len() == 1;
        let alive = |row: &&Row| StateRef::parse(&row.value).is_ok_and(|state| !state.deleted);
        let row = rows.iter().find(alive).filter(|_| single)?;
        let key = std::str::from_utf8(&row.key).ok()?;
        return Some(format!("/v1/{app}/{}/{}", entity.layout.name, segment(key)));
    }
    let row = rows.first()?;
    let arena = Bump::new();
    let columns: Vec<_> = layout.key_columns().take(layout.partition_key.len()).collect();
    let mut rest: &[u8] = &row.key;
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (at, column) in &columns {
        let (datum, next) = ordered::decode(column, rest, &arena).ok()?;
        let mut value = Vec::new();
        text::write(&column.ty, datum, &mut value);
        query.append_pair(&layout.columns.get(*at)?.name, std::str::from_utf8(&value).ok()?);
        rest = next;
    }
    Some(format!("/v1/{app}/{}?{}", layout.name, query.finish()))
}
