//! Builds and holds of an app that many processes fold, each some of the partitions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../projector/tests/support/mod.rs"]
mod support;

mod fleet_support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fleet_support::{Member, all_folded, deal, equals_one_fold, options, run};
use futures_util::future::BoxFuture;
use support::{Dice, Shop, stored, storefront};
use tidefold_control::{Control, Entry, Hold};
use tidefold_control_log::ControlLog;
use tidefold_coordinator::{Build, Phase, ReplayOptions};
use tidefold_log::SharedLog;
use tidefold_log::memory::MemoryLog;
use tidefold_projector::LaneState;
use tidefold_record::Partition;
use tidefold_store::memory::MemoryStore;
use tidefold_store::{Lane, Moves, Scan, Store, StoreError, Table, TableWrites};
use tidefold_table::{Row, TableId};
use tidefold_telemetry::clock;

const PARTITIONS: u32 = 3;

/// Three processes, with the partitions spread over the last two.
async fn open(seed: u64) -> (Shop, MemoryStore, Vec<Member>) {
    let shop = Shop::open(storefront(PARTITIONS), MemoryLog::new(), seed).await;
    let store = MemoryStore::new();
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(Member::start(&shop, &store).await);
    }
    for (partition, owner) in [(0, 1), (1, 2), (2, 1)] {
        members[owner].membership.give(&shop.topic, Partition(partition));
    }
    (shop, store, members)
}

async fn replay(member: &Member) -> Build {
    let topics = ["orders".to_owned()];
    member.coordinator.replay(Some(&topics), ReplayOptions::default()).await.unwrap().remove(0)
}

async fn finished(mut build: Build) -> Phase {
    tokio::time::timeout(Duration::from_secs(1_000), build.finished()).await.expect("the build ends")
}

/// Waits for what control says, as a process reads it.
async fn until(member: &Member, says: impl Fn(&Control) -> bool) {
    let mut control = member.coordinator.control();
    let said = control.wait_for(|control| says(control));
    tokio::time::timeout(Duration::from_secs(1_000), said).await.unwrap().unwrap();
}

fn active(control: &Control) -> Option<u32> {
    control.active("orders")
}

fn hold(control: &Control) -> Option<Hold> {
    control.generations("orders")?.hold.clone()
}

/// What each lane of the active generation does, by partition.
fn states(members: &[Member]) -> BTreeMap<Partition, LaneState> {
    let lanes = members.iter().flat_map(|member| member.coordinator.lanes("orders", 1));
    lanes.map(|lane| (lane.borrow().partition, lane.borrow().state.clone())).collect()
}

#[test]
fn a_replay_under_traffic_of_partitions_that_are_spread_and_move_ends_active_and_equal() {
    for seed in 0..10 {
        run(async {
            let mut dice = Dice::new(seed);
            let (mut shop, store, members) = open(seed).await;
            shop.trade(200).await;
            all_folded(&members, &shop, 1).await;
            // The first owns nothing, and may be asked all the same.
            let mut build = replay(&members[dice.roll(3) as usize]).await;
            let mut steps = 0;
            while !build.progress.borrow().phase.is_final() && steps < 100_000 {
                steps += 1;
                shop.trade(dice.roll(4) as usize).await;
                if steps < 40 && dice.roll(4) == 0 {
                    deal(&members, &shop, &mut dice);
                }
                clock::pause(Duration::from_millis(dice.roll(200))).await;
            }
            let phase = build.finished().await;
            let Phase::Done(comparison) = phase else { panic!("seed {seed}: {phase:?}") };
            assert_eq!(comparison.differing(), 0);
            for member in &members {
                until(member, |control| active(control) == Some(2) && hold(control).is_none()).await;
            }
            shop.trade(60).await;
            all_folded(&members, &shop, 2).await;
            all_folded(&members, &shop, 1).await;
            equals_one_fold(&shop, &store, 2).await;
            equals_one_fold(&shop, &store, 1).await;

            // Back again, through yet another process.
            assert_eq!(members[dice.roll(3) as usize].coordinator.rollback("orders").await.unwrap(), 1);
            shop.trade(60).await;
            all_folded(&members, &shop, 1).await;
            all_folded(&members, &shop, 2).await;
            equals_one_fold(&shop, &store, 1).await;
            equals_one_fold(&shop, &store, 2).await;
        });
    }
}

