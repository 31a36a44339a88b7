//! The routes, and one answer from request to response.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LINK};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;
use tidefold_codec::json_out::Longs;
use tidefold_control::Control;
use tidefold_http::{Asking, EntityTag, FieldError, Preferences, Problem, ProblemKind, paths};
use tidefold_log::SharedLog;
use tidefold_record::{Partition, Position};
use tidefold_store::SharedStore;
use tidefold_table::Checkpoint;
use tidefold_telemetry::{QueryMetrics, ReadKind, Telemetry, clock};
use tokio::sync::watch;

use crate::advice;
use crate::generations::{Generations, NotReadable, ReadTable};
use crate::pairs;
use crate::position::{self, Visible};
use crate::proof::LogTopic;
use crate::read::{self, Found, Page};
use crate::request::{self, PageLimits, allowed, nearest};

const POSITION: HeaderName = HeaderName::from_static("tidefold-position");
const AGE: HeaderName = HeaderName::from_static("tidefold-age-ms");
const GENERATION: HeaderName = HeaderName::from_static("tidefold-generation");
const MIN_POSITION: HeaderName = HeaderName::from_static("tidefold-min-position");

/// What the read API works with.
#[derive(Clone)]
pub struct Components {
    /// The app's name.
    pub app: Arc<str>,
    /// The store.
    pub store: SharedStore,
    /// Which generations are active, and what each was built from.
    pub control: watch::Receiver<Arc<Control>>,
    /// The log, where the node has one: whether anything newer stands there is all that is asked of it.
    pub log: Option<SharedLog>,
    /// Why a partition's projection does not go on, where this node folds and knows.
    pub halts: Option<Halts>,
    /// Where it counts.
    pub telemetry: Telemetry,
}

/// Why a topic's generation is halted in a partition, if it is.
pub type Halts = Arc<dyn Fn(&str, u32, Partition) -> Option<String> + Send + Sync>;

/// What bounds the read API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Rows of a page.
    pub page: PageLimits,
    /// How long `Tidefold-Min-Position` waits where the caller does not say (`Prefer: wait=…`).
    pub patience: Duration,
    /// How long it waits at most.
    pub patience_max: Duration,
}

/// What every request sees.
pub(crate) struct Api {
    /// The app's name.
    pub(crate) app: Arc<str>,
    pub(crate) generations: Generations,
    pub(crate) store: SharedStore,
    pub(crate) log: Option<SharedLog>,
    pub(crate) settings: Settings,
    pub(crate) metrics: QueryMetrics,
    halts: Option<Halts>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            page: PageLimits { default: 50, max: 1_000 },
            patience: Duration::from_secs(5),
            patience_max: Duration::from_secs(30),
        }
    }
}

/// The read API's routes. They share paths with the write API's, for other methods.
pub fn router(components: Components, settings: Settings) -> Router {
    let Components { app, store, control, log, halts, telemetry } = components;
    let metrics = telemetry.query(&app);
    let generations = Generations::new(Arc::clone(&store), control);
    let api = Arc::new(Api { app, generations, store, log, settings, metrics, halts });
    Router::new()
        .route("/", get(crate::index::root))
        .route(paths::APP, get(crate::index::app))
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
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let answer = read_row(&api, place, query, (&asking, &headers)).await;
    api.count(ReadKind::Key, answer.as_ref().map(Response::status));
    answer
}

async fn read_row(
    api: &Api,
    place: Result<Path<(String, String, String)>, PathRejection>,
    query: Option<String>,
    (asking, headers): Asked<'_>,
) -> Result<Response, Problem> {
    let Path((app, name, key)) = place.map_err(bad_path)?;
    let longs = longs(&asking.preferences);
    let pairs = pairs::read(query.as_deref())?;
    loop {
        let table = api.table(&app, &name).await?;
        no_parameters(&table, &pairs)?;
        let key = read::single_key(&table, &key)?;
        let Some(visible) = api.visible(&table, key.partition, (asking, headers)).await? else { continue };
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
            None => Err(api.absent(&table, &visible, &key.text)),
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
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let answer = read_list(&api, place, query, (&asking, &headers)).await;
    api.count(ReadKind::Range, answer.as_ref().map(Response::status));
    answer
}

async fn read_list(
    api: &Api,
    place: Result<Path<(String, String)>, PathRejection>,
    query: Option<String>,
    (asking, headers): Asked<'_>,
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
        let Some(visible) = api.visible(&table, partition, (asking, headers)).await? else { continue };
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
        asking.preferences.tell_longs(response.headers_mut());
        return Ok(response);
    }
}

/// Who asks, and how.
type Asked<'a> = (&'a Asking, &'a HeaderMap);

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

pub(crate) fn bad_path(error: PathRejection) -> Problem {
    Problem::new(ProblemKind::InvalidRequest, format!("the path cannot be read: {}", error.body_text()))
}

// === impl Api ===

