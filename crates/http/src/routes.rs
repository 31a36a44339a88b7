//! What a server answers with: routes, which may come later than the server.
//!
//! A node listens before its log and store are there: who asks it then is told what it waits for, instead of waiting too.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::catalog::ProblemKind;
use crate::paths::{self, Port};
use crate::problem::Problem;
use crate::readiness::Readiness;

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
        let refused = async |method: Method, uri: Uri| method_not_allowed(&Port::EVERYTHING, &method, &uri);
        let before = before.method_not_allowed_fallback(refused).fallback(waiting);
        Routes { before, set: Arc::default() }
    }

    /// The routes from now on; the first call counts. Who asks for what `port` does not serve is told what does.
    pub fn set(&self, routes: Router, port: Port) {
        let _ = self.set.set(at_port(routes, port));
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
    at_port(router, Port::EVERYTHING)
}

fn at_port(router: Router, port: Port) -> Router {
    let refused = async move |method: Method, uri: Uri| method_not_allowed(&port, &method, &uri);
    let absent = async move |method: Method, uri: Uri| not_found(&port, &method, &uri);
    router.method_not_allowed_fallback(refused).fallback(absent)
}

fn not_ready(readiness: &Readiness) -> Problem {
    let waits = readiness.snapshot().into_iter().filter_map(|(name, state)| Some((name, state.err()?)));
    let waits: Vec<_> = waits.map(|(name, reason)| format!("{name}: {reason}")).collect();
    let detail = match waits.is_empty() {
        true => "the node was not ready, and is now; nothing was done: ask again".to_owned(),
        false => format!("the node is not ready; nothing was done ({})", waits.join("; ")),
    };
    Problem::new(ProblemKind::NotReady, detail).with_retry_after(RETRY_AFTER)
}

fn not_found(port: &Port, method: &Method, uri: &Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    let advice = paths::advice(port, method, &path);
    Problem::new(ProblemKind::NotFound, format!("there is nothing under {path}; {advice}"))
}

/// `Allow` is put on the answer by the router. `OPTIONS` asks for nothing else.
fn method_not_allowed(port: &Port, method: &Method, uri: &Uri) -> Response {
    if *method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    let path: String = uri.path().chars().take(200).collect();
    let advice = port.elsewhere(method, &path);
    let advice = advice.unwrap_or_else(|| "the header Allow says what it takes".to_owned());
    let detail = format!("{path} does not take {method}; {advice}");
    Problem::new(ProblemKind::MethodNotAllowed, detail).into_response()
}
