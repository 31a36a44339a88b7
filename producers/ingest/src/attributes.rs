//! What the headers of a request say about its messages.

use std::time::Duration;

use axum::http::header::IF_MATCH;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tidefold_codec::text::parse_rfc3339_micros;
use tidefold_http::{FieldError, Problem, ProblemKind};

use crate::cloudevent::CloudEvent;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const CE_TIME: HeaderName = HeaderName::from_static("ce-time");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The longest message id, in bytes.
pub(crate) const ID_BYTES: usize = 255;

/// The headers, read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes {
    /// The message's id; of a stream, what its ids start with.
    pub(crate) id: Option<String>,
    /// When it happened, in microseconds.
    pub(crate) time: Option<i64>,
    /// The version a command is conditional on.
    pub(crate) if_match: Option<u64>,
    /// How long to wait for the verdict.
    pub(crate) wait: Option<Duration>,
    pub(crate) traceparent: Option<HeaderValue>,
    pub(crate) tracestate: Option<HeaderValue>,
    /// The CloudEvent that the request is in binary mode, if it is one.
    pub(crate) event: Option<CloudEvent>,
}

// === impl Attributes ===

impl Attributes {
    /// Reads the headers; every mistake in them is reported.
    pub(crate) fn of(headers: &HeaderMap, wait_max: Duration) -> Result<Attributes, Problem> {
        let mut errors = Vec::new();
        let event = CloudEvent::of(headers, &mut errors);
        let mut attributes = Attributes {
            id: one(headers, &IDEMPOTENCY_KEY, &mut errors, idempotency_key),
            time: one(headers, &CE_TIME, &mut errors, |value| {
                parse_rfc3339_micros(value).ok_or_else(|| {
                    mistake("CE-Time", "bad_format", "is not an RFC 3339 time such as 2026-01-31T12:00:00Z")
                })
            }),
            if_match: one(headers, &IF_MATCH, &mut errors, |value| {
                version(value).ok_or_else(|| {
                    mistake(
                        "If-Match",
                        "bad_format",
                        "is not one strong entity tag with a version, such as \"7\"",
                    )
                })
            }),
            wait: wait(headers, wait_max),
            traceparent: headers.get(TRACEPARENT).filter(|value| value.len() <= 256).cloned(),
            tracestate: headers.get(TRACESTATE).filter(|value| value.len() <= 512).cloned(),
            event: None,
        };
        if let Some(event) = event {
            attributes.take_event(event, &mut errors);
        }
        if errors.is_empty() { Ok(attributes) } else { Err(invalid(errors)) }
    }

    /// What an event says of itself holds for the request; a header of this API may say it too, but nothing else.
    fn take_event(&mut self, event: CloudEvent, errors: &mut Vec<FieldError>) {
        if self.id.as_ref().is_some_and(|id| *id != event.id) {
            let detail = "is another id than CE-Id; a message has one";
            errors.push(mistake("Idempotency-Key", "contradiction", detail));
        }
        if self.if_match.is_some() && event.if_match.is_some_and(|version| self.if_match != Some(version)) {
            errors.push(mistake("If-Match", "contradiction", "is another version than CE-Ifmatch"));
        }
        self.if_match = self.if_match.or(event.if_match);
        self.id = Some(event.id.clone());
        self.event = Some(event);
    }
}

/// A problem with headers.
pub(crate) fn invalid(errors: Vec<FieldError>) -> Problem {
    let detail = match errors.as_slice() {
        [only] => format!("{} {}", only.parameter.as_deref().unwrap_or("a header"), only.detail),
        many => format!("{} headers are wrong", many.len()),
    };
    Problem::new(ProblemKind::InvalidRequest, detail).with_errors(errors)
}

fn mistake(header: &str, code: &'static str, detail: &str) -> FieldError {
    FieldError::in_parameter(header, code, detail)
}

/// The one value of a header, read; more than one is a mistake.
fn one<T>(
    headers: &HeaderMap,
    name: &HeaderName,
    errors: &mut Vec<FieldError>,
    read: impl Fn(&[u8]) -> Result<T, FieldError>,
) -> Option<T> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        errors.push(FieldError::in_parameter(name.as_str(), "repeated", "stands more than once"));
        return None;
    }
    match read(value.as_bytes()) {
        Ok(read) => Some(read),
        Err(error) => {
            errors.push(error);
            None
        }
    }
}

