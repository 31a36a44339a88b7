//! Tables of which some rows cannot be read.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use tidefold_record::{Offset, TopicName};
use tidefold_store::memory::MemoryStore;
use tidefold_store::{Lane, Table, TableWrites};
use tidefold_table::{GenerationTables, RowWrite, Stamp};

use super::*;

/// A store of which some rows cannot be read.
struct Holed {
    memory: MemoryStore,
    holes: BTreeSet<Bytes>,
    /// Whether it is a file that is damaged, which does not name its rows.
    nameless: bool,
}

/// The rows that a table should have.
struct Rows(BTreeMap<Bytes, Bytes>);

impl Expected for Rows {
    fn row(&self, key: &[u8]) -> Option<Bytes> {
        self.0.get(key).cloned()
    }

    fn count(&self) -> u64 {
        self.0.len() as u64
    }

    fn keys(&self) -> Vec<Bytes> {
        self.0.keys().cloned().collect()
    }
}

impl Holed {
    fn judge<'k>(&self, table: &TableId, keys: impl Iterator<Item = &'k Bytes>) -> Result<(), StoreError> {
        let hole = keys.into_iter().find(|key| self.holes.contains(*key));
        hole.map_or(Ok(()), |key| {
            let key = match self.nameless {
                true => "a row that the file does not name".to_owned(),
                false => format!("partition 0, offset {}", offset_of(key)),
            };
            let (found, remedy) = ("no row".to_owned(), "build it again".to_owned());
            Err(Damaged { table: table.to_string(), key, found, remedy }.into())
        })
    }
}

impl Reads for Holed {
    fn load<'a>(
        &'a self,
        table: &'a TableId,
        keys: &'a [Bytes],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StoreError>> {
        async move {
            self.judge(table, keys.iter())?;
            self.memory.load(table, keys).await
        }
        .boxed()
    }

    fn scan<'a>(&'a self, table: &'a TableId, scan: &'a Scan) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        async move {
            let rows = self.memory.scan(table, scan).await?;
            self.judge(table, rows.iter().map(|row| &row.key))?;
            Ok(rows)
        }
        .boxed()
    }
}

fn key(offset: u64) -> Bytes {
    let partition = tidefold_record::Partition(0);
    Bytes::copy_from_slice(&tidefold_table::verdict::Key { partition, offset: Offset(offset) }.encode())
}

fn offset_of(key: &[u8]) -> u64 {
    tidefold_table::verdict::Key::decode(key).unwrap().offset.0
}

/// A table with rows of these offsets beside one that should have those, where some cannot be read.
async fn compared(there: &[u64], wanted: &[u64], holes: &[u64], nameless: bool) -> Compared {
    let tables = GenerationTables::new("app", &TopicName::new("orders"), None, std::iter::empty(), 1);
    let holes = holes.iter().map(|offset| key(*offset)).collect();
    let store = Holed { memory: MemoryStore::new(), holes, nameless };
    let table = tables.verdicts.clone();
    store.memory.open(&[Table { id: table.id.clone(), layout: Arc::clone(&table.layout) }]).await.unwrap();
    let value = Bytes::from_static(b"value");
    let row = |offset: &u64| RowWrite {
        key: key(*offset),
        value: Some(value.clone()),
        stamp: Stamp::put(Offset(*offset)),
    };
    let writes = TableWrites { table: table.id.clone(), rows: there.iter().map(row).collect() };
    let lane = Lane { checkpoints: tables.checkpoints.id.clone(), partition: 0 };
    store.memory.write(&lane, &[writes]).await.unwrap();
    let wanted = Rows(wanted.iter().map(|offset| (key(*offset), value.clone())).collect());
    compare(&store, &table, &wanted).await.unwrap()
}

fn upto(count: u64) -> Vec<u64> {
    (0..count).collect()
}

#[tokio::test]
async fn every_row_that_cannot_be_read_is_named_and_the_others_are_compared() {
    let all = upto(5_000);
    for nameless in [false, true] {
        let holes = [0, 7, 8, 2_500, 4_999];
        let found = compared(&all, &all, &holes, nameless).await;
        assert_eq!((found.rows, found.differing, found.damaged), (5_000, 5, 5), "{found:?}");
        for (said, hole) in found.damaged_rows.iter().zip(holes) {
            assert!(said.contains(&format!("partition 0, offset {hole}:")), "{said}");
        }
    }
}

#[tokio::test]
async fn what_else_is_wrong_is_found_on_both_sides_of_it() {
    let there: Vec<u64> = upto(100).into_iter().filter(|offset| *offset != 60).collect();
    let wanted: Vec<u64> = upto(90).into_iter().filter(|offset| *offset != 3).collect();
    let found = compared(&there, &wanted, &[30, 31, 50], false).await;
    // Missing: 60. Not in the log's: 3, and those from 90 on.
    assert_eq!((found.rows, found.damaged, found.differing), (99, 3, 3 + 1 + 11), "{found:?}");
    let said = found.first.join("; ");
    assert!(said.contains("of the log's is missing") && said.contains("is not in the log's"), "{said}");
}

#[tokio::test]
async fn a_row_that_the_log_does_not_have_is_named_too_where_it_cannot_be_read() {
    let found = compared(&upto(20), &upto(10), &[12], false).await;
    assert_eq!(found.damaged, 1, "{found:?}");
    assert!(found.damaged_rows[0].contains("offset 12"), "{found:?}");
    assert!(found.first.iter().any(|said| said.contains("were not read")), "{found:?}");
}

#[tokio::test]
async fn many_are_counted_and_a_hundred_named() {
    let all = upto(3_000);
    let found = compared(&all, &all, &all, false).await;
    assert_eq!((found.damaged, found.damaged_rows.len()), (3_000, DAMAGED_SHOWN), "{:?}", found.first);
    assert_eq!(found.report("orders")["differing"], 3_000);
}

#[tokio::test]
async fn a_table_that_is_right_is_said_to_be() {
    let found = compared(&upto(4_500), &upto(4_500), &[], false).await;
    assert_eq!((found.rows, found.differing, found.damaged), (4_500, 0, 0));
}
