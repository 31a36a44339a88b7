//! Feeds: consumers that read ahead for whoever reads.
//!
//! A feed is one consumer, assigned by hand and polled by one thread, with a cursor in each partition that is read
//! through it. Two who read a partition at different places need two feeds; there are up to [`FEEDS`].

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use tidefold_log::{LogError, ReadLimit};
use tidefold_record::{HeadersBuilder, Offset, Partition};
use tokio::time::Instant;

use crate::context::Logs;
use crate::cursor::{Cursor, Taken};
use crate::known::KnownTopic;
use crate::native::{Event, FeedConsumer};

/// All feeds of a log.
pub(crate) struct Feeds {
    config: ClientConfig,
    logs: Logs,
    budget: usize,
    patience: Patience,
    feeds: Mutex<Vec<Arc<Feed>>>,
    /// How many there are: they share the budget.
    count: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

struct Feed {
    config: ClientConfig,
    logs: Logs,
    consumer: Mutex<Arc<FeedConsumer>>,
    cursors: Mutex<Cursors>,
    budget: usize,
    patience: Patience,
    feeds: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

/// When a feed that does not get on is helped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// A cursor that stands still before the end for so long is placed again; the second time its consumer is replaced.
    pub(crate) stuck: Duration,
    /// Consumers are replaced no more often than this.
    pub(crate) rebuild: Duration,
}

/// Where the cursors of a consumer are, and what is to be done about them.
#[derive(Default)]
struct Cursors {
    all: Vec<Cursor>,
    /// The cursor of the last record; the next one is mostly of the same partition.
    last: usize,
    /// Something is to be done by the feed's thread.
    wanted: bool,
    headers: HeadersBuilder,
    rebuilt: Option<Instant>,
}

/// At most so many consumers.
const FEEDS: usize = 4;
/// A thread looks after its feed at least this often.
const TICK: Duration = Duration::from_millis(100);
/// A cursor that nobody used for so long goes, unless its end is watched.
const IDLE: Duration = Duration::from_secs(60);
/// A cursor that nobody used for so long may be sent elsewhere though there could be more feeds.
const LEFT_ALONE: Duration = Duration::from_secs(1);
/// Events taken in a row before readers are told.
const BURST: usize = 1_000;

// === impl Patience ===

impl Default for Patience {
    fn default() -> Patience {
        Patience { stuck: Duration::from_secs(2), rebuild: Duration::from_secs(20) }
    }
}

// === impl Feeds ===

impl Feeds {
    pub(crate) fn new(config: ClientConfig, logs: Logs, budget: usize, patience: Patience) -> Feeds {
        Feeds {
            config,
            logs,
            budget,
            patience,
            feeds: Mutex::default(),
            count: Arc::default(),
            stop: Arc::default(),
        }
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        for feed in self.all() {
            feed.consumer().wake();
        }
    }

    fn all(&self) -> Vec<Arc<Feed>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether some feed has read up to `from`, or keeps what it read there.
    pub(crate) fn covers(&self, topic: &Arc<KnownTopic>, partition: Partition, from: Offset) -> bool {
        let covers = |feed: &Arc<Feed>| {
            feed.lock().all.iter().any(|cursor| cursor.is_of(topic, partition) && cursor.covers(from))
        };
        self.all().iter().any(covers)
    }

    /// Whether some feed waits at the partition's end, or has just got on.
    pub(crate) fn follows(&self, topic: &Arc<KnownTopic>, partition: Partition) -> bool {
        let lively = |cursor: &Cursor| {
            let lively = cursor.at_end || cursor.progress.elapsed() < Duration::from_secs(1);
            cursor.is_of(topic, partition) && cursor.assigned && !cursor.paused && lively
        };
        self.all().iter().any(|feed| feed.lock().all.iter().any(lively))
    }

    /// Whether any feed has a cursor in the partition.
    pub(crate) fn has(&self, topic: &Arc<KnownTopic>, partition: Partition) -> bool {
        self.all().iter().any(|feed| feed.lock().all.iter().any(|cursor| cursor.is_of(topic, partition)))
    }

