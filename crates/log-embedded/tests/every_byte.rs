//! Every byte of a log's folder flipped, every file cut everywhere, missing, emptied and as it was before: of a log that
//! was closed in order everything is there or it is refused; of one that was not, the newest writes may be cut off.
//!
//! A sample runs with the other tests; `make damage` runs all and prints the table.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use support::*;
use tempfile::TempDir;
use tidefold_embedded_files::damage::{self, Case, Harm, Noticed};
use tidefold_log::{Log as _, TopicSpec};
use tidefold_log_embedded::{EmbeddedLog, Settings};
use tidefold_record::{BatchBuilder, Headers, Partition, TopicName};

fn new() -> TempDir {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { TempDir::new_in(shared).unwrap() } else { TempDir::new().unwrap() }
}

/// Appends until there are two tables more.
async fn fill(folder: &Path) -> EmbeddedLog {
    let tables = || files(folder).iter().filter(|file| file.to_string_lossy().contains("/tables/")).count();
    let settings = Settings { memtable_bytes: 4 << 10, ..Settings::default() };
    let log = opened(folder, settings).await;
    let before = tables();
    for round in 0.. {
        append(&log, round % PARTITIONS, if round % 3 == 0 { 1 } else { 10 }).await;
        if round > 5 && tables() > before {
            break;
        }
    }
    log
}

/// A folder as a sudden end leaves it, one that was closed in order and one from before; with where partitions ended in the
/// first two, and where they ended in the killed one after each append.
async fn folders() -> ([TempDir; 3], Vec<Vec<u64>>) {
    let [live, killed, closed, before] = [new(), new(), new(), new()];
    drop(fill(live.path()).await);
    copy(live.path(), before.path());
    drop(fill(live.path()).await);
    let log = opened(live.path(), Settings::default()).await;
    let mut history = vec![ends(&log).await.unwrap()];
    for i in 0..6 {
        append(&log, i % PARTITIONS, 1 + u64::from(i)).await;
        history.push(ends(&log).await.unwrap());
    }
    loop {
        let content = || -> Vec<_> {
            files(live.path())
                .into_iter()
                .map(|f| (std::fs::read(live.path().join(&f)).unwrap_or_default(), f))
                .collect()
        };
        let before = content();
        std::fs::remove_dir_all(killed.path()).unwrap();
        if catch_unwind(|| copy(live.path(), killed.path())).is_ok() && content() == before {
            break;
        }
    }
    drop(log);
    // Opened once more, its journal has no zeros behind it.
    drop(opened(live.path(), Settings::default()).await);
    copy(live.path(), closed.path());
    std::fs::copy(live.path().join("closed"), closed.path().join("closed")).unwrap();
    ([killed, closed, before], history)
}

/// What is found in a damaged folder. A journal that breaks off is what a sudden end leaves.
async fn find(folder: &Path, case: &Case, history: &[Vec<u64>], killed: bool) -> Noticed {
    let Ok(log) = EmbeddedLog::open(folder, small()) else { return Noticed::AtStart };
    let Ok(found) = ends(&log).await else { return Noticed::AtRead };
    if history.last() == Some(&found) {
        return Noticed::Harmless;
    }
    let shorter = case.file.extension().is_some_and(|end| end == "jnl")
        && matches!(case.harm, Harm::Cut(_) | Harm::Older);
    assert!(killed && shorter && history.contains(&found), "{case:?}: records are missing unseen: {found:?}");
    Noticed::CutOff
}

async fn everything(stride: fn(&Path) -> u64) {
    let ([killed, closed, before], history) = folders().await;
    for (name, folder) in [("killed", &killed), ("closed", &closed)] {
        let cases = damage::cases(folder.path(), before.path(), stride).unwrap();
        let table = damage::run(&cases, |case| {
            let copied = new();
            damage::damaged_copy(folder.path(), before.path(), case, copied.path()).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let find = find(copied.path(), case, &history, name == "killed");
            catch_unwind(AssertUnwindSafe(|| runtime.block_on(find)))
                .unwrap_or_else(|_| panic!("{name}: {case:?}"))
        });
        println!("the log's folder, {name}: {} cases\n{table}", cases.len());
    }
}

#[tokio::test]
async fn a_sample_of_all_damage_is_noticed() {
    everything(|file| match file.extension() {
        Some(end) if end == "jnl" => 53,
        _ if file.components().any(|part| part.as_os_str() == "tables" || part.as_os_str() == "blobs") => 61,
        _ => 7,
    })
    .await;
}

#[tokio::test]
#[ignore = "some minutes: make damage"]
async fn all_damage_is_noticed() {
    everything(|_| 1).await;
}

/// Journals that were rotated: one topic's records lie in files, another's in the journals alone.
#[tokio::test]
async fn a_journal_that_went_missing_is_noticed_whichever_it_is() {
    let live = new();
    let log = opened(live.path(), Settings { memtable_bytes: 1 << 20, ..Settings::default() }).await;
    append(&log, 0, 1).await;
    let other = TopicName::new("app.large");
    log.open(&TopicSpec { name: other.clone(), partitions: 1, create: true }).await.unwrap();
    let journals = |folder: &Path| -> Vec<_> {
        files(folder).into_iter().filter(|file| file.extension().is_some_and(|end| end == "jnl")).collect()
    };
    let large = async |bytes: usize| {
        let mut batch = BatchBuilder::new();
        batch.push(Some(b"key"), Some(&vec![7; bytes]), Headers::default());
        log.append(&other, Partition(0), batch).await.unwrap();
    };
    while journals(live.path()).len() < 2 {
        large(2 << 20).await;
    }
    // With this write come the marks of the new journal; a topic's creation is a write as well.
    large(1).await;
    let third = TopicName::new("app.third");
    log.open(&TopicSpec { name: third, partitions: 1, create: true }).await.unwrap();
    let end = log.bounds(&other, Partition(0)).await.unwrap().end;
    for missing in journals(live.path()) {
        let copied = new();
        copy(live.path(), copied.path());
        std::fs::remove_file(copied.path().join(&missing)).unwrap();
        let refused = EmbeddedLog::open(copied.path(), Settings::default());
        let said = refused.err().map(|error| error.to_string());
        assert!(
            said.as_ref().is_some_and(|said| said.contains("damaged")),
            "without {}: {said:?}",
            missing.display()
        );
    }
    let copied = new();
    copy(live.path(), copied.path());
    let whole = EmbeddedLog::open(copied.path(), Settings::default()).unwrap();
    assert_eq!(whole.bounds(&other, Partition(0)).await.unwrap().end, end);
    assert_eq!(ends(&whole).await.unwrap(), [1, 0]);
}
