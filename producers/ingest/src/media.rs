//! Media types and codings of bodies: the one place that says what is JSON, what is JSON a line, and what is neither.
//!
//! A media type is compared as RFC 9110, section 8.3.1, has it: in any case, whatever its parameters. Every `…/json` and
//! `…+json` is JSON, as in CloudEvents' JSON format, section 3.1. JSON has no charset (RFC 8259, section 11): it is UTF-8,
//! so a `charset` changes nothing, and text in another one is refused where it is read.

use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use mime::Mime;
use tidefold_http::{Problem, ProblemKind};

/// The kinds of body there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    /// One JSON value.
    Json,
    /// One CloudEvent in JSON.
    Event,
    /// One JSON value a line.
    Lines,
}

/// How lines of JSON are called; none of the names is registered.
const LINES: [&str; 6] = ["ndjson", "x-ndjson", "jsonl", "x-jsonl", "jsonlines", "x-jsonlines"];

/// Whether a media type is one of JSON. `None` where it is no media type at all.
pub(crate) fn is_json(text: &str) -> Option<bool> {
    essence(text).map(|mime| names_json(&mime))
}

/// Type and subtype, without parameters.
fn essence(text: &str) -> Option<Mime> {
    let (essence, _parameters) = text.split_once(';').unwrap_or((text, ""));
    let mime: Mime = essence.trim_matches([' ', '\t']).parse().ok()?;
    (!mime.subtype().as_str().is_empty()).then_some(mime)
}

fn names_json(mime: &Mime) -> bool {
    mime.subtype() == mime::JSON || mime.suffix() == Some(mime::JSON)
}

fn refuse(detail: String) -> Problem {
    Problem::new(ProblemKind::UnsupportedMediaType, detail)
}

// === impl Media ===

impl Media {
    /// The body's kind by `Content-Type`. A body without one is not taken: any web page can make a browser send one.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Media, Problem> {
        plain(headers)?;
        let mut given = headers.get_all(CONTENT_TYPE).iter();
        let Some(text) = given.next() else {
            let detail = "the body does not say its type: send Content-Type: application/json (one message) or \
                          application/x-ndjson (one a line)";
            return Err(refuse(detail.to_owned()));
        };
        if given.next().is_some() {
            return Err(refuse("Content-Type stands more than once; send one".to_owned()));
        }
        let text = text.to_str().unwrap_or_default();
        // As almost every client spells them.
        match text {
            "application/json" => return Ok(Media::Json),
            "application/x-ndjson" => return Ok(Media::Lines),
            _ => {}
        }
        let Some(mime) = essence(text) else {
            let shown: String = text.chars().take(80).collect();
            return Err(refuse(format!(
                "`{shown}` is no media type; send application/json or application/x-ndjson"
            )));
        };
        let subtype = mime.subtype().as_str();
        if mime.type_() == mime::APPLICATION && matches!(subtype, "cloudevents" | "cloudevents-batch") {
            if subtype == "cloudevents" && mime.suffix() == Some(mime::JSON) {
                return Ok(Media::Event);
            }
            return Err(refuse(format!(
                "`{}` is not supported; send one event as application/cloudevents+json, or several as \
                 application/x-ndjson to /v1/{{app}}, one a line in this same JSON format",
                mime.essence_str()
            )));
        }
        if names_json(&mime) {
            return Ok(Media::Json);
        }
        if matches!(mime.type_(), mime::APPLICATION | mime::TEXT) && LINES.contains(&subtype) {
            return Ok(Media::Lines);
        }
        let shown: String = mime.essence_str().chars().take(80).collect();
        Err(refuse(format!(
            "`{shown}` is not supported; send application/json (one message) or application/x-ndjson (one a line)"
        )))
    }
}

/// Codings are not undone: what comes in is bounded by what is read.
fn plain(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get_all(CONTENT_ENCODING).iter();
    let mut codings = given.flat_map(|value| value.to_str().unwrap_or("?").split(','));
    let Some(coding) = codings.find(|coding| {
        let coding = coding.trim();
        !coding.is_empty() && !coding.eq_ignore_ascii_case("identity")
    }) else {
        return Ok(());
    };
    let shown: String = coding.trim().chars().take(40).collect();
    let detail =
        format!("the Content-Encoding `{shown}` is not supported; send the body as it is, without one");
    Err(refuse(detail).with_header(ACCEPT_ENCODING, HeaderValue::from_static("identity")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Option<Media> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(text).unwrap());
        Media::of(&headers).ok()
    }

    #[test]
    fn what_is_no_json_is_told() {
        for text in [
            "text/plain",
            "application/jsonp",
            "application/x-json",
            "json",
            "a/b+xml",
            "application/json-seq",
        ] {
            assert_eq!((is_json(text).unwrap_or(false), of(text)), (false, None), "{text}");
        }
        for text in ["", "/json", "application/", "application json", "*"] {
            assert_eq!((is_json(text), of(text)), (None, None), "{text}");
        }
        for (text, media) in [
            ("application/cloudevents+json; charset=utf-8", Some(Media::Event)),
            ("application/CloudEvents-Batch+json", None),
        ] {
            assert_eq!((is_json(text), of(text)), (Some(true), media), "{text}");
        }
        assert_eq!(of("application/cloudevents+avro"), None);
    }

    #[test]
    fn every_coding_but_identity_is_refused_by_name() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, HeaderValue::from_str(value).unwrap());
            }
            plain(&headers)
        };
        for values in [
            &[][..],
            &["identity"],
            &["Identity"],
            &["identity, identity"],
            &[""],
            &["identity", " identity "],
        ] {
            assert!(of(values).is_ok(), "{values:?}");
        }
        for (values, named) in [
            (&["gzip"][..], "`gzip`"),
            (&["GZIP"], "`GZIP`"),
            (&["identity, zstd"], "`zstd`"),
            (&["identity", "br"], "`br`"),
            (&["gzip;q=1"], "`gzip;q=1`"),
        ] {
            let problem = of(values).unwrap_err();
            assert_eq!(problem.status().as_u16(), 415);
            assert!(problem.detail().contains(named), "{}", problem.detail());
        }
    }

    fn in_any_case(text: &'static str) -> impl Strategy<Value = String> {
        prop::collection::vec(any::<bool>(), text.len()).prop_map(move |upper| {
            text.chars().zip(upper).map(|(c, up)| if up { c.to_ascii_uppercase() } else { c }).collect()
        })
    }

    proptest! {
        /// Case and parameters change nothing.
        #[test]
        fn a_media_type_is_the_same_in_every_spelling(
            json in prop_oneof![
                in_any_case("application/json"), in_any_case("text/json"),
                in_any_case("application/vnd.acme.door+json"), in_any_case("application/problem+json"),
            ],
            lines in prop_oneof![in_any_case("application/x-ndjson"), in_any_case("application/jsonl"), in_any_case("text/x-ndjson")],
            parameters in prop_oneof![
                Just(""), Just(";"), Just("; "), Just(";charset=utf-8"), Just(" ; charset=\"UTF-8\""), Just("; Charset=Utf-8; v=1"),
                Just(";profile=\"a;b/c+xml\""), Just("\t;\tx=y"),
            ],
        ) {
            prop_assert_eq!(is_json(&format!("{json}{parameters}")), Some(true));
            prop_assert_eq!(of(&format!("{json}{parameters}")), Some(Media::Json));
            prop_assert_eq!(of(&format!("{lines}{parameters}")), Some(Media::Lines));
            prop_assert_eq!(is_json(&lines), Some(false));
        }
    }
}
