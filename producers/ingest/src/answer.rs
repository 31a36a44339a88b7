//! Answers, written by hand: they are few, small and on the hot path.

use std::borrow::Cow;
use std::io::Write as _;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use tidefold_codec::json_out::write_string;
use tidefold_http::Problem;
use tidefold_record::{Offset, Partition, TopicName};

use crate::catalog::TopicEntry;

/// A message that stands in the log.
pub(crate) struct Standing<'a> {
    pub(crate) topic: &'a TopicEntry,
    pub(crate) partition: Partition,
    pub(crate) offset: Offset,
    pub(crate) id: &'a str,
}

/// Appends a position.
pub(crate) fn write_position(topic: &TopicName, partition: Partition, offset: Offset, out: &mut Vec<u8>) {
    // Writing to a Vec does not fail.
    let _ = write!(out, "{topic}:{partition}:{offset}");
}

/// Appends the answer to an accepted line of a stream.
pub(crate) fn write_accepted_line(index: u64, id: &str, position: &[u8], out: &mut Vec<u8>) {
    let _ = write!(out, "{{\"index\":{index},\"status\":202,\"id\":");
    write_string(id, out);
    out.extend_from_slice(b",\"position\":\"");
    out.extend_from_slice(position);
    out.extend_from_slice(b"\"}\n");
}

/// Appends the answer to a line that was not accepted.
pub(crate) fn write_problem_line(index: u64, id: Option<&str>, problem: &Problem, out: &mut Vec<u8>) {
    let _ = write!(out, "{{\"index\":{index},\"status\":{}", problem.status().as_u16());
    if let Some(id) = id {
        out.extend_from_slice(b",\"id\":");
        write_string(id, out);
    }
    out.extend_from_slice(b",\"problem\":");
    problem.write_json(None, out);
    out.extend_from_slice(b"}\n");
}

/// The path of an outcome.
pub(crate) fn outcome_path(app: &str, position: &[u8]) -> Option<HeaderValue> {
    let mut path = Vec::with_capacity(position.len() + app.len() + 16);
    path.extend_from_slice(b"/v1/");
    path.extend_from_slice(app.as_bytes());
    path.extend_from_slice(b"/outcomes/");
    path.extend_from_slice(position);
    HeaderValue::from_maybe_shared(Bytes::from(path)).ok()
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// `202`: the message is in the log; what becomes of it stands under `Location`.
pub(crate) fn accepted(app: &str, id: &str, position: &[u8]) -> Response {
    let mut body = Vec::with_capacity(id.len() + position.len() + 48);
    body.extend_from_slice(b"{\"id\":");
    write_string(id, &mut body);
    body.extend_from_slice(b",\"position\":\"");
    body.extend_from_slice(position);
    body.extend_from_slice(b"\",\"outcome\":\"pending\"}");
    let mut response = json(StatusCode::ACCEPTED, body);
    if let Some(path) = outcome_path(app, position) {
        response.headers_mut().insert(LOCATION, path);
    }
    response
}

// === impl Standing ===

impl Standing<'_> {
    /// Its position's text.
    pub(crate) fn position(&self) -> Vec<u8> {
        let mut position = Vec::with_capacity(48);
        write_position(&self.topic.name, self.partition, self.offset, &mut position);
        position
    }

    pub(crate) fn position_text(&self) -> String {
        match String::from_utf8_lossy(&self.position()) {
            Cow::Borrowed(text) => text.to_owned(),
            Cow::Owned(text) => text,
        }
    }

    /// `202`.
    pub(crate) fn accepted(&self, app: &str) -> Response {
        accepted(app, self.id, &self.position())
    }
}
