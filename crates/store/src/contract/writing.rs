//! What becomes of writes.

use bytes::Bytes;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use tidefold_table::{RowWrite, TableKind};

use super::harness::{
    Harness, Model, all, lane, live, opened, put, row, settle, sorted, table, words, write,
};
use super::rows::{gone, group, item};
use crate::{StoreError, TableWrites};

/// Of two puts the one with the larger stamp stands, whichever arrives first.
pub async fn last_stamp_wins_in_any_order(harness: &mut dyn Harness) {
    let table = opened(harness, "entities", TableKind::Entity).await;
    let store = harness.store();
    write(&store, &table, vec![put(b"a", b"old", 3)]).await;
    write(&store, &table, vec![put(b"a", b"new", 7)]).await;
    write(&store, &table, vec![put(b"b", b"new", 7)]).await;
    write(&store, &table, vec![put(b"b", b"old", 3)]).await;
    write(&store, &table, vec![put(b"b", b"between", 5)]).await;
    assert_eq!(row(&store, &table, b"a").await, Some(Bytes::from_static(b"new")));
    assert_eq!(row(&store, &table, b"b").await, Some(Bytes::from_static(b"new")));
}

/// A deleted row comes back by a larger stamp only, and a put is deleted by a larger stamp only.
pub async fn a_delete_settles_by_stamp_like_a_put(harness: &mut dyn Harness) {
    let table = opened(harness, "index", TableKind::Index).await;
    let store = harness.store();
    write(&store, &table, vec![item("a", "1", 3)]).await;
    write(&store, &table, vec![gone("a", 6)]).await;
    assert_eq!(words(&store, &table, "a").await, None);
    write(&store, &table, vec![item("a", "again", 3)]).await;
    write(&store, &table, vec![item("a", "late", 5)]).await;
    assert_eq!(words(&store, &table, "a").await, None, "a late put brought back a deleted row");
    write(&store, &table, vec![item("a", "2", 9)]).await;
    write(&store, &table, vec![gone("a", 8)]).await;
    assert_eq!(words(&store, &table, "a").await, Some("2".into()));
    write(&store, &table, vec![gone("absent", 6)]).await;
    write(&store, &table, vec![item("absent", "late", 5)]).await;
    assert_eq!(words(&store, &table, "absent").await, None, "a delete before its put was forgotten");
}

/// A write that is repeated changes nothing.
pub async fn equal_stamps_change_nothing(harness: &mut dyn Harness) {
    let table = opened(harness, "index", TableKind::Index).await;
    let store = harness.store();
    for _ in 0..3 {
        write(&store, &table, vec![item("a", "1", 5), gone("b", 4)]).await;
        assert_eq!(words(&store, &table, "a").await, Some("1".into()));
        assert_eq!(words(&store, &table, "b").await, None);
    }
}

/// Puts in one part of a call and deletes in the next, with stamps that interleave, as an index has them.
pub async fn repeated_writes_and_deletes_in_one_table_settle(harness: &mut dyn Harness) {
    let table = opened(harness, "index", TableKind::Index).await;
    let store = harness.store();
    let part = |rows: Vec<RowWrite>| TableWrites { table: table.clone(), rows };
    let puts: Vec<RowWrite> =
        (0..50u8).map(|n| item(&format!("p{n}"), "put", 3 + 2 * u64::from(n))).collect();
    let deletes: Vec<RowWrite> = (0..50u8)
        .step_by(2)
        .map(|n| gone(&format!("p{}", n.wrapping_sub(1)), 2 + 2 * u64::from(n)))
        .collect();
    store.write(&lane(0), &[part(puts.clone()), part(deletes.clone())]).await.expect("writes");
    let mut model = Model::new();
    puts.iter().chain(&deletes).for_each(|row| settle(&mut model, row));
    assert_eq!(sorted(all(&store, &table, 7).await), live(&model));
    store.write(&lane(0), &[part(puts)]).await.expect("writes again");
    assert_eq!(sorted(all(&store, &table, 7).await), live(&model));
}

