//! What a store's folder can be when it should be opened, and what is said of it.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not there")]

use std::fs;
use std::path::Path;

use bytes::Bytes;
use tempfile::TempDir;
use tidefold_store::contract::{lane, put, table};
use tidefold_store::{Store, TableWrites};
use tidefold_store_embedded::{EmbeddedStore, OpenError, Settings};
use tidefold_table::{TableId, TableKind};

fn open(folder: &Path) -> Result<EmbeddedStore, OpenError> {
    EmbeddedStore::open(folder, Settings::default())
}

fn of(identity: &str) -> Settings {
    Settings { identity: Some(identity.to_owned()), ..Settings::default() }
}

async fn filled(folder: &Path) -> TableId {
    let store = open(folder).unwrap();
    let table = table("entities", TableKind::Entity);
    store.open(std::slice::from_ref(&table)).await.unwrap();
    for n in 0..20 {
        let rows = vec![put(&[n], &[n; 100], 3)];
        store.write(&lane(0), &[TableWrites { table: table.id.clone(), rows }]).await.unwrap();
    }
    table.id
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() { found.extend(files(&entry.path())) } else { found.push(entry.path()) }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_folder_has_an_id_that_it_keeps() {
    let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let id = open(one.path()).unwrap().id().to_owned();
    assert_eq!(id.len(), 32);
    assert_eq!(open(one.path()).unwrap().id(), id);
    assert_ne!(open(other.path()).unwrap().id(), id);
}

#[test]
fn a_second_process_is_told_that_the_store_is_in_use() {
    let folder = TempDir::new().unwrap();
    let first = open(folder.path()).unwrap();
    let refused = open(folder.path());
    assert!(matches!(refused, Err(OpenError::InUse { .. })), "{refused:?}");
    drop(first);
    open(folder.path()).unwrap();
}

#[test]
fn a_store_of_another_owner_names_both() {
    let folder = TempDir::new().unwrap();
    drop(EmbeddedStore::open(folder.path(), of("log 1, app storefront")).unwrap());
    drop(EmbeddedStore::open(folder.path(), of("log 1, app storefront")).unwrap());
    let refused = EmbeddedStore::open(folder.path(), of("log 2, app storefront")).unwrap_err().to_string();
    assert!(
        refused.contains("log 1, app storefront") && refused.contains("log 2, app storefront"),
        "{refused}"
    );
    open(folder.path()).unwrap();
}

#[test]
fn a_folder_with_something_else_in_it_is_left_alone() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("letters.txt"), "dear").unwrap();
    let refused = open(folder.path());
    assert!(
        matches!(&refused, Err(OpenError::NotAStore { found, .. }) if found == "letters.txt"),
        "{refused:?}"
    );
    assert_eq!(files(folder.path()).len(), 1);
}

#[test]
fn another_format_names_both_versions() {
    let folder = TempDir::new().unwrap();
    drop(open(folder.path()).unwrap());
    let format = folder.path().join("rows/format");
    let text = fs::read_to_string(&format).unwrap();
    fs::write(&format, text.replace("tidefold-store 1", "tidefold-store 9")).unwrap();
    let refused = open(folder.path());
    assert!(
        matches!(&refused, Err(OpenError::Format { found, reads: 1, .. }) if found == "9"),
        "{refused:?}"
    );
}

#[test]
fn a_first_start_that_was_cut_short_is_started_again() {
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("rows.making/fjall")).unwrap();
    fs::write(folder.path().join("rows.making/fjall/0.jnl"), "half").unwrap();
    open(folder.path()).unwrap();
    open(folder.path()).unwrap();
}

#[tokio::test]
async fn a_copy_that_lacks_any_file_is_not_opened() {
    let whole = TempDir::new().unwrap();
    let table = filled(whole.path()).await;
    for missing in files(&whole.path().join("rows")) {
        if missing.ends_with("rows/closed") {
            continue;
        }
        let copied = TempDir::new().unwrap();
        copy(whole.path(), copied.path());
        let missing = missing.strip_prefix(whole.path()).unwrap();
        fs::remove_file(copied.path().join(missing)).unwrap();
        let refused = open(copied.path());
        assert!(
            matches!(refused, Err(OpenError::Damaged { .. })),
            "without {}: {refused:?}",
            missing.display()
        );
    }
    let copied = TempDir::new().unwrap();
    copy(whole.path(), copied.path());
    let store = open(copied.path()).unwrap();
    store.open(&[tidefold_store::contract::table("entities", TableKind::Entity)]).await.unwrap();
    assert!(store.load(&table, &[Bytes::from_static(&[7])]).await.unwrap()[0].is_some());
}

#[tokio::test]
async fn a_copy_with_a_cut_file_is_not_opened() {
    let whole = TempDir::new().unwrap();
    filled(whole.path()).await;
    for cut in files(&whole.path().join("rows")) {
        let bytes = fs::metadata(&cut).unwrap().len();
        if bytes == 0 || cut.ends_with("rows/closed") {
            continue;
        }
        let copied = TempDir::new().unwrap();
        copy(whole.path(), copied.path());
        let cut = cut.strip_prefix(whole.path()).unwrap();
        fs::File::options().write(true).open(copied.path().join(cut)).unwrap().set_len(bytes / 2).unwrap();
        let refused = open(copied.path());
        assert!(matches!(refused, Err(OpenError::Damaged { .. })), "{} cut: {refused:?}", cut.display());
    }
}

#[tokio::test]
async fn a_damaged_file_is_told_when_it_is_read_at_the_latest() {
    let whole = TempDir::new().unwrap();
    filled(whole.path()).await;
    let journal =
        files(&whole.path().join("rows")).into_iter().find(|f| f.extension().is_some_and(|e| e == "jnl"));
    let mut bytes = fs::read(journal.as_ref().unwrap()).unwrap();
    // Inside the value of the first row, so that every entry still looks like one.
    let at = bytes.windows(100).position(|value| value == [5; 100]).unwrap();
    bytes[at + 50] ^= 1;
    fs::write(journal.unwrap(), bytes).unwrap();
    let refused = open(whole.path());
    assert!(matches!(refused, Err(OpenError::Damaged { .. })), "{refused:?}");
}
