//! This process's place in a consumer group: a member that is assigned partitions and never fetches from them.
//!
//! Ownership only saves work, since two owners of a partition come to the same rows. So a session may be short, which is how long
//! partitions of a process that died are missed; and what a member keeps over a rebalance it never lets go of, though the
//! classic protocol takes everything from everybody and gives it again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use tidefold_log::{Epoch, LogError, Membership, Owned};
use tidefold_record::{Offset, Partition, TopicName};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::context::Counts;
use crate::settings::Settings;

/// A place in a group. Its thread polls, so that the group hears of it, and commits.
pub(crate) struct KafkaMembership {
    seat: Arc<Seat>,
    left: watch::Receiver<bool>,
}

struct Seat {
    /// What the cluster puts before the names that we are asked for.
    prefix: String,
    group: String,
    /// As the cluster calls them.
    topics: Vec<String>,
    settings: Settings,
    owned: watch::Sender<Owned>,
    folded: Mutex<BTreeMap<(TopicName, Partition), Progress>>,
    leaving: AtomicBool,
    /// Does nothing any more, as a process that is stopped.
    #[cfg(test)]
    hangs: AtomicBool,
}

#[derive(Clone, Copy)]
struct Progress {
    next: Offset,
    committed: bool,
}

struct Callbacks(Arc<Seat>, Counts);

/// The group hears of folded offsets this often.
const COMMIT_EVERY: Duration = Duration::from_secs(2);
/// How long leaving may take.
const LEAVE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(50);
/// Brokers allow no shorter session unless `group.min.session.timeout.ms` says so.
const USUAL_LEAST: Duration = Duration::from_secs(6);
/// No broker asks for so long a session.
const LONGEST: Duration = Duration::from_secs(60);

static EPOCHS: AtomicU64 = AtomicU64::new(1);

// === impl KafkaMembership ===

impl KafkaMembership {
    pub(crate) fn join(
        settings: &Settings,
        group: &str,
        topics: &[(TopicName, u32)],
    ) -> Result<KafkaMembership, LogError> {
        let failed = |error: &dyn std::fmt::Display| LogError::Unavailable {
            detail: format!(
                "the group cannot be joined ({error}); check the group's name and the log's properties"
            ),
        };
        let seat = Arc::new(Seat {
            prefix: settings.topic_prefix.clone(),
            group: format!("{}{group}", settings.topic_prefix),
            topics: topics.iter().map(|(name, _)| format!("{}{name}", settings.topic_prefix)).collect(),
            settings: settings.clone(),
            owned: watch::Sender::new(Owned::default()),
            folded: Mutex::default(),
            leaving: AtomicBool::new(false),
            #[cfg(test)]
            hangs: AtomicBool::new(false),
        });
        let consumer = seat.sit(settings.session_timeout).map_err(|error| failed(&error))?;
        let (leaves, left) = watch::channel(false);
        let sits = Arc::clone(&seat);
        let thread = std::thread::Builder::new().name("kafka-member".to_owned());
        let spawned = thread.spawn(move || {
            sits.run(consumer);
            leaves.send_replace(true);
        });
        spawned.map_err(|error| failed(&error))?;
        Ok(KafkaMembership { seat, left })
    }
}

impl Membership for KafkaMembership {
    fn owned(&self) -> watch::Receiver<Owned> {
        self.seat.owned.subscribe()
    }

    fn folded(&self, topic: &TopicName, partition: Partition, next: Offset) {
        let place = (topic.clone(), partition);
        if self.seat.owned.borrow().partitions.contains_key(&place) {
            let mut folded = self.seat.folded.lock().unwrap_or_else(PoisonError::into_inner);
            let same = folded.get(&place).is_some_and(|known| known.next == next);
            if !same {
                folded.insert(place, Progress { next, committed: false });
            }
        }
    }

    fn leave(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.seat.leaving.store(true, Ordering::Release);
            let mut left = self.left.clone();
            if tokio::time::timeout(LEAVE, left.wait_for(|left| *left)).await.is_err() {
                tracing::warn!("leaving the group takes long; it will notice by itself");
            }
            self.seat.owned.send_replace(Owned::default());
        })
    }
}

impl Drop for KafkaMembership {
    fn drop(&mut self) {
        // The thread ends on its own; nobody waits for it.
        self.seat.leaving.store(true, Ordering::Release);
    }
}

// === impl Seat ===

impl Seat {
    /// A consumer that joins the group, whose members are given up after so long without a sign of life.
    fn sit(self: &Arc<Self>, session: Duration) -> Result<BaseConsumer<Callbacks>, KafkaError> {
        let config = self.settings.member(&self.group, session);
        let callbacks = Callbacks(Arc::clone(self), self.settings.counts.clone());
        let consumer = BaseConsumer::from_config_and_context(&config, callbacks)?;
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        if !topics.is_empty() {
            consumer.subscribe(&topics)?;
        }
        Ok(consumer)
    }

