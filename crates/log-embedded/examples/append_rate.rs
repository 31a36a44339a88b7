//! How fast the embedded log is here: single appends by many tasks, batches, a scan.
//!
//! `cargo run --release -p tidefold-log-embedded --example append_rate [FOLDER]`

#![allow(clippy::expect_used, reason = "a measurement that cannot go on has no use")]

use std::sync::Arc;
use std::time::Instant;

use tidefold_log::{Log, ReadLimit, TopicSpec};
use tidefold_log_embedded::{EmbeddedLog, Settings};
use tidefold_record::{BatchBuilder, Headers, Offset, Partition, TopicName};
use tokio::task::JoinSet;

const PARTITIONS: u32 = 12;

#[tokio::main]
async fn main() {
    let temporary =
        tempfile::tempdir_in(std::env::args().nth(1).unwrap_or(".".to_owned())).expect("a folder");
    let log = Arc::new(EmbeddedLog::open(temporary.path(), Settings::default()).expect("the log opens"));
    println!("resident, empty: {}", resident());
    for tasks in [1, 64, 256] {
        append(&log, &format!("single-{tasks}"), tasks, if tasks == 1 { 1_500 } else { 200_000 / tasks }, 1)
            .await;
    }
    append(&log, "batches", 4, 400, 1_000).await;
    println!("resident, after the appends: {}", resident());
    for topic in ["single-1", "single-64", "single-256", "batches"] {
        scan(&log, topic, 1_000).await;
        scan(&log, topic, 10_000).await;
    }
    drop(log);
    let started = now();
    let log = EmbeddedLog::open(temporary.path(), Settings::default()).expect("the log opens again");
    println!("reopened in {:?}", started.elapsed());
    for topic in ["single-64", "batches"] {
        scan(&log, topic, 10_000).await;
    }
    println!("resident, after the scans: {}", resident());
}

/// `tasks` tasks, each appending `rounds` times `records` records of 200 bytes.
async fn append(log: &Arc<EmbeddedLog>, topic: &str, tasks: usize, rounds: usize, records: usize) {
    let topic = TopicName::new(topic);
    let spec = TopicSpec { name: topic.clone(), partitions: PARTITIONS, create: true };
    log.open(&spec).await.expect("the topic opens");
    let (started, busy) = (now(), processor_seconds());
    let mut running = JoinSet::new();
    for task in 0..tasks {
        let (log, topic) = (Arc::clone(log), topic.clone());
        running.spawn(async move {
            for round in 0..rounds {
                let first = (task * rounds + round) * records;
                let partition = Partition((task + round) as u32 % PARTITIONS);
                log.append(&topic, partition, batch(first, records)).await.expect("an append");
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.expect("a task ends well");
    }
    let seconds = started.elapsed().as_secs_f64();
    let appends = tasks * rounds;
    println!(
        "{tasks} tasks, {records} records an append: {:.0} appends/s, {:.0} records/s, {:.1} us of processor an append",
        appends as f64 / seconds,
        (appends * records) as f64 / seconds,
        (processor_seconds() - busy) * 1e6 / appends as f64
    );
}

/// Records of 200 bytes, half of them hard to compress.
fn batch(first: usize, records: usize) -> BatchBuilder {
    let mut batch = BatchBuilder::new();
    let mut value = [b'v'; 180];
    for record in first..first + records {
        let mut noise = record as u64 + 1;
        for bytes in value[..88].chunks_mut(8) {
            noise = noise.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31);
            bytes.copy_from_slice(&noise.to_le_bytes());
        }
        batch.push(Some(b"order-12345678"), Some(&value), Headers::default());
    }
    batch
}

async fn scan(log: &EmbeddedLog, topic: &str, records: usize) {
    let name = TopicName::new(topic);
    let started = now();
    let mut found = 0;
    for partition in (0..PARTITIONS).map(Partition) {
        let mut at = Offset::ZERO;
        loop {
            let limit = ReadLimit { records, bytes: 1 << 20 };
            let batch = log.read(&name, partition, at, limit).await.expect("a read");
            if batch.is_empty() {
                break;
            }
            found += batch.iter().filter(|record| record.value.is_some()).count();
            at = batch.next_offset();
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("scan of {topic} by {records}: {:.0} records/s", found as f64 / seconds);
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn now() -> Instant {
    Instant::now()
}

/// What this process has used of the processors, counted in hundredths of a second.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.split_whitespace().skip(13).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or("unknown").to_owned()
}
