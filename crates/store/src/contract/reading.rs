//! What loads and scans return.

use bytes::Bytes;
use tidefold_table::{Prefix, RowWrite, TableId, TableKind};

use super::{Harness, all, delete, opened, put, table, write};
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
    assert_eq!(range(&store, &table, b"b", None, None, 9).await, ["b", "b1", "b2", "b3"]);
    assert_eq!(range(&store, &table, b"b", None, None, 2).await, ["b", "b1"]);
    assert_eq!(range(&store, &table, b"x", None, None, 9).await, [""; 0]);
    assert_eq!(range(&store, &table, b"b", None, None, 0).await, [""; 0]);
}

/// `from` is the first key, `until` the first one no more; neither leads out of the prefix.
pub async fn a_range_ends_where_told(harness: &mut dyn Harness) {
    let (store, table) = alphabet(harness).await;
    assert_eq!(range(&store, &table, b"b", Some(b"b1"), Some(b"b3"), 9).await, ["b1", "b2"]);
    assert_eq!(range(&store, &table, b"b", Some(b"b15"), None, 9).await, ["b2", "b3"]);
    assert_eq!(range(&store, &table, b"b", Some(b"a"), Some(b"z"), 9).await, ["b", "b1", "b2", "b3"]);
    assert_eq!(range(&store, &table, b"b", Some(b"b3"), Some(b"b1"), 9).await, [""; 0]);
    assert_eq!(range(&store, &table, b"b", Some(b"b2"), Some(b"b2"), 9).await, [""; 0]);
}

/// A prefix that has no successor, or one in a shorter key, ends where its rows do.
pub async fn a_prefix_of_the_largest_bytes_has_an_end(harness: &mut dyn Harness) {
    let table = opened(harness, "index", TableKind::Index).await;
    let store = harness.store();
    let keys: [&[u8]; 6] = [b"a\xFE", b"a\xFF", b"a\xFF\xFF", b"b", b"\xFF", b"\xFF\xFF\x01"];
    write(&store, &table, keys.iter().map(|key| put(key, b"1", 3)).collect()).await;
    for (prefix, rows) in [(&b"a\xFF"[..], 2), (b"\xFF", 2), (b"\xFF\xFF", 1), (b"\xFF\xFF\xFF", 0)] {
        let scan = Scan::Range { prefix: bytes_prefix(prefix), from: None, until: None, limit: 10 };
        let found = store.scan(&table, &scan).await.expect("scans");
        assert_eq!(found.len(), rows, "prefix {prefix:?}");
        assert!(found.iter().all(|row| row.key.starts_with(prefix)));
        assert!(found.is_sorted_by(|a, b| a.key < b.key));
    }
}

/// A deleted row is in no scan and takes no place of its limit.
pub async fn deleted_rows_are_not_scanned(harness: &mut dyn Harness) {
    let (store, table) = alphabet(harness).await;
    write(&store, &table, vec![delete(b"b1", 8), delete(b"b2", 8)]).await;
    assert_eq!(range(&store, &table, b"b", None, None, 2).await, ["b", "b3"]);
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

async fn alphabet(harness: &mut dyn Harness) -> (SharedStore, TableId) {
    let table = opened(harness, "index", TableKind::Index).await;
    let store = harness.store();
    let keys: [&[u8]; 6] = [b"a", b"b", b"b1", b"b2", b"b3", b"c"];
    write(&store, &table, keys.iter().map(|key| put(key, b"1", 3)).collect()).await;
    (store, table)
}

async fn range(
    store: &SharedStore,
    table: &TableId,
    prefix: &[u8],
    from: Option<&[u8]>,
    until: Option<&[u8]>,
    limit: usize,
) -> Vec<String> {
    let scan = Scan::Range {
        prefix: bytes_prefix(prefix),
        from: from.map(Bytes::copy_from_slice),
        until: until.map(Bytes::copy_from_slice),
        limit,
    };
    let rows = store.scan(table, &scan).await.expect("scans");
    rows.iter().map(|row| String::from_utf8_lossy(&row.key).into_owned()).collect()
}

/// A prefix in a table whose rows are bytes.
fn bytes_prefix(prefix: &[u8]) -> Prefix {
    let layout = table("index", TableKind::Index).layout;
    layout.prefix(Bytes::copy_from_slice(prefix)).expect("any bytes do")
}
