//! The loop of one partition: find the place, then wait, read, step, for ever.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join};
use tidefold_control::Control;
use tidefold_fold::{Changes, FoldSettings, Folder, RowCache};
use tidefold_log::ReadLimit;
use tidefold_record::{Offset, Partition, RecordBatch};
use tidefold_store::Lane as StoreLane;
use tidefold_store::published::Published;
use tidefold_table::{Checkpoint, GenerationTables};
use tidefold_telemetry::clock;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use crate::breaker::Breaker;
use crate::halt::{Halt, Stop};
use crate::io::Io;
use crate::metrics::{LaneMetrics, Step};
use crate::observe::Observer;
use crate::pace::{FEW, Gathering, Pace};
use crate::rules::Rules;
use crate::settings::{Assignment, Budget, Components, Orders, Settings, keep};
use crate::status::{LaneState, LaneStatus};

/// One partition of one generation. Its caches live and die with it (I5).
pub(crate) struct Lane {
    pub(crate) io: Arc<Io>,
    pub(crate) tables: GenerationTables,
    /// The tables of the generation that this one follows.
    pub(crate) followed: Option<GenerationTables>,
    /// Whether this one speaks for the projection.
    pub(crate) publishes: bool,
    pub(crate) window: u64,
    pub(crate) folder: Folder,
    pub(crate) entities: RowCache,
    pub(crate) rollups: Vec<RowCache>,
    pub(crate) changes: Changes,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) breaker: Option<Breaker>,
    pub(crate) control: watch::Receiver<Arc<Control>>,
    /// The batch that is being folded.
    pub(crate) in_hand: Option<InHand>,
    /// Up to here, records are folded one by one: one of them halts the lane.
    pub(crate) careful: Option<Offset>,
    /// The checkpoint's write behind the last batch. Where there is more to fold it goes on beside that.
    pub(crate) settling: Option<Settling>,
    assignment: Assignment,
    pub(crate) orders: watch::Receiver<Orders>,
    end: watch::Receiver<Offset>,
    budget: Budget,
    pace: Pace,
    gathering: Gathering,
    settings: Settings,
}

/// A batch that is being folded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InHand {
    /// Its first record.
    pub(crate) first: Offset,
    /// How many records it has.
    pub(crate) records: usize,
    /// Where the next one begins.
    pub(crate) next: Offset,
}

/// A write that goes on by itself once it is polled; it holds nothing of the lane.
pub(crate) type Settling = BoxFuture<'static, Result<(), Stop>>;

/// A batch, and the room it takes until it is dropped.
struct Read {
    batch: RecordBatch,
    _room: Option<OwnedSemaphorePermit>,
}

/// What comes next.
enum Next {
    /// Read and fold up to this offset.
    Fold(Offset),
    /// Something changed: look again.
    Look,
}

impl Lane {
    pub(crate) fn new(
        components: &Components,
        assignment: &Assignment,
        partition: Partition,
        orders: watch::Receiver<Orders>,
        cancel: CancellationToken,
        status: Arc<watch::Sender<LaneStatus>>,
    ) -> Lane {
        let (projection, generation) = (&assignment.projection, assignment.generation);
        let (app, topic) = (&projection.app, &projection.topic.name);
        let tables = projection.tables(generation);
        let metrics = LaneMetrics::new(&components.telemetry, app, topic, generation, partition);
        let observer = Observer { topic: topic.clone(), generation, partition, metrics, status };
        let io = Io {
            log: Arc::clone(&components.log),
            store: Arc::clone(&components.store),
            schemas: Arc::clone(&components.schemas),
            feed: components.feed.clone(),
            topic: projection.log_topic(),
            partition,
            lane: StoreLane { checkpoints: tables.checkpoints.id.clone(), partition: partition.0 },
            observer,
            retry: components.telemetry.retry().backoff(components.settings.backoff).until(cancel.clone()),
            cancel,
            rules: rules_of(&components.settings),
        };
        let fold = FoldSettings { window: assignment.window };
        Lane {
            io: Arc::new(io),
            folder: Folder::new(Arc::clone(projection), partition, fold),
            tables,
            followed: None,
            publishes: false,
            window: assignment.window,
            entities: RowCache::new(0, false),
            rollups: Vec::new(),
            changes: Changes::default(),
            checkpoint: Checkpoint::START,
            breaker: components.settings.breaker.map(Breaker::new),
            control: components.control.clone(),
            in_hand: None,
            careful: None,
            settling: None,
            assignment: assignment.clone(),
            orders,
            end: watch::channel(Offset::ZERO).1,
            budget: components.budget.clone(),
            pace: components.pace.clone(),
            gathering: Gathering::default(),
            settings: components.settings.clone(),
        }
    }

