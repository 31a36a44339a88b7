//! Every setting there is: a row each, by section. What a row says is all there is to say: the flag, the name in the file
//! and in the environment, the kind of its text (and so its type), the default, and what it does. The structs that the
//! node is given, `tidefold config` and the documentation follow from it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tidefold_telemetry::logging::Format;

use super::parse::Reader;
use super::resolved::{Resolved, SettingError};

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// `section.key`: `[section] key` in the file, `TIDEFOLD_SECTION__KEY` in the environment.
    pub key: &'static str,
    /// The flag that says it too.
    pub flag: Option<&'static str>,
    /// Its value where nobody says anything.
    pub default: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// The type of a kind of text; how it is read says the method of that name of [`Reader`].
macro_rules! value_of {
    (address) => { SocketAddr };
    (path) => { PathBuf };
    (of_tls) => { Option<PathBuf> };
    (count) => { usize };
    (number) => { Option<u32> };
    (bytes) => { usize };
    (duration) => { Duration };
    (switch) => { bool };
    (text) => { String };
    (given) => { Option<String> };
    (list) => { Vec<String> };
    (log_format) => { Format };
    (protocol) => { String };
}

macro_rules! flag {
    () => {
        None
    };
    ($flag:literal) => {
        Some($flag)
    };
}

macro_rules! settings {
    ($($section:ident: $typed:ident {
        $($([$flag:literal])? $key:ident: $kind:ident = $default:literal, $about:literal;)+
    })+) => {
        /// Every setting, by section.
        pub const SETTINGS: &[Setting] = &[$($(Setting {
            key: concat!(stringify!($section), ".", stringify!($key)),
            flag: flag!($($flag)?),
            default: $default,
            about: $about,
        }),+),+];

        $(
            #[doc = concat!("The section `", stringify!($section), "`.")]
            #[derive(Clone)]
            pub struct $typed {
                $(#[doc = $about] pub $key: value_of!($kind)),+
            }
        )+

        /// The settings, typed. Not to be printed: some are secrets.
        #[derive(Clone)]
        pub struct Settings {
            $(#[doc = concat!("The section `", stringify!($section), "`.")] pub $section: $typed,)+
            /// Properties of librdkafka, from the section `kafka`.
            pub kafka: BTreeMap<String, String>,
        }

        impl Resolved {
            /// The settings, typed.
            ///
            /// # Errors
            /// Every setting that there is not, and every one whose text is not of its kind.
            pub fn settings(&self) -> Result<Settings, Vec<SettingError>> {
                let mut reader = Reader::new(self);
                let settings = Settings {
                    $($section: $typed {
                        $($key: reader.$kind(concat!(stringify!($section), ".", stringify!($key)))),+
                    },)+
                    kafka: self.1.iter().map(|(name, (text, _))| (name.clone(), text.clone())).collect(),
                };
                reader.finish().map(|()| settings)
            }
        }
    };
}

settings! {
    listen: Listen {
        ["--http"] http: address = "127.0.0.1:8080", "where the write and read APIs listen";
        ["--admin"] admin: address = "127.0.0.1:8081", "where health, metrics and the operators' API listen";
        connections: count = "10000",
            "connections open at once, fewer where the limit of open files is low; the longest idle makes room";
        waiting: count = "4096", "requests that wait for an outcome or a position at once";
        address_share: count = "4",
            "the part of connections, requests, waits and bytes that one address may hold: 4 is a quarter; \
             1, behind a gateway, is all";
        origins: list = "",
            "origins whose web pages may ask, with commas: https://shop.example; those of others get 403";
        admin_hosts: list = "",
            "names of the admin port's host, with commas, besides localhost and IP addresses; others get 421";
    }
    data: Data {
        ["--data"] folder: path = "data",
            "where the embedded log and store keep their files, a folder an app";
    }
    log: Log {
        ["--log"] url: text = "embedded", "the log: embedded, or kafka://host:port,host:port";
        queue_bytes: bytes = "64MiB", "appends that may wait for the embedded log's next sync";
        topic_prefix: text = "", "what stands before every topic's name in Kafka";
        replication: number = "", "replicas of topics that are created in Kafka; empty: as the broker is set";
        message_timeout: duration = "8s", "how long Kafka may take before a message's fate is unknown";
        session_timeout: duration = "2500ms", "how long a silent process keeps its partitions";
        assignor: text = "range", "how Kafka shares partitions: range or cooperative-sticky";
        group_protocol: protocol = "classic",
            "the group's protocol: classic, or consumer (brokers from 4.0 on; log.assignor is then range or uniform)";
        instance_id: given = "",
            "this process's lasting name in the group: its partitions wait for it while it starts again";
        client_id: given = "", "how Kafka's logs and quotas call this process; empty: tidefold-APP-ROLE";
        statistics: duration = "10s", "how often librdkafka's counts become metrics; 0s: never";
    }
    store: Store {
        ["--store"] url: text = "embedded", "the store: embedded, or scylla://host:port,host:port";
        cache_bytes: bytes = "64MiB", "the embedded store's block cache";
        keyspace_prefix: text = "", "what stands before an app's name in the name of its keyspace";
        replication: number = "",
            "copies of a row in keyspaces that are created; empty: 3, or 1 in a cluster of one";
        datacenter: given = "", "the data center whose nodes are used";
        user: given = "", "the login of the CQL server";
        password: given = "", "its password; better given in the environment";
        tls: switch = "off", "whether connections to the CQL server are encrypted";
        tls_ca: of_tls = "",
            "PEM file of the authorities that signed the nodes' certificates; empty: the system's";
        tls_certificate: of_tls = "", "PEM file of our certificate, for a server that asks for one";
        tls_key: of_tls = "", "PEM file of its key, without a passphrase";
        tls_address: switch = "on", "whether a node's certificate has to name the node's IP address";
        in_flight: count = "256", "requests to the CQL server under way at once";
    }
    ingest: Ingest {
        body_bytes: bytes = "1MiB", "the largest body of a single message";
        line_bytes: bytes = "1MiB", "the longest line of an NDJSON body";
        stall: duration = "30s", "how long a body may stand still";
        body_rate: bytes = "500",
            "what a body has to bring in a second, on average, after its first 20 seconds";
        body_time: duration = "2m", "how long the body of a single message may take";
        concurrent_requests: count = "4096", "requests served at once; more get 503";
        memory_bytes: bytes = "64MiB", "bodies and batches held at once, over all requests; more get 503";
        append_timeout: duration = "10s", "how long the log may take; then 504 and a retry by id";
    }
    projector: Projector {
        batch_records: count = "2000", "the most records of one batch, unless it is far behind";
        batch_bytes: bytes = "4MiB", "the most bytes of one batch, unless it is far behind";
        memory_bytes: bytes = "64MiB", "batches in hand, over all partitions";
        cache_bytes: bytes = "128MiB", "cached rows, over all partitions";
        stall: duration = "30s", "a partition that stands still this long while its log moves is reported";
        breaker: switch = "on",
            "whether a partition is held when most of its records are dead letters; off lets them pass";
    }
    fold: Fold {
        window: count = "100000",
            "offsets of a partition in which a repeated message id is a duplicate; another value wants a replay";
    }
    run: Run {
        drain: duration = "10s", "how long a stopping node finishes what it has";
        log_format: log_format = "auto",
            "the lines of a node's log: text, json, or auto (text on a terminal, else json)";
    }
}

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
