//! What only the inside shows: which deletes are forgotten, and that no shortcut changes what stands.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;
use tidefold_record::Offset;
use tidefold_store::contract::{delete, lane, put, table};
use tidefold_store::{Scan, Store, StoreError, TableWrites};
use tidefold_table::{RowWrite, Stamp, TableId, TableKind};

use super::{EmbeddedStore, Settings};

async fn opened(folder: &TempDir) -> (EmbeddedStore, TableId, TableId) {
    let store = EmbeddedStore::open(folder.path(), Settings::default()).unwrap();
    let tables = [table("index", TableKind::Index), table("checkpoints", TableKind::Checkpoints)];
    store.open(&tables).await.unwrap();
    let [index, checkpoints] = tables.map(|table| table.id);
    (store, index, checkpoints)
}

async fn write(store: &EmbeddedStore, partition: u32, table: &TableId, rows: Vec<RowWrite>) {
    store.write(&lane(partition), &[TableWrites { table: table.clone(), rows }]).await.unwrap();
}

/// A checkpoint at `next`.
fn checkpoint(partition: u32, next: u64) -> RowWrite {
    put(&partition.to_be_bytes(), &next.to_be_bytes(), Stamp::put(Offset(next)).0)
}

/// How many entries fjall has, deletes with it, once all files are merged.
fn merged(store: &EmbeddedStore, table: &TableId) -> usize {
    let table = store.tables.find(table, "to read").unwrap();
    table.keyspace.rotate_memtable_and_wait().unwrap();
    table.keyspace.major_compact().unwrap();
    table.keyspace.len().unwrap()
}

#[tokio::test]
async fn deletes_are_forgotten_once_the_checkpoint_is_past_them() {
    let folder = TempDir::new().unwrap();
    let (store, index, checkpoints) = opened(&folder).await;
    write(&store, 0, &index, (0..9u8).map(|n| put(&[n], b"1", Stamp::put(Offset(n.into())).0)).collect())
        .await;
    write(
        &store,
        0,
        &index,
        (0..9u8).map(|n| delete(&[n], Stamp::delete(Offset(10 + u64::from(n))).0)).collect(),
    )
    .await;
    write(&store, 0, &index, vec![put(b"stays", b"1", Stamp::put(Offset(30)).0)]).await;
    assert_eq!(merged(&store, &index), 10, "no checkpoint passed any delete");
    // Another partition's checkpoint says nothing of these rows.
    write(&store, 1, &checkpoints, vec![checkpoint(1, 99)]).await;
    write(&store, 0, &checkpoints, vec![checkpoint(0, 15)]).await;
    write(&store, 0, &index, vec![put(b"more", b"1", Stamp::put(Offset(31)).0)]).await;
    assert_eq!(merged(&store, &index), 6, "deletes at 10 to 14 are forgotten, those at 15 to 18 are not");
    let rows = store.scan(&index, &Scan::All { after: None, limit: 99 }).await.unwrap();
    assert_eq!(rows.len(), 2);
}

#[tokio::test]
async fn a_key_that_no_store_could_keep_is_refused() {
    let folder = TempDir::new().unwrap();
    let (store, index, _) = opened(&folder).await;
    for key in [&b""[..], &[7; 65_536]] {
        let writes = [TableWrites { table: index.clone(), rows: vec![put(key, b"1", 3)] }];
        let refused = store.write(&lane(0), &writes).await;
        assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn of_two_writes_to_a_key_in_one_call_the_newer_stands() {
    let folder = TempDir::new().unwrap();
    let (store, index, _) = opened(&folder).await;
    write(&store, 0, &index, vec![put(b"a", b"new", 9), put(b"a", b"old", 7)]).await;
    write(&store, 0, &index, vec![put(b"b", b"old", 7), put(b"b", b"new", 9)]).await;
    let rows = store.load(&index, &[Bytes::from_static(b"a"), Bytes::from_static(b"b")]).await.unwrap();
    assert_eq!(rows, [Some(Bytes::from_static(b"new")), Some(Bytes::from_static(b"new"))]);
}

/// One step of a lane's life.
#[derive(Clone, Debug)]
enum Step {
    /// Rows of the records from the checkpoint on, a key and how far ahead; even steps ahead are deletes.
    Write(Vec<(u8, u64)>),
    /// The checkpoint moves on by so many records.
    Checkpoint(u64),
    /// Everything goes to files, which are merged: deletes are forgotten.
    Merge,
    /// The process starts again.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => prop::collection::vec((0..8u8, 0..40u64), 1..8).prop_map(Step::Write),
        4 => (1..30u64).prop_map(Step::Checkpoint),
        1 => Just(Step::Merge),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

/// Writes at or after the checkpoint, in any order and any number of times: what stands is what the stamps say.
async fn settles(steps: Vec<Step>) {
    let folder = TempDir::new().unwrap();
    let (mut store, index, checkpoints) = opened(&folder).await;
    let mut model: BTreeMap<u8, (u64, bool)> = BTreeMap::new();
    let mut next = 0;
    for step in steps {
        match step {
            Step::Write(rows) => {
                let mut writes = BTreeMap::new();
                for (key, ahead) in rows {
                    let offset = Offset(next + ahead / 2);
                    let is_put = ahead % 2 == 1;
                    let stamp = if is_put { Stamp::put(offset) } else { Stamp::delete(offset) }.0;
                    let settled = model.entry(key).or_insert((0, false));
                    *settled = (*settled).max((stamp, is_put));
                    let row =
                        if is_put { put(&[key], &stamp.to_be_bytes(), stamp) } else { delete(&[key], stamp) };
                    writes.insert(key, row);
                    // One write a key in a call, so the rows so far go in a call of their own, again and again.
                    write(&store, 0, &index, writes.values().cloned().collect()).await;
                }
            }
            Step::Checkpoint(records) => {
                next += records;
                write(&store, 0, &checkpoints, vec![checkpoint(0, next)]).await;
            }
            Step::Merge => {
                merged(&store, &index);
            }
            Step::Restart => {
                drop(store);
                (store, ..) = opened(&folder).await;
            }
        }
        let rows = store.scan(&index, &Scan::All { after: None, limit: 99 }).await.unwrap();
        let found: Vec<(u8, u64)> = rows
            .iter()
            .map(|row| (row.key[0], u64::from_be_bytes(row.value[..].try_into().unwrap())))
            .collect();
        let expected: Vec<(u8, u64)> =
            model.iter().filter(|(_, (_, put))| *put).map(|(key, (stamp, _))| (*key, *stamp)).collect();
        assert_eq!(found, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_shortcut_changes_what_stands(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(settles(steps));
    }
}