    /// Works until it is told to end or has to halt; the status says which.
    pub(crate) async fn run(mut self, fresh: Arc<OnceCell<bool>>) {
        let mut guard = EndGuard { observer: self.io.observer.clone(), ended: false };
        let state = loop {
            // A mistake of ours that ends in a panic is one like any other: nothing of the batch in hand is known, all of it
            // can be read again.
            let stop = match AssertUnwindSafe(self.work(&fresh)).catch_unwind().await {
                Ok(Ok(())) => Stop::Cancelled,
                Ok(Err(stop)) => stop,
                Err(_) => Stop::Halt(Halt::Vanished),
            };
            if let Some(state) = self.stand(stop).await {
                break state;
            }
            self.begin_anew();
        };
        self.io.observer.state(state);
        guard.ended = true;
    }

    async fn work(&mut self, fresh: &OnceCell<bool>) -> Result<(), Stop> {
        self.recover(fresh).await?;
        self.watch_end().await?;
        while !self.io.cancel.is_cancelled() {
            if let Next::Fold(until) = self.next().await? {
                // What a large batch holds a thread for is not counted: it does not become less by waiting.
                let pace = self.may_gather(until).then(|| self.pace.clone());
                // Nothing of this batch has to wait for the checkpoint behind the one before, but for its own.
                let settling = settled(self.settling.take());
                let folding = join(settling, self.read_and_step(until));
                let (before, folded) = match pace {
                    Some(pace) => pace.count(folding).await,
                    None => folding.await,
                };
                before?;
                folded?;
            }
        }
        self.settle().await
    }

    async fn read_and_step(&mut self, until: Offset) -> Result<(), Stop> {
        self.in_hand = None;
        let Some(read) = self.read(until).await? else { return Ok(()) };
        self.in_hand = InHand::of(&read.batch);
        self.step(&read.batch).await
    }

    /// Waits until the checkpoint stands behind all that was folded.
    async fn settle(&mut self) -> Result<(), Stop> {
        settled(self.settling.take()).await?;
        self.in_hand = None;
        Ok(())
    }

    /// Forgets all it has read: it finds its place again at its checkpoint (I5).
    fn begin_anew(&mut self) {
        let fold = FoldSettings { window: self.window };
        self.folder = Folder::new(Arc::clone(&self.assignment.projection), self.io.partition, fold);
        self.changes = Changes::default();
        self.in_hand = None;
        self.settling = None;
        self.io.observer.state(LaneState::Starting);
    }

    /// Follows the orders, then waits until there is something to fold.
    async fn next(&mut self) -> Result<Next, Stop> {
        let orders = *self.orders.borrow_and_update();
        self.follow(orders);
        if orders.hold {
            self.settle().await?;
            self.io.observer.state(LaneState::Held);
            tokio::select! {
                changed = self.orders.changed() => if changed.is_err() { return Err(Stop::Cancelled) },
                () = self.io.cancel.cancelled() => {}
            }
            return Ok(Next::Look);
        }
        // Marked as seen before they are looked at: a move in between wakes the lane up again.
        let mut moved = self.io.store.checkpoints_moved().times;
        moved.borrow_and_update();
        let end = *self.end.borrow_and_update();
        self.io.observer.end(end);
        if end < self.checkpoint.next {
            // The log lost records while it was folded; or the news of its end is old, which this finds out.
            self.io.verify(&self.checkpoint).await?;
        }
        let until = match &self.followed {
            Some(followed) => {
                let published = Published::of(&self.io.store, followed);
                self.io.checkpoint(&published).await?.map_or(Offset::ZERO, |c| c.next).min(end)
            }
            None => end,
        };
        if until > self.checkpoint.next {
            if let Some(wait) = self.gather(until) {
                self.settle().await?;
                tokio::select! {
                    () = clock::pause(wait) => {}
                    () = self.io.cancel.cancelled() => {}
                }
                return Ok(Next::Look);
            }
            // What halts on a checkpoint must not look like the next record's doing.
            if self.is_careful() {
                self.settle().await?;
            }
            self.io.observer.state(LaneState::Running);
            return Ok(Next::Fold(until));
        }
        self.settle().await?;
        self.io.observer.state(LaneState::Waiting);
        let follows = self.followed.is_some();
        tokio::select! {
            changed = self.end.changed() => if changed.is_err() {
                clock::pause(self.settings.look_again).await;
                self.watch_end().await?;
            },
            changed = self.orders.changed() => if changed.is_err() { return Err(Stop::Cancelled) },
            _ = moved.changed(), if follows => {}
            () = clock::pause(self.settings.look_again), if follows => {}
            () = self.io.cancel.cancelled() => {}
        }
        Ok(Next::Look)
    }