impl Api {
    pub(crate) fn check_app(&self, app: &str) -> Result<(), Problem> {
        let here = &*self.app;
        if app == here {
            return Ok(());
        }
        Err(Problem::new(ProblemKind::UnknownApp, format!("this node serves the app {here}")))
    }

    async fn table(&self, app: &str, name: &str) -> Result<ReadTable, Problem> {
        self.check_app(app)?;
        match self.generations.table(name).await {
            Some(Ok(table)) => Ok(table),
            Some(Err(NotReadable::NotBuilt)) => {
                let problem =
                    Problem::new(ProblemKind::NotReady, format!("{name} has no active generation yet"));
                Err(problem.with_retry_after(Duration::from_secs(1)))
            }
            Some(Err(NotReadable::NoProjection(error))) => {
                Err(Problem::new(ProblemKind::Internal, error.to_string()))
            }
            Some(Err(NotReadable::Store(error))) => Err(position::store_problem(error)),
            None => {
                let known = self.generations.known();
                let names = known.names();
                if name == "outcomes" {
                    let detail = format!(
                        "an outcome stands under /v1/{app}/outcomes/{{topic}}:{{partition}}:{{offset}}"
                    );
                    return Err(Problem::new(ProblemKind::UnknownTable, detail));
                }
                if known.has_message(name) {
                    let detail = format!(
                        "{name} is a message type: it is sent, with POST; tables are {}",
                        names.join(", ")
                    );
                    return Err(Problem::new(ProblemKind::UnknownTable, detail));
                }
                let detail = match nearest(name, names.iter().copied()) {
                    Some(near) => format!("there is no table {name}; did you mean {near}?"),
                    None => format!("there is no table {name}; there are {}", names.join(", ")),
                };
                Err(Problem::new(ProblemKind::UnknownTable, detail))
            }
        }
    }

    /// What is visible before the rows are read (I4), once the caller's own write is; `None` where another generation is
    /// in use by now and all has to be read again from that one.
    async fn visible(
        &self,
        table: &ReadTable,
        partition: Option<u32>,
        (asking, headers): Asked<'_>,
    ) -> Result<Option<Visible>, Problem> {
        let which: Vec<u32> = match partition {
            Some(only) => vec![only],
            None => (0..table.topic().partitions).collect(),
        };
        let values: Vec<&str> =
            headers.get_all(MIN_POSITION).iter().map(|value| value.to_str().unwrap_or_default()).collect();
        let checkpoints = if values.is_empty() {
            let recent = table.recent.checkpoints(&self.store, &table.tables, &which).await;
            recent.map_err(position::store_problem)?
        } else {
            let wanted = position::parse(&values.join(","), table.topic())?;
            self.wait(table, &which, &wanted, asking).await?
        };
        if !self.generations.saw(table, checkpoints.iter().map(|c| c.next)) {
            return Ok(None);
        }
        Ok(Some(position::visible(&table.projection, &checkpoints, partition, self.log.as_ref())))
    }

    async fn wait(
        &self,
        table: &ReadTable,
        which: &[u32],
        wanted: &[Position],
        asking: &Asking,
    ) -> Result<Vec<Checkpoint>, Problem> {
        let halted = self
            .halts
            .as_ref()
            .map(|halts| |partition: Partition| halts(table.projection.name(), table.generation, partition));
        let since = clock::instant();
        let patience = asking.preferences.wait.unwrap_or(self.settings.patience);
        let patience = patience.min(self.settings.patience_max);
        let log = self.log.as_ref().map(|log| LogTopic::new(log, &table.projection));
        let place = position::Place { table, log: log.as_ref(), caller: &asking.caller };
        let reached = place.wait(which, wanted, patience, halted).await;
        if !wanted.is_empty() {
            self.metrics.position_wait_seconds.observe(since.elapsed().as_secs_f64());
        }
        reached
    }

    /// Counts an answer.
    pub(crate) fn count(&self, read: ReadKind, answer: Result<StatusCode, &Problem>) {
        let outcomes = self.metrics.requests(read);
        let counter = match answer {
            Ok(StatusCode::NOT_MODIFIED) => &outcomes.not_modified,
            Ok(_) => &outcomes.ok,
            Err(problem) if problem.kind() == ProblemKind::PositionNotReached => &outcomes.timeout,
            Err(problem) if problem.status() == StatusCode::NOT_FOUND => &outcomes.not_found,
            Err(problem) if problem.status().is_server_error() => &outcomes.unavailable,
            Err(_) => &outcomes.invalid,
        };
        counter.inc();
    }

    fn absent(&self, table: &ReadTable, visible: &Visible, key: &str) -> Problem {
        let mut problem =
            Problem::new(ProblemKind::RowNotFound, format!("{} has no row {key}", table.table.layout.name));
        for (name, value) in state_headers(table, visible) {
            problem = problem.with_header(name, value);
        }
        problem
    }
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
    asking.preferences.tell_longs(response.headers_mut());
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
