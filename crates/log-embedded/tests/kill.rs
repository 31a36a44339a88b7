//! A process that appends is killed again and again; whatever it was told to be durable is there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

use support::topic;
use tidefold_log::{Log, ReadLimit, TopicSpec};
use tidefold_log_embedded::EmbeddedLog;
use tidefold_record::{BatchBuilder, Headers, Offset, Partition};

const FOLDER: &str = "TIDEFOLD_LOG_KILL_FOLDER";
const PARTITIONS: u32 = 3;

/// The value of one record: who wrote it, and enough to span pages now and then.
fn value(round: u64, task: u64, number: u64) -> Vec<u8> {
    let mut value = format!("{round} {task} {number} ").into_bytes();
    value.resize(value.len() + (number * 61 % 700) as usize, number as u8);
    value
}

fn open(folder: &str) -> EmbeddedLog {
    EmbeddedLog::open(folder, support::small()).unwrap()
}

/// Appends until it is killed, and prints each acknowledged record once it is acknowledged.
#[test]
#[ignore = "the process that the other test kills"]
fn child() {
    let (Ok(folder), Ok(round)) = (std::env::var(FOLDER), std::env::var("TIDEFOLD_LOG_KILL_ROUND")) else {
        return;
    };
    let round: u64 = round.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let log = Arc::new(open(&folder));
        log.open(&TopicSpec { name: topic(), partitions: PARTITIONS, create: true }).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..8u64 {
            let log = Arc::clone(&log);
            tasks.spawn(async move {
                for number in 0.. {
                    let partition = (task + number) as u32 % PARTITIONS;
                    let mut batch = BatchBuilder::new();
                    batch.push(None, Some(&value(round, task, number)), Headers::default());
                    let appended = log.append(&topic(), Partition(partition), batch).await.unwrap();
                    let line = format!("ack {partition} {} {task} {number}\n", appended.offset(0).unwrap());
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            });
        }
        tasks.join_next().await.unwrap().unwrap();
    });
}

/// What one killed process was told: partition, offset, and the value there.
fn run_and_kill(folder: &str, round: u64) -> Vec<(u32, u64, Vec<u8>)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env("TIDEFOLD_LOG_KILL_ROUND", round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let kill_after = 1 + round * 977 % 1_500;
    let mut told = Vec::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        // The last line may be half a line; then it was not told.
        if let Some(rest) = line.split("ack ").nth(1).filter(|rest| rest.ends_with('\n')) {
            let numbers: Vec<u64> = rest.split_whitespace().map(|n| n.parse().unwrap()).collect();
            told.push((numbers[0] as u32, numbers[1], value(round, numbers[2], numbers[3])));
            if told.len() as u64 == kill_after {
                child.kill().unwrap();
            }
        }
        line.clear();
    }
    assert!(!child.wait().unwrap().success(), "it was killed");
    assert!(told.len() as u64 >= kill_after);
    told
}

#[test]
fn what_was_acknowledged_survives_kill_after_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut told = Vec::new();
    for round in 0..10 {
        told.extend(run_and_kill(path, round));
        let log = open(path);
        runtime.block_on(async {
            let mut all = Vec::new();
            for partition in (0..PARTITIONS).map(Partition) {
                let (mut at, end) = (Offset::ZERO, log.bounds(&topic(), partition).await.unwrap().end);
                let mut values = Vec::new();
                while at < end {
                    let limit = ReadLimit { records: 1_000, bytes: 1 << 20 };
                    let batch = log.read(&topic(), partition, at, limit).await.unwrap();
                    values.extend(batch.iter().map(|record| record.value.unwrap().to_vec()));
                    at = batch.next_offset();
                }
                all.push(values);
            }
            for (partition, offset, value) in &told {
                let found = all[*partition as usize].get(*offset as usize);
                assert_eq!(found, Some(value), "round {round}: {partition}:{offset}");
            }
            let once: std::collections::HashSet<_> = all.iter().flatten().collect();
            assert_eq!(once.len(), all.iter().map(Vec::len).sum::<usize>(), "no record stands twice");
        });
    }
}