    /// Takes from a feed that stands at `from`.
    pub(crate) fn take(
        &self,
        topic: &Arc<KnownTopic>,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
        target: Offset,
        patient: bool,
    ) -> Taken {
        for feed in self.all() {
            let mut cursors = feed.lock();
            let low = feed.high(cursors.all.len()) / 2;
            let found =
                cursors.all.iter_mut().find(|cursor| cursor.is_of(topic, partition) && cursor.covers(from));
            let Some(cursor) = found else { continue };
            let taken = cursor.take(from, limit, target, patient);
            let resume = cursor.paused && cursor.bytes < low;
            cursors.wanted |= resume;
            drop(cursors);
            if resume {
                feed.consumer().wake();
            }
            return taken;
        }
        Taken::Nowhere
    }

    /// Forgets where feeds stand in a partition.
    pub(crate) fn forget(&self, topic: &Arc<KnownTopic>, partition: Partition, from: Offset) {
        for feed in self.all() {
            for cursor in &mut feed.lock().all {
                if cursor.is_of(topic, partition) && cursor.covers(from) && cursor.fault.is_some() {
                    cursor.place(topic, cursor.position);
                    cursor.progress = Instant::now();
                }
            }
            feed.lock().wanted = true;
        }
    }

    /// Sends a feed to `from`: one that does not read the partition, else a new one, else the one that was used least
    /// lately there.
    pub(crate) fn place(
        &self,
        topic: &Arc<KnownTopic>,
        partition: Partition,
        from: Offset,
    ) -> Result<(), LogError> {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        let used = |feed: &Arc<Feed>| {
            let cursors = feed.lock();
            cursors
                .all
                .iter()
                .find(|cursor| cursor.holds_place_of(topic, partition))
                .map(|cursor| cursor.used)
        };
        // `None` is the smallest: a feed that is free.
        let best = feeds.iter().min_by_key(|feed| used(feed)).map(|feed| (Arc::clone(feed), used(feed)));
        let now = Instant::now();
        let watched = topic.part(partition)?.end.receiver_count() > 0;
        let feed = match best {
            Some((feed, None)) => feed,
            Some((feed, Some(at))) if feeds.len() >= FEEDS || (!watched && now - at > LEFT_ALONE) => feed,
            _ => {
                let feed = self.start().map_err(|error| LogError::Unavailable {
                    detail: format!("no consumer can be made ({error}); start again"),
                })?;
                feeds.push(Arc::clone(&feed));
                self.count.store(feeds.len(), Ordering::Relaxed);
                feed
            }
        };
        drop(feeds);
        let mut cursors = feed.lock();
        match cursors.all.iter_mut().find(|cursor| cursor.holds_place_of(topic, partition)) {
            Some(cursor) => cursor.place(topic, from),
            None => cursors.all.push(Cursor::new(topic, partition, from)),
        }
        cursors.wanted = true;
        drop(cursors);
        feed.consumer().wake();
        Ok(())
    }

