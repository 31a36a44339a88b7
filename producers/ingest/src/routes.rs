//! Which body goes which way.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use tidefold_http::{Asking, Problem, ProblemKind};

use crate::chunk::Route;
use crate::head::Head;
use crate::intake::Intake;
use crate::media::Media;
use crate::{single, stream};

/// The route of messages of any type.
pub(crate) async fn post_any(
    State(intake): State<Arc<Intake>>,
    asking: Asking,
    request: Request,
) -> Result<Response, Problem> {
    let app = request.uri().path().strip_prefix("/v1/").unwrap_or_default();
    intake.check_app(app)?;
    let media = Media::of(request.headers())?;
    let head = Head::of(request.headers(), &asking, intake.settings.wait_max)?;
    let catalog = intake.catalog.now();
    match media {
        Media::Lines => stream::answer(intake, catalog, asking, Route::Any, head, request),
        Media::Event => single::event(&intake, &catalog, asking, None, head, request).await,
        Media::Json => {
            let detail = "this path takes application/x-ndjson, one message with its type a line, or one event as \
                          application/cloudevents+json; send one message of application/json to its own path, \
                          /v1/{app}/{MessageType}";
            Err(Problem::new(ProblemKind::UnsupportedMediaType, detail))
        }
    }
}

/// The route of messages of one type.
pub(crate) async fn post_named(
    State(intake): State<Arc<Intake>>,
    asking: Asking,
    request: Request,
) -> Result<Response, Problem> {
    let (app, name) = named(request.uri().path());
    intake.check_app(app)?;
    let catalog = intake.catalog.now();
    let message = catalog.message(name).ok_or_else(|| catalog.unknown_type(name))?;
    let media = Media::of(request.headers())?;
    let head = Head::of(request.headers(), &asking, intake.settings.wait_max)?;
    let schema = catalog.schema_id(message)?;
    match media {
        Media::Json => single::one(&intake, asking, message, schema, head, request).await,
        Media::Event => single::event(&intake, &catalog, asking, Some(message), head, request).await,
        Media::Lines => {
            let route = Route::One { message: message.place, schema };
            stream::answer(Arc::clone(&intake), Arc::clone(&catalog), asking, route, head, request)
        }
    }
}

/// App and name of `/v1/{app}/{name}`. Both are plain ASCII in every app, so an escaped one is just not found.
fn named(path: &str) -> (&str, &str) {
    path.strip_prefix("/v1/").and_then(|rest| rest.split_once('/')).unwrap_or_default()
}
