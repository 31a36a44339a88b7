//! How an embedded store is kept.

/// How an embedded store is kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose rows these are: the log's folder id and the app, say. Kept when the folder is made; opening it as someone
    /// else's is an error that names both. `None` opens any.
    pub identity: Option<String>,
    /// Whether each write is synced before it is acknowledged. Nothing needs it: see the crate's own page.
    pub fsync: bool,
    /// Memory for blocks read from files.
    pub cache_bytes: u64,
    /// Memory for rows written and not yet in a file, all tables together; about, since a flush takes its time.
    pub write_buffer_bytes: u64,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Settings { identity: None, fsync: false, cache_bytes: 64 << 20, write_buffer_bytes: 32 << 20 }
    }
}
