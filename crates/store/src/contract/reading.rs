//! What loads and scans return.

use bytes::Bytes;
use tidefold_codec::ordered::{self, KeyColumn};
use tidefold_codec::{Datum, Type};
use tidefold_table::{Row, RowWrite, TableId, TableKind};

use super::harness::{Harness, all, opened, put, write};
use super::layouts::{value_of_nulls, view};
use super::rows::{gone, item, key, layout};
use crate::{Scan, SharedStore};

/// Rows come in the order of the keys asked for, absent ones too, and a key asked for twice comes twice.
pub async fn load_keeps_the_order_of_keys(harness: &mut dyn Harness) {
    let table = opened(harness, "entities", TableKind::Entity).await;
    let store = harness.store();
    write(&store, &table, vec![put(b"a", b"1", 3), put(b"b", b"2", 3)]).await;
    let keys = [b"b", b"x", b"a", b"b"].map(|key| Bytes::from_static(key));
    let rows = store.load(&table, &keys).await.expect("loads");
    let text = |value| Some(Bytes::from_static(value));
    assert_eq!(rows, [text(b"2"), None, text(b"1"), text(b"2")]);
    assert_eq!(store.load(&table, &[]).await.expect("loads"), []);
}

/// Keys and values are bytes: empty values, every byte, long ones.
pub async fn values_are_kept_to_the_byte(harness: &mut dyn Harness) {
    let table = opened(harness, "entities", TableKind::Entity).await;
    let store = harness.store();
    let every: Vec<u8> = (0..=255).collect();
    let long = vec![0xAB; 300_000];
    let key_1024 = vec![0xFE; 1024];
    let rows: [(&[u8], &[u8]); 6] = [
        (b"empty", b""),
        (b"\xFF\xFF", b"\xFF"),
        (b"\0", b"\0\0"),
        (&every, &every),
        (b"long", &long),
        (&key_1024, b"1"),
    ];
    write(&store, &table, rows.iter().map(|(key, value)| put(key, value, 3)).collect()).await;
    let keys: Vec<Bytes> = rows.iter().map(|(key, _)| Bytes::copy_from_slice(key)).collect();
    let loaded = store.load(&table, &keys).await.expect("loads");
    for ((key, value), loaded) in rows.iter().zip(&loaded) {
        assert_eq!(loaded.as_deref(), Some(*value), "row {key:?}");
    }
    assert_eq!(all(&store, &table, 2).await.len(), rows.len());
}

/// A range has the rows of its prefix alone, in key order, up to its limit.
pub async fn a_range_goes_through_a_prefix(harness: &mut dyn Harness) {
    let (store, table) = alphabet(harness).await;
    assert_eq!(range(&store, &table, "b", None, None, 9).await, ["b", "b1", "b2", "b3"]);
    assert_eq!(range(&store, &table, "b", None, None, 2).await, ["b", "b1"]);
    assert_eq!(range(&store, &table, "x", None, None, 9).await, [""; 0]);
    assert_eq!(range(&store, &table, "b", None, None, 0).await, [""; 0]);
}

/// `from` is the first key, `until` the first one no more; neither leads out of the prefix.
pub async fn a_range_ends_where_told(harness: &mut dyn Harness) {
    let (store, table) = alphabet(harness).await;
    assert_eq!(range(&store, &table, "b", Some("b1"), Some("b3"), 9).await, ["b1", "b2"]);
    assert_eq!(range(&store, &table, "b", Some("b15"), None, 9).await, ["b2", "b3"]);
    assert_eq!(range(&store, &table, "b", Some("a"), Some("z"), 9).await, ["b", "b1", "b2", "b3"]);
    assert_eq!(range(&store, &table, "b", Some("b3"), Some("b1"), 9).await, [""; 0]);
    assert_eq!(range(&store, &table, "b", Some("b2"), Some("b2"), 9).await, [""; 0]);
}

