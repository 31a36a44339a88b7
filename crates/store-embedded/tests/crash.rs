//! What is left after a process was killed, and after the machine lost what was not synced: a prefix of the calls.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not there")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use tempfile::TempDir;
use tidefold_store::contract::{delete, lane, put, table};
use tidefold_store::{Scan, Store, Table, TableWrites};
use tidefold_store_embedded::{EmbeddedStore, Settings};
use tidefold_table::{RowWrite, TableId, TableKind};

const ROUNDS: u64 = 10;
const CHILD_FOLDER: &str = "TIDEFOLD_KILL_FOLDER";
const CHILD_FROM: &str = "TIDEFOLD_KILL_FROM";

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn tables() -> [Table; 3] {
    [
        table("entities", TableKind::Entity),
        table("index", TableKind::Index),
        table("checkpoints", TableKind::Checkpoints),
    ]
}

/// What call `n` writes: some entities, an index in which rows move, and a checkpoint that says `n`.
fn call(n: u64) -> [TableWrites; 3] {
    let [entities, index, checkpoints] = tables().map(|table| table.id);
    let stamp = 2 * (n + 1);
    let value = n.to_be_bytes().repeat(12);
    let entity = |k: u64| put(&((n * 7 + k * 13) % 400).to_be_bytes(), &value, stamp + 1);
    let moved =
        [put(&(n % 300).to_be_bytes(), &value, stamp + 1), delete(&((n + 150) % 300).to_be_bytes(), stamp)];
    let of = |table: TableId, rows: Vec<RowWrite>| TableWrites { table, rows };
    [
        of(entities, (0..20).map(entity).collect()),
        of(index, moved.into()),
        of(checkpoints, vec![put(&[0; 4], &n.to_be_bytes(), stamp + 1)]),
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

async fn opened(folder: &Path) -> EmbeddedStore {
    let store = EmbeddedStore::open(folder, Settings::default()).unwrap();
    store.open(&tables()).await.unwrap();
    store
}

async fn stored(store: &EmbeddedStore) -> [Rows; 3] {
    let mut all: [Rows; 3] = Default::default();
    for (table, rows) in tables().iter().zip(&mut all) {
        let found = store.scan(&table.id, &Scan::All { after: None, limit: usize::MAX }).await.unwrap();
        rows.extend(found.into_iter().map(|row| (row.key.to_vec(), row.value.to_vec())));
    }
    all
}

/// How many calls the checkpoint says were made.
async fn calls(store: &EmbeddedStore) -> u64 {
    let [.., checkpoints] = tables();
    let row = store.load(&checkpoints.id, &[Bytes::from_static(&[0; 4])]).await.unwrap().remove(0);
    row.map_or(0, |bytes| u64::from_be_bytes(bytes[..].try_into().unwrap()) + 1)
}

/// Not a behaviour: what the killed process does. It writes, and prints each call that was acknowledged.
#[tokio::test]
async fn child() {
    let Ok(folder) = std::env::var(CHILD_FOLDER) else { return };
    let from: u64 = std::env::var(CHILD_FROM).unwrap().parse().unwrap();
    let store = opened(Path::new(&folder)).await;
    for n in from.. {
        store.write(&lane(0), &call(n)).await.unwrap();
        println!("{n}");
    }
}

#[tokio::test]
async fn a_killed_process_loses_nothing_acknowledged_and_leaves_a_prefix() {
    let folder = TempDir::new().unwrap();
    let mut from = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads", "1"])
            .env(CHILD_FOLDER, folder.path())
            .env(CHILD_FROM, from.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let goal = from + 30 + round * 97 % 400;
        let mut acknowledged = from;
        // The first number may stand behind what the test harness prints.
        for line in BufReader::new(child.stdout.as_mut().unwrap()).lines().map_while(Result::ok) {
            if let Some(n) = line.rsplit(' ').next().and_then(|word| word.parse::<u64>().ok()) {
                acknowledged = n + 1;
            }
            if acknowledged >= goal {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(acknowledged >= goal, "round {round}: the child ended by itself");

        let store = opened(folder.path()).await;
        let made = calls(&store).await;
        assert!(made >= acknowledged, "round {round}: {acknowledged} were acknowledged, {made} are there");
        assert_eq!(stored(&store).await, model(made), "round {round}");
        // The last calls again, as after a restart from an older checkpoint: nothing goes back.
        for n in made.saturating_sub(20)..made {
            store.write(&lane(0), &call(n)).await.unwrap();
            assert_eq!(calls(&store).await, made);
        }
        assert_eq!(stored(&store).await, model(made), "round {round}, last calls repeated");
        from = made;
    }
}

#[tokio::test]
async fn a_journal_cut_anywhere_leaves_a_prefix_of_the_calls() {
    let whole = TempDir::new().unwrap();
    const CALLS: u64 = 12;
    let store = opened(whole.path()).await;
    for n in 0..CALLS {
        store.write(&lane(0), &call(n)).await.unwrap();
    }
    drop(store);
    let journal = Path::new("rows/fjall/0.jnl");
    let bytes = std::fs::read(whole.path().join(journal)).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut lengths = std::collections::BTreeSet::new();
    for cut in (0..written).step_by(written / 60).chain([written]) {
        let folder = TempDir::new().unwrap();
        copy(whole.path(), folder.path());
        // A machine that lost power did not close the store.
        std::fs::remove_file(folder.path().join("rows/closed")).unwrap();
        std::fs::write(folder.path().join(journal), &bytes[..cut]).unwrap();
        let store = opened(folder.path()).await;
        let made = calls(&store).await;
        assert_eq!(stored(&store).await, model(made), "cut at {cut} of {written}");
        for n in made..CALLS {
            store.write(&lane(0), &call(n)).await.unwrap();
        }
        assert_eq!(stored(&store).await, model(CALLS), "cut at {cut} of {written}, written again");
        lengths.insert(made);
    }
    assert_eq!(lengths, (0..=CALLS).collect(), "each prefix is seen");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.path().extension().is_none_or(|end| end != "jnl") {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
