//! Many wait for one checkpoint: how often the store is asked, and who is answered by what.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use tidefold_record::TopicName;
use tidefold_table::{Row, RowWrite, Stamp, TableId, checkpoint};

use super::*;
use crate::memory::MemoryStore;
use crate::observer::{Observed, Observer, Operation, SharedObserver};
use crate::{Lane, Scan, Store, Table, TableWrites};

/// One generation's tables in a store whose loads are counted.
struct Place {
    memory: Arc<MemoryStore>,
    lookout: Lookout,
    table: Table,
    lane: Lane,
    loads: Arc<AtomicUsize>,
}

struct Loads(Arc<AtomicUsize>);

impl Observer for Loads {
    fn began(&self, operation: Operation) {
        if operation == Operation::Load {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A store that nobody else can write to.
struct Alone(SharedStore);

impl Store for Alone {
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
        self.0.scan(table, scan)
    }

    fn drop_tables<'a>(&'a self, tables: &'a [TableId]) -> BoxFuture<'a, Result<(), StoreError>> {
        self.0.drop_tables(tables)
    }

    fn checkpoints_moved(&self) -> Moves {
        Moves { are_all: true, ..self.0.checkpoints_moved() }
    }
}

// === impl Place ===

impl Place {
    async fn new() -> Place {
        Place::within(|store| store).await
    }

    /// In a store made of the one that counts.
    async fn within(make: impl FnOnce(SharedStore) -> SharedStore) -> Place {
        let topic = TopicName::new("orders");
        let tables = GenerationTables::new("shop", &topic, None, std::iter::empty(), 1);
        let memory = Arc::new(MemoryStore::new());
        let table =
            Table { id: tables.checkpoints.id.clone(), layout: Arc::clone(&tables.checkpoints.layout) };
        memory.open(std::slice::from_ref(&table)).await.unwrap();
        let loads = Arc::new(AtomicUsize::new(0));
        let observer = SharedObserver::new(Loads(Arc::clone(&loads)));
        let store = make(Arc::new(Observed::new(Arc::clone(&memory) as SharedStore, observer)));
        let lookout = Lookout::of(&store, &tables);
        let lane = Lane { checkpoints: tables.checkpoints.id, partition: 0 };
        Place { memory, lookout, table, lane, loads }
    }

    /// A row in place of a partition's checkpoint.
    async fn put(&self, by: &MemoryStore, partition: u32, next: u64, value: &[u8]) {
        let key = checkpoint::key(Partition(partition));
        let row = RowWrite { key, value: Some(value.to_vec().into()), stamp: Stamp(2 * next + 1) };
        let writes = [TableWrites { table: self.lane.checkpoints.clone(), rows: vec![row] }];
        by.write(&self.lane, &writes).await.unwrap();
    }

    /// A lane of this process moves on.
    async fn fold(&self, partition: u32, next: u64) {
        self.put(&self.memory, partition, next, &at(next).encode()).await;
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::Relaxed)
    }

    async fn past(&self, partition: u32, offset: u64) -> Answer {
        let past = Some(Offset(offset));
        self.lookout.until(vec![Wanted { partition: Partition(partition), past }]).await
    }

    /// All of them have asked before the first look comes back.
    async fn at_once(&self, all: impl Iterator<Item = impl Future<Output = Answer>>) -> Vec<Answer> {
        self.memory.faults().hold_loads();
        let mut all = pin!(join_all(all));
        assert!(futures_util::poll!(&mut all).is_pending());
        self.memory.faults().release();
        all.await
    }

    async fn now(&self, partition: u32) -> Answer {
        self.lookout.until(vec![Wanted { partition: Partition(partition), past: None }]).await
    }
}

fn at(next: u64) -> Checkpoint {
    Checkpoint { next: Offset(next), last: Offset(next - 1), ..Checkpoint::START }
}

/// How many reads it takes until so many are answered who wait for one record.
async fn reads_for(place: Place, many: u64) -> usize {
    let all = join_all((0..many).map(|_| place.past(0, 6)));
    let fold = async {
        // A minute, of which most is in vain.
        for next in [3, 5, 7] {
            let _ = tokio::time::timeout(Duration::from_secs(20), std::future::pending::<()>()).await;
            place.fold(0, next).await;
        }
    };
    let (answers, ()) = tokio::join!(all, fold);
    assert!(answers.iter().all(|answer| *answer == Ok(vec![Some(at(7))])));
    place.loads()
}

#[tokio::test(start_paused = true)]
async fn many_who_wait_cost_as_many_reads_as_one() {
    let (one, many) = (reads_for(Place::new().await, 1).await, reads_for(Place::new().await, 500).await);
    // The first has begun its look when the others come.
    assert!(many <= one + 2, "{one} for one, {many} for 500");
    // Ten a second at last, and some more at first.
    assert!(one < 700, "{one}");
}

#[tokio::test(start_paused = true)]
async fn where_nobody_else_writes_a_wait_costs_a_read_for_each_move_and_none_in_between() {
    let place = Place::within(|store| Arc::new(Alone(store))).await;
    // One at its beginning, and three moves.
    assert_eq!(reads_for(place, 1).await, 4);
}

#[tokio::test(start_paused = true)]
async fn those_who_ask_at_once_share_looks() {
    let place = Place::new().await;
    place.fold(0, 1).await;
    let answers = place.at_once((0..500).map(|_| place.now(0))).await;
    assert!(answers.iter().all(|answer| *answer == Ok(vec![Some(at(1))])));
    assert!(place.loads() <= 2, "{}", place.loads());
}

#[tokio::test(start_paused = true)]
async fn a_look_that_began_before_somebody_asked_is_no_answer_to_that() {
    let place = Place::new().await;
    place.fold(0, 1).await;
    place.memory.faults().hold_loads();
    let (mut first, mut second) = (pin!(place.now(0)), pin!(place.now(0)));
    tokio::select! {
        biased;
        _ = &mut first => unreachable!("loads are held"),
        () = place.memory.faults().loads_held(1) => {}
    }
    assert!(futures_util::poll!(&mut second).is_pending());
    place.memory.faults().release();
    assert_eq!(first.await, Ok(vec![Some(at(1))]));
    assert_eq!(place.loads(), 1);
    assert_eq!(second.await, Ok(vec![Some(at(1))]));
    assert_eq!(place.loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_looks_for_all_may_go_and_another_looks_on() {
    let place = Place::new().await;
    let other = place.memory.restarted();
    other.open(std::slice::from_ref(&place.table)).await.unwrap();
    place.memory.faults().hold_loads();
    let mut rest = pin!(join_all((0..10).map(|_| place.past(0, 0))));
    {
        let mut first = pin!(place.past(0, 0));
        tokio::select! {
            biased;
            _ = &mut first => unreachable!("loads are held"),
            _ = &mut rest => unreachable!("loads are held"),
            () = place.memory.faults().loads_held(1) => {}
        }
    }
    place.memory.faults().release();
    // Another process moves on, which tells nobody here.
    place.put(&other, 0, 1, &at(1).encode()).await;
    assert!(rest.await.iter().all(|answer| *answer == Ok(vec![Some(at(1))])));
}

#[tokio::test(start_paused = true)]
async fn a_look_that_fails_is_the_answer_to_all_whom_it_was_for() {
    let place = Place::new().await;
    place.memory.faults().fail_loads(2);
    let answers = place.at_once((0..500).map(|_| place.past(0, 0))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(StoreError::Unavailable { .. }))));
    assert!(place.loads() <= 2, "{}", place.loads());
    place.fold(0, 1).await;
    assert_eq!(place.now(0).await, Ok(vec![Some(at(1))]), "and it is forgotten once the store answers");
}

#[tokio::test(start_paused = true)]
async fn damage_in_one_partition_is_told_to_those_who_wait_for_it_and_to_nobody_else() {
    let place = Place::new().await;
    place.put(&place.memory, 1, 1, b"none").await;
    let fold = async {
        let _ = tokio::time::timeout(Duration::from_secs(1), std::future::pending::<()>()).await;
        place.fold(0, 1).await;
    };
    let (sound, damaged, ()) = tokio::join!(place.past(0, 0), place.past(1, 0), fold);
    assert_eq!(sound, Ok(vec![Some(at(1))]));
    assert!(matches!(damaged, Err(StoreError::Damaged { .. })), "{damaged:?}");
}

#[tokio::test(start_paused = true)]
async fn all_that_is_wanted_is_told_in_the_order_it_was_asked_for() {
    let place = Place::new().await;
    place.fold(2, 5).await;
    let want =
        |partition, past: Option<u64>| Wanted { partition: Partition(partition), past: past.map(Offset) };
    let wanted = vec![want(2, Some(4)), want(1, None), want(0, Some(0))];
    let fold = async {
        place.fold(2, 6).await;
        place.fold(0, 1).await;
    };
    let (answer, ()) = tokio::join!(place.lookout.until(wanted), fold);
    assert_eq!(answer, Ok(vec![Some(at(6)), None, Some(at(1))]));
}

#[tokio::test(start_paused = true)]
async fn each_is_answered_once_its_own_records_are_folded() {
    let place = Place::new().await;
    let want = |partition, offset| Wanted { partition: Partition(partition), past: Some(Offset(offset)) };
    // In two partitions, a record of one of them or of both.
    let waits = (0..30_u64).map(|n| {
        let wanted = match n % 3 {
            0 => vec![want(0, n / 3)],
            1 => vec![want(1, n / 3)],
            _ => vec![want(0, n / 3), want(1, n / 3)],
        };
        async { place.lookout.until(wanted).await.unwrap() }
    });
    let fold = async {
        for next in 1..=10 {
            for partition in [0, 1] {
                place.fold(partition, next).await;
                let _ = tokio::time::timeout(Duration::from_secs(1), std::future::pending::<()>()).await;
            }
        }
    };
    let (answers, ()) = tokio::join!(join_all(waits), fold);
    for (n, answer) in answers.iter().enumerate() {
        let next = Some(at(n as u64 / 3 + 1));
        assert_eq!(*answer, vec![next; answer.len()], "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_wait_any_more_is_not_looked_for() {
    let place = Place::new().await;
    let patience = Duration::from_secs(1);
    assert!(tokio::time::timeout(patience, place.past(1, 0)).await.is_err());
    assert!(tokio::time::timeout(patience, place.past(0, 0)).await.is_err());
    let board = place.lookout.board();
    assert_eq!(board.wanted.keys().collect::<Vec<_>>(), [&Partition(0)]);
    assert_eq!(board.parked.len(), 1);
}
