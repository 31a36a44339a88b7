//! How a coordinator works.

use std::time::Duration;

use tidefold_control_log::Waiting;
use tidefold_fold::FoldSettings;
use tidefold_projector::Settings;

/// How a coordinator works.
#[derive(Clone, Debug)]
pub struct Options {
    /// How lanes work.
    pub lanes: Settings,
    /// Row caches of all lanes together, in bytes.
    pub cache_bytes: usize,
    /// Batches in hand of all lanes together, in bytes.
    pub batch_bytes: usize,
    /// The dedupe window of generations that are built now; a generation built with another one halts.
    pub window: u64,
    /// How close a build has to come to the live tables before both are brought to a common position.
    pub near: u64,
    /// How long the live tables may be quiesced for that.
    pub hold: Duration,
    /// How long lanes may take to finish the batch in hand.
    pub drain: Duration,
    /// How often topics are looked at: whether they are still the ones that were opened.
    pub look_at_topics: Duration,
    /// Where it is reported what the start waits for.
    pub waiting: Waiting,
}

// === impl Options ===

impl Default for Options {
    fn default() -> Options {
        Options {
            lanes: Settings::default(),
            cache_bytes: 256 << 20,
            batch_bytes: 64 << 20,
            window: FoldSettings::default().window,
            near: 1_000,
            hold: Duration::from_secs(10),
            drain: Duration::from_secs(10),
            look_at_topics: Duration::from_secs(5),
            waiting: Waiting::default(),
        }
    }
}
