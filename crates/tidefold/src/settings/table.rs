//! Every setting there is.

/// What a setting's text has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `127.0.0.1:8080`; port 0 picks a free one.
    Address,
    /// A path.
    Path,
    /// A whole number.
    Count,
    /// `64MiB`, `1KiB`, `500`.
    Bytes,
    /// `10s`, `250ms`, `2m`.
    Duration,
    /// `on`, `off`.
    Switch,
    /// Any text.
    Text,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// `section.key`: `[section] key` in the file, `TIDEFOLD_SECTION__KEY` in the environment.
    pub key: &'static str,
    /// What its text has to be.
    pub kind: Kind,
    /// Its value where nobody says anything.
    pub default: &'static str,
    /// What it does.
    pub about: &'static str,
}

const fn setting(key: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Setting {
    Setting { key, kind, default, about }
}

/// Every setting.
pub const SETTINGS: &[Setting] = &[
    setting("listen.http", Kind::Address, "127.0.0.1:8080", "where the write and read APIs listen"),
    setting(
        "listen.admin",
        Kind::Address,
        "127.0.0.1:8081",
        "where health, metrics and the operators' API listen",
    ),
    setting(
        "listen.connections",
        Kind::Count,
        "10000",
        "connections open at once, fewer where the limit of open files is low; the longest idle makes room",
    ),
    setting("listen.waiting", Kind::Count, "4096", "requests that wait for an outcome or a position at once"),
    setting(
        "listen.address_share",
        Kind::Count,
        "4",
        "the part of connections, requests, waits and bytes that one address may hold: 4 is a quarter; 1, behind a \
         gateway, is all",
    ),
    setting(
        "listen.origins",
        Kind::Text,
        "",
        "origins whose web pages may ask, with commas: https://shop.example; those of others get 403",
    ),
    setting(
        "listen.admin_hosts",
        Kind::Text,
        "",
        "names of the admin port's host, with commas, besides localhost and IP addresses; others get 421",
    ),
    setting(
        "data.folder",
        Kind::Path,
        "data",
        "where the embedded log and store keep their files, a folder an app",
    ),
    setting("log.url", Kind::Text, "embedded", "the log: embedded, or kafka://host:port,host:port"),
    setting("store.url", Kind::Text, "embedded", "the store: embedded, or scylla://host:port,host:port"),
    setting(
        "log.queue_bytes",
        Kind::Bytes,
        "64MiB",
        "appends that may wait for the embedded log's next sync",
    ),
    setting("store.cache_bytes", Kind::Bytes, "64MiB", "the embedded store's block cache"),
    setting("log.topic_prefix", Kind::Text, "", "what stands before every topic's name in Kafka"),
    setting(
        "log.replication",
        Kind::Text,
        "",
        "replicas of topics that are created in Kafka; empty: as the broker is set",
    ),
    setting(
        "log.message_timeout",
        Kind::Duration,
        "8s",
        "how long Kafka may take before a message's fate is unknown",
    ),
    setting(
        "log.session_timeout",
        Kind::Duration,
        "2500ms",
        "how long a silent process keeps its partitions",
    ),
    setting("log.assignor", Kind::Text, "range", "how Kafka shares partitions: range or cooperative-sticky"),
    setting(
        "log.group_protocol",
        Kind::Text,
        "classic",
        "the group's protocol: classic, or consumer (brokers from 4.0 on; log.assignor is then range or uniform)",
    ),
    setting(
        "log.instance_id",
        Kind::Text,
        "",
        "this process's lasting name in the group: its partitions wait for it while it starts again",
    ),
    setting(
        "log.client_id",
        Kind::Text,
        "",
        "how Kafka's logs and quotas call this process; empty: tidefold-APP-ROLE",
    ),
    setting(
        "log.statistics",
        Kind::Duration,
        "10s",
        "how often librdkafka's counts become metrics; 0s: never",
    ),
    setting(
        "store.keyspace_prefix",
        Kind::Text,
        "",
        "what stands before an app's name in the name of its keyspace",
    ),
    setting(
        "store.replication",
        Kind::Text,
        "",
        "copies of a row in keyspaces that are created; empty: 3, or 1 in a cluster of one",
    ),
    setting("store.datacenter", Kind::Text, "", "the data center whose nodes are used"),
    setting("store.user", Kind::Text, "", "the login of the CQL server"),
    setting("store.password", Kind::Text, "", "its password; better given in the environment"),
    setting("store.tls", Kind::Switch, "off", "whether connections to the CQL server are encrypted"),
    setting(
        "store.tls_ca",
        Kind::Path,
        "",
        "PEM file of the authorities that signed the nodes' certificates; empty: the system's",
    ),
    setting(
        "store.tls_certificate",
        Kind::Path,
        "",
        "PEM file of our certificate, for a server that asks for one",
    ),
    setting("store.tls_key", Kind::Path, "", "PEM file of its key, without a passphrase"),
    setting(
        "store.tls_address",
        Kind::Switch,
        "on",
        "whether a node's certificate has to name the node's IP address",
    ),
    setting("store.in_flight", Kind::Count, "256", "requests to the CQL server under way at once"),
    setting("ingest.body_bytes", Kind::Bytes, "1MiB", "the largest body of a single message"),
    setting("ingest.line_bytes", Kind::Bytes, "1MiB", "the longest line of an NDJSON body"),
    setting("ingest.stall", Kind::Duration, "30s", "how long a body may stand still"),
    setting(
        "ingest.body_rate",
        Kind::Bytes,
        "500",
        "what a body has to bring in a second, on average, after its first 20 seconds",
    ),
    setting("ingest.body_time", Kind::Duration, "2m", "how long the body of a single message may take"),
    setting("ingest.concurrent_requests", Kind::Count, "4096", "requests served at once; more get 503"),
    setting(
        "ingest.memory_bytes",
        Kind::Bytes,
        "64MiB",
        "bodies and batches held at once, over all requests; more get 503",
    ),
    setting(
        "ingest.append_timeout",
        Kind::Duration,
        "10s",
        "how long the log may take; then 504 and a retry by id",
    ),
    setting(
        "projector.batch_records",
        Kind::Count,
        "2000",
        "the most records of one batch, unless it is far behind",
    ),
    setting(
        "projector.batch_bytes",
        Kind::Bytes,
        "4MiB",
        "the most bytes of one batch, unless it is far behind",
    ),
    setting("projector.memory_bytes", Kind::Bytes, "64MiB", "batches in hand, over all partitions"),
    setting("projector.cache_bytes", Kind::Bytes, "128MiB", "cached rows, over all partitions"),
    setting(
        "projector.stall",
        Kind::Duration,
        "30s",
        "a partition that stands still this long while its log moves is reported",
    ),
    setting(
        "projector.breaker",
        Kind::Switch,
        "on",
        "whether a partition is held when most of its records are dead letters; off lets them pass",
    ),
    setting(
        "fold.window",
        Kind::Count,
        "100000",
        "offsets of a partition in which a repeated message id is a duplicate; another value wants a replay",
    ),
    setting("run.drain", Kind::Duration, "10s", "how long a stopping node finishes what it has"),
    setting(
        "run.log_format",
        Kind::Text,
        "auto",
        "the lines of a node's log: text, json, or auto (text on a terminal, else json)",
    ),
];

/// `TIDEFOLD_…` variables that are flags' and no settings.
pub(super) const NOT_SETTINGS: &[&str] = &["CONFIG", "NODE", "URL"];

// === impl Setting ===

impl Setting {
    /// `TIDEFOLD_LISTEN__HTTP`.
    #[must_use]
    pub fn environment_name(&self) -> String {
        format!("TIDEFOLD_{}", self.key.replace('.', "__").to_ascii_uppercase())
    }
}
