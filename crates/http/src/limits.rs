//! What a server takes from a stranger. Every bound has a default; none can be switched off.

use std::time::Duration;

/// The bounds of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a body that is read whole: one message.
    pub body_bytes: usize,
    /// Bytes of one line of a streamed body.
    pub line_bytes: usize,
    /// How deep JSON may nest.
    pub depth: usize,
    /// Bytes of a request's head: method, path and headers.
    pub head_bytes: usize,
    /// How long the head may take to arrive; also how long a kept connection may stay idle.
    pub head_timeout: Duration,
    /// How long a body may go without a byte arriving.
    pub body_stall: Duration,
    /// How long a caller may leave an answer unread before its connection is cut.
    pub answer_stall: Duration,
    /// Connections open at a time; further ones are closed at once.
    pub connections: usize,
    /// Requests being answered at a time; further ones get 503.
    pub requests: usize,
    /// How long open requests may take to finish once the server shuts down.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes: 1 << 20,
            line_bytes: 1 << 20,
            depth: 64,
            head_bytes: 64 << 10,
            head_timeout: Duration::from_secs(30),
            body_stall: Duration::from_secs(30),
            answer_stall: Duration::from_secs(30),
            connections: 10_000,
            requests: 2_048,
            drain: Duration::from_secs(30),
        }
    }
}
