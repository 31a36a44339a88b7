//! What a store is tested with: a harness, and calls of it by short names.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tidefold_table::{Row, RowWrite, Stamp, TableId, TableKind};

use super::rows;
use crate::{Lane, Scan, SharedStore, Table, TableWrites};

/// A store under test.
pub trait Harness {
    /// The store.
    fn store(&self) -> SharedStore;

    /// Ends the process that has the store, in good order, and starts another. Nobody else holds the store.
    fn reopen(&mut self);
}

/// A table of this name and kind, as an app has them.
#[must_use]
pub fn table(name: &str, kind: TableKind) -> Table {
    Table { id: TableId::new("contract", name, 1), layout: Arc::new(rows::layout(name, kind)) }
}

/// A put. Its stamp is odd, as a put's is.
#[must_use]
pub fn put(key: &[u8], value: &[u8], stamp: u64) -> RowWrite {
    RowWrite {
        key: Bytes::copy_from_slice(key),
        value: Some(Bytes::copy_from_slice(value)),
        stamp: Stamp(stamp),
    }
}

/// A delete. Its stamp is even.
#[must_use]
pub fn delete(key: &[u8], stamp: u64) -> RowWrite {
    RowWrite { key: Bytes::copy_from_slice(key), value: None, stamp: Stamp(stamp) }
}

/// Lane 0 with a checkpoints table that need not be there.
#[must_use]
pub fn lane(partition: u32) -> Lane {
    Lane { checkpoints: table("checkpoints", TableKind::Checkpoints).id, partition }
}

/// Opens one table.
pub(super) async fn opened(harness: &dyn Harness, name: &str, kind: TableKind) -> TableId {
    let table = table(name, kind);
    harness.store().open(std::slice::from_ref(&table)).await.expect("opens");
    table.id
}

/// Writes to one table, in lane 0.
pub(super) async fn write(store: &SharedStore, table: &TableId, rows: Vec<RowWrite>) {
    let writes = [TableWrites { table: table.clone(), rows }];
    store.write(&lane(0), &writes).await.expect("writes");
}

/// One row.
pub(super) async fn row(store: &SharedStore, table: &TableId, key: &[u8]) -> Option<Bytes> {
    let keys = [Bytes::copy_from_slice(key)];
    store.load(table, &keys).await.expect("loads").remove(0)
}

/// Every row, a page at a time.
pub(super) async fn all(store: &SharedStore, table: &TableId, page: usize) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let scan = Scan::All { after: rows.last().map(|row| row.key.clone()), limit: page };
        let more = store.scan(table, &scan).await.expect("scans");
        if more.is_empty() {
            return rows;
        }
        rows.extend(more);
    }
}

/// What a store has to hold.
pub(super) type Model = BTreeMap<Vec<u8>, (u64, Option<Vec<u8>>)>;

pub(super) fn settle(model: &mut Model, write: &RowWrite) {
    let settled = model.entry(write.key.to_vec()).or_insert((0, None));
    if write.stamp.0 > settled.0 {
        *settled = (write.stamp.0, write.value.as_ref().map(|value| value.to_vec()));
    }
}

pub(super) fn live(model: &Model) -> Vec<(Vec<u8>, Vec<u8>)> {
    model.iter().filter_map(|(key, (_, value))| Some((key.clone(), value.clone()?))).collect()
}

/// Rows by key, whatever the store's own order.
pub(super) fn sorted(rows: Vec<Row>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows: Vec<_> = rows.into_iter().map(|row| (row.key.to_vec(), row.value.to_vec())).collect();
    rows.sort();
    rows
}

/// What an index's row says.
pub(super) async fn words(store: &SharedStore, table: &TableId, name: &str) -> Option<String> {
    row(store, table, &rows::key(name)).await.map(|value| rows::words_of(&value))
}
