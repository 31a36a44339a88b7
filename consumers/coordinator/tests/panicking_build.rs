//! A mistake of ours that ends a build in a panic is told as any other end: by the build, by the supervisor, by a metric.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../projector/tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use support::{Shop, storefront};
use tidefold_coordinator::{Coordinator, Options, Phase, ReplayOptions};
use tidefold_log::SharedLog;
use tidefold_log::memory::MemoryLog;
use tidefold_store::memory::MemoryStore;
use tidefold_store::{Lane, Moves, Scan, Store, StoreError, Table, TableWrites};
use tidefold_table::{Row, TableId};
use tidefold_telemetry::{Supervisor, Telemetry};

/// A store in which whoever reads whole tables trips over a mistake of ours: the comparison alone does.
struct Tripping(MemoryStore);

impl Store for Tripping {
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
        self.0.write(lane, writes)
    }

    fn scan<'a>(&'a self, table: &'a TableId, scan: &'a Scan) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        match scan {
            Scan::All { limit, .. } if *limit > 1 => panic!("no row 7"),
            Scan::All { .. } | Scan::Range { .. } => self.0.scan(table, scan),
        }
    }

    fn drop_tables<'a>(&'a self, tables: &'a [TableId]) -> BoxFuture<'a, Result<(), StoreError>> {
        self.0.drop_tables(tables)
    }

    fn checkpoints_moved(&self) -> Moves {
        self.0.checkpoints_moved()
    }
}

#[tokio::test(start_paused = true)]
async fn a_build_that_panics_fails_with_its_reason_and_the_supervisor_tells_of_it() {
    let mut shop = Shop::open(storefront(2), MemoryLog::new(), 1).await;
    shop.trade(40).await;
    let supervisor = Supervisor::new(Telemetry::default());
    let (log, store) = (Arc::new(shop.log.clone()) as SharedLog, Arc::new(Tripping(MemoryStore::new())));
    let (runtime, options) = (tokio::runtime::Handle::current(), Options::default());
    let app = Arc::clone(&shop.app);
    let coordinator =
        Coordinator::start(app, log, store, supervisor.clone(), runtime, options).await.unwrap();
    let topics = ["orders".to_owned()];
    let mut build = coordinator.replay(Some(&topics), ReplayOptions::default()).await.unwrap().remove(0);
    let ended = tokio::time::timeout(Duration::from_secs(100_000), build.finished()).await.unwrap();
    let Phase::Failed(reason) = ended else { panic!("{ended:?}") };
    for part in ["panicked: no row 7", "mistake in Tidefold", "next start"] {
        assert!(reason.contains(part), "{part} is missing in: {reason}");
    }
    let told = supervisor.ended().unwrap();
    assert!(told.contains("build panicked: no row 7"), "{told}");
    assert_eq!(supervisor.telemetry().tasks_ended("build").get(), 1);
    coordinator.shutdown().await;
}