/// A structured-field string (`"ord-77"`) or a bare token.
fn idempotency_key(value: &[u8]) -> Result<String, FieldError> {
    let refuse = |code, detail: &str| Err(mistake("Idempotency-Key", code, detail));
    let value = value.trim_ascii();
    let mut id = String::new();
    match value {
        [b'"', inner @ .., b'"'] => {
            let mut bytes = inner.iter();
            while let Some(byte) = bytes.next() {
                let byte = match byte {
                    b'\\' => match bytes.next() {
                        Some(escaped @ (b'"' | b'\\')) => *escaped,
                        _ => return refuse("bad_format", r#"has a `\` that escapes neither `"` nor `\`"#),
                    },
                    b'"' => return refuse("bad_format", r#"has a `"` inside that is not escaped"#),
                    byte => *byte,
                };
                id.push(char::from(byte));
            }
        }
        bare => {
            if bare.iter().any(|byte| matches!(byte, b'"' | b',' | b';' | b'\\' | b' ' | b'\t')) {
                return refuse("bad_format", "is neither a quoted string nor a bare token");
            }
            id.extend(bare.iter().map(|byte| char::from(*byte)));
        }
    }
    if id.is_empty() || id.len() > ID_BYTES {
        return refuse("out_of_range", &format!("has {} characters; it may have 1 to {ID_BYTES}", id.len()));
    }
    if !id.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return refuse("bad_format", "may hold printable ASCII only");
    }
    Ok(id)
}

/// The version in an entity tag: `"7"`, or `"7.g2"` as a read returns it.
fn version(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let tag = text.strip_prefix('"')?.strip_suffix('"')?;
    let version = tag.split_once(".g").map_or(tag, |(version, _generation)| version);
    digits(version)
}

/// A decimal number of digits alone.
pub(crate) fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// The `wait` preference in seconds; one that is malformed is ignored, as RFC 7240 asks.
fn wait(headers: &HeaderMap, wait_max: Duration) -> Option<Duration> {
    let preferences = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let seconds = preferences
        .flat_map(|value| value.split([',', ';']))
        .filter_map(|preference| preference.trim().split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .and_then(|(_, value)| digits(value.trim().trim_matches('"')))?;
    Some(Duration::from_secs(seconds).min(wait_max))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<String, &'static str> {
        idempotency_key(text.as_bytes()).map_err(|error| match error.code {
            std::borrow::Cow::Borrowed(code) => code,
            std::borrow::Cow::Owned(_) => "owned",
        })
    }

    #[test]
    fn an_idempotency_key_is_a_quoted_string_or_a_token() {
        assert_eq!(key(r#""ord-77 try""#).as_deref(), Ok("ord-77 try"));
        assert_eq!(key(r#""a\"b\\c""#).as_deref(), Ok(r#"a"b\c"#));
        assert_eq!(key("0198c1d2-aa").as_deref(), Ok("0198c1d2-aa"));
        assert_eq!(key(&"x".repeat(255)).map(|id| id.len()), Ok(255));
    }

    #[test]
    fn what_is_no_idempotency_key_is_refused() {
        assert_eq!(key(""), Err("out_of_range"));
        assert_eq!(key(r#""""#), Err("out_of_range"));
        assert_eq!(key(&"x".repeat(10_240)), Err("out_of_range"));
        for text in ["a,b", "a b", r#""a"b""#, r#""a\n""#, "\"a\u{e9}\"", "\"a\u{7}\""] {
            assert_eq!(key(text), Err("bad_format"), "{text} was taken");
        }
    }

    #[test]
    fn a_version_is_one_strong_tag() {
        assert_eq!(version(b"\"7\""), Some(7));
        assert_eq!(version(b"\"7.g12\""), Some(7));
        for text in ["7", "W/\"7\"", "\"7\", \"8\"", "*", "\"-1\"", "\"\"", "\"99999999999999999999\""] {
            assert_eq!(version(text.as_bytes()), None, "{text} was taken");
        }
    }

    #[test]
    fn a_wait_is_found_among_preferences_and_bounded() {
        let wait_of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(PREFER, HeaderValue::from_static(text));
            wait(&headers, Duration::from_secs(30)).map(|wait| wait.as_secs())
        };
        assert_eq!(wait_of("wait=5"), Some(5));
        assert_eq!(wait_of("respond-async, Wait=\"7\""), Some(7));
        assert_eq!(wait_of("wait=600"), Some(30));
        assert_eq!(wait_of("wait=soon"), None);
        assert_eq!(wait_of("respond-async"), None);
    }
}
