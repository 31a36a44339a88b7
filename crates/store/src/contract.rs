//! The suite every store must pass: one function a behaviour, and [`store_contract!`](crate::store_contract) to make a
//! test of each.
//!
//! ```ignore
//! tidefold_store::store_contract!(MyHarness::new());
//! ```
#![expect(clippy::expect_used, reason = "a behaviour that does not hold fails its test")]

mod bounds;
mod layouts;
mod reading;
mod rows;
mod writing;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tidefold_table::{Row, RowWrite, Stamp, TableId, TableKind};

pub use self::bounds::*;
pub use self::layouts::*;
pub use self::reading::*;
pub use self::rows::group;
pub use self::writing::*;
use crate::{Lane, Scan, SharedStore, Table, TableWrites};

/// A store under test.
pub trait Harness {
    /// The store.
    fn store(&self) -> SharedStore;

    /// Ends the process that has the store, in good order, and starts another. Nobody else holds the store.
    fn reopen(&mut self);
}

/// Makes a `#[tokio::test]` of every behaviour; the argument makes a [`Harness`](crate::contract::Harness), behind
/// attributes of the tests in brackets, if they have some.
#[macro_export]
macro_rules! store_contract {
    ([$($attribute:tt)*] $harness:expr) => {
        $crate::store_contract!(@each [$($attribute)*] $harness;
            last_stamp_wins_in_any_order, a_delete_settles_by_stamp_like_a_put, equal_stamps_change_nothing,
            random_writes_settle_like_the_model, repeated_writes_and_deletes_in_one_table_settle,
            load_keeps_the_order_of_keys, values_are_kept_to_the_byte, open_is_idempotent,
            unopened_tables_are_refused, dropped_tables_are_empty, reopened_rows_are_there,
            stamps_outlive_a_reopen, checkpoint_writes_are_told, two_lanes_write_at_once,
            a_range_goes_through_a_prefix, a_range_ends_where_told, a_prefix_of_the_largest_bytes_has_an_end,
            deleted_rows_are_not_scanned, pages_cover_each_row_once, columns_are_scanned_like_bytes,
            columns_of_every_key_type_are_kept, verdicts_are_scanned_by_position,
            rows_at_the_bounds_are_kept,
        );
    };
    ($harness:expr) => {
        $crate::store_contract!([] $harness);
    };
    (@each $attributes:tt $harness:expr; $($behaviour:ident),+ $(,)?) => {
        $($crate::store_contract!(@one $attributes $harness; $behaviour);)+
    };
    (@one [$($attribute:tt)*] $harness:expr; $behaviour:ident) => {
        $($attribute)*
        #[tokio::test]
        async fn $behaviour() {
            $crate::contract::$behaviour(&mut $harness).await;
        }
    };
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
async fn opened(harness: &dyn Harness, name: &str, kind: TableKind) -> TableId {
    let table = table(name, kind);
    harness.store().open(std::slice::from_ref(&table)).await.expect("opens");
    table.id
}

/// Writes to one table, in lane 0.
async fn write(store: &SharedStore, table: &TableId, rows: Vec<RowWrite>) {
    let writes = [TableWrites { table: table.clone(), rows }];
    store.write(&lane(0), &writes).await.expect("writes");
}

/// One row.
async fn row(store: &SharedStore, table: &TableId, key: &[u8]) -> Option<Bytes> {
    let keys = [Bytes::copy_from_slice(key)];
    store.load(table, &keys).await.expect("loads").remove(0)
}

/// Every row, a page at a time.
async fn all(store: &SharedStore, table: &TableId, page: usize) -> Vec<Row> {
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
type Model = BTreeMap<Vec<u8>, (u64, Option<Vec<u8>>)>;

fn settle(model: &mut Model, write: &RowWrite) {
    let settled = model.entry(write.key.to_vec()).or_insert((0, None));
    if write.stamp.0 > settled.0 {
        *settled = (write.stamp.0, write.value.as_ref().map(|value| value.to_vec()));
    }
}

fn live(model: &Model) -> Vec<(Vec<u8>, Vec<u8>)> {
    model.iter().filter_map(|(key, (_, value))| Some((key.clone(), value.clone()?))).collect()
}

/// Rows by key, whatever the store's own order.
fn sorted(rows: Vec<Row>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows: Vec<_> = rows.into_iter().map(|row| (row.key.to_vec(), row.value.to_vec())).collect();
    rows.sort();
    rows
}
