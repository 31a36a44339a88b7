//! Operations on a log that is there and does not always answer: a server under load.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../projector/tests/support/mod.rs"]
mod support;

mod fleet_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fleet_support::{Member, all_folded, equals_one_fold};
use futures_util::future::BoxFuture;
use support::{Shop, storefront};
use tidefold_coordinator::{Phase, ReplayOptions};
use tidefold_log::memory::MemoryLog;
use tidefold_log::{Appended, Bounds, Log, LogError, ReadLimit, SharedMembership, Topic, TopicSpec};
use tidefold_record::{BatchBuilder, Offset, Partition, RecordBatch, TopicName};
use tidefold_store::memory::MemoryStore;
use tokio::sync::watch;

/// A log that leaves the next questions for its ends unanswered.
struct Busy {
    log: MemoryLog,
    unanswered: AtomicU32,
}

impl Log for Busy {
    fn open<'a>(&'a self, spec: &'a TopicSpec) -> BoxFuture<'a, Result<Topic, LogError>> {
        self.log.open(spec)
    }

    fn append<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        batch: BatchBuilder,
    ) -> BoxFuture<'a, Result<Appended, LogError>> {
        self.log.append(topic, partition, batch)
    }

    fn read<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> BoxFuture<'a, Result<RecordBatch, LogError>> {
        self.log.read(topic, partition, from, limit)
    }

    fn bounds<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
    ) -> BoxFuture<'a, Result<Bounds, LogError>> {
        let less = |left: u32| left.checked_sub(1);
        if self.unanswered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err() {
            return self.log.bounds(topic, partition);
        }
        let detail = "no answer within 5s".to_owned();
        Box::pin(std::future::ready(Err(LogError::Unavailable { detail })))
    }

    fn watch_end(
        &self,
        topic: &TopicName,
        partition: Partition,
    ) -> Result<watch::Receiver<Offset>, LogError> {
        self.log.watch_end(topic, partition)
    }

    fn join(&self, group: &str, topics: &[(TopicName, u32)]) -> Result<SharedMembership, LogError> {
        self.log.join(group, topics)
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_begins_though_the_log_leaves_some_questions_unanswered_and_says_so_where_it_leaves_all() {
    let mut shop = Shop::open(storefront(1), MemoryLog::new(), 5).await;
    let store = MemoryStore::new();
    let busy = Arc::new(Busy { log: shop.log.clone(), unanswered: AtomicU32::new(0) });
    let member = Member::on(&shop, Arc::clone(&busy) as _, Arc::new(store.restarted())).await;
    member.membership.give(&shop.topic, Partition(0));
    shop.trade(60).await;
    all_folded(std::slice::from_ref(&member), &shop, 1).await;

    busy.unanswered.store(100, Ordering::Relaxed);
    let refused = member.coordinator.replay(None, ReplayOptions::default()).await.unwrap_err().to_string();
    assert!(refused.contains("no answer within 5s"), "{refused}");
    assert!(member.coordinator.bounds_of("orders").await.is_err());

    busy.unanswered.store(3, Ordering::Relaxed);
    assert_eq!(member.coordinator.bounds_of("orders").await.unwrap()[0].end, shop.ends().await[0]);
    // One is asked by what is looked at before, and does not matter there.
    busy.unanswered.store(4, Ordering::Relaxed);
    let builds = member.coordinator.replay(None, ReplayOptions::default()).await.unwrap();
    for mut build in builds {
        let phase = build.finished().await;
        assert!(matches!(phase, Phase::Done(_)), "{phase:?}");
    }
    let members = [member];
    all_folded(&members, &shop, 2).await;
    equals_one_fold(&shop, &store, 2).await;
}
