//! A checkpoint that is not what its lane wrote: it is named, its own partition may stand, and all others go on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../projector/tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use support::{Shop, TOPIC, open_tables, storefront};
use tidefold_coordinator::{Coordinator, GenerationStatus, Options};
use tidefold_log::SharedLog;
use tidefold_log::memory::MemoryLog;
use tidefold_projector::{Halt, LaneState, LaneStatus, Settings};
use tidefold_record::{Offset, Partition};
use tidefold_store::memory::MemoryStore;
use tidefold_store::{Lane, Store, TableWrites};
use tidefold_table::{Checkpoint, RowWrite, Stamp, checkpoint};
use tidefold_telemetry::{Supervisor, Telemetry};

const PARTITIONS: u32 = 3;
const DAMAGED: Partition = Partition(1);

async fn start(shop: &Shop, store: &MemoryStore) -> (Coordinator, Telemetry) {
    let log = Arc::new(shop.log.clone()) as SharedLog;
    let options = Options {
        lanes: Settings { breaker: None, ..Settings::default() },
        cache_bytes: 1 << 20,
        ..Options::default()
    };
    let (runtime, telemetry) = (tokio::runtime::Handle::current(), Telemetry::default());
    let (supervisor, store) = (Supervisor::new(telemetry.clone()), Arc::new(store.restarted()));
    let app = Arc::clone(&shop.app);
    (Coordinator::start(app, log, store, supervisor, runtime, options).await.unwrap(), telemetry)
}

/// A shop of which all is folded, and what folds it.
async fn folded() -> (Shop, MemoryStore, Coordinator) {
    let (mut shop, store) =
        (Shop::open(storefront(PARTITIONS), MemoryLog::new(), 1).await, MemoryStore::new());
    shop.trade(90).await;
    let (coordinator, _) = start(&shop, &store).await;
    let ends = shop.ends().await;
    until(&coordinator, |status| is_folded(status, &ends)).await;
    (shop, store, coordinator)
}

fn is_folded(status: &GenerationStatus, ends: &[Offset]) -> bool {
    let here = |lane: &LaneStatus| lane.partition == DAMAGED || lane.next >= ends[lane.partition.0 as usize];
    status.lanes.len() == ends.len() && status.lanes.iter().all(here)
}

/// Returns once the only generation is so: time passes meanwhile.
async fn until(coordinator: &Coordinator, is_so: impl Fn(&GenerationStatus) -> bool) -> GenerationStatus {
    for _ in 0..100 {
        let status = coordinator.status().remove(0);
        if is_so(&status) {
            return status;
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    panic!("{:?}", coordinator.status());
}

/// Overwrites the checkpoint of a partition, with a stamp between the lane's last and its next.
async fn overwrite(shop: &Shop, store: &MemoryStore, value: impl Into<Bytes>) {
    let view = store.restarted();
    open_tables(&shop.app, &view, 1).await;
    let tables = shop.app.projections[TOPIC].tables(1);
    let (table, key) = (tables.checkpoints.id, checkpoint::key(DAMAGED));
    let stamp = Stamp(store.rows(&table)[&key].0.0 + 1);
    let rows = vec![RowWrite { key, value: Some(value.into()), stamp }];
    let lane = Lane { checkpoints: table.clone(), partition: DAMAGED.0 };
    view.write(&lane, &[TableWrites { table, rows }]).await.unwrap();
}

fn lane(status: &GenerationStatus) -> &LaneStatus {
    &status.lanes[DAMAGED.0 as usize]
}

fn lag(telemetry: &Telemetry) -> i64 {
    telemetry.consumer_lag_records("storefront.orders.g1", "orders", &DAMAGED.to_string()).get()
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_is_overwritten_under_its_lane_is_named_until_the_lane_writes_the_next() {
    let (mut shop, store, coordinator) = folded().await;
    overwrite(&shop, &store, "nonsense").await;
    let status = until(&coordinator, |status| !status.damaged.is_empty()).await;
    let said = &status.damaged[&DAMAGED];
    for part in ["checkpoints", "partition 1", "tidefold replay"] {
        assert!(said.contains(part), "{part} is missing in: {said}");
    }
    assert_eq!((status.damaged.len(), &lane(&status).state), (1, &LaneState::Waiting));

    shop.trade(90).await;
    until(&coordinator, |status| status.damaged.is_empty()).await;
    coordinator.shutdown().await;
    let (coordinator, _) = start(&shop, &store).await;
    until(&coordinator, |status| status.lanes.iter().all(|lane| lane.state == LaneState::Waiting)).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_read_at_the_start_halts_its_partition_whose_lag_is_all_there_is() {
    let (mut shop, store, coordinator) = folded().await;
    coordinator.shutdown().await;
    overwrite(&shop, &store, "nonsense").await;
    shop.trade(90).await;
    let (coordinator, telemetry) = start(&shop, &store).await;
    let ends = shop.ends().await;
    let status =
        until(&coordinator, |status| is_folded(status, &ends) && lane(status).state.is_still()).await;
    assert!(matches!(&lane(&status).state, LaneState::Halted(Halt::Damaged(_))), "{status:?}");
    let all = ends[DAMAGED.0 as usize].0;
    assert_eq!((lane(&status).lag(), lag(&telemetry)), (all, all as i64));
}

#[tokio::test(start_paused = true)]
async fn one_of_another_log_halts_its_partition_whose_lag_is_what_it_says_and_not_the_topic() {
    let (mut shop, store, coordinator) = folded().await;
    coordinator.shutdown().await;
    let before = shop.ends().await[DAMAGED.0 as usize];
    let other = Checkpoint { next: before, last: before.back(1), digest: 7, appended_at_micros: 1 };
    overwrite(&shop, &store, other.encode().to_vec()).await;
    shop.trade(90).await;
    let (coordinator, telemetry) = start(&shop, &store).await;
    let ends = shop.ends().await;
    let status =
        until(&coordinator, |status| is_folded(status, &ends) && lane(status).state.is_still()).await;
    assert!(matches!(&lane(&status).state, LaneState::Halted(Halt::OtherRecord { .. })), "{status:?}");
    let new = ends[DAMAGED.0 as usize].distance_from(before);
    assert!(new > 0);
    assert_eq!((lane(&status).lag(), lag(&telemetry)), (new, new as i64));
}

#[tokio::test(start_paused = true)]
async fn one_that_lies_past_the_logs_end_halts_its_partition_and_not_the_topic() {
    let (mut shop, store, coordinator) = folded().await;
    coordinator.shutdown().await;
    let past = Checkpoint { next: Offset(1 << 40), last: Offset(7), digest: 7, appended_at_micros: 1 };
    overwrite(&shop, &store, past.encode().to_vec()).await;
    let (coordinator, _) = start(&shop, &store).await;
    until(&coordinator, |status| lane(status).state.is_still()).await;
    // Topics are looked at several times meanwhile.
    for _ in 0..30 {
        shop.trade(9).await;
        let ends = shop.ends().await;
        let status = until(&coordinator, |status| is_folded(status, &ends)).await;
        assert_eq!(status.halted, None);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
}