/// Any writes in any order, in any cuts: the rows are those of a map in which the last stamp wins.
pub async fn random_writes_settle_like_the_model(harness: &mut dyn Harness) {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    // An equal stamp is the same write, so a row's value follows from key and stamp; an even stamp is a delete.
    let write_of = |(key, stamp): (u8, u64)| match stamp % 2 {
        0 => gone(&format!("k{key}"), stamp),
        _ => item(&format!("k{key}"), &format!("{key}@{stamp}"), stamp),
    };
    let calls = prop::collection::vec(prop::collection::btree_map(0..12u8, 2..60u64, 1..8), 1..40);
    for case in 0..24 {
        let calls = calls.new_tree(&mut runner).expect("generates").current();
        let table = opened(harness, &format!("random_{case}"), TableKind::Index).await;
        let mut store = harness.store();
        let mut model = Model::new();
        for (at, call) in calls.iter().enumerate() {
            let rows: Vec<RowWrite> = call.iter().map(|(key, stamp)| write_of((*key, *stamp))).collect();
            rows.iter().for_each(|row| settle(&mut model, row));
            write(&store, &table, rows).await;
            if at == calls.len() / 2 && case % 6 == 0 {
                drop(store);
                harness.reopen();
                opened(harness, &format!("random_{case}"), TableKind::Index).await;
                store = harness.store();
            }
        }
        assert_eq!(sorted(all(&store, &table, 5).await), live(&model), "calls: {calls:?}");
    }
}

/// A second `open` of a table leaves its rows.
pub async fn open_is_idempotent(harness: &mut dyn Harness) {
    let table = opened(harness, "entities", TableKind::Entity).await;
    let store = harness.store();
    write(&store, &table, vec![put(b"a", b"1", 3)]).await;
    opened(harness, "entities", TableKind::Entity).await;
    assert_eq!(row(&store, &table, b"a").await, Some(Bytes::from_static(b"1")));
}

/// A table that was not opened is refused, for good, and nothing of the call takes effect.
pub async fn unopened_tables_are_refused(harness: &mut dyn Harness) {
    let known = opened(harness, "entities", TableKind::Entity).await;
    let unknown = table("nowhere", TableKind::Entity).id;
    let store = harness.store();
    let writes = [
        TableWrites { table: known.clone(), rows: vec![put(b"a", b"1", 3)] },
        TableWrites { table: unknown.clone(), rows: vec![put(b"a", b"1", 3)] },
    ];
    let refused = store.write(&lane(0), &writes).await;
    assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
    let refused = store.load(&unknown, &[Bytes::from_static(b"a")]).await;
    assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
    assert_eq!(row(&store, &known, b"a").await, None);
}

/// A dropped table is gone with its rows and stamps; one of the same name starts anew. Others stay.
pub async fn dropped_tables_are_empty(harness: &mut dyn Harness) {
    let gone = opened(harness, "entities", TableKind::Entity).await;
    let kept = opened(harness, "others", TableKind::Entity).await;
    let store = harness.store();
    write(&store, &gone, vec![put(b"a", b"1", 9)]).await;
    write(&store, &kept, vec![put(b"a", b"1", 9)]).await;
    let never = table("never", TableKind::Entity).id;
    store.drop_tables(&[gone.clone(), never]).await.expect("drops");
    let refused = store.load(&gone, &[Bytes::from_static(b"a")]).await;
    assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
    opened(harness, "entities", TableKind::Entity).await;
    assert_eq!(row(&store, &gone, b"a").await, None);
    write(&store, &gone, vec![put(b"a", b"anew", 3)]).await;
    assert_eq!(row(&store, &gone, b"a").await, Some(Bytes::from_static(b"anew")));
    assert_eq!(row(&store, &kept, b"a").await, Some(Bytes::from_static(b"1")));
}

