//! The memory store keeps the contract, and does wrong what it is told to.
#![cfg(feature = "contract")]
#![allow(clippy::unwrap_used, reason = "a test fails where something is not there")]

use std::sync::Arc;

use bytes::Bytes;
use tidefold_store::contract::{Harness, delete, lane, put, table};
use tidefold_store::memory::{Effect, MemoryStore};
use tidefold_store::observer::{Observed, Observer, Operation, SharedObserver};
use tidefold_store::{Scan, SharedStore, Store, StoreError, TableWrites};
use tidefold_table::{TableId, TableKind};

struct Memory(Arc<MemoryStore>);

impl Memory {
    fn new() -> Memory {
        Memory(Arc::new(MemoryStore::new()))
    }
}

impl Harness for Memory {
    fn store(&self) -> SharedStore {
        self.0.clone()
    }

    fn reopen(&mut self) {
        self.0 = Arc::new(self.0.restarted());
    }
}

tidefold_store::store_contract!(Memory::new());

async fn with_table() -> (Arc<MemoryStore>, TableId) {
    let store = Arc::new(MemoryStore::new());
    let table = table("entities", TableKind::Entity);
    store.open(std::slice::from_ref(&table)).await.unwrap();
    (store, table.id)
}

fn writes(table: &TableId, keys: &[&[u8]], stamp: u64) -> [TableWrites; 1] {
    [TableWrites { table: table.clone(), rows: keys.iter().map(|key| put(key, b"1", stamp)).collect() }]
}

async fn there(store: &MemoryStore, table: &TableId, key: &[u8]) -> bool {
    store.load(table, &[Bytes::copy_from_slice(key)]).await.unwrap()[0].is_some()
}

#[tokio::test]
async fn a_failed_write_has_the_effect_it_was_told_to_have() {
    let (store, table) = with_table().await;
    for (effect, first, second) in
        [(Effect::None, false, false), (Effect::First(1), true, false), (Effect::Whole, true, true)]
    {
        store.faults().fail_writes(1, effect);
        let failed = store.write(&lane(0), &writes(&table, &[b"a", b"b"], 3)).await;
        assert!(matches!(failed, Err(StoreError::Unavailable { .. })), "{failed:?}");
        assert_eq!(
            (there(&store, &table, b"a").await, there(&store, &table, b"b").await),
            (first, second),
            "{effect:?}"
        );
    }
    store.write(&lane(0), &writes(&table, &[b"a", b"b"], 3)).await.unwrap();
}

#[tokio::test]
async fn a_failed_load_is_followed_by_one_that_works() {
    let (store, table) = with_table().await;
    store.faults().fail_loads(1);
    assert!(store.load(&table, &[]).await.is_err());
    assert_eq!(store.load(&table, &[]).await, Ok(vec![]));
}

#[tokio::test]
async fn a_held_write_takes_effect_once_released() {
    let (store, table) = with_table().await;
    store.faults().hold_writes();
    let (lane, writes) = (lane(0), writes(&table, &[b"a"], 3));
    let held = async {
        store.faults().writes_held(1).await;
        assert!(!there(&store, &table, b"a").await);
        store.faults().release();
    };
    let (written, ()) = tokio::join!(store.write(&lane, &writes), held);
    written.unwrap();
    assert!(there(&store, &table, b"a").await);
}

#[tokio::test]
async fn a_crash_loses_a_suffix_and_lets_older_rows_reappear() {
    let (store, table) = with_table().await;
    store.write(&lane(0), &writes(&table, &[b"a"], 3)).await.unwrap();
    store.mark();
    store.write(&lane(0), &writes(&table, &[b"b"], 5)).await.unwrap();
    let deletes = [TableWrites { table: table.clone(), rows: vec![delete(b"a", 6)] }];
    store.write(&lane(0), &deletes).await.unwrap();
    assert_eq!(store.written_since_mark(), 2);
    assert!(!there(&store, &table, b"a").await);
    store.crash(1);
    assert!(there(&store, &table, b"a").await);
    assert!(there(&store, &table, b"b").await);
    store.crash(0);
    assert!(there(&store, &table, b"b").await, "what a crash left is safe from the next");
}

#[tokio::test]
async fn a_stale_load_answers_from_the_mark() {
    let (store, table) = with_table().await;
    store.mark();
    store.write(&lane(0), &writes(&table, &[b"a"], 3)).await.unwrap();
    store.faults().stale_loads(1);
    assert!(!there(&store, &table, b"a").await);
    assert!(there(&store, &table, b"a").await);
}

#[derive(Clone, Default)]
struct Told(Arc<std::sync::Mutex<Vec<String>>>);

impl Observer for Told {
    fn began(&self, operation: Operation) {
        self.0.lock().unwrap().push(format!("{} began", operation.name()));
    }

    fn ended(&self, operation: Operation, _: std::time::Duration, answer: Result<usize, &StoreError>) {
        let answer = answer.map_err(StoreError::kind);
        self.0.lock().unwrap().push(format!("{} ended: {answer:?}", operation.name()));
    }

    fn given_up(&self, operation: Operation) {
        self.0.lock().unwrap().push(format!("{} given up", operation.name()));
    }
}

#[tokio::test]
async fn an_observer_is_told_of_every_call_and_its_answer() {
    let (memory, id) = with_table().await;
    let told = Told::default();
    let store = Observed::new(memory.clone(), SharedObserver::new(told.clone()));
    let keys = [Bytes::from_static(b"ab"), Bytes::from_static(b"none")];
    store.write(&lane(0), &writes(&id, &[b"ab", b"cd"], 3)).await.unwrap();
    store.load(&id, &keys).await.unwrap();
    store.scan(&id, &Scan::All { after: None, limit: 10 }).await.unwrap();
    memory.faults().fail_writes(1, Effect::None);
    store.write(&lane(0), &writes(&id, &[b"ab"], 5)).await.unwrap_err();
    memory.faults().hold_loads();
    let mut load = store.load(&id, &keys);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(load.as_mut().poll(&mut context).is_pending());
    drop(load);
    store.drop_tables(&[id]).await.unwrap();
    // Two keys of two bytes with values of one.
    let expected = [
        "write began",
        "write ended: Ok(6)",
        "load began",
        "load ended: Ok(3)",
        "scan began",
        "scan ended: Ok(6)",
        "write began",
        "write ended: Err(\"unavailable\")",
        "load began",
        "load given up",
        "drop began",
        "drop ended: Ok(0)",
    ];
    assert_eq!(*told.0.lock().unwrap(), expected);
}

#[test]
fn the_numbers_of_operations_are_their_places() {
    for (place, operation) in Operation::ALL.into_iter().enumerate() {
        assert_eq!(operation as usize, place, "{operation:?}");
    }
}