    /// Another consumer where the brokers found the session of the first one too short.
    fn sit_longer(self: &Arc<Self>, session: &mut Duration) -> Option<BaseConsumer<Callbacks>> {
        let longer = (*session * 2).max(USUAL_LEAST);
        if longer > LONGEST {
            return None;
        }
        tracing::warn!(
            group = self.group,
            session_timeout = ?*session,
            "the brokers take no session as short as log.session_timeout: a process that dies is missed for {longer:?}; \
             lower their group.min.session.timeout.ms"
        );
        *session = longer;
        match self.sit(longer) {
            Ok(consumer) => Some(consumer),
            Err(error) => {
                tracing::error!(%error, "no consumer with a longer session");
                None
            }
        }
    }

    fn run(self: &Arc<Self>, mut consumer: BaseConsumer<Callbacks>) {
        let mut session = self.settings.session_timeout;
        let mut due = Instant::now() + COMMIT_EVERY;
        while !self.leaving.load(Ordering::Acquire) {
            #[cfg(test)]
            while self.hangs.load(Ordering::Acquire) {
                std::thread::park_timeout(POLL);
            }
            // Partitions are paused, so messages are none of a reader's.
            if let Some(Err(error)) = consumer.poll(POLL) {
                tracing::debug!(%error, "the group's member was told of a fault");
                if error.rdkafka_error_code() == Some(Code::InvalidSessionTimeout)
                    && let Some(next) = self.sit_longer(&mut session)
                {
                    consumer = next;
                }
            }
            if Instant::now() >= due {
                self.commit(&consumer);
                due = Instant::now() + COMMIT_EVERY;
            }
        }
        self.commit(&consumer);
        self.owned.send_replace(Owned::default());
        // Closing waits for the commit and tells the group that this member is gone.
        drop(consumer);
    }

    /// Sends what changed of the partitions that are still owned.
    fn commit(&self, consumer: &BaseConsumer<Callbacks>) {
        let mut list = TopicPartitionList::new();
        let owned = self.owned.borrow().clone();
        let mut folded = self.folded.lock().unwrap_or_else(PoisonError::into_inner);
        folded.retain(|place, _| owned.partitions.contains_key(place));
        for ((topic, partition), progress) in folded.iter_mut().filter(|(_, progress)| !progress.committed) {
            let offset = KafkaOffset::Offset(progress.next.0 as i64);
            let own = format!("{}{topic}", self.prefix);
            if list.add_partition_offset(&own, partition.0 as i32, offset).is_ok() {
                progress.committed = true;
            }
        }
        drop(folded);
        if list.count() > 0
            && let Err(error) = consumer.commit(&list, CommitMode::Async)
        {
            tracing::debug!(%error, "folded offsets were not committed");
        }
    }

    /// Gives partitions, which are all there are or come to what there is; whether that changed anything.
    fn give(&self, owned: &mut Owned, list: &TopicPartitionList, all: bool) -> bool {
        let given: BTreeSet<_> =
            list.elements().iter().map(|one| self.place(one.topic(), one.partition())).collect();
        let before = owned.partitions.len();
        owned.partitions.retain(|place, _| !all || given.contains(place));
        let mut changed = owned.partitions.len() != before;
        for place in given {
            owned.partitions.entry(place).or_insert_with(|| {
                changed = true;
                Epoch(EPOCHS.fetch_add(1, Ordering::Relaxed))
            });
        }
        changed
    }

    fn place(&self, topic: &str, partition: i32) -> (TopicName, Partition) {
        let name = topic.strip_prefix(self.prefix.as_str()).unwrap_or(topic);
        (TopicName::new(name), Partition(partition.max(0) as u32))
    }
}

// === impl Callbacks ===

impl ClientContext for Callbacks {
    fn stats(&self, statistics: Statistics) {
        self.1.of("group", &statistics);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        crate::context::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", "{error}: {reason}");
    }
}

impl ConsumerContext for Callbacks {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            // The classic protocol takes everything before it says what is given: until then all of it is kept.
            let all = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Eager);
            if all && !consumer.assignment_lost() {
                return;
            }
            self.0.owned.send_modify(|owned| {
                for element in list.elements() {
                    owned.partitions.remove(&self.0.place(element.topic(), element.partition()));
                }
            });
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                if let Err(error) = consumer.pause(list) {
                    tracing::debug!(%error, "assigned partitions could not be paused");
                }
                let all = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Eager);
                self.0.owned.send_if_modified(|owned| self.0.give(owned, list, all));
            }
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => {
                tracing::warn!(%error, "a rebalance failed; nothing is owned until the next");
                self.0.owned.send_replace(Owned::default());
            }
        }
    }

    fn commit_callback(&self, result: Result<(), KafkaError>, offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "folded offsets were not committed");
            let mut folded = self.0.folded.lock().unwrap_or_else(PoisonError::into_inner);
            for element in offsets.elements() {
                if let Some(progress) = folded.get_mut(&self.0.place(element.topic(), element.partition())) {
                    progress.committed = false;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
