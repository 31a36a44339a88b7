//! `Prefer` (RFC 7240): what a caller would like. One that is unknown, or has a value that is, is passed over.

use std::time::Duration;

use axum::http::header::VARY;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The preferences of a request that are known here; of one that is given again the first counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    /// `wait=5`: how long the caller would wait for an answer that says more. Not bounded yet.
    pub wait: Option<Duration>,
    /// `longs=string`: integers of 64 bits as text, for callers whose numbers are doubles.
    pub longs_as_text: bool,
}

/// Splits at commas, or semicolons, that stand in no quoted string.
struct Parts<'t> {
    rest: Option<&'t str>,
    at: u8,
}

// === impl Preferences ===

impl Preferences {
    /// Reads every line of the header.
    pub(crate) fn of(headers: &HeaderMap) -> Preferences {
        let mut preferences = Preferences::default();
        let (mut has_wait, mut has_longs) = (false, false);
        for line in headers.get_all(PREFER).iter().filter_map(|line| line.to_str().ok()) {
            for preference in parts(line, b',') {
                // What stands behind a semicolon is about the preference, not another one.
                let whole = parts(preference, b';').next().unwrap_or_default();
                let (name, value) = whole.split_once('=').unwrap_or((whole, ""));
                let (name, value) = (name.trim(), unquoted(value.trim()));
                if name.eq_ignore_ascii_case("wait") && !std::mem::replace(&mut has_wait, true) {
                    preferences.wait = seconds(value);
                } else if name.eq_ignore_ascii_case("longs") && !std::mem::replace(&mut has_longs, true) {
                    preferences.longs_as_text = value == "string";
                }
            }
        }
        preferences
    }

    /// Says that the answer waited, and for how long it would have.
    #[must_use]
    pub fn waited(asked: Duration) -> (HeaderName, HeaderValue) {
        let text = HeaderValue::try_from(format!("wait={}", asked.as_secs()));
        (APPLIED, text.unwrap_or_else(|_| HeaderValue::from_static("wait")))
    }

    /// Says in which form integers are, and that other callers may get another answer.
    pub fn report_longs(&self, headers: &mut HeaderMap) {
        headers.insert(VARY, HeaderValue::from_static("prefer"));
        if self.longs_as_text {
            headers.insert(APPLIED, HeaderValue::from_static("longs=string"));
        }
    }
}

/// Whole seconds; more of them than can be counted are as many as can.
fn seconds(text: &str) -> Option<Duration> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text)
}

fn parts(text: &str, at: u8) -> Parts<'_> {
    Parts { rest: Some(text), at }
}

// === impl Parts ===

impl<'t> Iterator for Parts<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let text = self.rest.take()?;
        let (mut quoted, mut escaped) = (false, false);
        for (place, byte) in text.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                byte if byte == self.at && !quoted => {
                    self.rest = text.get(place + 1..);
                    return text.get(..place);
                }
                _ => {}
            }
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(lines: &[&str]) -> Preferences {
        let headers: HeaderMap =
            lines.iter().map(|line| (PREFER, HeaderValue::from_str(line).unwrap())).collect();
        Preferences::of(&headers)
    }

    #[test]
    fn preferences_are_found_in_every_line_and_spelling() {
        for lines in
            [&["longs=string"][..], &["wait=5, Longs = \"string\""], &["wait=5", "x;y, longs=string; z"]]
        {
            assert!(given(lines).longs_as_text, "{lines:?}");
        }
        for lines in [&[][..], &["longs"], &["longs=number"], &["longs=number, longs=string"]] {
            assert!(!given(lines).longs_as_text, "{lines:?}");
        }
    }

    #[test]
    fn a_wait_is_whole_seconds_and_the_first_one_counts() {
        for (lines, seconds) in [
            (&["wait=5"][..], Some(5)),
            (&["respond-async, Wait=\"7\""], Some(7)),
            (&["respond-async", "wait = 7; x=y"], Some(7)),
            (&["wait=5, wait=9"], Some(5)),
            (&["wait=0"], Some(0)),
            (&["wait=99999999999999999999"], Some(u64::MAX)),
            (&["wait=soon, wait=9"], None),
            (&["wait"], None),
            (&["wait=-1"], None),
            (&["wait=+5"], None),
            (&["wait=1.5"], None),
            // A parameter of another preference, and the text of one, are no preferences.
            (&["handling=strict; wait=5"], None),
            (&["note=\"later, wait=5\""], None),
            (&["note=\"a\\\", b\", wait=5"], Some(5)),
            (&["respond-async"], None),
        ] {
            assert_eq!(given(lines).wait.map(|wait| wait.as_secs()), seconds, "{lines:?}");
        }
    }
}
