//! Every byte of a store's folder flipped, every file cut everywhere, missing, emptied and as it was before: it is
//! refused, or a read fails, or what is missing is made again and then all rows are right. Never are rows missing unseen.
//!
//! A sample runs with the other tests; `make damage` runs all and prints the table.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where something is not there")]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::TempDir;
use tidefold_embedded_files::damage::{Case, Noticed, cases, damaged_copy, files, run};
use tidefold_store::contract::{delete, lane, put, table};
use tidefold_store::{Scan, Store, StoreError, Table, TableWrites};
use tidefold_store_embedded::{EmbeddedStore, Settings};
use tidefold_table::{RowWrite, TableId, TableKind};

const CALLS: u64 = 24;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn tables() -> [Table; 3] {
    [
        table("entities", TableKind::Entity),
        table("index", TableKind::Index),
        table("checkpoints", TableKind::Checkpoints),
    ]
}

/// What call `n` writes: entities, an index in which rows move, and a checkpoint that says `n`.
fn call(n: u64) -> [TableWrites; 3] {
    let [entities, index, checkpoints] = tables().map(|table| table.id);
    let stamp = 2 * (n + 1);
    let value = n.to_be_bytes();
    let entity = |k: u64| put(&((n * 7 + k * 13) % 40).to_be_bytes(), &value, stamp + 1);
    let moved =
        [put(&(n % 30).to_be_bytes(), &value, stamp + 1), delete(&((n + 15) % 30).to_be_bytes(), stamp)];
    let of = |table: TableId, rows: Vec<RowWrite>| TableWrites { table, rows };
    [
        of(entities, (0..2).map(entity).collect()),
        of(index, moved.into()),
        of(checkpoints, vec![put(&[0; 4], &value, stamp + 1)]),
    ]
}

/// What stands in each table after calls up to `n`.
fn model(calls: u64) -> [Rows; 3] {
    let mut rows: [Rows; 3] = Default::default();
    for n in 0..calls {
        for (of_table, rows) in call(n).into_iter().zip(&mut rows) {
            for row in of_table.rows {
                match row.value {
                    Some(value) => drop(rows.insert(row.key.to_vec(), value.to_vec())),
                    None => drop(rows.remove(&row.key[..])),
                }
            }
        }
    }
    rows
}

async fn stored(store: &EmbeddedStore) -> Result<[Rows; 3], StoreError> {
    let mut all: [Rows; 3] = Default::default();
    for (table, rows) in tables().iter().zip(&mut all) {
        let found = store.scan(&table.id, &Scan::All { after: None, limit: usize::MAX }).await?;
        rows.extend(found.into_iter().map(|row| (row.key.to_vec(), row.value.to_vec())));
    }
    Ok(all)
}

/// How many calls the checkpoint says were made.
async fn calls(store: &EmbeddedStore) -> Result<u64, StoreError> {
    let [.., checkpoints] = tables();
    let row = store.load(&checkpoints.id, &[Bytes::from_static(&[0; 4])]).await?.remove(0);
    Ok(row.map_or(0, |bytes| u64::from_be_bytes(bytes[..].try_into().unwrap()) + 1))
}

/// Calls `from` to `to`; with `flush`, each sends a table's memory to a file.
async fn fill(folder: &Path, from: u64, to: u64, flush: bool) -> EmbeddedStore {
    let write_buffer_bytes = if flush { 1 } else { Settings::default().write_buffer_bytes };
    let store = EmbeddedStore::open(folder, Settings { write_buffer_bytes, ..Settings::default() }).unwrap();
    store.open(&tables()).await.unwrap();
    for n in from..to {
        store.write(&lane(0), &call(n)).await.unwrap();
    }
    store
}

fn copy(from: &Path, to: &Path) {
    for file in files(from).unwrap() {
        let target = to.join(&file);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        let bytes = std::fs::read(from.join(&file)).unwrap();
        let journal = file.extension().is_some_and(|end| end == "jnl");
        let used = if journal {
            bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1)
        } else {
            bytes.len()
        };
        std::fs::write(target, &bytes[..used]).unwrap();
    }
}

/// A folder as a sudden end leaves it, one that was closed in order, and what was there before; in memory.
async fn folders() -> [TempDir; 3] {
    let shared = Path::new("/dev/shm");
    let new = || if shared.is_dir() { TempDir::new_in(shared).unwrap() } else { TempDir::new().unwrap() };
    let [live, killed, closed, before] = [new(), new(), new(), new()];
    drop(fill(live.path(), 0, CALLS / 3, true).await);
    copy(live.path(), before.path());
    drop(fill(live.path(), CALLS / 3, CALLS / 2, true).await);
    let store = fill(live.path(), CALLS / 2, CALLS, false).await;
    // fjall may still be merging files: a copy is one of one moment if nothing changed meanwhile.
    let content = || -> Vec<_> {
        let read = |file: PathBuf| (std::fs::read(live.path().join(&file)).unwrap_or_default(), file);
        files(live.path()).unwrap().into_iter().map(read).collect()
    };
    loop {
        let before = content();
        std::fs::remove_dir_all(killed.path()).unwrap();
        if catch_unwind(|| copy(live.path(), killed.path())).is_ok() && content() == before {
            break;
        }
    }
    drop(store);
    // Opened once more, its journal has no zeros behind it.
    drop(fill(live.path(), CALLS, CALLS, false).await);
    copy(live.path(), closed.path());
    [killed, closed, before]
}

