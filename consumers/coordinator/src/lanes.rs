//! The lanes of this process: which generations are folded here, and why others are not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidefold_log::Epoch;
use tidefold_projector::{Ending, LaneState, LaneStatus, Orders, Projector};
use tidefold_record::{Offset, Partition, TopicName};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A generation of a topic's projection.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The topic's name in the app.
    pub(crate) topic: TopicName,
    /// The generation.
    pub(crate) generation: u32,
}

/// What becomes of a wanted generation.
pub(crate) enum Folding {
    /// It is folded.
    Lanes(Box<Projector>),
    /// What it was built from is not what is there.
    Halted(String),
}

/// Why nothing is folded from a topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// What is wrong, and what to do.
    pub(crate) reason: String,
    /// Whether it may be put right while this process runs: no record was seen to be another or gone.
    pub(crate) may_be_right_again: bool,
}

/// The lanes of one process. Everything that changes about them is here, under one lock that nobody holds while he waits.
#[derive(Default)]
pub(crate) struct Lanes {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    folding: BTreeMap<Key, Folding>,
    /// Topics that are not what they have to be, since they were folded.
    wrong: BTreeMap<TopicName, Wrong>,
    /// Generations whose tables this process has dropped.
    dropped: BTreeSet<Key>,
    /// Lanes of partitions that were lost, finishing the batch in hand.
    ending: JoinSet<()>,
}

// === impl Lanes ===

impl Lanes {
    /// Whether it is decided already what becomes of a generation.
    pub(crate) fn knows(&self, key: &Key) -> bool {
        self.state().folding.contains_key(key)
    }

    /// Whether the tables of a generation were dropped.
    pub(crate) fn has_dropped(&self, key: &Key) -> bool {
        self.state().dropped.contains(key)
    }

    /// Says what becomes of a generation. Where its topic was found to be wrong meanwhile, that counts.
    pub(crate) fn begin(&self, key: Key, folding: Folding) {
        let mut state = self.state();
        let folding = match state.wrong.get(&key.topic) {
            Some(wrong) => Folding::Halted(wrong.reason.clone()),
            None => folding,
        };
        state.folding.insert(key, folding);
    }

    /// Takes the lanes of a generation that is not wanted any more.
    pub(crate) fn take(&self, key: &Key) -> Option<Box<Projector>> {
        match self.state().folding.remove(key)? {
            Folding::Lanes(projector) => Some(projector),
            Folding::Halted(_) => None,
        }
    }

    /// Notes that the tables of a generation are dropped.
    pub(crate) fn note_dropped(&self, key: Key) {
        self.state().dropped.insert(key);
    }

    /// Gives every generation the lanes of the partitions that are owned, and returns the partitions of those that have no
    /// lanes. Lanes of what was lost end by and by, which nothing waits for: what they still write is void and does no harm.
    pub(crate) fn assign(
        &self,
        owned: impl Fn(&TopicName) -> BTreeMap<Partition, Epoch>,
        end: impl Fn(&mut JoinSet<()>, Ending),
    ) -> Vec<(Key, Partition)> {
        let mut without = Vec::new();
        let mut state = self.state();
        let State { folding, ending, .. } = &mut *state;
        while ending.try_join_next().is_some() {}
        for (key, folding) in folding {
            let owned = owned(&key.topic);
            match folding {
                Folding::Lanes(projector) => {
                    let lost = projector.assign(&owned);
                    if !lost.is_empty() {
                        end(ending, lost);
                    }
                }
                Folding::Halted(_) => {
                    without.extend(owned.into_keys().map(|partition| (key.clone(), partition)));
                }
            }
        }
        without
    }

    /// Tells the lanes of every generation what to do.
    pub(crate) fn order(&self, orders: impl Fn(&Key) -> Orders) {
        for (key, folding) in &self.state().folding {
            if let Folding::Lanes(projector) = folding {
                projector.order(orders(key));
            }
        }
    }

    /// Why nothing is folded from a topic as it is.
    pub(crate) fn wrong(&self, topic: &TopicName) -> Option<Wrong> {
        self.state().wrong.get(topic).cloned()
    }

    /// Ends the lanes of a topic where they stand: it is not the one they were begun with, so that what they have read may
    /// belong to another log.
    pub(crate) fn halt(&self, topic: &TopicName, wrong: Wrong) {
        let mut state = self.state();
        let before = state.wrong.insert(topic.clone(), wrong.clone());
        for (_, folding) in state.folding.iter_mut().filter(|(key, _)| key.topic == *topic) {
            let stands_for_another_reason = match folding {
                Folding::Lanes(_) => false,
                Folding::Halted(reason) => before.as_ref().is_none_or(|before| before.reason != *reason),
            };
            if !stands_for_another_reason {
                *folding = Folding::Halted(wrong.reason.clone());
            }
        }
    }

    /// Forgets what was wrong with a topic, and what stood for that reason: it is decided anew.
    pub(crate) fn put_right(&self, topic: &TopicName) {
        let mut state = self.state();
        let Some(wrong) = state.wrong.remove(topic) else { return };
        let stands = |folding: &Folding| matches!(folding, Folding::Halted(why) if *why == wrong.reason);
        state.folding.retain(|key, folding| key.topic != *topic || !stands(folding));
    }

    /// The lanes of a generation that are here, in the order of partitions; none while it is not folded.
    pub(crate) fn of(&self, key: &Key) -> Vec<watch::Receiver<LaneStatus>> {
        match self.state().folding.get(key) {
            Some(Folding::Lanes(projector)) => projector.lanes(),
            Some(Folding::Halted(_)) | None => Vec::new(),
        }
    }

    /// What a partition's lane here does, and the next offset it folds.
    pub(crate) fn lane(&self, key: &Key, partition: Partition) -> Option<(LaneState, Offset)> {
        let lanes = self.of(key).into_iter();
        let found = lanes.map(|lane| lane.borrow().clone()).find(|lane| lane.partition == partition)?;
        Some((found.state, found.next))
    }

    /// Why a generation is not folded at all.
    pub(crate) fn halted(&self, key: &Key) -> Option<String> {
        match self.state().folding.get(key) {
            Some(Folding::Halted(reason)) => Some(reason.clone()),
            Some(Folding::Lanes(_)) | None => None,
        }
    }

    /// Why nothing appended to a partition would be folded into a generation: it is not folded at all, or its lane found
    /// that the log is another one.
    pub(crate) fn refuses(&self, key: &Key, partition: Partition) -> Option<String> {
        match self.state().folding.get(key)? {
            Folding::Halted(reason) => Some(reason.clone()),
            Folding::Lanes(projector) => {
                let lane = projector.lane(partition)?.borrow();
                let LaneState::Halted(halt) = &lane.state else { return None };
                halt.is_of_the_log().then(|| halt.to_string())
            }
        }
    }

    /// Lets every lane finish the batch in hand.
    pub(crate) async fn drain(&self, limit: Duration) {
        let (folding, mut ending) = {
            let mut state = self.state();
            (std::mem::take(&mut state.folding), std::mem::take(&mut state.ending))
        };
        let projectors = folding.into_values().filter_map(|folding| match folding {
            Folding::Lanes(projector) => Some(projector.drain(limit)),
            Folding::Halted(_) => None,
        });
        futures_util::future::join_all(projectors).await;
        // Each has its own limit.
        while ending.join_next().await.is_some() {}
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
