//! The lanes of one generation.

use std::sync::Arc;
use std::time::Duration;

use tidefold_record::{Offset, Partition};
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
#[derive(Debug)]
pub struct Projector {
    generation: u32,
    lanes: Vec<watch::Receiver<LaneStatus>>,
    orders: watch::Sender<Orders>,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

impl Projector {
    /// Starts a lane for each partition of the assignment. The generation's tables have to be open.
    #[must_use]
    pub fn start(components: &Components, assignment: &Assignment, orders: Orders) -> Projector {
        let (sender, receiver) = watch::channel(orders);
        let cancel = CancellationToken::new();
        let fresh = Arc::new(OnceCell::new());
        let (mut lanes, mut watched, mut tasks) = (Vec::new(), Vec::new(), JoinSet::new());
        for partition in &assignment.partitions {
            let (status, seen) = watch::channel(LaneStatus::new(*partition));
            let lane = Lane::new(
                components,
                assignment,
                *partition,
                receiver.clone(),
                cancel.clone(),
                Arc::new(status),
            );
            let Some(lane) = lane else { continue };
            watched.push(Watched::new(&lane, components));
            lanes.push(seen);
            tasks.spawn_on(lane.run(Arc::clone(&fresh)), &components.runtime);
        }
        let limit = components.settings.stalled_after;
        tasks.spawn_on(watch_over(watched, limit, cancel.clone()), &components.runtime);
        Projector { generation: assignment.generation, lanes, orders: sender, cancel, tasks }
    }

    /// The generation it folds into.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Tells the lanes what to do. They obey between two batches; their status says when they have.
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

    /// The lanes' status, in the order of the assignment's partitions.
    #[must_use]
    pub fn lanes(&self) -> &[watch::Receiver<LaneStatus>] {
        &self.lanes
    }

    /// The lanes' status now.
    #[must_use]
    pub fn status(&self) -> Vec<LaneStatus> {
        self.lanes.iter().map(|lane| lane.borrow().clone()).collect()
    }

    /// Where a partition's fold stands.
    #[must_use]
    pub fn next(&self, partition: Partition) -> Option<Offset> {
        self.lanes.iter().map(|lane| lane.borrow()).find(|s| s.partition == partition).map(|s| s.next)
    }

    /// Lets every lane finish the batch in hand, for at most `limit`, then ends them. A lane that waits for a store or
    /// log that does not answer ends at once.
    pub async fn drain(mut self, limit: Duration) {
        self.cancel.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(limit, all).await.is_err() {
            tracing::warn!(
                generation = self.generation,
                ?limit,
                "lanes did not end in time; they are cut off"
            );
            self.tasks.shutdown().await;
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

async fn watch_over(mut lanes: Vec<Watched>, limit: Duration, cancel: CancellationToken) {
    let start = Instant::now();
    let mut ticks = tokio::time::interval((limit / 4).max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let now = start.elapsed();
        lanes.iter_mut().for_each(|lane| lane.look(now));
    }
}
