//! Damage of what a replay would follow, or go on with.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../projector/tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use support::{Shop, TOPIC, open_tables, storefront};
use tidefold_coordinator::{Build, Coordinator, Options, Phase, ReplayOptions};
use tidefold_log::SharedLog;
use tidefold_log::memory::MemoryLog;
use tidefold_projector::{LaneState, LaneStatus};
use tidefold_record::{Offset, Partition};
use tidefold_store::memory::MemoryStore;
use tidefold_store::{Lane, Store, TableWrites};
use tidefold_table::verdict::Key;
use tidefold_table::{GenerationTables, RowWrite, Stamp, TableId, Verdict};
use tidefold_telemetry::{Supervisor, Telemetry};

/// More than are read at once.
const VERDICTS: u64 = 12_000;

async fn open() -> (Shop, MemoryStore) {
    (Shop::open(storefront(1), MemoryLog::new(), 1).await, MemoryStore::new())
}

async fn start(shop: &Shop, store: &MemoryStore) -> Coordinator {
    let (log, store) = (Arc::new(shop.log.clone()) as SharedLog, Arc::new(store.restarted()));
    let (runtime, supervisor) = (tokio::runtime::Handle::current(), Supervisor::new(Telemetry::default()));
    let app = Arc::clone(&shop.app);
    Coordinator::start(app, log, store, supervisor, runtime, Options::default()).await.unwrap()
}

/// Waits until the lane of a generation is so.
async fn until(coordinator: &Coordinator, generation: u32, is_so: impl FnMut(&LaneStatus) -> bool) {
    let mut lane = coordinator.lanes("orders", generation).remove(0);
    let there = tokio::time::timeout(Duration::from_secs(100_000), lane.wait_for(is_so)).await;
    assert!(there.is_ok_and(|there| there.is_ok()), "{:?}", coordinator.status());
}

/// Writes rows of a generation as nobody else will.
async fn write(
    shop: &Shop,
    store: &MemoryStore,
    generation: u32,
    table: fn(&GenerationTables) -> &TableId,
    rows: impl Iterator<Item = (Bytes, Vec<u8>)>,
) {
    let view = store.restarted();
    open_tables(&shop.app, &view, generation).await;
    let tables = shop.app.projections[TOPIC].tables(generation);
    let row = |(key, value): (_, Vec<u8>)| RowWrite {
        key,
        value: Some(value.into()),
        stamp: Stamp::put(Offset(VERDICTS)),
    };
    let lane = Lane { checkpoints: tables.checkpoints.id.clone(), partition: 0 };
    let writes = [TableWrites { table: table(&tables).clone(), rows: rows.map(row).collect() }];
    view.write(&lane, &writes).await.unwrap();
}

async fn replay(coordinator: &Coordinator) -> Build {
    coordinator.replay(None, ReplayOptions::default()).await.unwrap().remove(0)
}

#[tokio::test(start_paused = true)]
async fn a_damaged_verdict_is_found_before_a_replay_however_many_stand_before_it() {
    let (shop, store) = open().await;
    let coordinator = start(&shop, &store).await;
    let verdict = |offset| {
        let mut value = Vec::new();
        Verdict::Duplicate(Offset(0)).encode(&mut value);
        value.truncate(if offset == VERDICTS { 1 } else { value.len() });
        let key = Key { partition: Partition(0), offset: Offset(offset) }.encode();
        (Bytes::copy_from_slice(&key), value)
    };
    write(&shop, &store, 1, |tables| &tables.verdicts.id, (1..=VERDICTS).map(verdict)).await;
    let refused = coordinator.replay(None, ReplayOptions::default()).await.err().unwrap().to_string();
    let said = format!("partition 0, offset {VERDICTS}");
    assert!(refused.contains(&said) && refused.contains("tidefold replay"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_build_over_damaged_rows_of_its_own_is_given_up_for_a_new_one_by_the_next_replay() {
    let (mut shop, store) = open().await;
    let coordinator = start(&shop, &store).await;
    shop.trade(40).await;
    let end = shop.ends().await[0];
    until(&coordinator, 1, |status| status.next >= end).await;
    store.faults().hold_writes();
    assert_eq!(replay(&coordinator).await.generation, 2);
    drop(coordinator);
    store.faults().release();

    let entities = |tables: &GenerationTables| tables.entity.clone().unwrap().id;
    let orders = store.rows(&entities(&shop.app.projections[TOPIC].tables(1)));
    let nonsense = orders.into_keys().map(|key| (key, vec![9]));
    write(&shop, &store, 2, |tables| &tables.entity.as_ref().unwrap().id, nonsense).await;
    shop.trade(40).await;
    let coordinator = start(&shop, &store).await;
    until(&coordinator, 2, |status| matches!(status.state, LaneState::Halted(_))).await;
    let mut build = replay(&coordinator).await;
    assert_eq!(build.generation, 3, "the second cannot end");
    let phase = build.finished().await;
    assert!(matches!(phase, Phase::Done(_)), "{phase:?}");
}