/// Opens a damaged folder, looks at all rows, folds on from the checkpoint and looks again.
async fn look(folder: &Path, case: &Case) -> Noticed {
    let Ok(store) = EmbeddedStore::open(folder, Settings::default()) else { return Noticed::AtStart };
    if store.open(&tables()).await.is_err() {
        return Noticed::AtRead;
    }
    let (Ok(made), Ok(found)) = (calls(&store).await, stored(&store).await) else { return Noticed::AtRead };
    assert_eq!(found, model(made), "{case:?}: {made} calls are said to be made, and other rows are there");
    for n in made..CALLS {
        if store.write(&lane(0), &call(n)).await.is_err() {
            return Noticed::AtRead;
        }
    }
    match stored(&store).await {
        Ok(rows) => assert_eq!(rows, model(CALLS), "{case:?}: folded again"),
        Err(_) => return Noticed::AtRead,
    }
    if made == CALLS { Noticed::Harmless } else { Noticed::MadeAgain }
}

async fn everything(stride: fn(&Path) -> u64) {
    let [killed, closed, before] = folders().await;
    for (name, folder) in [("killed", &killed), ("closed", &closed)] {
        let cases = cases(folder.path(), before.path(), stride).unwrap();
        let table = run(&cases, |case| {
            let copied = TempDir::new_in(folder.path().parent().unwrap()).unwrap();
            damaged_copy(folder.path(), before.path(), case, copied.path()).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            catch_unwind(AssertUnwindSafe(|| runtime.block_on(look(copied.path(), case))))
                .unwrap_or_else(|_| panic!("{name}: {case:?}"))
        });
        println!("the store's folder, {name}: {} cases\n{table}", cases.len());
    }
}

#[tokio::test]
async fn a_sample_of_all_damage_is_noticed_or_made_good() {
    everything(|file| match file.extension() {
        Some(end) if end == "jnl" => 23,
        _ if file.components().any(|part| part.as_os_str() == "tables") => 41,
        _ => 7,
    })
    .await;
}

#[tokio::test]
#[ignore = "some minutes: make damage"]
async fn all_damage_is_noticed_or_made_good() {
    everything(|_| 1).await;
}

/// Journals that were rotated, and their trees flushed at different times.
#[tokio::test]
async fn a_journal_that_went_missing_is_noticed_whichever_it_is() {
    let shared = Path::new("/dev/shm");
    let new = || if shared.is_dir() { TempDir::new_in(shared).unwrap() } else { TempDir::new().unwrap() };
    let live = new();
    let journals = |folder: &Path| -> Vec<PathBuf> {
        files(folder)
            .unwrap()
            .into_iter()
            .filter(|file| file.extension().is_some_and(|end| end == "jnl"))
            .collect()
    };
    let store =
        EmbeddedStore::open(live.path(), Settings { write_buffer_bytes: 1 << 20, ..Settings::default() })
            .unwrap();
    let [entities, index, _] = tables().map(|table| table.id);
    store.open(&tables()).await.unwrap();
    // One row of the index, which stays in memory for long, and rows of entities until journals follow one another.
    let of = |table: &TableId, row: RowWrite| [TableWrites { table: table.clone(), rows: vec![row] }];
    store.write(&lane(0), &of(&index, put(b"first", b"row", 3))).await.unwrap();
    let mut state = 7u64;
    let mut n = 0u64;
    while journals(live.path()).len() < 2 {
        let noise: Vec<u8> = (0..1 << 20)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        n += 1;
        store.write(&lane(0), &of(&entities, put(&(n % 9).to_be_bytes(), &noise, 2 * n + 9))).await.unwrap();
    }
    // With this write come the marks of the new journal.
    store.write(&lane(0), &of(&entities, put(b"last", b"row", 2 * n + 99))).await.unwrap();
    let all = journals(live.path());
    for missing in &all {
        let copied = new();
        copy(live.path(), copied.path());
        std::fs::remove_file(copied.path().join(missing)).unwrap();
        match EmbeddedStore::open(copied.path(), Settings::default()) {
            Err(refused) => assert!(refused.to_string().contains("damaged"), "{refused}"),
            Ok(begun_anew) => {
                begun_anew.open(&tables()).await.unwrap();
                let rows = begun_anew.scan(&entities, &Scan::All { after: None, limit: 9 }).await.unwrap();
                let first = begun_anew.load(&index, &[Bytes::from_static(b"first")]).await.unwrap();
                let prefix = rows.is_empty() || first.iter().all(Option::is_some);
                assert!(
                    prefix,
                    "without {}: the first write is gone, and later ones are there",
                    missing.display()
                );
                // What is lost with the newest is a suffix; the oldest was needed by a tree that was not flushed.
                assert!(Some(missing) != all.first() || rows.is_empty(), "without {}", missing.display());
            }
        }
    }
    let copied = new();
    copy(live.path(), copied.path());
    let whole = EmbeddedStore::open(copied.path(), Settings::default()).unwrap();
    whole.open(&tables()).await.unwrap();
    let rows = whole.load(&index, &[Bytes::from_static(b"first")]).await.unwrap();
    assert_eq!(rows, [Some(Bytes::from_static(b"row"))]);
}
