//! Request ids: the caller's own, where it sent one that is fit to print, else one that is unique to this node's run.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName};

/// The header, on requests and answers.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// What a caller and an operator call one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Box<str>);

// === impl RequestId ===

impl RequestId {
    /// A new one: when this node started, and a count.
    #[must_use]
    pub fn fresh() -> RequestId {
        static STARTED: OnceLock<i64> = OnceLock::new();
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let started = STARTED.get_or_init(tidefold_telemetry::clock::now_micros);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        RequestId(format!("{started:x}-{count:x}").into())
    }

    /// The caller's, if it is 1 to 128 letters, digits, `-`, `_`, `.`, `:`.
    #[must_use]
    pub fn of_caller(headers: &HeaderMap) -> Option<RequestId> {
        let text = headers.get(HEADER)?.to_str().ok()?;
        let fit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
        let fits = (1..=128).contains(&text.len()) && text.bytes().all(fit);
        fits.then(|| RequestId(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
