//! What a projector is given.

use std::sync::Arc;
use std::time::Duration;

use tidefold_app::model::Projection;
use tidefold_control::Control;
use tidefold_log::{ReadLimit, SharedLog};
use tidefold_record::Partition;
use tidefold_store::SharedStore;
use tidefold_telemetry::{Backoff, Supervisor, Telemetry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::breaker::BreakerSettings;
use crate::feed::SharedFeed;
use crate::pace::Pace;
use crate::source::SchemaSource;

/// What lanes work with. Cheap to clone.
#[derive(Clone)]
pub struct Components {
    /// The log that is folded.
    pub log: SharedLog,
    /// The store that is written.
    pub store: SharedStore,
    /// Who knows what a schema id stands for.
    pub schemas: Arc<dyn SchemaSource>,
    /// Where the change feed goes, if there is one.
    pub feed: Option<SharedFeed>,
    /// What operators declared dead, and where they lifted the breaker.
    pub control: watch::Receiver<Arc<Control>>,
    /// Who counts.
    pub telemetry: Telemetry,
    /// Who is told of what ends before its time.
    pub supervisor: Supervisor,
    /// Bytes of batches in hand, of all lanes of the process together.
    pub budget: Budget,
    /// What small batches may take of the processor, of all lanes of the process together.
    pub pace: Pace,
    /// How lanes work.
    pub settings: Settings,
    /// Where lanes run: folding must not keep the HTTP APIs from answering.
    pub runtime: tokio::runtime::Handle,
}

/// How lanes work. None of it changes what they write.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How much a lane of the active generation folds at once.
    pub batch: ReadLimit,
    /// How much any other lane folds at once, and one that is far behind: throughput counts there, not delay.
    pub build_batch: ReadLimit,
    /// So many records behind is far.
    pub far_behind: u64,
    /// When dead letters hold a partition; `None`: never.
    pub breaker: Option<BreakerSettings>,
    /// How long a lane may stand still while its log moves before it is reported.
    pub stalled_after: Duration,
    /// How repeated attempts are spaced.
    pub backoff: Backoff,
    /// How often a lane looks again at what cannot announce itself: a checkpoint that another process writes.
    pub look_again: Duration,
    /// Which rules hold, in tests that take one away.
    #[cfg(test)]
    pub(crate) rules: crate::rules::Rules,
    /// Where caches outlive their lane, in the test that lets them.
    #[cfg(test)]
    pub(crate) carried: crate::rules::Carried,
}

/// What a projector folds, and into what.
#[derive(Clone)]
pub struct Assignment {
    /// What is folded: the generation's own definition.
    pub projection: Arc<Projection>,
    /// The generation whose tables are written.
    pub generation: u32,
    /// The dedupe window of the generation's manifest, in offsets.
    pub window: u64,
    /// The partitions.
    pub partitions: Vec<Partition>,
    /// Row caches of one lane, in bytes.
    pub cache_bytes: usize,
}

/// What the lanes of a generation are told. A lane follows it between two batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orders {
    /// The generation whose published verdicts are taken as given, and whose checkpoint is never passed, since verdicts past
    /// it are not published yet. `None`: the lanes judge, up to the end of the log.
    pub follows: Option<u32>,
    /// Whether the lanes speak for the projection, because theirs is the generation that queries read: they publish its
    /// feed, and dead letters hold a partition.
    pub publishes: bool,
    /// Whether to pause.
    pub hold: bool,
}

/// Bytes of batches in hand, of all lanes of a process together. Half of it is for the lanes of active generations, so
/// that they never queue behind builds. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct Budget {
    live: Arc<Semaphore>,
    builds: Arc<Semaphore>,
    half: u32,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            batch: ReadLimit { records: 2_000, bytes: 4 << 20 },
            build_batch: ReadLimit { records: 50_000, bytes: 16 << 20 },
            far_behind: 10_000,
            breaker: Some(BreakerSettings::default()),
            stalled_after: Duration::from_secs(30),
            backoff: Backoff::default(),
            look_again: Duration::from_millis(500),
            #[cfg(test)]
            rules: crate::rules::Rules::default(),
            #[cfg(test)]
            carried: crate::rules::Carried::default(),
        }
    }
}

// === impl Orders ===

impl Orders {
    /// Of the active generation.
    pub const ACTIVE: Orders = Orders { follows: None, publishes: true, hold: false };

    /// Of a generation that takes the verdicts of the active one.
    #[must_use]
    pub fn follow(active: u32) -> Orders {
        Orders { follows: Some(active), publishes: false, hold: false }
    }
}

// === impl Budget ===

impl Budget {
    /// A budget of at least 2 KiB and at most what a semaphore counts.
    #[must_use]
    pub fn new(bytes: usize) -> Budget {
        let half = kibibytes(bytes / 2).min(1 << 28);
        let semaphore = || Arc::new(Semaphore::new(half as usize));
        Budget { live: semaphore(), builds: semaphore(), half }
    }

    /// Waits for room for a batch of up to `bytes`; a batch larger than its half of the budget gets all of that.
    pub(crate) async fn take(&self, bytes: usize, build: bool) -> Option<OwnedSemaphorePermit> {
        let semaphore = Arc::clone(if build { &self.builds } else { &self.live });
        semaphore.acquire_many_owned(kibibytes(bytes).min(self.half)).await.ok()
    }
}

/// Gives back what a batch of `bytes` does not need.
pub(crate) fn keep(permit: Option<OwnedSemaphorePermit>, bytes: usize) -> Option<OwnedSemaphorePermit> {
    let mut permit = permit?;
    let held = permit.num_permits();
    permit.split(held.min(kibibytes(bytes) as usize))
}

fn kibibytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).max(1)
}
