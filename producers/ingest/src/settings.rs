//! What ingest can be told. The composition fills this from flags, environment and file.

use std::time::Duration;

use tidefold_http::Limits;

/// Ingest's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The bounds of bodies, lines and JSON.
    pub limits: Limits,
    /// Lines of a stream that travel to the log together, at most.
    pub chunk_lines: usize,
    /// Bytes of lines of a stream that travel to the log together, about.
    pub chunk_bytes: usize,
    /// Chunks of one stream that may be on their way to the log at a time.
    pub chunks_in_flight: usize,
    /// Bytes of bodies and of batches on their way to the log, over all requests; a request that finds no room gets 503
    /// before its body is read.
    pub memory_bytes: usize,
    /// How long the log may take for an append. Then the caller is told that its fate is not known, with the id to send
    /// the message again with.
    pub append_timeout: Duration,
    /// How long a stream waits for room in a full log before its lines get 503.
    pub full_patience: Duration,
    /// The longest `Prefer: wait` that is honored; longer ones are cut to it.
    pub wait_max: Duration,
    /// How often a waiting request looks at the checkpoint besides being told: other processes write it too.
    pub wait_poll: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            limits: Limits::default(),
            chunk_lines: 1_000,
            chunk_bytes: 512 << 10,
            chunks_in_flight: 4,
            memory_bytes: 64 << 20,
            append_timeout: Duration::from_secs(10),
            full_patience: Duration::from_secs(5),
            wait_max: Duration::from_secs(30),
            wait_poll: Duration::from_millis(100),
        }
    }
}
