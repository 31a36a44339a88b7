//! What `/` and `/v1/{app}` say: everything that can be asked, with links that work.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use bumpalo::Bump;
use bytes::Bytes;
use serde_json::{Value, json};
use tidefold_app::model::{MessageKind, Topic};
use tidefold_codec::json_out::Longs;
use tidefold_codec::{schema, text};
use tidefold_http::paths::segment;
use tidefold_http::{FieldError, Problem, ProblemKind};
use tidefold_store::{Scan, StoreError};
use tidefold_table::index::KeyColumns;
use tidefold_table::{Broken, Bucket, Row, TableKind, TableLayout};
use tidefold_telemetry::ReadKind;

use crate::allowed::allowed;
use crate::read::add_up;
use crate::rows;
use crate::serving::{Api, bad_path};
use crate::table::{ReadTable, store_problem};

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
            Some(Ok(table)) => example(api, &name, &table).await?,
            Some(Err(_)) | None => None,
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

/// A link to a row or range that is there; none where there is no row, or no store to ask.
///
/// # Errors
/// A damaged row: it is told here as wherever else it is read.
async fn example(api: &Api, app: &str, table: &ReadTable) -> Result<Option<String>, Problem> {
    let scan = Scan::All { after: None, limit: EXAMPLES };
    let rows = match api.store.scan(&table.table.id, &scan).await {
        Ok(rows) => rows,
        Err(damaged @ StoreError::Damaged(_)) => return Err(store_problem(damaged)),
        Err(StoreError::Unavailable { .. } | StoreError::Refused { .. } | StoreError::Failed { .. }) => {
            return Ok(None);
        }
    };
    for row in &rows {
        if let Some(place) = place_of(table, row)? {
            return Ok(Some(format!("/v1/{app}/{}{place}", table.table.layout.name)));
        }
    }
    Ok(None)
}

/// Where a row is read, behind its table's name; `None` where it says that it is not there, or cannot be asked for by itself.
fn place_of(table: &ReadTable, row: &Row) -> Result<Option<String>, Problem> {
    let layout = &table.table.layout;
    let mut json = Vec::new();
    if let Some(entity) = table.entity() {
        let version = rows::write_entity(entity, &row.value, Longs::Number, &mut json);
        let is_there = version.map_err(table.broken(&row.key))?.is_some();
        let key = String::from_utf8_lossy(&row.key);
        return Ok((is_there && layout.partition_key.len() == 1).then(|| format!("/{}", segment(&key))));
    }
    let key = layout.without_bucket(&row.key).map_err(|at| table.broken(&row.key)(Broken::Key(at)))?;
    let row = Row { key: Bytes::copy_from_slice(&key), value: row.value.clone() };
    if layout.kind == TableKind::Rollup {
        for (key, group) in add_up(table, std::slice::from_ref(&row), true)? {
            rows::write_group(layout, key, &group, Longs::Number, &mut json).map_err(table.broken(key))?;
            if group.count <= 0 {
                return Ok(None);
            }
        }
    } else {
        rows::write_index(layout, &row.key, &row.value, Longs::Number, &mut json)
            .map_err(table.broken(&row.key))?;
    }
    let (arena, columns) = (Bump::new(), KeyColumns::of(layout));
    let (datums, _) = columns.values(&row.key, &arena).map_err(table.broken(&row.key))?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    // A view that is split by a time is asked for one, too.
    let asked = layout.partition_key.len() + usize::from(matches!(layout.bucket, Some(Bucket::Trunc { .. })));
    for ((at, column), datum) in layout.key_columns().zip(datums).take(asked) {
        let mut value = Vec::new();
        text::write(&column.ty, datum, &mut value);
        let name = layout.columns.get(at).map_or("", |column| column.name.as_str());
        query.append_pair(name, &String::from_utf8_lossy(&value));
    }
    Ok(Some(format!("?{}", query.finish())))
}