/// Rows of every kind of table are there after a restart.
pub async fn reopened_rows_are_there(harness: &mut dyn Harness) {
    let rows = |kind| -> [RowWrite; 2] {
        match kind {
            TableKind::Entity => [put(b"a", b"1", 3), put(b"b", b"2", 5)],
            TableKind::Index => [item("a1", "1", 3), item("b1", "2", 5)],
            TableKind::Rollup => [group("a1", "1", 3), group("b1", "2", 5)],
            TableKind::Verdicts | TableKind::ControlCopy => [
                put(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0], b"1", 3),
                put(&[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7], b"2", 5),
            ],
            TableKind::Checkpoints => [put(&[0, 0, 0, 0], b"1", 3), put(&[0, 0, 1, 2], b"2", 5)],
        }
    };
    for kind in TableKind::ALL {
        let table = opened(harness, &format!("kind_{kind:?}"), kind).await;
        write(&harness.store(), &table, rows(kind).to_vec()).await;
    }
    harness.reopen();
    for kind in TableKind::ALL {
        let table = opened(harness, &format!("kind_{kind:?}"), kind).await;
        let [first, _] = rows(kind);
        assert_eq!(row(&harness.store(), &table, &first.key).await, first.value, "{kind:?}");
        assert_eq!(all(&harness.store(), &table, 1).await.len(), 2, "{kind:?}");
    }
}

/// After a restart a smaller stamp still loses, against a put and against a delete.
pub async fn stamps_outlive_a_reopen(harness: &mut dyn Harness) {
    let table = opened(harness, "index", TableKind::Index).await;
    write(&harness.store(), &table, vec![item("a", "new", 9), gone("b", 8)]).await;
    harness.reopen();
    opened(harness, "index", TableKind::Index).await;
    let store = harness.store();
    write(&store, &table, vec![item("a", "old", 7), item("b", "old", 7), item("c", "first", 7)]).await;
    assert_eq!(words(&store, &table, "a").await, Some("new".into()));
    assert_eq!(words(&store, &table, "b").await, None);
    assert_eq!(words(&store, &table, "c").await, Some("first".into()));
}

/// Who waits for a checkpoint hears of it, after it can be read; other writes are not told.
pub async fn checkpoint_writes_are_told(harness: &mut dyn Harness) {
    let entities = opened(harness, "entities", TableKind::Entity).await;
    let checkpoints = opened(harness, "checkpoints", TableKind::Checkpoints).await;
    let store = harness.store();
    let mut moved = store.checkpoints_moved().times;
    moved.mark_unchanged();
    write(&store, &entities, vec![put(b"a", b"1", 3)]).await;
    assert!(!moved.has_changed().expect("open"));
    write(&store, &checkpoints, vec![put(&[0, 0, 0, 1], b"4", 3)]).await;
    moved.changed().await.expect("told");
    assert_eq!(row(&store, &checkpoints, &[0, 0, 0, 1]).await, Some(Bytes::from_static(b"4")));
}

/// Lanes with rows of their own do not disturb each other.
pub async fn two_lanes_write_at_once(harness: &mut dyn Harness) {
    let table = opened(harness, "entities", TableKind::Entity).await;
    let store = harness.store();
    let run = |partition: u8| {
        let (store, table) = (store.clone(), table.clone());
        async move {
            for n in 0..40u8 {
                let rows = vec![put(&[partition, n % 10], &[n], 3 + 2 * u64::from(n))];
                let writes = [TableWrites { table: table.clone(), rows }];
                store.write(&lane(u32::from(partition)), &writes).await.expect("writes");
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::join!(run(0), run(1));
    for partition in 0..2 {
        for n in 0..10u8 {
            assert_eq!(row(&store, &table, &[partition, n]).await, Some(Bytes::copy_from_slice(&[30 + n])));
        }
    }
}
