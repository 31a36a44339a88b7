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
    /// Bytes a second that a body has to bring on average, once `body_grace` is over.
    pub body_rate: usize,
    /// How long a body may be slower than that, over all.
    pub body_grace: Duration,
    /// How long a body that is read whole may take.
    pub body_time: Duration,
    /// How long a caller may leave an answer unread before its connection is cut.
    pub answer_stall: Duration,
    /// Connections open at a time; for a further one the longest idle is closed.
    pub connections: usize,
    /// Requests being worked on at a time; further ones get 503.
    pub requests: usize,
    /// Requests that wait for something at a time: an outcome, a position.
    pub waits: usize,
    /// Bytes of large answers that their callers have not read; further ones get 503.
    pub answer_bytes: usize,
    /// The part of all these that one address may hold: 4 is a quarter, 1 all of it.
    pub address_share: usize,
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
            body_rate: 500,
            body_grace: Duration::from_secs(20),
            body_time: Duration::from_secs(120),
            answer_stall: Duration::from_secs(30),
            connections: 10_000,
            requests: 2_048,
            waits: 4_096,
            answer_bytes: 64 << 20,
            address_share: 4,
            drain: Duration::from_secs(30),
        }
    }
}