    fn start(&self) -> Result<Arc<Feed>, KafkaError> {
        let feed = Arc::new(Feed {
            config: self.config.clone(),
            logs: self.logs.clone(),
            consumer: Mutex::new(Arc::new(consumer(&self.config, &self.logs)?)),
            cursors: Mutex::default(),
            budget: self.budget,
            patience: self.patience,
            feeds: Arc::clone(&self.count),
            stop: Arc::clone(&self.stop),
        });
        let runs = Arc::clone(&feed);
        let thread = std::thread::Builder::new().name("kafka-feed".to_owned());
        match thread.spawn(move || runs.run()) {
            Ok(_) => Ok(feed),
            Err(error) => Err(KafkaError::ClientCreation(error.to_string())),
        }
    }
}

// === impl Feed ===

impl Feed {
    fn lock(&self) -> MutexGuard<'_, Cursors> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn consumer(&self) -> Arc<FeedConsumer> {
        Arc::clone(&self.consumer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many bytes a cursor may have read ahead.
    fn high(&self, cursors: usize) -> usize {
        let share = self.budget / self.feeds.load(Ordering::Relaxed).max(1);
        (share / cursors.max(1)).clamp(256 << 10, 8 << 20)
    }

    fn run(&self) {
        while !self.stop.load(Ordering::Acquire) {
            self.obey();
            let consumer = self.consumer();
            let some = consumer.poll(TICK, &mut |event| self.lock().accept(event));
            let mut cursors = self.lock();
            let mut left = if some { BURST } else { 0 };
            while left > 0 && consumer.poll(Duration::ZERO, &mut |event| cursors.accept(event)) {
                left -= 1;
            }
            let high = self.high(cursors.all.len());
            cursors.tell(&consumer, high);
        }
        self.lock().all.clear();
    }

    /// Does what readers asked for, and looks after cursors that stand still.
    fn obey(&self) {
        let consumer = self.consumer();
        let mut cursors = self.lock();
        cursors.drop_idle(&consumer);
        if cursors.nudge(self.patience) {
            match self::consumer(&self.config, &self.logs) {
                Ok(next) => {
                    let next = Arc::new(next);
                    let mut place = self.consumer.lock().unwrap_or_else(PoisonError::into_inner);
                    let old = std::mem::replace(&mut *place, Arc::clone(&next));
                    drop((place, consumer));
                    retire(old);
                    cursors.start_again();
                    let high = self.high(cursors.all.len());
                    return cursors.obey(&next, high);
                }
                Err(error) => tracing::warn!(%error, "no new consumer for a feed that stands still"),
            }
        }
        if std::mem::take(&mut cursors.wanted) {
            let high = self.high(cursors.all.len());
            cursors.obey(&consumer, high);
        }
    }
}

/// Closing a consumer takes as long as the cluster likes; the feed goes on meanwhile.
fn retire(old: Arc<FeedConsumer>) {
    let thread = std::thread::Builder::new().name("kafka-retire".to_owned());
    if let Err(error) = thread.spawn(move || drop(old)) {
        tracing::warn!(%error, "no thread for retiring a consumer");
    }
}

fn consumer(config: &ClientConfig, logs: &Logs) -> Result<FeedConsumer, KafkaError> {
    let consumer = BaseConsumer::from_config_and_context(config, logs.clone())?;
    FeedConsumer::new(consumer)
        .ok_or_else(|| KafkaError::ClientCreation("there is no consumer queue".to_owned()))
}

// === impl Cursors ===

impl Cursors {
    fn accept(&mut self, event: Event<'_>) {
        match event {
            Event::Record(record) => {
                if let Some(at) = self.find(record.topic, record.partition)
                    && let Some(cursor) = self.all.get_mut(at)
                {
                    cursor.accept(&record, &mut self.headers);
                }
            }
            Event::End { topic, partition, offset } => {
                if let Some(at) = self.find(topic, partition)
                    && let Some(cursor) = self.all.get_mut(at)
                {
                    cursor.accept_end(Offset(offset.max(0) as u64));
                }
            }
            Event::Fault { topic, partition, code, detail } => {
                tracing::debug!(topic, partition, %code, detail, "a feed was told of a fault");
                if let Some(at) = self.find(topic, partition)
                    && let Some(cursor) = self.all.get_mut(at)
                    && !cursor.placing
                {
                    (cursor.fault, cursor.moved, cursor.at_end) = (Some(code), true, false);
                }
            }
        }
    }

    fn find(&mut self, topic: &str, partition: i32) -> Option<usize> {
        let is =
            |cursor: &Cursor| cursor.partition.0 as i32 == partition && cursor.topic.name.as_str() == topic;
        if !self.all.get(self.last).is_some_and(is) {
            self.last = self.all.iter().position(is)?;
        }
        Some(self.last)
    }

