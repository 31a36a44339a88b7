//! What the headers of a request say about its messages.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tidefold_http::{Asking, Conditions, FieldError, Problem, ProblemKind};

use crate::attributes::{Attributes, ID_BYTES};
use crate::cloudevent;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The headers, read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// What they say of the message; of a stream, of each line that does not say it itself. A stream's id is what the ids of
    /// its lines start with.
    pub(crate) attributes: Attributes<'static>,
    /// Whether they make the request a CloudEvent.
    pub(crate) is_event: bool,
    /// How long to wait for the verdict.
    pub(crate) wait: Option<Duration>,
    pub(crate) traceparent: Option<HeaderValue>,
    pub(crate) tracestate: Option<HeaderValue>,
}

// === impl Head ===

impl Head {
    /// Reads the headers; every mistake in them is reported.
    pub(crate) fn of(headers: &HeaderMap, asking: &Asking, wait_max: Duration) -> Result<Head, Problem> {
        let mut errors = Vec::new();
        let key = one(headers, &IDEMPOTENCY_KEY, &mut errors, idempotency_key);
        let (mut attributes, is_event) = cloudevent::read(headers, &mut errors);
        if_match(&asking.conditions, &mut attributes, &mut errors);
        match (key, &attributes.id) {
            (Some(key), Some(id)) if key != *id => {
                let detail = "is another id than CE-Id; a message has one";
                errors.push(mistake("Idempotency-Key", "contradiction", detail));
            }
            (Some(key), None) => attributes.id = Some(key.into()),
            _ => {}
        }
        if !errors.is_empty() {
            return Err(invalid(errors));
        }
        Ok(Head {
            attributes,
            is_event,
            wait: asking.preferences.wait.map(|wait| wait.min(wait_max)),
            traceparent: headers.get(TRACEPARENT).filter(|value| value.len() <= 256).cloned(),
            tracestate: headers.get(TRACESTATE).filter(|value| value.len() <= 512).cloned(),
        })
    }
}

/// `If-Match` says the same as `CE-Ifmatch`, where both stand.
fn if_match(conditions: &Conditions, attributes: &mut Attributes<'_>, errors: &mut Vec<FieldError>) {
    let version = match &conditions.if_match {
        None => return,
        Some(Ok(tags)) => {
            tags.one_version().ok_or("is not one strong entity tag with a version, such as \"7\"")
        }
        Some(Err(error)) if error.code == "repeated" => return errors.push(error.clone()),
        Some(Err(_)) => Err("is not one strong entity tag with a version, such as \"7\""),
    };
    match version {
        Err(detail) => errors.push(mistake("If-Match", "bad_format", detail)),
        Ok(version) if attributes.if_match.is_some_and(|other| other != version) => {
            errors.push(mistake("If-Match", "contradiction", "is another version than CE-Ifmatch"));
        }
        Ok(version) => attributes.if_match = Some(version),
    }
}

/// A problem with headers.
fn invalid(errors: Vec<FieldError>) -> Problem {
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
}