#[test]
fn a_build_whose_process_died_is_finished_by_another() {
    for seed in 0..8 {
        run(async {
            let mut dice = Dice::new(seed);
            let (mut shop, store, mut members) = open(seed).await;
            shop.trade(200).await;
            all_folded(&members, &shop, 1).await;
            let asked = members.remove(0);
            let build = replay(&asked).await;
            clock::pause(Duration::from_millis(dice.roll(1_500))).await;
            drop(asked);
            drop(build);
            for member in &members {
                until(member, |control| active(control) == Some(2)).await;
            }
            shop.trade(40).await;
            all_folded(&members, &shop, 2).await;
            equals_one_fold(&shop, &store, 2).await;
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_whose_holder_died_is_released_by_those_who_followed_it() {
    let (mut shop, store, members) = open(3).await;
    shop.trade(100).await;
    all_folded(&members, &shop, 1).await;
    let control_log = ControlLog::open(Arc::new(shop.log.clone()) as SharedLog, "storefront").await.unwrap();
    let begin = |control: &Control| {
        let entry = Entry::Holding { topic: "orders".to_owned(), generation: 1, renews: None };
        hold(control).is_none().then_some(entry)
    };
    control_log.append(begin).await.unwrap();
    until(&members[0], |control| hold(control).is_some_and(|hold| hold.standing.len() == 3)).await;
    let said = hold(&members[0].coordinator.control_log().control()).unwrap();
    let ends = shop.ends().await;
    assert_eq!(
        said.standing.into_values().collect::<Vec<_>>(),
        ends.iter().map(|end| end.0).collect::<Vec<_>>()
    );

    let before = stored(&shop.app, &store, 1);
    shop.trade(60).await;
    clock::pause(options().hold).await;
    assert!(states(&members).into_values().all(|state| state == LaneState::Held));
    assert_eq!(stored(&shop.app, &store, 1), before);
    // Three times the holder's pause, and it goes on.
    all_folded(&members, &shop, 1).await;
    assert_eq!(hold(&control_log.advance().await.unwrap()), None);
    equals_one_fold(&shop, &store, 1).await;
}

#[tokio::test(start_paused = true)]
async fn all_processes_stand_still_as_long_as_one_of_them_wants() {
    let (mut shop, store, members) = open(4).await;
    shop.trade(100).await;
    all_folded(&members, &shop, 1).await;
    let still = members[0].coordinator.quiesce("orders", Duration::from_secs(10)).await.unwrap();
    assert_eq!(still.generation, 1);
    let before = stored(&shop.app, &store, 1);
    shop.trade(60).await;
    // Far longer than a hold that nobody renews.
    clock::pause(options().hold * 20).await;
    let states = states(&members);
    assert_eq!(states.len(), PARTITIONS as usize);
    assert!(states.into_values().all(|state| state == LaneState::Held));
    assert_eq!(stored(&shop.app, &store, 1), before);
    still.has_stood().await.unwrap();

    // A partition that comes to another process stands there, too.
    members[1].membership.take(&shop.topic, Partition(0));
    members[2].membership.give(&shop.topic, Partition(0));
    clock::pause(Duration::from_secs(5)).await;
    assert_eq!(stored(&shop.app, &store, 1), before);
    still.has_stood().await.unwrap();
    drop(still);
    all_folded(&members, &shop, 1).await;
    equals_one_fold(&shop, &store, 1).await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_folds_does_not_come_to_a_stand_and_is_named() {
    let (mut shop, _store, members) = open(4).await;
    shop.trade(30).await;
    all_folded(&members, &shop, 1).await;
    members[2].membership.take(&shop.topic, Partition(1));
    let error = members[0].coordinator.quiesce("orders", Duration::from_secs(10)).await.err().unwrap();
    assert!(error.to_string().contains("partitions [1]"), "{error}");
    until(&members[0], |control| hold(control).is_none()).await;
    members[0].membership.give(&shop.topic, Partition(1));
    shop.trade(30).await;
    all_folded(&members, &shop, 1).await;
    members[0].coordinator.quiesce("orders", Duration::from_secs(10)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_build_fails_with_what_halts_a_partition_in_another_process_and_goes_on_once_that_is_mended() {
    let (mut shop, store, mut members) = open(4).await;
    shop.trade(100).await;
    all_folded(&members, &shop, 1).await;
    drop(members.remove(2));
    members.push(Member::over(&shop, Arc::new(Refusing(store.restarted()))).await);
    members[2].membership.give(&shop.topic, Partition(1));
    let phase = finished(replay(&members[0]).await).await;
    let Phase::Failed(reason) = phase else { panic!("{phase:?}") };
    assert!(reason.contains("partition 1") && reason.contains("told to refuse"), "{reason}");

    // Where it is not refused, it goes on.
    members[2].membership.take(&shop.topic, Partition(1));
    members[1].membership.give(&shop.topic, Partition(1));
    until(&members[0], |control| control.generations("orders").unwrap().halted(2).next().is_none()).await;
    let phase = finished(replay(&members[0]).await).await;
    assert!(matches!(phase, Phase::Done(_)), "{phase:?}");
}

/// A store that writes nothing of the second generation.
struct Refusing(MemoryStore);

impl Store for Refusing {
    fn open<'a>(&'a self, tables: &'a [Table]) -> BoxFuture<'a, Result<(), StoreError>> {
        self.0.open(tables)
    }

    fn load<'a>(
        &'a self,
        table: &'a TableId,
        keys: &'a [Bytes],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StoreError>> {
        self.0.load(table, keys)
    }

    fn write<'a>(
        &'a self,
        lane: &'a Lane,
        writes: &'a [TableWrites],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        if lane.checkpoints.as_str().ends_with("_g2") {
            let (what, detail) = ("the write".to_owned(), "told to refuse".to_owned());
            return Box::pin(std::future::ready(Err(StoreError::Refused { what, detail })));
        }
        self.0.write(lane, writes)
    }

    fn scan<'a>(&'a self, table: &'a TableId, scan: &'a Scan) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        self.0.scan(table, scan)
    }

    fn drop_tables<'a>(&'a self, tables: &'a [TableId]) -> BoxFuture<'a, Result<(), StoreError>> {
        self.0.drop_tables(tables)
    }

    fn checkpoints_moved(&self) -> Moves {
        self.0.checkpoints_moved()
    }
}
