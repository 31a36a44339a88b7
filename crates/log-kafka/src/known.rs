//! One incarnation of a topic, as far as this process knows it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use tidefold_log::{Bounds, LogError};
use tidefold_record::{Offset, Partition, TopicName};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::question::Question;
use crate::tail::Tail;

/// A topic as a broker describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) partitions: u32,
    /// What no other incarnation has; empty where brokers are too old to say.
    pub(crate) id: String,
}

/// One incarnation of a topic.
pub(crate) struct KnownTopic {
    pub(crate) name: TopicName,
    pub(crate) incarnation: String,
    parts: Vec<Part>,
    /// When the brokers last told its id. Held while they are asked: what was read meanwhile waits for the answer, which is
    /// younger than those records, and so everybody's.
    pub(crate) checked: tokio::sync::Mutex<Instant>,
    /// Why this incarnation is void, once it is.
    pub(crate) void: OnceLock<LogError>,
    /// Why nothing may be appended as the topic is now: nobody would fold it.
    closed: RwLock<Option<LogError>>,
    /// The largest batch of records that the topic takes, in bytes, as last told; 0 before.
    largest: AtomicUsize,
}

/// What is known of a partition.
pub(crate) struct Part {
    /// The end, as far as it is known. It only rises; once the incarnation is void it is 0, so that who waits looks.
    pub(crate) end: watch::Sender<Offset>,
    /// Whether anybody ever asked for the end: readers look at it in passing, and it has to be fresh when they come again.
    asked: AtomicBool,
    /// What a follower read last; none where nobody follows.
    tail: Mutex<Option<Tail>>,
    /// Told when a follower got on in the partition.
    pub(crate) moved: Notify,
    /// Where it starts and ends, asked for by whoever has to know it as it is now.
    pub(crate) bounds: Arc<Question<Result<Bounds, LogError>>>,
}

// === impl Part ===

impl Part {
    pub(crate) fn tail(&self) -> MutexGuard<'_, Option<Tail>> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl KnownTopic ===

impl KnownTopic {
    pub(crate) fn new(name: &TopicName, described: Described) -> KnownTopic {
        let part = |_| Part {
            end: watch::Sender::new(Offset::ZERO),
            asked: AtomicBool::new(false),
            tail: Mutex::default(),
            moved: Notify::new(),
            bounds: Arc::default(),
        };
        KnownTopic {
            name: name.clone(),
            incarnation: described.id,
            parts: (0..described.partitions).map(part).collect(),
            checked: tokio::sync::Mutex::new(Instant::now()),
            void: OnceLock::new(),
            closed: RwLock::default(),
            largest: AtomicUsize::new(0),
        }
    }

    /// The largest batch of records that the topic takes, in bytes, where that is known.
    pub(crate) fn largest(&self) -> Option<usize> {
        Some(self.largest.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }

    pub(crate) fn learn_largest(&self, bytes: Option<usize>) {
        self.largest.store(bytes.unwrap_or(0), Ordering::Relaxed);
    }

    /// Whether anything may be appended.
    pub(crate) fn check_open(&self) -> Result<(), LogError> {
        self.closed.read().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }

    /// Keeps appends away for as long as the topic is not as it has to be, or lets them come again.
    pub(crate) fn close(&self, why: Option<LogError>) {
        let mut closed = self.closed.write().unwrap_or_else(PoisonError::into_inner);
        if *closed == why {
            return;
        }
        match &why {
            Some(error) => tracing::error!(%error, "nothing is appended to the topic until it is right"),
            None => tracing::info!(topic = %self.name, "the topic is right again; it is appended to"),
        }
        *closed = why;
    }

    pub(crate) fn partitions(&self) -> u32 {
        self.parts.len() as u32
    }

    /// All its partitions, by number.
    pub(crate) fn all(&self) -> impl Iterator<Item = Partition> + use<> {
        (0..self.partitions()).map(Partition)
    }

    pub(crate) fn part(&self, partition: Partition) -> Result<&Part, LogError> {
        self.parts.get(partition.0 as usize).ok_or_else(|| no_such(&self.name, partition))
    }

    pub(crate) fn end(&self, partition: Partition) -> Offset {
        self.parts.get(partition.0 as usize).map_or(Offset::ZERO, |part| *part.end.borrow())
    }

    /// Notes that the partition ends there or later.
    pub(crate) fn raise(&self, partition: Partition, end: Offset) {
        // Receivers hold a lock while they look; whoever moves nothing must not wait for them.
        if let Some(part) = self.parts.get(partition.0 as usize)
            && *part.end.borrow() < end
        {
            part.end.send_if_modified(|known| {
                // Records of another incarnation have offsets that say nothing of this one's.
                let moved = end > *known && self.void.get().is_none();
                if moved {
                    *known = end;
                }
                moved
            });
        }
    }

    /// The partition's end, from now on kept fresh; and whether it was before.
    pub(crate) fn watch(&self, partition: Partition) -> Result<(watch::Receiver<Offset>, bool), LogError> {
        let part = self.part(partition)?;
        let before = part.asked.swap(true, Ordering::Relaxed);
        Ok((part.end.subscribe(), before))
    }

    /// The partitions whose ends are kept fresh.
    pub(crate) fn watched(&self) -> impl Iterator<Item = Partition> {
        let asked = self.parts.iter().enumerate().filter(|(_, part)| part.asked.load(Ordering::Relaxed));
        asked.map(|(i, _)| Partition(i as u32))
    }

    /// Whether somebody waits for the partition's end to move.
    pub(crate) fn is_waited_for(&self, partition: Partition) -> bool {
        self.parts.get(partition.0 as usize).is_some_and(|part| part.end.receiver_count() > 0)
    }

    pub(crate) fn check(&self, partition: Partition) -> Result<(), LogError> {
        match self.void.get() {
            Some(error) => Err(error.clone()),
            None => self.part(partition).map(|_| ()),
        }
    }

    /// Compares with what the cluster says now.
    pub(crate) fn compare(&self, now: Option<&Described>) -> Result<(), LogError> {
        // A broker that has just started and has not heard of it proves nothing; another id does.
        let Some(now) = now else {
            let detail = format!(
                "the brokers do not know topic {} just now; if it was deleted, put it back",
                self.name
            );
            return Err(LogError::Unavailable { detail });
        };
        if now.id == self.incarnation && now.partitions == self.partitions() {
            return Ok(());
        }
        if now.id == self.incarnation {
            let detail = format!(
                "it has {} partitions and {} are asked for: it was given more, so that keys belong to others than before; the \
                 number is fixed for ever. Put back the topic with {}, or use another topic",
                now.partitions,
                self.partitions(),
                self.partitions()
            );
            let error = LogError::Mismatch { topic: self.name.clone(), detail };
            self.close(Some(error.clone()));
            return Err(error);
        }
        let detail = format!(
            "it was deleted and created again: its id was {} and is {} now; what was folded from the old one does not \
             follow from the new one. Put back the topic that was folded and start again; to go on with this one, start \
             again and build the tables anew with `tidefold replay`",
            self.incarnation, now.id
        );
        let error = LogError::Mismatch { topic: self.name.clone(), detail };
        if self.void.set(error.clone()).is_ok() {
            tracing::error!(%error, "nothing is read from the topic or appended to it any more");
            for part in &self.parts {
                part.end.send_replace(Offset::ZERO);
            }
        }
        Err(error)
    }
}

/// What is said of a partition that the topic does not have.
pub(crate) fn no_such(topic: &TopicName, partition: Partition) -> LogError {
    LogError::NoSuchPartition { topic: topic.clone(), partition }
}