    /// Tells readers and watchers of what came, and pauses what has read ahead far enough.
    fn tell(&mut self, consumer: &FeedConsumer, high: usize) {
        let mut full = TopicPartitionList::new();
        for cursor in &mut self.all {
            if !std::mem::take(&mut cursor.moved) {
                continue;
            }
            cursor.topic.raise(cursor.partition, cursor.position);
            if cursor.bytes > high && !cursor.paused {
                cursor.paused = true;
                full.add_partition(cursor.topic.name.as_str(), cursor.partition.0 as i32);
            }
            if let Ok(part) = cursor.topic.part(cursor.partition) {
                part.moved.notify_waiters();
            }
        }
        if full.count() > 0
            && let Err(error) = consumer.consumer().pause(&full)
        {
            tracing::debug!(%error, "a feed could not be paused");
        }
    }

    /// Fetches from where cursors were placed, and goes on where there is room again.
    fn obey(&mut self, consumer: &FeedConsumer, high: usize) {
        for cursor in &mut self.all {
            let resume = cursor.paused && (cursor.placing || cursor.bytes < high / 2);
            if resume {
                let result = place(cursor, 0).and_then(|list| consumer.consumer().resume(&list));
                cursor.paused = false;
                cursor.progress = Instant::now();
                if let Err(error) = result {
                    tracing::debug!(%error, "a feed could not be resumed");
                }
            }
            if !cursor.placing {
                continue;
            }
            let result = place(cursor, cursor.position.0).and_then(|list| {
                if cursor.assigned {
                    consumer.consumer().incremental_unassign(&list)?;
                    cursor.assigned = false;
                }
                consumer.consumer().incremental_assign(&list)
            });
            match result {
                Ok(()) => (cursor.placing, cursor.assigned) = (false, true),
                Err(error) => {
                    tracing::warn!(%error, topic = %cursor.topic.name, partition = %cursor.partition, "a feed could not be placed");
                    cursor.fault = Some(error.rdkafka_error_code().unwrap_or(Code::Fail));
                    cursor.moved = true;
                }
            }
        }
    }

    /// Lets go of partitions that nobody reads.
    fn drop_idle(&mut self, consumer: &FeedConsumer) {
        self.all.retain(|cursor| {
            let watched = cursor.topic.part(cursor.partition).is_ok_and(|part| part.end.receiver_count() > 0);
            let idle = cursor.used.elapsed() > IDLE && (!watched || cursor.paused);
            if idle && cursor.assigned {
                let result =
                    place(cursor, 0).and_then(|list| consumer.consumer().incremental_unassign(&list));
                if let Err(error) = result {
                    tracing::debug!(%error, "an idle partition could not be let go");
                }
            }
            !idle
        });
    }

    /// Places cursors again that stand still though their partition goes on; true when that did not help.
    fn nudge(&mut self, patience: Patience) -> bool {
        let mut hopeless = false;
        for cursor in &mut self.all {
            if !cursor.stands_still(patience.stuck) {
                continue;
            }
            hopeless |= cursor.nudged;
            if !cursor.nudged {
                tracing::warn!(
                    topic = %cursor.topic.name, partition = %cursor.partition, position = %cursor.position,
                    "a feed stands still before the end; it is placed again"
                );
                cursor.nudged = true;
                cursor.start_over();
                self.wanted = true;
            }
        }
        let lately = self.rebuilt.is_some_and(|at| at.elapsed() < patience.rebuild);
        hopeless && !lately
    }

    fn start_again(&mut self) {
        tracing::warn!("a feed stands still before the end; its consumer is replaced");
        self.rebuilt = Some(Instant::now());
        for cursor in &mut self.all {
            (cursor.assigned, cursor.paused, cursor.at_end, cursor.nudged) = (false, false, false, false);
            cursor.start_over();
        }
        self.wanted = false;
    }
}

impl Cursor {
    /// A consumer has one place for a partition, whichever incarnation of the topic it is of.
    fn holds_place_of(&self, topic: &KnownTopic, partition: Partition) -> bool {
        self.partition == partition && self.topic.name == topic.name
    }
}

fn place(cursor: &Cursor, offset: u64) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(1);
    let (topic, partition) = (cursor.topic.name.as_str(), cursor.partition.0 as i32);
    list.add_partition_offset(topic, partition, KafkaOffset::Offset(offset as i64))?;
    Ok(list)
}

#[cfg(test)]
mod tests;
