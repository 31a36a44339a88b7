//! Problem details, RFC 9457: what every answer that is not a success looks like.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::catalog::{ProblemKind, TYPE_BASE};
use crate::request_id::RequestId;

/// A problem: what went wrong, with everything wrong in it, and what to do.
#[derive(Clone, Debug)]
pub struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: ProblemKind,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    retry_after: Option<Duration>,
    extensions: Map<String, Value>,
    headers: HeaderMap,
}

/// One mistake in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// For humans.
    pub detail: String,
    /// RFC 6901 pointer into the body, as a URI fragment: `#/items/0/qty`. Absent for headers and parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The header or parameter, where it is not the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// The rule, a snake_case constant.
    pub code: Cow<'static, str>,
}

/// The most mistakes that one problem names: an answer is not larger than what it answers.
pub const ERRORS: usize = 100;

/// When to come back where an operator has to act first.
const OPERATOR_ACTS: Duration = Duration::from_secs(60);

#[derive(Serialize)]
struct Wire<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(flatten)]
    extensions: &'a Map<String, Value>,
}

// === impl Problem ===

impl Problem {
    /// A problem of a kind; `detail` says what is wrong with this request and what to do.
    pub fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem(Box::new(Inner {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            extensions: Map::new(),
            headers: HeaderMap::new(),
        }))
    }

    /// The problem of an error that carries the name of its kind, such as the log's and the store's; with the time after
    /// which to ask again, where that is of use.
    pub fn of_error(name: &str, detail: impl Into<Cow<'static, str>>) -> Problem {
        let kind = ProblemKind::named(name).unwrap_or(ProblemKind::Internal);
        Problem::new(kind, detail).with_usual_retry()
    }

    /// With the time after which to try again that problems of its kind usually have, if any.
    #[must_use]
    pub fn with_usual_retry(self) -> Problem {
        let kind = self.kind();
        if matches!(kind, ProblemKind::LogChanged | ProblemKind::StoreFailed) {
            return self.with_retry_after(OPERATOR_ACTS);
        }
        if kind.retryable() { self.with_retry_after(Duration::from_secs(1)) } else { self }
    }

    /// With the mistakes found: the first [`ERRORS`] of them, and how many more there are.
    #[must_use]
    pub fn with_errors(mut self, mut errors: Vec<FieldError>) -> Problem {
        let more = errors.len().saturating_sub(ERRORS);
        errors.truncate(ERRORS);
        self.0.errors = errors;
        if more > 0 { self.with_member("more_errors", more) } else { self }
    }

    /// With the time after which to try again: `Retry-After` in whole seconds and `retry_after_ms`.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Problem {
        self.0.retry_after = Some(after);
        self
    }

    /// With a member of its own, three or more letters, digits and underscores.
    #[must_use]
    pub fn with_member(mut self, name: &str, value: impl Into<Value>) -> Problem {
        self.0.extensions.insert(name.to_owned(), value.into());
        self
    }

    /// With a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Problem {
        self.0.headers.insert(name, value);
        self
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> ProblemKind {
        self.0.kind
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.kind.status()
    }

    /// What is wrong with this request.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The mistakes.
    #[must_use]
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// Appends its JSON object to `out`, as it stands in a body of its own or in a line of a batch's answer.
    pub fn write_json(&self, request_id: Option<&str>, out: &mut Vec<u8>) {
        let kind = self.0.kind;
        let wire = Wire {
            kind: format!("{TYPE_BASE}{}", kind.slug()),
            title: kind.title(),
            status: kind.status().as_u16(),
            detail: &self.0.detail,
            instance: request_id.map(|id| format!("/problems/{id}")),
            code: kind.code(),
            request_id,
            retryable: kind.retryable(),
            retry_after_ms: self.0.retry_after.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            errors: &self.0.errors,
            extensions: &self.0.extensions,
        };
        let start = out.len();
        if serde_json::to_writer(&mut *out, &wire).is_err() {
            out.truncate(start);
            out.extend_from_slice(b"{}");
        }
    }

    /// Says in the log that a request failed, under the id that its answer has.
    pub(crate) fn log(&self, request_id: Option<&str>) {
        let detail = self.detail();
        if self.0.kind == ProblemKind::PositionNotReached {
            // A caller's own impatience; the lag behind it has metrics of its own.
            tracing::debug!(request_id, detail, "position not reached");
        } else if self.status().is_server_error() {
            tracing::warn!(request_id, code = self.0.kind.slug(), detail, "request failed");
        }
    }

    /// The answer under a request id.
    pub(crate) fn answer(&self, id: &RequestId) -> Response {
        let mut body = Vec::with_capacity(512);
        self.write_json(Some(id.as_str()), &mut body);
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.extend(self.0.headers.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(after) = self.0.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Ok(value) = HeaderValue::from_str(id.as_str()) {
            headers.insert(crate::request_id::HEADER, value);
        }
        response
    }
}

impl Problem {
    /// The answer as it goes over the wire where nothing else can make one: the last of its connection.
    pub(crate) fn last_answer(&self) -> Vec<u8> {
        let id = RequestId::fresh();
        let mut body = Vec::with_capacity(512);
        self.write_json(Some(id.as_str()), &mut body);
        let retry = self.0.retry_after.map(|after| format!("retry-after: {}\r\n", after.as_secs().max(1)));
        let head = format!(
            "HTTP/1.1 {}\r\ncontent-type: application/problem+json\r\nx-request-id: {}\r\n{}connection: close\r\n\
             content-length: {}\r\n\r\n",
            self.status(),
            id.as_str(),
            retry.unwrap_or_default(),
            body.len()
        );
        [head.as_bytes(), &body].concat()
    }
}

impl IntoResponse for Problem {
    /// The answer under a fresh request id. The server makes it again when the caller sent an id, so the problem travels
    /// in the answer's extensions.
    fn into_response(self) -> Response {
        let id = RequestId::fresh();
        let mut response = self.answer(&id);
        response.extensions_mut().insert(self);
        response
    }
}

// === impl FieldError ===

impl FieldError {
    /// A mistake in the body.
    pub fn at(
        pointer: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> FieldError {
        FieldError {
            detail: detail.into(),
            pointer: Some(pointer.into()),
            parameter: None,
            code: code.into(),
        }
    }

    /// A mistake in a header or parameter.
    pub fn in_parameter(
        parameter: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> FieldError {
        FieldError {
            detail: detail.into(),
            pointer: None,
            parameter: Some(parameter.into()),
            code: code.into(),
        }
    }
}
