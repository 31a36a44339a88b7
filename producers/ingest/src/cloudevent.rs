//! The `CE-` headers of a request: one CloudEvent in binary mode of the HTTP protocol binding, whose data is the body.
//!
//! A request without `CE-Specversion` is no CloudEvent, so any other `CE-` header on it is a mistake that is told; but for
//! `CE-Time`, which this API takes alone too. (Section 3.1 of the binding.)

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderValue};
use percent_encoding::percent_decode;
use tidefold_http::FieldError;

use crate::attributes::{Attributes, Known, Mistake, Value};

/// The attributes that these headers give, and whether they make the request an event. Every mistake is added to `errors`.
pub(crate) fn read(headers: &HeaderMap, errors: &mut Vec<FieldError>) -> (Attributes<'static>, bool) {
    let mut attributes = Attributes::default();
    let named =
        || headers.iter().filter_map(|(name, value)| Some((name.as_str().strip_prefix("ce-")?, value)));
    for (name, value) in named() {
        let value = if name == Known::Datacontenttype.name() {
            let detail = "does not stand in a header of its own; the body's type is Content-Type";
            Value::Broken(("not_allowed", detail.into()))
        } else {
            decoded(value).map_or_else(Value::Broken, |text| Value::Text(text.into()))
        };
        if let Err((code, detail)) = attributes.take(Cow::Owned(name.to_owned()), value) {
            errors.push(FieldError::in_parameter(header(name), code, detail));
        }
    }
    if attributes.is_empty() {
        return (attributes, false);
    }
    if !attributes.has(Known::Specversion) {
        for (name, _) in named().filter(|(name, _)| *name != "time") {
            let detail = "stands without CE-Specversion, so the request is no CloudEvent: add `CE-Specversion: 1.0` \
                          with CE-Id, CE-Source and CE-Type, or leave it out (the id may stand in Idempotency-Key)";
            errors.push(FieldError::in_parameter(header(name), "not_a_cloudevent", detail));
        }
        return (Attributes::at(attributes.time), false);
    }
    for required in [Known::Id, Known::Source, Known::Type] {
        if !attributes.has(required) {
            let detail = "is missing; every CloudEvent has one";
            errors.push(FieldError::in_parameter(header(required.name()), "missing_field", detail));
        }
    }
    (attributes, true)
}

/// A header's name as it stands in the documentation: `CE-Id`.
fn header(name: &str) -> String {
    let mut name: String = name.chars().take(80).collect();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    format!("CE-{name}")
}

/// A value as section 3.1.3.2 reads it: quotes taken off, then percent-decoded once, UTF-8.
fn decoded(value: &HeaderValue) -> Result<String, Mistake> {
    let bytes = value.as_bytes().trim_ascii();
    let unquoted = match bytes {
        [b'"', inner @ .., b'"'] => match unquote(inner) {
            Some(plain) => Cow::Owned(plain),
            None => return Err(("bad_format", "has a `\"` inside that is not escaped".into())),
        },
        bare => Cow::Borrowed(bare),
    };
    match percent_decode(&unquoted).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(("bad_format", "is not UTF-8 once it is percent-decoded".into())),
    }
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

    fn of(headers: &[(&'static str, &str)]) -> Result<(Attributes<'static>, bool), Vec<(String, String)>> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let mut errors = Vec::new();
        let read = read(&map, &mut errors);
        if errors.is_empty() {
            return Ok(read);
        }
        Err(errors.into_iter().map(|e| (e.parameter.unwrap_or_default(), e.code.into_owned())).collect())
    }

    const WHOLE: [(&str, &str); 4] =
        [("ce-specversion", "1.0"), ("ce-id", "a-1"), ("ce-source", "/till/7"), ("ce-type", "PayOrder")];

    fn with(more: &[(&'static str, &str)]) -> Result<(Attributes<'static>, bool), Vec<(String, String)>> {
        let kept = WHOLE.iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
        of(&kept.chain(more).copied().collect::<Vec<_>>())
    }

    #[test]
    fn quotes_and_escapes_of_a_header_are_taken_off() {
        let (attributes, is_event) = with(&[
            ("ce-subject", "o%2D1 %E2%82%AC 50%"),
            ("ce-tenant", "\"a\\\"b\""),
            ("ce-ifmatch", "\"7.g2\""),
            ("ce-time", "2026-01-31T12%3A00:00Z"),
            ("content-type", "application/json"),
        ])
        .unwrap();
        assert!(is_event);
        assert_eq!((attributes.if_match, attributes.time), (Some(7), Some(1_769_860_800_000_000)));
        let others: Vec<(&str, &str)> = attributes.others.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(others, [("subject", "o-1 \u{20ac} 50%"), ("tenant", "a\"b")]);
    }

    #[test]
    fn without_a_version_no_attribute_is_passed_over_in_silence() {
        assert_eq!(of(&[]), Ok((Attributes::default(), false)));
        let time_alone = of(&[("ce-time", "1970-01-01T00:00:01Z"), ("cedar", "x")]);
        assert_eq!(time_alone, Ok((Attributes::at(Some(1_000_000)), false)));
        let told = of(&[("ce-id", "a"), ("ce-tenant", "b")]).unwrap_err();
        assert_eq!(
            told,
            [("CE-Id".into(), "not_a_cloudevent".into()), ("CE-Tenant".into(), "not_a_cloudevent".into())]
        );
    }

    #[test]
    fn what_only_a_header_can_have_wrong_is_told_once() {
        let table: [(&'static str, &str, &str); 5] = [
            ("ce-id", "%ff", "bad_format"),
            ("ce-id", "\"a\"b\"", "bad_format"),
            ("ce-source", " ", "out_of_range"),
            ("ce-datacontenttype", "application/json", "not_allowed"),
            ("ce-trace-id", "x", "unknown_field"),
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
