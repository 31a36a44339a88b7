//! Damage of what a replay would follow.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../projector/tests/support/mod.rs"]
mod support;

use std::sync::Arc;

use support::{Shop, TOPIC, open_tables, storefront};
use tidefold_coordinator::{Coordinator, Options, ReplayOptions};
use tidefold_log::SharedLog;
use tidefold_log::memory::MemoryLog;
use tidefold_record::{Offset, Partition};
use tidefold_store::memory::MemoryStore;
use tidefold_store::{Lane, SharedStore, Store, TableWrites};
use tidefold_table::verdict::Key;
use tidefold_table::{RowWrite, Stamp, Verdict};
use tidefold_telemetry::{Supervisor, Telemetry};

/// More than are read at once.
const VERDICTS: u64 = 12_000;

/// Verdicts on so many records, the last of which cannot be read.
async fn damage(shop: &Shop, store: &MemoryStore) {
    let view = store.restarted();
    open_tables(&shop.app, &view, 1).await;
    let tables = shop.app.projections[TOPIC].tables(1);
    let row = |offset| {
        let mut value = Vec::new();
        Verdict::Duplicate(Offset(0)).encode(&mut value);
        value.truncate(if offset == VERDICTS { 1 } else { value.len() });
        let key = Key { partition: Partition(0), offset: Offset(offset) }.encode().to_vec().into();
        RowWrite { key, value: Some(value.into()), stamp: Stamp::put(Offset(VERDICTS)) }
    };
    let rows = (1..=VERDICTS).map(row).collect();
    let lane = Lane { checkpoints: tables.checkpoints.id, partition: 0 };
    view.write(&lane, &[TableWrites { table: tables.verdicts.id, rows }]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_damaged_verdict_is_found_before_a_replay_however_many_stand_before_it() {
    let (shop, store) = (Shop::open(storefront(1), MemoryLog::new(), 1).await, MemoryStore::new());
    let (log, kept) = (Arc::new(shop.log.clone()) as SharedLog, Arc::new(store.restarted()) as SharedStore);
    let (runtime, supervisor) = (tokio::runtime::Handle::current(), Supervisor::new(Telemetry::default()));
    let app = Arc::clone(&shop.app);
    let coordinator =
        Coordinator::start(app, log, kept, supervisor, runtime, Options::default()).await.unwrap();
    damage(&shop, &store).await;
    let refused = coordinator.replay(None, ReplayOptions::default()).await.err().unwrap().to_string();
    let said = format!("partition 0, offset {VERDICTS}");
    assert!(refused.contains(&said) && refused.contains("tidefold replay"), "{refused}");
}
