//! Torn tails, flipped bits and missing files: what was acknowledged is there, or the log says what is wrong. It never
//! returns a wrong record.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use support::*;

/// A folder of a log with a few appends, copied while it was open; with the journal's length after each append and where the
/// partitions ended then.
async fn killed() -> (tempfile::TempDir, Vec<(usize, Vec<u64>)>) {
    let (live, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = opened(live.path(), Default::default()).await;
    let journal = live.path().join(newest_journal(live.path()));
    let length = || used(&fs::read(&journal).unwrap());
    let mut history = vec![(length(), vec![0, 0])];
    for i in 0..12 {
        append(&log, i % PARTITIONS, 1 + u64::from(i) * 2).await;
        history.push((length(), ends(&log).await.unwrap()));
    }
    copy(live.path(), copied.path());
    (copied, history)
}

/// Where the partitions ended when the journal had so many bytes.
fn known(history: &[(usize, Vec<u64>)], bytes: usize) -> Vec<u64> {
    history.iter().rev().find(|(length, _)| *length <= bytes).map_or(vec![0, 0], |(_, ends)| ends.clone())
}

#[tokio::test]
async fn a_journal_cut_anywhere_keeps_what_was_acknowledged_before() {
    let (folder, history) = killed().await;
    let journal = newest_journal(folder.path());
    let whole = fs::read(folder.path().join(&journal)).unwrap();
    let (begin, end) = (history[0].0, history.last().unwrap().0);
    let near_ends = history.iter().flat_map(|(length, _)| [length - 1, *length]);
    for cut in (begin..end).step_by(499).chain(near_ends).filter(|cut| *cut >= begin) {
        for preallocated in [true, false] {
            let scratch = tempfile::tempdir().unwrap();
            copy(folder.path(), scratch.path());
            let file = scratch.path().join(&journal);
            write_sparse(&file, &whole[..cut], if preallocated { 1 << 20 } else { cut as u64 });
            let found = look(scratch.path()).await.unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
            assert_eq!(found, known(&history, cut), "cut at {cut}");
            let log = opened(scratch.path(), small()).await;
            append(&log, 0, 5).await;
            drop(log);
            assert_eq!(look(scratch.path()).await.unwrap()[0], found[0] + 5, "cut at {cut}: it goes on");
        }
    }
}

#[tokio::test]
async fn a_last_write_with_sectors_missing_is_cut_off() {
    let (folder, history) = killed().await;
    let journal = newest_journal(folder.path());
    let whole = fs::read(folder.path().join(&journal)).unwrap();
    let (begin, end) = (history[history.len() - 2].0, history.last().unwrap().0);
    assert!(end - begin > 2_000, "the last write spans sectors");
    for sector in begin / 512..=end / 512 {
        let scratch = tempfile::tempdir().unwrap();
        copy(folder.path(), scratch.path());
        let mut torn = whole[..end].to_vec();
        torn[(sector * 512).max(begin)..((sector + 1) * 512).min(end)].fill(0);
        write_sparse(&scratch.path().join(&journal), &torn, 1 << 20);
        let found = look(scratch.path()).await.unwrap_or_else(|error| panic!("sector {sector}: {error}"));
        assert_eq!(found, known(&history, begin), "sector {sector}");
    }
}

/// Looks at a folder in a task of its own, so that a panic is an answer too.
async fn alone(folder: PathBuf) -> Result<Result<Vec<u64>, String>, tokio::task::JoinError> {
    let mut task = tokio::task::JoinSet::new();
    task.spawn(async move { look(&folder).await });
    task.join_next().await.unwrap()
}

/// Flips one bit in a copy and looks at it; what was acknowledged must be there unless an error says otherwise.
async fn flip(folder: &Path, file: &Path, at: usize, bit: u8, expected: &[u64]) -> bool {
    let scratch = tempfile::tempdir().unwrap();
    copy(folder, scratch.path());
    let path = scratch.path().join(file);
    let file_open = fs::File::options().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    file_open.read_exact_at(&mut byte, at as u64).unwrap();
    file_open.write_all_at(&[byte[0] ^ (1 << bit)], at as u64).unwrap();
    let place = scratch.path().to_owned();
    // fjall may panic over damage it does not expect; that is loud enough, and no wrong record.
    let found = alone(place).await;
    match found {
        Ok(Ok(ends)) => {
            assert_eq!(ends, expected, "bit {bit} of byte {at} of {} lost records unseen", file.display());
            false
        }
        Ok(Err(error)) => {
            assert!(!error.is_empty());
            true
        }
        Err(panicked) => {
            let panic = panicked.into_panic();
            let text = panic.downcast_ref::<String>().map_or("", String::as_str);
            assert!(!text.contains("wrong record") && !text.contains("unseen"), "{}: {text}", file.display());
            true
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_in_the_journal_is_detected() {
    let (folder, history) = killed().await;
    let journal = newest_journal(folder.path());
    let (end, expected) = history.last().unwrap();
    for at in (0..*end).step_by(199).chain(end - 14..*end) {
        let bit = (at % 8) as u8;
        let detected = flip(folder.path(), &journal, at, bit, expected).await;
        assert!(detected, "bit {bit} of byte {at} of the journal's {end} went unseen");
    }
}

/// A folder with records in tables and blob files as well as in the journal.
async fn with_tables() -> (tempfile::TempDir, Vec<u64>) {
    let live = tempfile::tempdir().unwrap();
    let tables =
        |folder: &Path| files(folder).iter().filter(|f| f.to_string_lossy().contains("/tables/")).count();
    let log = opened(live.path(), small()).await;
    let before = tables(live.path());
    let mut rounds = 0;
    while tables(live.path()) < before + 2 || rounds < 20 {
        append(&log, rounds % PARTITIONS, if rounds % 3 == 0 { 1 } else { 60 }).await;
        rounds += 1;
    }
    let expected = ends(&log).await.unwrap();
    drop(log);
    let copied = tempfile::tempdir().unwrap();
    copy(live.path(), copied.path());
    assert_eq!(look(copied.path()).await.unwrap(), expected);
    // That look closed it in order; what follows is about folders that were not.
    fs::remove_file(copied.path().join("closed")).unwrap();
    (copied, expected)
}

#[tokio::test]
async fn a_flipped_bit_anywhere_never_gives_a_wrong_record() {
    let (folder, expected) = with_tables().await;
    let mut detected = 0;
    for file in files(folder.path()) {
        let length = used(&fs::read(folder.path().join(&file)).unwrap());
        let places = (0..length).step_by((length / 12).max(1));
        for at in places {
            detected += u32::from(flip(folder.path(), &file, at, (at % 8) as u8, &expected).await);
        }
    }
    assert!(detected > 20, "only {detected} flips were detected");
}

#[tokio::test]
async fn a_folder_with_any_one_file_missing_is_refused_or_whole() {
    let (folder, expected) = with_tables().await;
    let mut refused: Vec<PathBuf> = Vec::new();
    for file in files(folder.path()) {
        let scratch = tempfile::tempdir().unwrap();
        copy(folder.path(), scratch.path());
        fs::remove_file(scratch.path().join(&file)).unwrap();
        let place = scratch.path().to_owned();
        match alone(place).await {
            Ok(Ok(found)) => assert_eq!(found, expected, "{} went missing unseen", file.display()),
            Ok(Err(_)) | Err(_) => refused.push(file),
        }
    }
    let journal = newest_journal(folder.path());
    for needed in [Path::new("format"), &journal] {
        assert!(
            refused.iter().any(|file| file == needed),
            "{} is needed; refused: {refused:?}",
            needed.display()
        );
    }
}
