//! A record that an operator declared dead is dead wherever its log is folded.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../projector/tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use support::{Shop, TOPIC, fate, open_tables, storefront};
use tidefold_coordinator::{Coordinator, Options, Phase, ReplayOptions};
use tidefold_fold::whole::WholeFold;
use tidefold_fold::{FoldSettings, TableSlot};
use tidefold_log::SharedLog;
use tidefold_log::memory::MemoryLog;
use tidefold_projector::{Halt, LaneState, LaneStatus, Settings};
use tidefold_record::{Offset, Partition};
use tidefold_store::memory::MemoryStore;
use tidefold_store::{Lane, Store, TableWrites};
use tidefold_table::verdict::DeadReason;
use tidefold_table::{RowWrite, Stamp, Verdict};
use tidefold_telemetry::{Supervisor, Telemetry};

const WINDOW: u64 = 40;

async fn start(shop: &Shop, store: &MemoryStore) -> Coordinator {
    let log = Arc::new(shop.log.clone()) as SharedLog;
    let options = Options {
        lanes: Settings { breaker: None, ..Settings::default() },
        cache_bytes: 1 << 20,
        window: WINDOW,
        near: 10,
        ..Options::default()
    };
    let (runtime, supervisor) = (tokio::runtime::Handle::current(), Supervisor::new(Telemetry::default()));
    let store = Arc::new(store.restarted());
    Coordinator::start(Arc::clone(&shop.app), log, store, supervisor, runtime, options).await.unwrap()
}

/// Waits until the only partition of a generation is somewhere.
async fn until(coordinator: &Coordinator, generation: u32, is_there: impl FnMut(&LaneStatus) -> bool) {
    let mut lane = coordinator.lanes("orders", generation).remove(0);
    let there = tokio::time::timeout(Duration::from_secs(100_000), lane.wait_for(is_there)).await;
    assert!(there.is_ok_and(|there| there.is_ok()), "{:?}", coordinator.status());
}

/// Writes an order's row past the fold, or takes it away.
async fn write_row(
    shop: &Shop,
    store: &MemoryStore,
    order: &str,
    value: Option<&'static [u8]>,
    stamp: Stamp,
) {
    let view = store.restarted();
    open_tables(&shop.app, &view, 1).await;
    let tables = shop.app.projections[TOPIC].tables(1);
    let key = Bytes::copy_from_slice(order.as_bytes());
    let rows = vec![RowWrite { key, value: value.map(Bytes::from_static), stamp }];
    let lane = Lane { checkpoints: tables.checkpoints.id, partition: 0 };
    view.write(&lane, &[TableWrites { table: tables.entity.unwrap().id, rows }]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_record_that_was_passed_over_is_dead_in_a_replay_and_in_a_fold_of_the_whole_log() {
    let mut shop = Shop::open(storefront(1), MemoryLog::new(), 1).await;
    let store = MemoryStore::new();
    shop.place("a").await;
    let coordinator = start(&shop, &store).await;
    until(&coordinator, 1, |status| status.next == Offset(1)).await;
    // Lanes that begin anew know no row yet.
    coordinator.shutdown().await;
    // A row that no fold writes: whatever touches it halts.
    write_row(&shop, &store, "b", Some(b"nonsense"), Stamp::put(Offset(0))).await;
    let coordinator = start(&shop, &store).await;
    for order in ["b", "c"] {
        shop.place(order).await;
    }
    until(&coordinator, 1, |status| matches!(status.state, LaneState::Halted(Halt::Record { .. }))).await;
    coordinator.add_dead_letter(&"orders:0:1".parse().unwrap(), "poison").await.unwrap();
    until(&coordinator, 1, |status| status.next == Offset(3)).await;
    write_row(&shop, &store, "b", None, Stamp::delete(Offset(1))).await;

    let mut build =
        coordinator.replay(Some(&["orders".to_owned()]), ReplayOptions::default()).await.unwrap().remove(0);
    let Phase::Done(comparison) = build.finished().await else { panic!("{:?}", build.progress.borrow()) };
    assert_eq!(comparison.differing(), 0, "{comparison:?}");

    // What `verify` does: the log folded again by what control says, and every table compared.
    let control = coordinator.control_log().control();
    assert_eq!(control.active("orders"), Some(2));
    let projection = &shop.app.projections[TOPIC];
    let settings = FoldSettings { window: WINDOW };
    let mut whole = WholeFold::new(Arc::clone(projection), Partition(0), settings);
    for (offset, reason) in control.generations("orders").unwrap().dead_letters(0, Offset::ZERO) {
        whole.pass_over(offset, reason);
    }
    whole.fold(&shop.records(Partition(0)).await, None, |id| fate(&shop.app, id)).unwrap();
    let tables = projection.tables(2);
    let mut pairs =
        vec![(TableSlot::Verdicts, &tables.verdicts), (TableSlot::Entity, tables.entity.as_ref().unwrap())];
    pairs.extend(tables.views.iter().enumerate().map(|(at, table)| (TableSlot::View(at), table)));
    for (slot, table) in pairs {
        let stored = store.rows(&table.id).into_iter().filter_map(|(key, (_, value))| Some((key, value?)));
        let stored: BTreeMap<Bytes, Bytes> = stored.collect();
        assert_eq!(stored, whole.rows(slot).into_iter().collect(), "{}", table.id);
    }
    let verdicts: Vec<_> = whole.rows(TableSlot::Verdicts).into_iter().map(|(_, row)| row).collect();
    let reason = DeadReason { code: "passed_over".into(), detail: "poison".into() };
    assert_eq!(
        verdicts.iter().map(|row| Verdict::decode(row).unwrap()).collect::<Vec<_>>(),
        [Verdict::Dead(reason)]
    );
    assert_eq!(whole.rows(TableSlot::Entity).len(), 2);
}