    /// Whether waiting for more than there is up to here may be worth it. What is built comes in large batches anyway.
    fn may_gather(&self, until: Offset) -> bool {
        self.followed.is_none() && until.0.saturating_sub(self.checkpoint.next.0) < FEW
    }

    /// How long to do so.
    fn gather(&mut self, until: Offset) -> Option<Duration> {
        if self.may_gather(until) { self.gathering.wait(&self.pace) } else { None }
    }

    fn follow(&mut self, orders: Orders) {
        self.publishes = orders.publishes;
        if orders.follows != self.followed.as_ref().map(|tables| tables.generation) {
            self.followed = orders.follows.map(|followed| self.assignment.projection.tables(followed));
        }
    }

    async fn watch_end(&mut self) -> Result<(), Stop> {
        let io = Arc::clone(&self.io);
        self.end = io
            .retry("log", "watch the log", || {
                let end = io.log.watch_end(&io.topic, io.partition);
                Box::pin(std::future::ready(end))
            })
            .await?;
        Ok(())
    }

    /// Reads the next batch, once the process has room for it; `None` when the lane is to end.
    async fn read(&mut self, until: Offset) -> Result<Option<Read>, Stop> {
        let (io, budget, limit) = (Arc::clone(&self.io), self.budget.clone(), self.limit(until));
        let build = self.followed.is_some();
        let room = tokio::select! {
            room = budget.take(limit.bytes, build) => room,
            () = io.cancel.cancelled() => return Ok(None),
        };
        let mut laps = io.observer.metrics.laps();
        let batch = io.read(self.checkpoint.next, limit).await?.before(until);
        laps.lap(Step::Read);
        let room = keep(room, batch.size_bytes());
        Ok(Some(Read { batch, _room: room }))
    }

    /// How much to fold at once. Far behind, the delay is there already, and what a large batch saves gets it over with: a
    /// row that changes again and again is written once.
    fn limit(&self, until: Offset) -> ReadLimit {
        if self.is_careful() {
            return ReadLimit { records: 1, ..self.settings.batch };
        }
        let behind = until.0.saturating_sub(self.checkpoint.next.0);
        let is_far = behind >= self.settings.far_behind;
        if self.followed.is_some() || is_far { self.settings.build_batch } else { self.settings.batch }
    }

    /// Whether one of the next records halts the lane, so that each is folded by itself.
    fn is_careful(&self) -> bool {
        self.careful.is_some_and(|until| self.checkpoint.next < until)
    }

    /// Entities get half of the lane's caches, or nothing where there are none.
    pub(crate) fn entity_cache_bytes(&self) -> usize {
        if self.tables.views.is_empty() {
            self.assignment.cache_bytes
        } else {
            self.assignment.cache_bytes / 2
        }
    }

    /// Each view gets an equal share of the rest.
    pub(crate) fn view_cache_bytes(&self) -> usize {
        let entities = if self.tables.entity.is_some() { self.entity_cache_bytes() } else { 0 };
        (self.assignment.cache_bytes - entities) / self.tables.views.len().max(1)
    }
}

async fn settled(settling: Option<Settling>) -> Result<(), Stop> {
    match settling {
        Some(settling) => settling.await,
        None => Ok(()),
    }
}

#[cfg(not(test))]
fn rules_of(_settings: &Settings) -> Rules {
    Rules::default()
}

#[cfg(test)]
fn rules_of(settings: &Settings) -> Rules {
    settings.rules
}

#[cfg(test)]
impl Lane {
    pub(crate) fn carry_caches_over(&mut self) {
        let carried = self.settings.carried.lock().unwrap().remove(&self.io.partition.0);
        if let Some((entities, rollups)) = carried {
            (self.entities, self.rollups) = (entities, rollups);
        }
    }
}

#[cfg(test)]
impl Drop for Lane {
    fn drop(&mut self) {
        if !self.io.rules.hold(crate::rules::Rule::ForgetAtRevoke) {
            let caches = (
                std::mem::replace(&mut self.entities, RowCache::new(0, false)),
                std::mem::take(&mut self.rollups),
            );
            self.settings.carried.lock().unwrap().insert(self.io.partition.0, caches);
        }
    }
}

/// Sees to it that a lane that is dropped or panics does not look alive.
struct EndGuard {
    observer: Observer,
    ended: bool,
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        if !self.ended {
            let vanished = std::thread::panicking();
            let state =
                if vanished { LaneState::Halted(crate::halt::Halt::Vanished) } else { LaneState::Stopped };
            self.observer.state(state);
        }
    }
}
