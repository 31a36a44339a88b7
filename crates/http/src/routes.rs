//! What a server answers with: routes, which may come later than the server.
//!
//! A node listens before its log and store are there: who asks it then is told what it waits for, instead of waiting too.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::admin::Readiness;
use crate::catalog::ProblemKind;
use crate::paths;
use crate::problem::Problem;

/// The routes of a server.
#[derive(Clone, Debug)]
pub struct Routes {
    before: Router,
    set: Arc<OnceLock<Router>>,
}

/// When the node may be there.
const RETRY_AFTER: Duration = Duration::from_secs(1);

// === impl Routes ===

impl Routes {
    /// Routes that are not there yet: until [`Routes::set`], whatever `before` has no path for is answered with 503
    /// `not-ready` and what `readiness` waits for.
    #[must_use]
    pub fn later(before: Router, readiness: &Readiness) -> Routes {
        let readiness = readiness.clone();
        let waiting = async move || not_ready(&readiness);
        let before = before.method_not_allowed_fallback(method_not_allowed).fallback(waiting);
        Routes { before, set: Arc::default() }
    }

    /// The routes from now on; the first call counts.
    pub fn set(&self, routes: Router) {
        let _ = self.set.set(with_fallbacks(routes));
    }

    pub(crate) fn current(&self) -> Router {
        self.set.get().unwrap_or(&self.before).clone()
    }
}

impl From<Router> for Routes {
    fn from(router: Router) -> Routes {
        Routes { before: with_fallbacks(router), set: Arc::default() }
    }
}

/// Answers every path and method the router does not have with a problem.
pub fn with_fallbacks(router: Router) -> Router {
    router.method_not_allowed_fallback(method_not_allowed).fallback(not_found)
}

fn not_ready(readiness: &Readiness) -> Problem {
    let waits = readiness.snapshot().into_iter().filter_map(|(name, state)| Some((name, state.err()?)));
    let waits: Vec<_> = waits.map(|(name, reason)| format!("{name}: {reason}")).collect();
    let detail = format!("the node is starting; nothing was done ({})", waits.join("; "));
    Problem::new(ProblemKind::NotReady, detail).with_retry_after(RETRY_AFTER)
}

async fn not_found(uri: axum::http::Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    let advice = paths::advice(&path);
    Problem::new(ProblemKind::NotFound, format!("there is nothing under {path}; {advice}"))
}

/// `Allow` is put on the answer by the router. `OPTIONS` asks for nothing else.
async fn method_not_allowed(method: Method, uri: axum::http::Uri) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    let path: String = uri.path().chars().take(200).collect();
    let detail = format!("{path} does not take {method}; the header Allow says what it takes");
    Problem::new(ProblemKind::MethodNotAllowed, detail).into_response()
}
