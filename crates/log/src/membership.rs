//! Who folds which partition.
//!
//! The processes that fold an app form a group. Each owns a share of the partitions, and the shares change as processes
//! join, leave, die or hang. Ownership is a matter of not doing work twice, never of being right: two owners of one
//! partition, for a moment or for ever, come to the same rows, because every write is stamped with the log position.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tidefold_record::{Offset, Partition, TopicName};
use tokio::sync::watch;

/// This process's place in a group. Dropping it is like a crash: others take over once the group notices.
pub trait Membership: Send + Sync + 'static {
    /// What this process owns, each time that changes; nothing at first. A receiver may see several changes as one: a
    /// partition that was lost and given again in between has another epoch.
    fn owned(&self) -> watch::Receiver<Owned>;

    /// Tells the group's lag tools how far a partition is folded: the next offset. Advice only, sent at intervals; nothing
    /// of ours ever reads it back. Told of a partition that is not owned, it does nothing.
    fn folded(&self, topic: &TopicName, partition: Partition, next: Offset);

    /// Leaves in good order, so that others take over at once. Owns nothing afterwards.
    fn leave(&self) -> BoxFuture<'_, ()>;
}

/// A membership that anyone may hold.
pub type SharedMembership = Arc<dyn Membership>;

/// Partitions, by the log's own names of their topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owned {
    /// Every owned partition with its epoch. What was cached or begun under another epoch of a partition is void.
    pub partitions: BTreeMap<(TopicName, Partition), Epoch>,
}

/// Numbers the times a process was given a partition; never repeats in a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// The membership of a process that has the log to itself: it owns everything, for ever.
#[derive(Debug)]
pub struct Sole {
    owned: watch::Sender<Owned>,
}

// === impl Sole ===

impl Sole {
    /// Owns these partitions: topics by the log's own names, with how many partitions each has.
    #[must_use]
    pub fn new(topics: &[(TopicName, u32)]) -> Sole {
        let all = topics.iter().flat_map(|(topic, partitions)| {
            (0..*partitions).map(move |partition| ((topic.clone(), Partition(partition)), Epoch(1)))
        });
        Sole { owned: watch::channel(Owned { partitions: all.collect() }).0 }
    }
}

impl Membership for Sole {
    fn owned(&self) -> watch::Receiver<Owned> {
        self.owned.subscribe()
    }

    fn folded(&self, _topic: &TopicName, _partition: Partition, _next: Offset) {}

    fn leave(&self) -> BoxFuture<'_, ()> {
        self.owned.send_replace(Owned::default());
        Box::pin(std::future::ready(()))
    }
}
