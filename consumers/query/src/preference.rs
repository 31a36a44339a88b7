//! `Prefer` (RFC 7240): what a caller would like. One that is unknown, or has a value that is, is passed over.

use axum::http::header::VARY;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tidefold_codec::json_out::Longs;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The value of a preference, over all lines of the header; the first counts where it is given again.
pub(crate) fn value<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(PREFER).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(',')).filter_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        Some((name.trim(), value.trim().trim_matches('"')))
    });
    pairs.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// How longs are wanted: `longs=string` for callers whose numbers are doubles.
pub(crate) fn longs(headers: &HeaderMap) -> Longs {
    match value(headers, "longs") {
        Some("string") => Longs::Text,
        _ => Longs::Number,
    }
}

/// Says what was done as preferred, and that other callers may get another answer.
pub(crate) fn applied(longs: Longs, headers: &mut HeaderMap) {
    headers.insert(VARY, HeaderValue::from_static("prefer"));
    if longs == Longs::Text {
        headers.insert(APPLIED, HeaderValue::from_static("longs=string"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (PREFER, HeaderValue::from_str(line).unwrap())).collect()
    }

    #[test]
    fn preferences_are_found_in_every_line_and_spelling() {
        for lines in
            [&["longs=string"][..], &["wait=5, Longs = \"string\""], &["wait=5", "x;y, longs=string; z"]]
        {
            assert_eq!(longs(&given(lines)), Longs::Text, "{lines:?}");
        }
        for lines in [&[][..], &["longs"], &["longs=number"], &["longs=number, longs=string"]] {
            assert_eq!(longs(&given(lines)), Longs::Number, "{lines:?}");
        }
        assert_eq!(value(&given(&["respond-async, wait=7"]), "wait"), Some("7"));
    }
}
