//! A store as one process sees it, driven step by step: every call waits for a permit, and some writes are done in part
//! before they fail. So a test decides where a process is killed and how two of them interleave.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tidefold_store::memory::MemoryStore;
use tidefold_store::{Lane, Moves, Scan, Store, StoreError, Table, TableWrites};
use tidefold_table::{Row, TableId};
use tokio::sync::Semaphore;

use super::Dice;

/// A process's view of a [`MemoryStore`], step by step.
pub struct Stepped {
    pub inner: MemoryStore,
    permits: Semaphore,
    /// Of 100 writes, how many fail; half of them after they were done in part.
    failing: u64,
    /// Failed writes that take effect later, or never.
    late: Mutex<Vec<(Lane, TableWrites)>>,
    calls: AtomicU64,
    seed: u64,
}

impl Stepped {
    pub fn over(store: &MemoryStore, seed: u64, failing: u64) -> Arc<Stepped> {
        let inner = store.restarted();
        Arc::new(Stepped {
            inner,
            permits: Semaphore::new(0),
            failing,
            late: Mutex::default(),
            calls: AtomicU64::new(0),
            seed,
        })
    }

    /// Lets so many calls happen.
    pub fn grant(&self, calls: usize) {
        self.permits.add_permits(calls);
    }

    /// How many calls may still happen.
    pub fn left(&self) -> usize {
        self.permits.available_permits()
    }

    /// Whether a call fails that has these dice.
    pub fn fails(&self, dice: &mut Dice) -> bool {
        dice.roll(100) < self.failing
    }

    /// Waits for a permit; what happens by chance during the call is in the dice.
    pub async fn step(&self) -> Dice {
        self.permits.acquire().await.unwrap().forget();
        let mut dice =
            Dice::new(self.seed ^ self.calls.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x1234_5678_9abc));
        if dice.roll(4) == 0 {
            let late = self.late.lock().unwrap().pop();
            if let Some((lane, writes)) = late {
                self.inner.write(&lane, &[writes]).await.unwrap();
            }
        }
        dice
    }
}

impl Store for Stepped {
    fn open<'a>(&'a self, tables: &'a [Table]) -> BoxFuture<'a, Result<(), StoreError>> {
        self.inner.open(tables)
    }

    fn load<'a>(
        &'a self,
        table: &'a TableId,
        keys: &'a [Bytes],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StoreError>> {
        Box::pin(async move {
            self.step().await;
            self.inner.load(table, keys).await
        })
    }

    fn write<'a>(
        &'a self,
        lane: &'a Lane,
        writes: &'a [TableWrites],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut dice = self.step().await;
            if !self.fails(&mut dice) {
                return self.inner.write(lane, writes).await;
            }
            let rows: usize = writes.iter().map(|table| table.rows.len()).sum();
            let mut left = dice.roll(2 * rows as u64 + 1).saturating_sub(rows as u64) as usize;
            for table in writes {
                let (part, rest) = table.rows.split_at(table.rows.len().min(left));
                left -= part.len();
                let (part, rest) = (part.to_vec(), rest.to_vec());
                if dice.roll(2) == 0 {
                    let late = TableWrites { table: table.table.clone(), rows: rest };
                    self.late.lock().unwrap().push((lane.clone(), late));
                }
                // A step of its own: others come in between.
                self.step().await;
                self.inner.write(lane, &[TableWrites { table: table.table.clone(), rows: part }]).await?;
            }
            Err(StoreError::Unavailable { detail: "told to fail".to_owned() })
        })
    }

    fn scan<'a>(&'a self, table: &'a TableId, scan: &'a Scan) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        Box::pin(async move {
            self.step().await;
            self.inner.scan(table, scan).await
        })
    }

    fn drop_tables<'a>(&'a self, tables: &'a [TableId]) -> BoxFuture<'a, Result<(), StoreError>> {
        self.inner.drop_tables(tables)
    }

    fn checkpoints_moved(&self) -> Moves {
        self.inner.checkpoints_moved()
    }
}