/// A prefix that has no successor, or one in a shorter key, ends where its rows do.
pub async fn a_prefix_of_the_largest_bytes_has_an_end(harness: &mut dyn Harness) {
    const MOST: i64 = i64::MAX;
    let table = view("largest", TableKind::Index, &[Type::Long], &[(Type::Long, false), (Type::Long, false)]);
    let store = harness.store();
    store.open(std::slice::from_ref(&table)).await.expect("opens");
    let key = |parts: &[i64]| {
        let (mut key, column) = (Vec::new(), KeyColumn { ty: Type::Long, descending: false });
        parts.iter().for_each(|part| ordered::encode(&column, Datum::Long(*part), &mut key));
        key
    };
    let rows = [[5, MOST - 1, 0], [5, MOST, 0], [5, MOST, MOST], [6, 0, 0], [MOST, 0, 0], [MOST, MOST, 1]];
    let value = value_of_nulls(&table.layout, 3);
    write(&store, &table.id, rows.iter().map(|row| put(&key(row), &value, 3)).collect()).await;
    for (prefix, rows) in [(&[5, MOST][..], 2), (&[MOST], 2), (&[MOST, MOST], 1), (&[MOST; 3], 0)] {
        let prefix = key(prefix);
        let scan = Scan::Range {
            prefix: table.layout.prefix(prefix.clone().into()).expect("has a whole partition key"),
            from: None,
            until: None,
            limit: 10,
        };
        let found = store.scan(&table.id, &scan).await.expect("scans");
        assert_eq!(found.len(), rows, "prefix {prefix:?}");
        assert!(found.iter().all(|row| row.key.starts_with(&prefix)));
        assert!(found.is_sorted_by(|a, b| a.key < b.key));
    }
}

/// A deleted row is in no scan and takes no place of its limit.
pub async fn deleted_rows_are_not_scanned(harness: &mut dyn Harness) {
    let (store, table) = alphabet(harness).await;
    write(&store, &table, vec![gone("b1", 8), gone("b2", 8)]).await;
    assert_eq!(range(&store, &table, "b", None, None, 2).await, ["b", "b3"]);
    assert_eq!(all(&store, &table, 2).await.len(), 4);
}

/// Pages of the whole table have each row once, whatever else is written in between.
pub async fn pages_cover_each_row_once(harness: &mut dyn Harness) {
    let table = opened(harness, "entities", TableKind::Entity).await;
    let store = harness.store();
    let key = |n: u32| [b"row-".as_slice(), &n.to_be_bytes()].concat();
    write(&store, &table, (0..500).map(|n| put(&key(n), b"1", 3)).collect()).await;
    let mut seen: Vec<Bytes> = Vec::new();
    loop {
        let scan = Scan::All { after: seen.last().cloned(), limit: 33 };
        let page = store.scan(&table, &scan).await.expect("scans");
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|row| row.key));
        let other = u64::try_from(seen.len()).expect("fits");
        let rows: Vec<RowWrite> = vec![put(format!("other-{other}").as_bytes(), b"1", 5 + 2 * other)];
        write(&store, &table, rows).await;
    }
    let mut rows: Vec<Bytes> = seen.into_iter().filter(|key| key.starts_with(b"row-")).collect();
    rows.sort();
    assert_eq!(rows, (0..500).map(|n| Bytes::from(key(n))).collect::<Vec<_>>());
}

const ALPHABET: [&str; 6] = ["a", "b", "b1", "b2", "b3", "c"];

async fn alphabet(harness: &mut dyn Harness) -> (SharedStore, TableId) {
    let table = opened(harness, "index", TableKind::Index).await;
    let store = harness.store();
    write(&store, &table, ALPHABET.iter().map(|name| item(name, "1", 3)).collect()).await;
    (store, table)
}

/// The rows of partition `partition`, by their names.
async fn range(
    store: &SharedStore,
    table: &TableId,
    partition: &str,
    from: Option<&str>,
    until: Option<&str>,
    limit: usize,
) -> Vec<&'static str> {
    let mut prefix = Vec::new();
    ordered::encode(&KeyColumn { ty: Type::String, descending: false }, Datum::Text(partition), &mut prefix);
    let scan = Scan::Range {
        prefix: layout("index", TableKind::Index).prefix(prefix.into()).expect("is a whole partition key"),
        from: from.map(|name| key(name).into()),
        until: until.map(|name| key(name).into()),
        limit,
    };
    let rows = store.scan(table, &scan).await.expect("scans");
    let name = |row: &Row| ALPHABET.into_iter().find(|name| key(name) == row.key).unwrap_or("another");
    rows.iter().map(name).collect()
}
