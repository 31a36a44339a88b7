//! Processes that fold one app together, with memberships that the test moves.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use tidefold_coordinator::{Coordinator, Options};
use tidefold_log::{ReadLimit, Scripted, SharedLog};
use tidefold_projector::Settings;
use tidefold_record::Partition;
use tidefold_store::SharedStore;
use tidefold_store::memory::MemoryStore;
use tidefold_telemetry::{Backoff, Supervisor, Telemetry, clock};

use super::support::{Dice, Shop, differences, stored};

pub const WINDOW: u64 = 40;

pub fn options() -> Options {
    let lanes = Settings {
        batch: ReadLimit { records: 7, bytes: 1 << 20 },
        build_batch: ReadLimit { records: 20, bytes: 1 << 20 },
        breaker: None,
        backoff: Backoff { first: Duration::from_millis(10), most: Duration::from_millis(50) },
        ..Settings::default()
    };
    Options { lanes, cache_bytes: 1 << 20, window: WINDOW, near: 10, ..Options::default() }
}

/// One process.
pub struct Member {
    pub coordinator: Coordinator,
    pub membership: Scripted,
}

impl Member {
    pub async fn start(shop: &Shop, store: &MemoryStore) -> Member {
        Member::over(shop, Arc::new(store.restarted())).await
    }

    pub async fn over(shop: &Shop, store: SharedStore) -> Member {
        Member::on(shop, Arc::new(shop.log.clone()), store).await
    }

    /// `log` is the shop's, as this process sees it.
    pub async fn on(shop: &Shop, log: SharedLog, store: SharedStore) -> Member {
        let membership = Scripted::new();
        let log = Arc::new(membership.over(log)) as SharedLog;
        let runtime = tokio::runtime::Handle::current();
        let app = Arc::clone(&shop.app);
        let supervisor = Supervisor::new(Telemetry::default());
        let started = Coordinator::start(app, log, store, supervisor, runtime, options()).await;
        Member { coordinator: started.unwrap(), membership }
    }

    /// The partitions that this process has lanes for.
    pub fn lanes(&self, generation: u32) -> Vec<Partition> {
        let lanes = self.coordinator.lanes("orders", generation);
        lanes.iter().map(|lane| lane.borrow().partition).collect()
    }
}

/// Gives every partition to one of the processes, and to no other.
pub fn deal(members: &[Member], shop: &Shop, dice: &mut Dice) {
    for partition in (0..shop.partitions).map(Partition) {
        let owner = dice.roll(members.len() as u64) as usize;
        for (at, member) in members.iter().enumerate() {
            let has = member.membership.owns(&shop.topic, partition);
            match (at == owner, has) {
                (true, false) => member.membership.give(&shop.topic, partition),
                (false, true) => member.membership.take(&shop.topic, partition),
                _ => {}
            }
        }
    }
}

/// Waits until every partition is folded to its end by a process that owns it.
pub async fn all_folded(members: &[Member], shop: &Shop, generation: u32) {
    let ends = shop.ends().await;
    for _ in 0..100_000 {
        let lanes = members.iter().flat_map(|member| member.coordinator.lanes("orders", generation));
        let mut done = vec![false; ends.len()];
        for lane in lanes {
            let status = lane.borrow();
            let place = status.partition.0 as usize;
            done[place] |= status.next >= ends[place];
        }
        if done.into_iter().all(|done| done) {
            return;
        }
        clock::pause(Duration::from_millis(10)).await;
    }
    let told: Vec<_> = members.iter().map(|member| member.coordinator.status()).collect();
    panic!("generation {generation} did not come to {ends:?}: {told:#?}");
}

pub async fn equals_one_fold(shop: &Shop, store: &MemoryStore, generation: u32) {
    let wrong = differences(&stored(&shop.app, store, generation), &shop.folded(generation, WINDOW).await);
    assert!(wrong.is_empty(), "generation {generation}:\n{}", wrong.join("\n"));
}

/// Runs on one thread whose clock stands still until all of it waits.
pub fn run(test: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(test);
}
