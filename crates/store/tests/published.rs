//! Published rows as everybody reads them, and what is said of damaged ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

use std::sync::Arc;

use bytes::Bytes;
use tidefold_record::{Offset, Partition, TopicName};
use tidefold_store::memory::MemoryStore;
use tidefold_store::published::Published;
use tidefold_store::{Lane, SharedStore, Store, StoreError, Table, TableWrites};
use tidefold_table::verdict::{DeadReason, Key};
use tidefold_table::{Checkpoint, GenerationTables, RowWrite, Stamp, TableId, Verdict, checkpoint};

const PARTITION: Partition = Partition(3);

fn tables() -> GenerationTables {
    GenerationTables::new("shop", &TopicName::new("orders"), None, std::iter::empty(), 1)
}

async fn store() -> SharedStore {
    let (store, tables) = (MemoryStore::new(), tables());
    let open: Vec<Table> =
        tables.all().map(|table| Table { id: table.id.clone(), layout: Arc::clone(&table.layout) }).collect();
    store.open(&open).await.unwrap();
    Arc::new(store)
}

async fn write(store: &SharedStore, table: &TableId, key: &[u8], value: Vec<u8>, offset: u64) {
    let lane = Lane { checkpoints: tables().checkpoints.id, partition: PARTITION.0 };
    let (key, value) = (Bytes::copy_from_slice(key), Some(value.into()));
    let rows = vec![RowWrite { key, value, stamp: Stamp::put(Offset(offset)) }];
    store.write(&lane, &[TableWrites { table: table.clone(), rows }]).await.unwrap();
}

fn key(offset: u64) -> [u8; 12] {
    Key { partition: PARTITION, offset: Offset(offset) }.encode()
}

async fn judge(store: &SharedStore, offset: u64, verdict: &Verdict) {
    let mut value = Vec::new();
    verdict.encode(&mut value);
    write(store, &tables().verdicts.id, &key(offset), value, offset).await;
}

#[tokio::test]
async fn what_was_published_is_read_by_record_by_range_and_by_page() {
    let store = store().await;
    let published = Published::of(&store, &tables());
    let dead = |code: &str| DeadReason { code: code.to_owned(), detail: String::new() };
    let verdicts = [
        (1, Verdict::Rejected(vec!["late".into()])),
        (2, Verdict::Dead(dead("no_key"))),
        (5, Verdict::Duplicate(Offset(1))),
        (7, Verdict::Dead(dead("no_value"))),
    ];
    for (offset, verdict) in &verdicts {
        judge(&store, *offset, verdict).await;
    }
    let folded = Checkpoint { next: Offset(9), last: Offset(8), digest: 7, appended_at_micros: 6 };
    let id = tables().checkpoints.id;
    write(&store, &id, &checkpoint::key(PARTITION), folded.encode().to_vec(), 9).await;

    assert_eq!(published.checkpoint(PARTITION).await, Ok(Some(folded)));
    let both = published.checkpoints([Partition(0), PARTITION]).await;
    assert_eq!(both, Ok(vec![None, Some(folded)]));
    assert_eq!(published.verdict(PARTITION, Offset(5)).await, Ok(Some(Verdict::Duplicate(Offset(1)))));
    assert_eq!(published.verdict(PARTITION, Offset(6)).await, Ok(None), "it was applied");
    assert_eq!(published.verdict(Partition(0), Offset(5)).await, Ok(None));
    let range = published.verdicts(PARTITION, Offset(2)..Offset(7), 9).await.unwrap();
    assert_eq!(range.iter().map(|(offset, _)| offset.0).collect::<Vec<_>>(), [2, 5]);
    let all = published.verdicts(PARTITION, Offset(0)..Offset::MAX, 3).await.unwrap();
    assert_eq!(all.len(), 3);

    let page = published.dead_letters(PARTITION, Offset(0)..Offset::MAX, 3).await.unwrap();
    assert_eq!((page.letters, page.looked_at), (vec![(Offset(2), dead("no_key"))], 3));
    let next = page.next.unwrap();
    let page = published.dead_letters(PARTITION, next..Offset::MAX, 3).await.unwrap();
    assert_eq!((page.letters, page.next), (vec![(Offset(7), dead("no_value"))], None));
}

