//! The lanes of one generation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidefold_log::Epoch;
use tidefold_record::{Offset, Partition};
use tidefold_telemetry::Supervised;
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::lane::Lane;
use crate::observe::Observer;
use crate::settings::{Assignment, Components, Orders};
use crate::status::LaneStatus;
use crate::watchdog::Watchdog;

/// The lanes of one generation, at work. Dropping it kills them where they stand, which loses nothing.
pub struct Projector {
    components: Components,
    assignment: Assignment,
    lanes: BTreeMap<Partition, Running>,
    orders: watch::Sender<Orders>,
    /// Whether nothing was ever written to the tables, once the first lane has looked.
    fresh: Arc<OnceCell<bool>>,
}

/// A lane at work.
struct Running {
    epoch: Epoch,
    status: watch::Receiver<LaneStatus>,
    cancel: CancellationToken,
    lane: JoinSet<()>,
    _watchdog: Supervised,
}

/// Lanes that were told to end. Dropping it kills them where they stand, which loses nothing.
#[must_use = "lanes that end are killed when this is dropped"]
pub struct Ending {
    generation: u32,
    lanes: Vec<Running>,
}

// === impl Projector ===

impl Projector {
    /// A generation without lanes yet. The generation's tables have to be open.
    #[must_use]
    pub fn idle(components: &Components, assignment: &Assignment, orders: Orders) -> Projector {
        Projector {
            components: components.clone(),
            assignment: assignment.clone(),
            lanes: BTreeMap::new(),
            orders: watch::channel(orders).0,
            fresh: Arc::new(OnceCell::new()),
        }
    }

    /// Starts a lane for each partition of the assignment. The generation's tables have to be open.
    #[must_use]
    pub fn start(components: &Components, assignment: &Assignment, orders: Orders) -> Projector {
        let mut projector = Projector::idle(components, assignment, orders);
        for partition in &assignment.partitions {
            projector.begin(*partition, Epoch::default());
        }
        projector
    }

    /// Folds exactly these partitions from now on. The lane of a partition that is given under another epoch ends, and
    /// another one begins with caches of its own (I5). What ends is returned, to be waited for; that a lane which ends
    /// and one which begins work on one partition for a moment does no harm.
    pub fn assign(&mut self, wanted: &BTreeMap<Partition, Epoch>) -> Ending {
        let void = |(partition, lane): &(&Partition, &Running)| wanted.get(partition) != Some(&lane.epoch);
        let void: Vec<_> = self.lanes.iter().filter(void).map(|(partition, _)| *partition).collect();
        let lanes: Vec<_> = void.iter().filter_map(|partition| self.lanes.remove(partition)).collect();
        lanes.iter().for_each(|lane| lane.cancel.cancel());
        for (partition, epoch) in wanted {
            if !self.lanes.contains_key(partition) {
                self.begin(*partition, *epoch);
            }
        }
        Ending { generation: self.assignment.generation, lanes }
    }

    fn begin(&mut self, partition: Partition, epoch: Epoch) {
        let components = &self.components;
        let (status, seen) = watch::channel(LaneStatus::new(partition));
        let cancel = CancellationToken::new();
        let (orders, status) = (self.orders.subscribe(), Arc::new(status));
        let lane = Lane::new(components, &self.assignment, partition, orders, cancel.clone(), status);
        let watched = Watched::new(&lane, components);
        // Its end is a state of its own; the watchdog, which sees from outside that it stands still, has none.
        let mut running = JoinSet::new();
        running.spawn_on(lane.run(Arc::clone(&self.fresh)), &components.runtime);
        let watchdog = watch_over(watched, components.settings.stalled_after);
        let _watchdog = components.supervisor.spawn_on(&components.runtime, "lane-watchdog", watchdog);
        self.lanes.insert(partition, Running { epoch, status: seen, cancel, lane: running, _watchdog });
    }

    /// The generation it folds into.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.assignment.generation
    }

    /// Tells the lanes what to do. They follow between two batches; their status says when they have.
    pub fn order(&self, orders: Orders) {
        self.orders.send_if_modified(|current| {
            let changed = *current != orders;
            *current = orders;
            changed
        });
    }

    /// What the lanes were told last.
    #[must_use]
    pub fn orders(&self) -> Orders {
        *self.orders.borrow()
    }

    /// The status of the lanes that are here, in the order of partitions.
    #[must_use]
    pub fn lanes(&self) -> Vec<watch::Receiver<LaneStatus>> {
        self.lanes.values().map(|lane| lane.status.clone()).collect()
    }

    /// The status of a partition's lane, if it is here.
    #[must_use]
    pub fn lane(&self, partition: Partition) -> Option<&watch::Receiver<LaneStatus>> {
        self.lanes.get(&partition).map(|lane| &lane.status)
    }

    /// The lanes' status now.
    #[must_use]
    pub fn status(&self) -> Vec<LaneStatus> {
        self.lanes.values().map(|lane| lane.status.borrow().clone()).collect()
    }

    /// Where a partition's fold stands.
    #[must_use]
    pub fn next(&self, partition: Partition) -> Option<Offset> {
        self.lanes.get(&partition).map(|lane| lane.status.borrow().next)
    }

    /// Lets every lane finish the batch in hand, for at most `limit`, then ends them. A lane that waits for a store or
    /// log that does not answer ends at once.
    pub async fn drain(mut self, limit: Duration) {
        self.assign(&BTreeMap::new()).within(limit).await;
    }
}

impl std::fmt::Debug for Projector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let partitions = self.lanes.keys();
        write!(f, "Projector {{ generation: {}, lanes: {partitions:?} }}", self.assignment.generation)
    }
}

// === impl Ending ===

impl Ending {
    /// Whether there is nothing to wait for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Lets the lanes finish the batch in hand, for at most `limit`, then cuts them off.
    pub async fn within(mut self, limit: Duration) {
        let all = async {
            for lane in &mut self.lanes {
                while lane.lane.join_next().await.is_some() {}
            }
        };
        if tokio::time::timeout(limit, all).await.is_err() {
            let generation = self.generation;
            tracing::warn!(generation, ?limit, "lanes did not end in time; they are cut off");
            for lane in &mut self.lanes {
                lane.lane.shutdown().await;
            }
        }
    }
}

/// A lane as the watchdog sees it: from outside, so that a lane that is stuck cannot hide it.
struct Watched {
    observer: Observer,
    end: Option<watch::Receiver<Offset>>,
    dog: Watchdog,
}

impl Watched {
    fn new(lane: &Lane, components: &Components) -> Watched {
        Watched {
            observer: lane.io.observer.clone(),
            end: components.log.watch_end(&lane.io.topic, lane.io.partition).ok(),
            dog: Watchdog::new(components.settings.stalled_after),
        }
    }

    fn look(&mut self, now: Duration) {
        let (next, known) = {
            let status = self.observer.status.borrow();
            (status.next, status.end)
        };
        let end = self.end.as_ref().map_or(known, |end| *end.borrow());
        self.observer.end(end.max(known));
        if let Some(noticed) = self.dog.look(now, next, end) {
            self.observer.noticed(noticed);
        }
    }
}

async fn watch_over(mut lane: Watched, limit: Duration) {
    let start = Instant::now();
    let mut ticks = tokio::time::interval((limit / 4).max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = start.elapsed();
        lane.look(now);
    }
}
