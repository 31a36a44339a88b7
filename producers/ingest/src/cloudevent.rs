//! One CloudEvent in binary mode of the HTTP protocol binding: its attributes are `CE-` headers, its data is the body.
//!
//! A request without `CE-Specversion` is no CloudEvent, so any other `CE-` header on it is a mistake that is told; but for
//! `CE-Time`, which this API takes alone too. (Section 3.1 of the binding; the attributes by the core specification.)

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderValue};
use percent_encoding::percent_decode;
use tidefold_http::FieldError;

use crate::attributes::{ID_BYTES, digits};
use crate::envelope::{ATTRIBUTE_BYTES, EXTENSIONS, is_attribute_name};

/// The attributes of the one event that a request is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CloudEvent {
    pub(crate) id: String,
    pub(crate) source: String,
    /// Its type: the message type.
    pub(crate) kind: String,
    /// The version a command is conditional on.
    pub(crate) if_match: Option<u64>,
    /// `subject`, `dataschema` and extension attributes.
    pub(crate) others: Vec<(Cow<'static, str>, Cow<'static, str>)>,
}

// === impl CloudEvent ===

impl CloudEvent {
    /// The event that these headers describe, if they describe one; every mistake is added to `errors`.
    pub(crate) fn of(headers: &HeaderMap, errors: &mut Vec<FieldError>) -> Option<CloudEvent> {
        let mut event = CloudEvent::default();
        let mut version = None;
        let mut seen = Vec::new();
        let named =
            headers.iter().filter_map(|(name, value)| Some((name.as_str().strip_prefix("ce-")?, value)));
        for (name, value) in named.filter(|(name, _)| *name != "time") {
            if seen.contains(&name) {
                errors.push(wrong(name, "repeated", "stands more than once"));
                continue;
            }
            seen.push(name);
            match attribute(name, value) {
                Ok(text) if name == "specversion" => version = Some(text),
                Ok(text) => {
                    if let Err((code, detail)) = event.take(name, text) {
                        errors.push(wrong(name, code, detail));
                    }
                }
                Err((code, detail)) => errors.push(wrong(name, code, detail)),
            }
        }
        if seen.is_empty() {
            return None;
        }
        if !seen.contains(&"specversion") {
            for name in seen {
                let detail = "stands without CE-Specversion, so the request is no CloudEvent: add `CE-Specversion: 1.0` \
                              with CE-Id, CE-Source and CE-Type, or leave it out (the id may stand in Idempotency-Key)";
                errors.push(wrong(name, "not_a_cloudevent", detail));
            }
            return None;
        }
        if version.is_some_and(|version| version != "1.0") {
            errors.push(wrong("specversion", "unknown_symbol", "is not 1.0, the only version supported"));
        }
        for required in ["id", "source", "type"] {
            if !seen.contains(&required) {
                errors.push(wrong(required, "missing", "is missing; every CloudEvent has one"));
            }
        }
        Some(event)
    }

    fn take(&mut self, name: &str, text: String) -> Result<(), (&'static str, String)> {
        match name {
            "id" => self.id = text,
            "source" => self.source = text,
            "type" => self.kind = text,
            "ifmatch" => {
                let tag = text.trim_matches('"');
                let version = digits(tag.split_once(".g").map_or(tag, |(version, _)| version));
                self.if_match = Some(version.ok_or(("wrong_type", "is not a version such as 7".to_owned()))?);
            }
            "datacontenttype" => {
                let detail = "does not stand in a header of its own; the body's type is Content-Type";
                return Err(("not_allowed", detail.to_owned()));
            }
            "data" => return Err(("not_allowed", "is no attribute; the data is the body".to_owned())),
            _ if !is_attribute_name(name) => {
                return Err((
                    "unknown_field",
                    "is no attribute; their names are letters and digits".to_owned(),
                ));
            }
            _ if self.others.len() >= EXTENSIONS => {
                return Err(("out_of_range", format!("is one attribute too many; {EXTENSIONS} are allowed")));
            }
            other => self.others.push((Cow::Owned(other.to_owned()), Cow::Owned(text))),
        }
        Ok(())
    }
}

/// A mistake in a header, which is called as in the documentation: `CE-Id`.
fn wrong(name: &str, code: &'static str, detail: impl Into<String>) -> FieldError {
    let mut name: String = name.chars().take(80).collect();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    FieldError::in_parameter(format!("CE-{name}"), code, detail)
}

