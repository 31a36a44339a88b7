//! The routes, and one answer from request to response.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LINK};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;
use tidefold_codec::json_out::Longs;
use tidefold_http::{Asking, EntityTag, FieldError, Preferences, Problem, ProblemKind, paths};
use tidefold_telemetry::{ReadKind, clock};

use crate::allowed::allowed;
use crate::position::{MinPosition, Visible};
use crate::read::{self, Found, Page};
use crate::serving::{Api, Asked, Components, Settings, bad_path};
use crate::table::ReadTable;
use crate::{advice, index, pairs, request};

const POSITION: HeaderName = HeaderName::from_static("tidefold-position");
const AGE: HeaderName = HeaderName::from_static("tidefold-age-ms");
const GENERATION: HeaderName = HeaderName::from_static("tidefold-generation");

/// The read API's routes. They share paths with the write API's, for other methods.
pub fn router(components: Components, settings: Settings) -> Router {
    let api = Arc::new(Api::new(components, settings));
    Router::new()
        .route("/", get(index::root))
        .route(paths::APP, get(index::app))
        .route(paths::NAME, get(list))
        .route(paths::KEY, get(row))
        .with_state(api)
}

/// `GET /v1/{app}/{table}/{key}`.
async fn row(
    State(api): State<Arc<Api>>,
    place: Result<Path<(String, String, String)>, PathRejection>,
    RawQuery(query): RawQuery,
    asking: Asking,
    wanted: MinPosition,
) -> Result<Response, Problem> {
    let answer = read_row(&api, place, query, (&asking, &wanted)).await;
    api.count(ReadKind::Key, answer.as_ref().map(Response::status));
    answer
}

async fn read_row(
    api: &Api,
    place: Result<Path<(String, String, String)>, PathRejection>,
    query: Option<String>,
    (asking, wanted): Asked<'_>,
) -> Result<Response, Problem> {
    let Path((app, name, key)) = place.map_err(bad_path)?;
    let longs = longs(&asking.preferences);
    let pairs = pairs::read(query.as_deref())?;
    loop {
        let table = api.table(&app, &name).await?;
        no_parameters(&table, &pairs)?;
        let key = read::single_key(&table, &key)?;
        let Some(visible) = api.visible(&table, key.partition, (asking, wanted)).await? else { continue };
        let since = clock::instant();
        let found = read::row(&api.store, &table, &key.bytes, longs).await;
        if api.generations.is_gone(&table) {
            continue;
        }
        api.metrics.store_seconds.observe(since.elapsed().as_secs_f64());
        return match found? {
            Some(found) => {
                let response = answer_row(&table, &visible, asking, found);
                api.metrics.rows.inc_by(u64::from(response.status() == StatusCode::OK));
                Ok(response)
            }
            None => Err(absent(&table, &visible, &key.text)),
        };
    }
}

/// A key in the path says all that can be said.
fn no_parameters(table: &ReadTable, pairs: &[(String, String)]) -> Result<(), Problem> {
    let refuse = |(name, _): &(String, String)| {
        let detail = "a row's path takes no parameters".to_owned();
        FieldError::in_parameter(name.as_str(), "not_allowed_by_key", detail)
    };
    if pairs.is_empty() {
        return Ok(());
    }
    let detail =
        format!("a row's path takes no parameters; under its table, {}", allowed(&table.table.layout));
    let errors = pairs.iter().map(refuse).collect();
    Err(Problem::new(ProblemKind::InvalidQuery, detail).with_errors(errors))
}

/// `GET /v1/{app}/{table}?…`.
async fn list(
    State(api): State<Arc<Api>>,
    place: Result<Path<(String, String)>, PathRejection>,
    RawQuery(query): RawQuery,
    asking: Asking,
    wanted: MinPosition,
) -> Result<Response, Problem> {
    let answer = read_list(&api, place, query, (&asking, &wanted)).await;
    api.count(ReadKind::Range, answer.as_ref().map(Response::status));
    answer
}

