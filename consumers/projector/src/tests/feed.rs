//! A change feed in memory, and what every one of its readers may rely on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tidefold_fold::Publication;
use tidefold_record::{Partition, TopicName};

use crate::support::stepped::Stepped;
use crate::{Feed, FeedError};

/// A change feed in memory. Clones share it.
#[derive(Clone, Default)]
pub(super) struct MemoryFeed {
    published: Arc<Mutex<BTreeMap<Partition, Vec<Publication>>>>,
}

/// The feed as one process sees it: its calls wait and fail as those of the process's store do.
pub(super) struct SteppedFeed {
    pub(super) feed: MemoryFeed,
    pub(super) store: Arc<Stepped>,
}

impl MemoryFeed {
    fn append(&self, partition: Partition, entries: &[Publication]) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        published.entry(partition).or_default().extend_from_slice(entries);
    }

    /// How what a reader sees differs from what it should: it drops offsets it has seen, and no offset is left out.
    pub(super) fn differences(&self, expected: &BTreeMap<Partition, Vec<Publication>>) -> Vec<String> {
        let published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wrong = Vec::new();
        for (partition, expected) in expected {
            let mut seen = 0;
            for entry in published.get(partition).into_iter().flatten() {
                match usize::try_from(entry.offset.0).unwrap_or(usize::MAX) {
                    at if at > seen => {
                        wrong.push(format!("the feed of {partition} says {at} before {seen}"));
                        break;
                    }
                    at if expected.get(at) != Some(entry) => {
                        wrong.push(format!(
                            "the feed of {partition} says {entry:?}, not {:?}",
                            expected.get(at)
                        ));
                    }
                    at => seen = seen.max(at + 1),
                }
            }
            if seen < expected.len() {
                wrong.push(format!("the feed of {partition} ends at {seen} of {}", expected.len()));
            }
        }
        wrong
    }
}

impl Feed for MemoryFeed {
    fn publish<'a>(
        &'a self,
        _topic: &'a TopicName,
        partition: Partition,
        entries: &'a [Publication],
    ) -> BoxFuture<'a, Result<(), FeedError>> {
        self.append(partition, entries);
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Feed for SteppedFeed {
    fn publish<'a>(
        &'a self,
        _topic: &'a TopicName,
        partition: Partition,
        entries: &'a [Publication],
    ) -> BoxFuture<'a, Result<(), FeedError>> {
        Box::pin(async move {
            let mut dice = self.store.step().await;
            if !self.store.fails(&mut dice) {
                self.feed.append(partition, entries);
                return Ok(());
            }
            let part = dice.roll(entries.len() as u64 + 1) as usize;
            self.feed.append(partition, entries.get(..part).unwrap_or_default());
            Err(FeedError { detail: "told to fail".to_owned() })
        })
    }
}