/// An attribute's text, as section 3.1.3.2 reads it: quotes taken off, then percent-decoded once, UTF-8.
fn attribute(name: &str, value: &HeaderValue) -> Result<String, (&'static str, String)> {
    let bytes = value.as_bytes().trim_ascii();
    let unquoted = match bytes {
        [b'"', inner @ .., b'"'] => {
            unquote(inner).ok_or(("bad_format", "has a `\"` inside that is not escaped".to_owned()))?
        }
        bare => bare.to_vec(),
    };
    let text = percent_decode(&unquoted).decode_utf8();
    let text = text.map_err(|_| ("bad_format", "is not UTF-8 once it is percent-decoded".to_owned()))?;
    let most = if matches!(name, "id" | "type") { ID_BYTES } else { ATTRIBUTE_BYTES };
    if text.is_empty() || text.len() > most {
        return Err(("out_of_range", format!("has {} bytes; it may have 1 to {most}", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err(("bad_format", "has control characters".to_owned()));
    }
    Ok(text.into_owned())
}

fn unquote(inner: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = inner.iter();
    let mut plain = Vec::with_capacity(inner.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => plain.push(*bytes.next()?),
            b'"' => return None,
            byte => plain.push(*byte),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(&'static str, &str)]) -> Result<Option<CloudEvent>, Vec<(String, String)>> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let mut errors = Vec::new();
        let event = CloudEvent::of(&map, &mut errors);
        if errors.is_empty() {
            return Ok(event);
        }
        Err(errors.into_iter().map(|e| (e.parameter.unwrap_or_default(), e.code.into_owned())).collect())
    }

    const WHOLE: [(&str, &str); 4] =
        [("ce-specversion", "1.0"), ("ce-id", "a-1"), ("ce-source", "/till/7"), ("ce-type", "PayOrder")];

    fn with(more: &[(&'static str, &str)]) -> Result<Option<CloudEvent>, Vec<(String, String)>> {
        let kept = WHOLE.iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
        of(&kept.chain(more).copied().collect::<Vec<_>>())
    }

    #[test]
    fn every_attribute_is_taken() {
        let event = with(&[
            ("ce-subject", "o%2D1 %E2%82%AC 50%"),
            ("ce-tenant", "\"a\\\"b\""),
            ("ce-ifmatch", "\"7.g2\""),
            ("ce-time", "ignored here"),
            ("content-type", "application/json"),
        ]);
        let event = event.unwrap().unwrap();
        assert_eq!((&*event.id, &*event.source, &*event.kind), ("a-1", "/till/7", "PayOrder"));
        assert_eq!(event.if_match, Some(7));
        let others: Vec<(&str, &str)> = event.others.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(others, [("subject", "o-1 \u{20ac} 50%"), ("tenant", "a\"b")]);
    }

    #[test]
    fn without_a_version_no_attribute_is_passed_over_in_silence() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[("ce-time", "2026-01-01T00:00:00Z"), ("cedar", "x")]), Ok(None));
        let told = of(&[("ce-id", "a"), ("ce-tenant", "b")]).unwrap_err();
        assert_eq!(
            told,
            [("CE-Id".into(), "not_a_cloudevent".into()), ("CE-Tenant".into(), "not_a_cloudevent".into())]
        );
    }

    #[test]
    fn what_the_standard_does_not_allow_is_told() {
        let long = "x".repeat(256);
        let table: [(&'static str, &str, &str); 14] = [
            ("ce-specversion", "0.3", "unknown_symbol"),
            ("ce-id", "", "out_of_range"),
            ("ce-id", "\"\"", "out_of_range"),
            ("ce-id", &long, "out_of_range"),
            ("ce-id", "a%0Ab", "bad_format"),
            ("ce-id", "%ff", "bad_format"),
            ("ce-id", "\"a\"b\"", "bad_format"),
            ("ce-source", " ", "out_of_range"),
            ("ce-type", "", "out_of_range"),
            ("ce-subject", "", "out_of_range"),
            ("ce-datacontenttype", "application/json", "not_allowed"),
            ("ce-data", "{}", "not_allowed"),
            ("ce-trace-id", "x", "unknown_field"),
            ("ce-ifmatch", "soon", "wrong_type"),
        ];
        for (name, value, code) in table {
            let told = with(&[(name, value)]).unwrap_err();
            assert_eq!(told.iter().map(|(_, code)| &**code).collect::<Vec<_>>(), [code], "{name}: {value}");
        }
        let missing = of(&[("ce-specversion", "1.0")]).unwrap_err();
        assert_eq!(missing.len(), 3, "{missing:?}");
        let twice = with(&[("ce-id", "a"), ("ce-id", "b")]).unwrap_err();
        assert_eq!(twice, [("CE-Id".into(), "repeated".into())]);
    }
}
