//! What a kind of log or store is, and what one is opened with.

use std::path::PathBuf;

use futures_util::future::BoxFuture;
use tidefold_http::Gate;
use tidefold_log::SharedLog;
use tidefold_store::SharedStore;
use tidefold_telemetry::Telemetry;

use crate::failure::Failure;
use crate::settings::Settings;

/// A kind of log or store.
pub(super) struct Kind<O> {
    /// What a URL of it begins with; all of the URL where it takes no addresses.
    pub(super) scheme: &'static str,
    /// Whether servers have it: then a URL names their addresses, and processes may share it.
    pub(super) on_servers: bool,
    /// The feature that this binary was built without, where it cannot open one.
    pub(super) lacks: Option<&'static str>,
    /// Opens one. Servers that do not answer are waited for.
    pub(super) open: O,
}

pub(super) type OpenLog = for<'a> fn(Place<'a>, OfLog) -> BoxFuture<'a, Result<OpenedLog, Failure>>;
pub(super) type OpenStore = for<'a> fn(Place<'a>, OfStore) -> BoxFuture<'a, Result<SharedStore, Failure>>;

/// What a backend is opened with.
#[cfg_attr(
    not(any(feature = "kafka", feature = "scylla")),
    allow(dead_code, reason = "a data folder has no addresses")
)]
pub(super) struct Place<'a> {
    /// Where its servers are.
    pub(super) addresses: Vec<String>,
    /// The app's data folder.
    pub(super) folder: PathBuf,
    pub(super) settings: &'a Settings,
    /// Says what is waited for, and later whether it has ended.
    pub(super) gate: Gate,
    pub(super) telemetry: &'a Telemetry,
}

/// What a log is told besides.
#[cfg_attr(not(feature = "kafka"), allow(dead_code, reason = "a log in a folder has no clients"))]
pub(super) struct OfLog {
    pub(super) observer: tidefold_log::observer::SharedObserver,
    /// The largest record, in its encoding.
    pub(super) record_bytes: usize,
    /// How this process calls itself.
    pub(super) client: String,
}

/// What a store is told besides.
#[cfg_attr(
    not(feature = "scylla"),
    allow(dead_code, reason = "a store in a folder has no driver that repeats")
)]
pub(super) struct OfStore {
    pub(super) observer: tidefold_store::observer::SharedObserver,
    /// Of which app and log its rows are.
    pub(super) owner: String,
}

pub(super) struct OpenedLog {
    pub(super) log: SharedLog,
    /// Which log it is, where rows have to be of the same one.
    pub(super) identity: String,
}

// === impl Kind ===

impl<O> Kind<O> {
    /// What its URLs look like.
    pub(super) fn shape(&self) -> String {
        if self.on_servers {
            format!("\"{}://host:port\"", self.scheme)
        } else {
            format!("\"{}\"", self.scheme)
        }
    }
}

/// What is said of a kind that this binary was built without.
pub(super) fn without(scheme: &str, feature: &str) -> String {
    format!("this binary was built without {scheme}: build it with `--features {feature}`")
}
