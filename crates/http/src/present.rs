//! Which of the headers that every request is asked for it has: one look through them, instead of one for each.

use axum::http::HeaderMap;

/// A header that every request is asked for, and few have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Expect,
    IfMatch,
    IfNoneMatch,
    Origin,
    Prefer,
    RequestId,
    SecFetchSite,
    TransferEncoding,
}

/// Those that a request has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Present(u8);

// === impl Asked ===

impl Asked {
    fn of(name: &str) -> Option<Asked> {
        Some(match name {
            "expect" => Asked::Expect,
            "if-match" => Asked::IfMatch,
            "if-none-match" => Asked::IfNoneMatch,
            "origin" => Asked::Origin,
            "prefer" => Asked::Prefer,
            "x-request-id" => Asked::RequestId,
            "sec-fetch-site" => Asked::SecFetchSite,
            "transfer-encoding" => Asked::TransferEncoding,
            _ => return None,
        })
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

// === impl Present ===

impl Present {
    /// Those among these headers.
    pub(crate) fn among(headers: &HeaderMap) -> Present {
        let asked = headers.keys().filter_map(|name| Asked::of(name.as_str()));
        Present(asked.fold(0, |bits, asked| bits | asked.bit()))
    }

    pub(crate) fn has(self, asked: Asked) -> bool {
        self.0 & asked.bit() != 0
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::{EXPECT, IF_MATCH, IF_NONE_MATCH, ORIGIN, TRANSFER_ENCODING};
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn each_header_is_found_under_its_name_and_no_other() {
        let all = [
            (EXPECT, Asked::Expect),
            (IF_MATCH, Asked::IfMatch),
            (IF_NONE_MATCH, Asked::IfNoneMatch),
            (ORIGIN, Asked::Origin),
            (HeaderName::from_static("prefer"), Asked::Prefer),
            (crate::request_id::HEADER, Asked::RequestId),
            (HeaderName::from_static("sec-fetch-site"), Asked::SecFetchSite),
            (TRANSFER_ENCODING, Asked::TransferEncoding),
        ];
        for (name, asked) in &all {
            let mut headers = HeaderMap::new();
            headers.append("host", HeaderValue::from_static("x"));
            headers.append(name, HeaderValue::from_static("a"));
            headers.append(name, HeaderValue::from_static("b"));
            let present = Present::among(&headers);
            for (_, other) in &all {
                assert_eq!(present.has(*other), other == asked, "{name}: {other:?}");
            }
        }
    }
}
