//! The HTTP write API: JSON in, checked against the app's Avro schemas, appended to the log.
//!
//! An answer of 202 says one thing: the log has the message, durably. What becomes of it is the fold's affair and
//! stands under `/v1/{app}/outcomes/{position}`.
//!
//! This crate deliberately keeps nothing: no sessions, no store of answers, no queue. A retry is told from a new message
//! by the fold, from the message's id; so any node answers any request.
//!
//! A walk through it:
//! * [`router`] and [`Components`]: how the composition gets the routes.
//! * `catalog`: what is served now, as ingest needs it; `intake`: what all routes share.
//! * `attributes`: what is said of a message besides what it says itself, by one set of rules; `cloudevent` takes them from
//!   headers, `envelope` from a line. `head`: all that a request's headers say, `media` a part of it; `shape`: what a refused
//!   body looks like.
//! * `record`: a message as a record; `admission`: the bytes that requests may hold.
//! * `routes`: which body goes which way; `single`: one message; `outcomes`: what became of it; `proofs`: whether the log is the one the tables are of.
//! * `stream`: many messages; `lines`, `chunk` and `lane` are its steps.
//! * `failure` and `answer`: what is answered.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use tidefold_http::paths;

mod admission;
mod answer;
mod attributes;
mod catalog;
mod chunk;
mod cloudevent;
mod components;
mod envelope;
mod failure;
mod head;
mod ids;
mod intake;
mod lane;
mod lines;
mod media;
mod outcomes;
mod proofs;
mod record;
mod routes;
mod settings;
mod shape;
mod single;
mod stream;

pub use components::{Clock, Components, Refusals};
pub use settings::Settings;

/// The routes. They have no fallbacks, so that other routers can be merged with them;
/// `tidefold_http::serve` adds those.
pub fn router(components: Components) -> Router {
    let intake = Arc::new(intake::Intake::new(components));
    Router::new()
        .route(paths::APP, post(routes::post_any))
        .route(paths::NAME, post(routes::post_named))
        .route(paths::OUTCOME, get(outcomes::get))
        .with_state(intake)
}

/// The route of outcomes alone, for a process that takes no messages and has the log.
pub fn outcomes(components: Components) -> Router {
    let intake = Arc::new(intake::Intake::new(components));
    Router::new().route(paths::OUTCOME, get(outcomes::get)).with_state(intake)
}
