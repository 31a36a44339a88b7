//! Everything of a lane that touches the log and the store. Trouble that passes is waited out, holding the partition;
//! what will not pass halts the lane.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use tidefold_fold::{Publication, SchemaFate};
use tidefold_log::{Bounds, ReadLimit, SharedLog};
use tidefold_record::{Offset, Partition, Position, RecordBatch, SchemaId, TopicName};
use tidefold_store::published::Published;
use tidefold_store::{Lane as StoreLane, SharedStore, StoreError, TableWrites};
use tidefold_table::{TableId, Verdict};
use tidefold_telemetry::{Retry, Stopped};
use tokio_util::sync::CancellationToken;

use crate::feed::SharedFeed;
use crate::halt::{Halt, Stop, Trouble};
use crate::observe::Observer;
use crate::rules::{Rule, Rules};
use crate::source::SchemaSource;

/// Verdict rows read at once.
const VERDICT_PAGE: usize = 10_000;

/// A lane's hands.
pub(crate) struct Io {
    pub(crate) log: SharedLog,
    pub(crate) store: SharedStore,
    pub(crate) schemas: Arc<dyn SchemaSource>,
    pub(crate) feed: Option<SharedFeed>,
    /// The log's own name of the topic.
    pub(crate) topic: TopicName,
    pub(crate) partition: Partition,
    pub(crate) lane: StoreLane,
    pub(crate) observer: Observer,
    pub(crate) cancel: CancellationToken,
    /// Until it is cancelled.
    pub(crate) retry: Retry,
    pub(crate) rules: Rules,
}

impl Io {
    /// Tries until it works, is told to end, or learns that it never will. `doing` is read behind "retrying to".
    pub(crate) async fn retry<'a, T, E: Into<Trouble>>(
        &self,
        class: &'static str,
        doing: &'static str,
        mut attempt: impl FnMut() -> BoxFuture<'a, Result<T, E>>,
    ) -> Result<T, Stop> {
        let failed = AtomicBool::new(false);
        let passes = |trouble: &Trouble| match trouble {
            Trouble::Passing(error) => {
                failed.store(true, Ordering::Relaxed);
                self.observer.retrying(class, doing, error);
                true
            }
            Trouble::Lasting(_) => false,
        };
        let attempt = || attempt().map_err(Into::into);
        let done = self.retry.run(doing, passes, attempt).await;
        if failed.load(Ordering::Relaxed) && done.is_ok() {
            self.observer.answered();
        }
        done.map_err(|stopped| match stopped {
            Stopped::Lasting(Trouble::Lasting(halt)) => Stop::Halt(halt),
            // What passes is tried until the lane is told to end.
            Stopped::Lasting(Trouble::Passing(_)) | Stopped::Cancelled => Stop::Cancelled,
        })
    }

    pub(crate) async fn bounds(&self) -> Result<Bounds, Stop> {
        self.retry("log", "look at the log's ends", || self.log.bounds(&self.topic, self.partition)).await
    }

    pub(crate) async fn read(&self, from: Offset, limit: ReadLimit) -> Result<RecordBatch, Stop> {
        let read = || self.log.read(&self.topic, self.partition, from, limit);
        let batch = self.retry("log", "read the log", read).await?;
        if batch.next_offset() > Offset::MAX.next() {
            let last = batch.next_offset().back(1);
            let detail = format!("offsets are folded up to {}; copy the topic into a new one", Offset::MAX);
            let what = format!("the record at {}", self.position(last));
            return Err(Halt::Store(StoreError::Refused { what, detail }).into());
        }
        Ok(batch)
    }

    pub(crate) async fn fate(&self, id: SchemaId) -> Result<SchemaFate, Stop> {
        self.retry("schema", "look up a schema id", || self.schemas.fate(id)).await
    }

    /// The rows under the keys, in their order.
    pub(crate) async fn load(&self, table: &TableId, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, Stop> {
        self.retry("store", "load rows", || self.store.load(table, keys)).await
    }

    /// Writes until the store acknowledges (I6): an attempt that failed may have been done in part, and since every
    /// write is stamped, doing it again is harmless.
    pub(crate) async fn write(&self, writes: &[TableWrites]) -> Result<(), Stop> {
        if writes.iter().all(|table| table.rows.is_empty()) {
            return Ok(());
        }
        if !self.rules.hold(Rule::RepeatUnknown) {
            let _ = self.store.write(&self.lane, writes).await;
            return Ok(());
        }
        self.retry("store", "write rows", || self.store.write(&self.lane, writes)).await
    }

    /// Publishes until the feed acknowledges.
    pub(crate) async fn publish(&self, entries: &[Publication]) -> Result<(), Stop> {
        let Some(feed) = &self.feed else { return Ok(()) };
        let publish = || feed.publish(&self.topic, self.partition, entries);
        self.retry("log", "publish the feed", publish).await
    }

    /// The partition's verdict rows of a range of offsets, both ends included.
    pub(crate) async fn verdicts(
        &self,
        published: &Published,
        first: Offset,
        last: Offset,
    ) -> Result<BTreeMap<Offset, Verdict>, Stop> {
        let (mut found, until, mut from) = (BTreeMap::new(), last.next(), first);
        while from < until {
            let page = || published.verdicts(self.partition, from..until, VERDICT_PAGE).boxed();
            let rows = self.retry("store", "read verdicts", page).await?;
            let Some((offset, _)) = rows.last() else { break };
            from = offset.next();
            found.extend(rows);
        }
        Ok(found)
    }

    pub(crate) fn position(&self, offset: Offset) -> Position {
        Position::new(self.topic.clone(), self.partition, offset)
    }
}
