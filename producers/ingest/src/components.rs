//! What ingest works with.

use std::sync::Arc;

use tidefold_control::Control;
use tidefold_log::SharedLog;
use tidefold_record::Partition;
use tidefold_store::SharedStore;
use tidefold_telemetry::Telemetry;
use tokio::sync::watch;

use crate::settings::Settings;

/// Tells the time, in microseconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Why nothing that is appended to a topic's partition now would ever be folded, if so: the topic is not the one its tables
/// were folded from, and what to do.
pub type Refusals = Arc<dyn Fn(&str, Partition) -> Option<String> + Send + Sync>;

/// What ingest works with.
pub struct Components {
    /// The name of the app whose messages it takes.
    pub app: Arc<str>,
    /// Where they go.
    pub log: SharedLog,
    /// Where outcomes stand.
    pub store: SharedStore,
    /// Schema ids and active generations, by whose definitions messages are written.
    pub control: watch::Receiver<Arc<Control>>,
    /// Why nothing appended would be folded, where this process folds and knows.
    pub refusals: Option<Refusals>,
    /// Where it counts.
    pub telemetry: Telemetry,
    /// How it is set.
    pub settings: Settings,
    /// What stamps records: `tidefold_telemetry::clock::now_micros`, but for tests.
    pub clock: Clock,
}
