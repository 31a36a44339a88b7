//! What the HTTP APIs share: problems, limits, serving and draining.
//!
//! It deliberately knows no app, log or store, and no route but those of the admin port.
//!
//! A walk through it:
//! * [`serve`]: the accept loop, bounds and graceful end. [`routes`]: what it answers with, from
//!   the start or later; [`with_fallbacks`].
//! * [`problem`]: [`Problem`], an RFC 9457 answer with every mistake in it; [`catalog`]: all kinds there are.
//! * [`limits`]: the bounds of a server; [`body`]: reading a body within them.
//! * [`callers`]: who calls, by address, and what each may hold; [`admission`]: which requests are let in at all.
//! * [`asking`]: what a request says besides what it asks for, read once: [`principal`], who calls, and may be refused;
//!   [`preference`], what is preferred; [`entity_tag`], what it is conditional on.
//! * [`request_id`]: what caller and operator call one request.
//! * [`admin`]: `/livez`, `/readyz`, `/metrics`; [`readiness`]: what the parts of a node say of themselves.
//!
//! ```no_run
//! # use tidefold_http::{Limits, Server, serve};
//! # async fn run() -> std::io::Result<()> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:7070").await?;
//! let shutdown = tokio_util::sync::CancellationToken::new();
//! let server = Server { name: "public", limits: Limits::default(), admission: Default::default(), telemetry: Default::default() };
//! let _drained = serve(listener, axum::Router::new(), shutdown, server).await;
//! # Ok(()) }
//! ```

pub mod admin;
pub mod admission;
pub mod asking;
pub mod body;
pub mod callers;
pub mod catalog;
pub mod entity_tag;
pub mod limits;
pub mod paths;
mod patient;
pub mod preference;
mod present;
pub mod principal;
pub mod problem;
pub mod readiness;
pub mod request_id;
pub mod routes;
pub mod serve;

pub use admin::admin;
pub use admission::{Admission, OPERATOR};
pub use asking::Asking;
pub use callers::{Caller, Held, Shared};
pub use catalog::ProblemKind;
pub use entity_tag::{Conditions, EntityTag, Tags};
pub use limits::Limits;
pub use preference::Preferences;
pub use principal::Principal;
pub use problem::{FieldError, Problem};
pub use readiness::{Gate, Readiness};
pub use request_id::RequestId;
pub use routes::{Routes, with_fallbacks};
pub use serve::{Drained, Server, serve};
