//! The memory log and its faults.

use super::*;
use crate::contract::Subject;
use futures_util::FutureExt;
use tidefold_record::Headers;

struct Kept(MemoryLog);

impl Subject for Kept {
    fn open(&self) -> BoxFuture<'_, crate::SharedLog> {
        self.0.faults().lose_unsynced();
        Box::pin(async { Arc::new(self.0.clone()) as crate::SharedLog })
    }
}

mod contract {
    crate::log_contract!(super::Kept(super::MemoryLog::new()));
}

const P: Partition = Partition(0);

fn batch(values: &[&str]) -> BatchBuilder {
    let mut batch = BatchBuilder::new();
    for value in values {
        batch.push(None, Some(value.as_bytes()), Headers::default());
    }
    batch
}

async fn topic(log: &MemoryLog) -> Topic {
    log.open(&TopicSpec { name: TopicName::new("t"), partitions: 1, create: true }).await.unwrap()
}

async fn values(log: &MemoryLog) -> Vec<String> {
    let (topic, all) = (TopicName::new("t"), ReadLimit { records: usize::MAX, bytes: usize::MAX });
    let start = log.bounds(&topic, P).await.unwrap().start;
    let batch = log.read(&topic, P, start, all).await.unwrap();
    batch.iter().map(|r| String::from_utf8(r.value.unwrap().to_vec()).unwrap()).collect()
}

#[tokio::test]
async fn appends_fail_as_told_and_then_succeed() {
    let log = MemoryLog::new();
    let t = topic(&log).await.name;
    log.faults().fail_next(1, Failure::Full);
    log.faults().fail_next(2, Failure::Unavailable);
    assert!(matches!(log.append(&t, P, batch(&["a"])).await, Err(LogError::Full { .. })));
    assert!(matches!(log.append(&t, P, batch(&["b"])).await, Err(LogError::Unavailable { .. })));
    assert!(matches!(log.append(&t, P, batch(&["c"])).await, Err(LogError::Unavailable { .. })));
    assert_eq!(log.append(&t, P, batch(&["d"])).await, Ok(Appended::From(Offset(0))));
    assert_eq!(values(&log).await, ["d"]);
}

#[tokio::test]
async fn an_unknown_append_stands_as_far_as_told() {
    let log = MemoryLog::new();
    let t = topic(&log).await.name;
    for (stands, name) in
        [(Stands::None, "n"), (Stands::First(0), "z"), (Stands::First(2), "f"), (Stands::All, "a")]
    {
        log.faults().fail_next(1, Failure::Unknown(stands));
        let names = [1, 2, 3].map(|i| format!("{name}{i}"));
        let fate = log.append(&t, P, batch(&names.each_ref().map(String::as_str))).await;
        assert!(matches!(fate, Err(LogError::Unknown { .. })));
    }
    assert_eq!(values(&log).await, ["f1", "f2", "a1", "a2", "a3"]);
}

#[tokio::test]
async fn a_late_append_stands_before_the_next_or_is_lost_in_a_crash() {
    let log = MemoryLog::new();
    let t = topic(&log).await.name;
    for lost in [false, true] {
        log.faults().fail_next(1, Failure::Unknown(Stands::Later));
        assert!(log.append(&t, P, batch(&["late"])).await.is_err());
        let before = values(&log).await.len();
        if lost {
            log.faults().lose_unsynced();
        }
        log.append(&t, P, batch(&["next"])).await.unwrap();
        assert_eq!(values(&log).await.len() - before, if lost { 1 } else { 2 });
    }
    assert_eq!(values(&log).await, ["late", "next", "next"]);
}

#[tokio::test]
async fn a_held_append_waits_and_is_neither_read_nor_taken_back() {
    let log = MemoryLog::new();
    let t = topic(&log).await.name;
    log.faults().hold();
    let mut first = log.append(&t, P, batch(&["first"]));
    let mut second = log.append(&t, P, batch(&["second"]));
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    assert_eq!((log.faults().held(), values(&log).await.len()), (2, 0));
    assert!(log.faults().release_one());
    assert_eq!(first.await, Ok(Appended::From(Offset(0))));
    assert_eq!(values(&log).await, ["first"]);
    drop(second);
    log.faults().release();
    assert_eq!(values(&log).await, ["first", "second"]);
    assert_eq!(log.append(&t, P, batch(&["third"])).await, Ok(Appended::From(Offset(2))));
}

#[tokio::test]
async fn a_crash_loses_what_was_held_and_keeps_what_was_acknowledged() {
    let log = MemoryLog::new();
    let t = topic(&log).await.name;
    log.append(&t, P, batch(&["kept"])).await.unwrap();
    log.faults().hold();
    let mut held = log.append(&t, P, batch(&["lost"]));
    assert!((&mut held).now_or_never().is_none());
    log.faults().lose_unsynced();
    assert!(matches!(held.await, Err(LogError::Unknown { .. })));
    assert_eq!(values(&log).await, ["kept"]);
}

#[tokio::test]
async fn a_truncated_topic_ends_earlier_and_takes_other_records() {
    let log = MemoryLog::new();
    let t = topic(&log).await.name;
    for values in [["a", "b"], ["c", "d"], ["e", "f"]] {
        log.append(&t, P, batch(&values)).await.unwrap();
    }
    assert!(!log.faults().truncate(&t, P, Offset(6)));
    assert!(log.faults().truncate(&t, P, Offset(3)));
    assert_eq!(values(&log).await, ["a", "b", "c"]);
    assert_eq!(log.append(&t, P, batch(&["x"])).await, Ok(Appended::From(Offset(3))));
    assert_eq!(values(&log).await, ["a", "b", "c", "x"]);
}

#[tokio::test]
async fn a_recreated_topic_is_empty_and_another() {
    let log = MemoryLog::new();
    let before = topic(&log).await;
    log.append(&before.name, P, batch(&["a"])).await.unwrap();
    log.faults().recreate(&before.name);
    let after = topic(&log).await;
    assert_ne!(before.incarnation, after.incarnation);
    assert!(values(&log).await.is_empty());
}

#[tokio::test]
async fn a_trimmed_partition_starts_later() {
    let log = MemoryLog::new();
    let t = topic(&log).await.name;
    log.append(&t, P, batch(&["a", "b", "c"])).await.unwrap();
    log.faults().trim(&t, P, Offset(2));
    assert_eq!(values(&log).await, ["c"]);
    let before = log.read(&t, P, Offset(1), ReadLimit { records: 1, bytes: 1 }).await;
    assert!(matches!(before, Err(LogError::OutOfRange { .. })));
}
