//! The batch step under random schedules: processes are killed anywhere, several work on one partition, writes fail in
//! part and arrive late. Then the same with a rule taken away, which has to be seen.

mod feed;
mod halts;
mod lanes;
mod schedules;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tidefold_app::App;
use tidefold_fold::SchemaFate;
use tidefold_log::memory::MemoryLog;
use tidefold_log::{ReadLimit, SharedLog};
use tidefold_record::{Partition, SchemaId};
use tidefold_store::SharedStore;
use tidefold_store::memory::MemoryStore;
use tidefold_telemetry::{Backoff, Supervisor, Telemetry};

use crate::support::{Schemas, Shop, TOPIC, open_tables, storefront};
use crate::{
    Assignment, Budget, Components, LaneStatus, Orders, Pace, Projector, SchemaSource, SchemaSourceError,
    Settings,
};

/// The generation that tests fold into.
const GENERATION: u32 = 1;
/// Small, so that it matters.
const WINDOW: u64 = 40;

impl SchemaSource for Schemas {
    fn fate(&self, id: SchemaId) -> BoxFuture<'_, Result<SchemaFate, SchemaSourceError>> {
        let fate = self.of(id);
        Box::pin(async move { Ok(fate.await) })
    }
}

fn settings(records: usize) -> Settings {
    Settings {
        batch: ReadLimit { records, bytes: 1 << 20 },
        build_batch: ReadLimit { records: 3 * records, bytes: 1 << 20 },
        breaker: None,
        backoff: Backoff { first: Duration::from_millis(10), most: Duration::from_millis(50) },
        ..Settings::default()
    }
}

fn components(shop: &Shop, store: SharedStore, settings: Settings) -> Components {
    let telemetry = Telemetry::default();
    Components {
        log: Arc::new(shop.log.clone()) as SharedLog,
        store,
        schemas: Arc::new(Schemas(Arc::clone(&shop.app))),
        feed: None,
        control: tokio::sync::watch::channel(Arc::default()).1,
        supervisor: Supervisor::new(telemetry.clone()),
        telemetry,
        budget: Budget::new(1 << 20),
        pace: Pace::default(),
        settings,
        runtime: tokio::runtime::Handle::current(),
    }
}

fn assignment(shop: &Shop, generation: u32, cache_bytes: usize) -> Assignment {
    Assignment {
        projection: Arc::clone(&shop.app.projections[TOPIC]),
        generation,
        window: WINDOW,
        partitions: (0..shop.partitions).map(Partition).collect(),
        cache_bytes,
    }
}

async fn shop(partitions: u32, seed: u64) -> (Shop, MemoryStore) {
    shop_of(storefront(partitions), seed).await
}

async fn shop_of(app: Arc<App>, seed: u64) -> (Shop, MemoryStore) {
    let store = MemoryStore::new();
    open_tables(&app, &store, GENERATION).await;
    (Shop::open(app, MemoryLog::new(), seed).await, store)
}

fn start(components: &Components, shop: &Shop) -> Projector {
    Projector::start(components, &assignment(shop, GENERATION, 1 << 20), Orders::ACTIVE)
}

/// Waits until every lane fits; `false` when that takes for ever.
async fn until(projector: &Projector, fits: impl Fn(&LaneStatus) -> bool) -> bool {
    let all = async {
        for lane in projector.lanes() {
            if lane.clone().wait_for(|status| fits(status)).await.is_err() {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(Duration::from_secs(3_000), all).await.unwrap_or(false)
}

/// Waits until every lane has folded all there is.
async fn until_folded(projector: &Projector, shop: &Shop) -> bool {
    let ends = shop.ends().await;
    until(projector, |status| status.next >= ends[status.partition.0 as usize]).await
}