#[tokio::test]
async fn a_damaged_row_is_named_whoever_asks() {
    let (store, tables) = (store().await, tables());
    let published = Published::of(&store, &tables);
    for (value, found) in
        [(vec![0; 31], "append time"), (vec![4; 32], "format 4"), (vec![0; 33], "1 bytes follow")]
    {
        let stamp = value.len() as u64 * 10 + u64::from(value[0]);
        write(&store, &tables.checkpoints.id, &checkpoint::key(PARTITION), value, stamp).await;
        let said = published.checkpoint(PARTITION).await;
        names(said.unwrap_err(), &tables.checkpoints.id, "partition 3", found);
        let said = published.checkpoints([Partition(0), PARTITION]).await;
        names(said.unwrap_err(), &tables.checkpoints.id, "partition 3", found);
    }
    for (value, found) in
        [(vec![], "first byte"), (vec![2, 0], "first offset"), (vec![0x21], "format 2"), (vec![9], "kind")]
    {
        let store = self::store().await;
        let published = Published::of(&store, &tables);
        write(&store, &tables.verdicts.id, &key(7), value, 7).await;
        let (id, at) = (&tables.verdicts.id, "partition 3, offset 7");
        names(published.verdict(PARTITION, Offset(7)).await.unwrap_err(), id, at, found);
        names(published.verdicts_at(PARTITION, &[Offset(1), Offset(7)]).await.unwrap_err(), id, at, found);
        let range = Offset(0)..Offset::MAX;
        names(published.verdicts(PARTITION, range.clone(), 9).await.unwrap_err(), id, at, found);
        names(published.dead_letters(PARTITION, range, 9).await.unwrap_err(), id, at, found);
    }
    let long = [&key(7)[..], b"x"].concat();
    write(&store, &tables.verdicts.id, &long, vec![9], 7).await;
    let said = published.verdicts(PARTITION, Offset(0)..Offset::MAX, 9).await;
    names(said.unwrap_err(), &tables.verdicts.id, "\\x07x", "1 bytes follow");
}

#[tokio::test]
async fn a_checkpoint_that_the_store_refuses_is_of_no_concern_to_the_others() {
    let (store, tables) = (MemoryStore::new(), tables());
    let open = Table { id: tables.checkpoints.id.clone(), layout: Arc::clone(&tables.checkpoints.layout) };
    store.open(&[open]).await.unwrap();
    store.faults().damage(&tables.checkpoints.id, checkpoint::key(PARTITION));
    let store: SharedStore = Arc::new(store);
    let folded = Checkpoint { next: Offset(9), last: Offset(8), digest: 7, appended_at_micros: 6 };
    write(&store, &tables.checkpoints.id, &checkpoint::key(Partition(4)), folded.encode().to_vec(), 9).await;
    let published = Published::of(&store, &tables);
    let each = published.each_checkpoint([PARTITION, Partition(4), Partition(5)]).await.unwrap();
    assert!(matches!(each[0], Err(StoreError::Damaged(_))), "{each:?}");
    assert_eq!(each[1..], [Ok(Some(folded)), Ok(None)]);
}

/// The error names the table, the row, what stands there and what to do.
fn names(error: StoreError, table: &TableId, key: &str, found: &str) {
    let StoreError::Damaged(damaged) = &error else { panic!("{error:?}") };
    assert_eq!(damaged.table, table.as_str());
    assert!(damaged.key.contains(key) && damaged.found.contains(found), "{damaged}");
    assert!(damaged.remedy.contains("tidefold replay"), "{damaged}");
    let text = error.to_string();
    for part in [&damaged.table, &damaged.key, &damaged.found, &damaged.remedy] {
        assert!(text.contains(part.as_str()), "{text}");
    }
}