async fn read_list(
    api: &Api,
    place: Result<Path<(String, String)>, PathRejection>,
    query: Option<String>,
    (asking, wanted): Asked<'_>,
) -> Result<Response, Problem> {
    let Path((app, name)) = place.map_err(bad_path)?;
    let longs = longs(&asking.preferences);
    let pairs = pairs::read(query.as_deref())?;
    loop {
        let table = api.table(&app, &name).await?;
        let asked = match table.entity() {
            Some(_) => Wanted::Key(read::entity_key(&table, &pairs, api.settings.page)?),
            None => {
                let query = request::read(&table.table.layout, &pairs, api.settings.page)?;
                Wanted::Range(request::Query { longs, ..query })
            }
        };
        let partition = match &asked {
            Wanted::Key(key) => key.partition,
            Wanted::Range(_) => None,
        };
        let Some(visible) = api.visible(&table, partition, (asking, wanted)).await? else { continue };
        let since = clock::instant();
        let page = match &asked {
            Wanted::Key(key) => read::row(&api.store, &table, &key.bytes, longs).await.map(Page::of),
            Wanted::Range(query) => read::page(&api.store, &table, query).await,
        };
        if api.generations.is_gone(&table) {
            continue;
        }
        api.metrics.store_seconds.observe(since.elapsed().as_secs_f64());
        let page = page?;
        let is_first = pairs.iter().all(|(name, _)| name != "cursor");
        if page.rows == 0
            && is_first
            && let Some(problem) = advice::several(&table.table.layout, &app, &pairs)
        {
            return Err(problem);
        }
        api.metrics.rows.inc_by(page.rows as u64);
        let next = page.next.map(|cursor| (cursor, format!("/v1/{app}/{name}"), pairs));
        let mut response = answer_list(&table, &visible, Some(page.json), next);
        asking.preferences.report_longs(response.headers_mut());
        return Ok(response);
    }
}

/// In which form integers are wanted.
fn longs(preferences: &Preferences) -> Longs {
    if preferences.longs_as_text { Longs::Text } else { Longs::Number }
}

/// What a list is asked for.
enum Wanted {
    /// An entity, by its whole key.
    Key(read::Key),
    /// Rows of a view.
    Range(request::Query),
}

fn absent(table: &ReadTable, visible: &Visible, key: &str) -> Problem {
    let mut problem =
        Problem::new(ProblemKind::RowNotFound, format!("{} has no row {key}", table.table.layout.name));
    for (name, value) in state_headers(table, visible) {
        problem = problem.with_header(name, value);
    }
    problem
}

fn state_headers(
    table: &ReadTable,
    visible: &Visible,
) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
    let positions =
        HeaderValue::from_str(&visible.positions).unwrap_or_else(|_| HeaderValue::from_static(""));
    let age = visible.age_ms.map(|age| (AGE, HeaderValue::from(age)));
    let generation = (GENERATION, HeaderValue::from(table.generation));
    [Some((POSITION, positions)), age, Some(generation)].into_iter().flatten()
}

fn answer(table: &ReadTable, visible: &Visible, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    // With those that come behind: growing costs more than all of them.
    headers.reserve(8);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.extend(state_headers(table, visible));
    response
}

fn answer_row(table: &ReadTable, visible: &Visible, asking: &Asking, found: Found) -> Response {
    let tag = EntityTag::of_row(found.version, table.generation, asking.preferences.longs_as_text);
    let unchanged = asking.conditions.if_none_match.as_ref().is_some_and(|known| known.include(&tag));
    let body = if unchanged { Body::empty() } else { Body::from(found.json) };
    let mut response = answer(table, visible, body);
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    if let Some(tag) = tag.to_header() {
        response.headers_mut().insert(ETAG, tag);
    }
    asking.preferences.report_longs(response.headers_mut());
    response
}

type NextPage = (String, String, Vec<(String, String)>);

/// `items` is the rows' JSON, separated by commas.
fn answer_list(
    table: &ReadTable,
    visible: &Visible,
    items: Option<Vec<u8>>,
    next: Option<NextPage>,
) -> Response {
    let mut body = b"{\"items\":[".to_vec();
    body.extend_from_slice(&items.unwrap_or_default());
    body.extend_from_slice(b"],\"next_cursor\":");
    match &next {
        Some((cursor, _, _)) => body.extend_from_slice(format!("\"{cursor}\"}}").as_bytes()),
        None => body.extend_from_slice(b"null}"),
    }
    let mut response = answer(table, visible, Body::from(body));
    if let Some((cursor, path, mut pairs)) = next {
        pairs.retain(|(name, _)| name != "cursor");
        pairs.push(("cursor".to_owned(), cursor));
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
        if let Ok(link) = HeaderValue::from_str(&format!("<{path}?{query}>; rel=\"next\"")) {
            response.headers_mut().insert(LINK, link);
        }
    }
    response
}
