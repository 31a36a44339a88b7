//! What the tests of damage share: a log with known records, copies of its folder, and a look at all it returns.

#![allow(dead_code, reason = "each test crate takes what it needs")]

use std::fs;
use std::path::Path;

use tidefold_log::{Log, LogError, ReadLimit, TopicSpec};
use tidefold_log_embedded::{EmbeddedLog, Settings};
use tidefold_record::{BatchBuilder, Headers, Offset, Partition, TopicName};

pub const PARTITIONS: u32 = 2;

pub fn topic() -> TopicName {
    TopicName::new("app.orders")
}

/// Settings under which tables are written early.
pub fn small() -> Settings {
    Settings { memtable_bytes: 64 << 10, ..Settings::default() }
}

pub async fn opened(folder: &Path, settings: Settings) -> EmbeddedLog {
    let log = EmbeddedLog::open(folder, settings).unwrap();
    log.open(&TopicSpec { name: topic(), partitions: PARTITIONS, create: true }).await.unwrap();
    log
}

/// The one value that may stand at an offset.
pub fn value(partition: u32, offset: u64) -> Vec<u8> {
    let size = 1 + (offset * 37 + u64::from(partition) * 11) % 300;
    (0..size).map(|i| (offset * 131 + i * 29 + u64::from(partition)) as u8).collect()
}

/// Appends the records that belong behind the end.
pub async fn append(log: &EmbeddedLog, partition: u32, count: u64) {
    let end = log.bounds(&topic(), Partition(partition)).await.unwrap().end;
    let mut batch = BatchBuilder::new();
    for offset in end.0..end.0 + count {
        batch.push(Some(b"key"), Some(&value(partition, offset)), Headers::default());
    }
    let appended = log.append(&topic(), Partition(partition), batch).await.unwrap();
    assert_eq!(appended.offset(0), Ok(end));
}

/// Where each partition ends, once every record there proves right. An error is one that the log gave.
pub async fn ends(log: &EmbeddedLog) -> Result<Vec<u64>, LogError> {
    let mut ends = Vec::new();
    for partition in 0..PARTITIONS {
        let end = log.bounds(&topic(), Partition(partition)).await?.end;
        let mut at = Offset::ZERO;
        while at < end {
            let limit = ReadLimit { records: 50, bytes: usize::MAX };
            let batch = log.read(&topic(), Partition(partition), at, limit).await?;
            for record in batch.iter() {
                let expected = value(partition, record.offset.0);
                assert_eq!(
                    record.value,
                    Some(&expected[..]),
                    "a wrong record at {partition}:{}",
                    record.offset
                );
                assert_eq!((record.offset, record.key), (at, Some(&b"key"[..])));
                at = at.next();
            }
        }
        ends.push(end.0);
    }
    Ok(ends)
}

/// Opens a folder that may be damaged: where its partitions end, or what it says instead.
pub async fn look(folder: &Path) -> Result<Vec<u64>, String> {
    let log = EmbeddedLog::open(folder, small()).map_err(|error| error.to_string())?;
    ends(&log).await.map_err(|error| error.to_string())
}

/// Copies a folder as a crash would leave it, without a list of files, but for the zeros at the end of journals.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_name() == "closed" {
            continue;
        }
        if source.is_dir() {
            copy(&source, &target);
        } else {
            let bytes = fs::read(&source).unwrap();
            let journal = target.extension().is_some_and(|ending| ending == "jnl");
            fs::write(&target, if journal { &bytes[..used(&bytes)] } else { &bytes }).unwrap();
        }
    }
}

/// How many bytes there are up to the last that is not zero.
pub fn used(bytes: &[u8]) -> usize {
    const ZEROS: [u8; 4_096] = [0; 4_096];
    let mut end = bytes.len();
    while end >= 4_096 && bytes[end - 4_096..end] == ZEROS {
        end -= 4_096;
    }
    bytes[..end].iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1)
}

/// Writes a file of that length, which ends in zeros that were never written.
pub fn write_sparse(path: &Path, bytes: &[u8], length: u64) {
    fs::write(path, bytes).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_len(length).unwrap();
}

/// All files below a folder, relative to it, in a fixed order.
pub fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    fn walk(root: &Path, at: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in fs::read_dir(at).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() {
                walk(root, &entry.path(), found);
            } else {
                found.push(entry.path().strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}

/// The newest journal, relative to the log's folder.
pub fn newest_journal(folder: &Path) -> std::path::PathBuf {
    let journals =
        files(folder).into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "jnl"));
    journals.max_by_key(|file| file.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap()).unwrap()
}
