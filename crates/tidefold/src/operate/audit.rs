//! A line in the log for every act of an operator: what was asked, by whom as far as that is known, and what was answered.

use axum::extract::Request;
use axum::http::header::{HeaderName, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tidefold_http::{Asking, Problem, RequestId, request_id};

/// What is said of a request's caller or parameters is no longer than this.
const SHOWN: usize = 300;

/// Passes a request on; one that may change something, or costs a lot, leaves a line.
pub(super) async fn audit(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let path = request.uri().path();
    let act = shown(act(path));
    let (path, query) = (shown(path), shown(request.uri().query().unwrap_or_default()));
    let peer = request.extensions().get::<Asking>().and_then(|asking| asking.peer);
    let peer = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
    let agent = header(request.headers(), &USER_AGENT);
    let of_caller = RequestId::of_caller(request.headers());
    let by = header(request.headers(), &tidefold_http::OPERATOR);
    let mut response = next.run(request).await;
    // The id that the answer has: a problem has one already, anything else gets it here.
    let request_id =
        of_caller.or_else(|| RequestId::of_caller(response.headers())).unwrap_or_else(RequestId::fresh);
    let request_id = request_id.as_str();
    if let Ok(value) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(request_id::HEADER, value);
    }
    let detail = response.extensions().get::<Problem>().map(Problem::detail).unwrap_or_default();
    tracing::info!(
        target: "tidefold::operator",
        act, path, query, by, peer, user_agent = agent, request_id,
        status = response.status().as_u16(), detail, "an operator asked for: {act}"
    );
    response
}

/// What is asked for: the word behind the app, as in `/admin/v1/storefront/replay`.
fn act(path: &str) -> &str {
    let mut words = path.trim_start_matches("/admin/v1/").split('/');
    let first = words.next().unwrap_or(path);
    words.next().filter(|word| !word.is_empty()).unwrap_or(first)
}

fn header(headers: &HeaderMap, name: &HeaderName) -> String {
    headers.get(name).map(|value| shown(&String::from_utf8_lossy(value.as_bytes()))).unwrap_or_default()
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
