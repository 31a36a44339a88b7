//! The suite that every log must pass. Its functions panic where a log breaks the contract; `log_contract!` makes one
//! test of each.
//!
//! It deliberately asks only for what [`crate::Log`] promises of every backend: offsets rise but need not be dense, and
//! the first need not be 0.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a step that fails is a test that fails"
)]

use futures_util::future::{BoxFuture, FutureExt, join_all};
use tidefold_record::{BatchBuilder, Headers, HeadersBuilder, Offset, Partition, TopicName, headers::Known};

use crate::{LogError, ReadLimit, SharedLog, Topic, TopicSpec};

/// A place where one log is kept.
pub trait Subject: Send + Sync {
    /// Opens the log that is kept here, as after a crash of the process that had it open. Whoever calls it again has
    /// dropped the log before.
    fn open(&self) -> BoxFuture<'_, SharedLog>;
}

/// Makes one test of each promise; the argument is an expression that gives a new, empty [`Subject`], behind attributes
/// of the tests in brackets, if they have some.
#[macro_export]
macro_rules! log_contract {
    ([$($attribute:tt)*] $subject:expr) => {
        $crate::log_contract!(@each [$($attribute)*] $subject;
            records_of_one_append_and_of_following_ones_stand_in_order,
            every_acknowledged_offset_holds_exactly_its_record,
            a_read_returns_no_more_than_asked_but_at_least_one,
            a_read_at_the_end_is_empty_and_past_it_out_of_range,
            every_kind_of_record_reads_as_it_was_appended,
            an_empty_append_is_acknowledged_and_leaves_nothing,
            an_unknown_topic_or_partition_is_named,
            a_topic_with_another_number_of_partitions_is_refused,
            opening_a_topic_again_finds_the_same_one,
            a_watch_never_misses_the_last_move,
            a_dropped_append_is_not_taken_back_in_part,
            a_reopened_log_keeps_all_that_was_acknowledged,
            an_appended_batch_larger_than_a_stored_unit_reads_whole,
        );
    };
    ($subject:expr) => {
        $crate::log_contract!([] $subject);
    };
    (@each $attributes:tt $subject:expr; $($name:ident),* $(,)?) => {
        $($crate::log_contract!(@one $attributes $subject; $name);)*
    };
    (@one [$($attribute:tt)*] $subject:expr; $name:ident) => {
        $($attribute)*
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $crate::contract::$name(&$subject).await;
        }
    };
}

const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };

fn spec(name: &str, partitions: u32) -> TopicSpec {
    TopicSpec { name: TopicName::new(name), partitions, create: true }
}

async fn opened(log: &SharedLog, name: &str, partitions: u32) -> Topic {
    log.open(&spec(name, partitions)).await.expect("a new topic opens")
}

fn texts<T: AsRef<str>>(texts: &[T]) -> BatchBuilder {
    let mut batch = BatchBuilder::new();
    for text in texts {
        batch.push(Some(b"k"), Some(text.as_ref().as_bytes()), Headers::default());
    }
    batch
}

async fn append<T: AsRef<str>>(
    log: &SharedLog,
    topic: &TopicName,
    partition: u32,
    values: &[T],
) -> Vec<Offset> {
    let appended = log.append(topic, Partition(partition), texts(values)).await.expect("an append succeeds");
    (0..values.len()).map(|i| appended.offset(i).expect("each record has an offset")).collect()
}

/// Everything from the start, read in steps of `limit`.
async fn read_all(
    log: &SharedLog,
    topic: &TopicName,
    partition: u32,
    limit: ReadLimit,
) -> Vec<(Offset, String)> {
    let partition = Partition(partition);
    let bounds = log.bounds(topic, partition).await.unwrap();
    let (mut at, mut found) = (bounds.start, Vec::new());
    while at < bounds.end {
        let batch = log.read(topic, partition, at, limit).await.unwrap();
        assert!(batch.next_offset() > at, "a read before the end gets on");
        assert!(batch.iter().all(|r| r.offset >= at && r.offset < batch.next_offset()));
        let value = |v: Option<&[u8]>| String::from_utf8_lossy(v.unwrap()).into_owned();
        found.extend(batch.iter().map(|r| (r.offset, value(r.value))));
        at = batch.next_offset();
    }
    assert!(found.is_sorted_by(|a, b| a.0 < b.0), "offsets rise");
    found
}

/// Order within an append, and between one and the next.
pub async fn records_of_one_append_and_of_following_ones_stand_in_order(subject: &dyn Subject) {
    let log = subject.open().await;
    let topic = opened(&log, "app.order", 2).await.name;
    let mut expected = Vec::new();
    for round in 0..20 {
        let values: Vec<String> = (0..=round % 5).map(|i| format!("{round}.{i}")).collect();
        let offsets = append(&log, &topic, 1, &values).await;
        expected.extend(offsets.into_iter().zip(values));
    }
    assert_eq!(read_all(&log, &topic, 1, ALL).await, expected);
    assert_eq!(read_all(&log, &topic, 0, ALL).await, []);
}

/// Many tasks, several partitions.
pub async fn every_acknowledged_offset_holds_exactly_its_record(subject: &dyn Subject) {
    let log = subject.open().await;
    let topic = opened(&log, "app.concurrent", 3).await.name;
    let tasks = (0..24u32).map(|task| {
        let (log, topic) = (&log, &topic);
        async move {
            let mut mine = Vec::new();
            for round in 0..20 {
                let values: Vec<String> =
                    (0..=(task + round) % 3).map(|i| format!("{task}.{round}.{i}")).collect();
                let offsets = append(log, topic, task % 3, &values).await;
                mine.extend(offsets.into_iter().zip(values));
            }
            assert!(mine.is_sorted_by(|a, b| a.0 < b.0), "a task's appends follow one another");
            (task % 3, mine)
        }
    });
    let mut expected = vec![Vec::new(); 3];
    for (partition, mine) in join_all(tasks).await {
        expected[partition as usize].extend(mine);
    }
    for (partition, mut expected) in expected.into_iter().enumerate() {
        expected.sort();
        let limit = ReadLimit { records: 7, bytes: usize::MAX };
        assert_eq!(read_all(&log, &topic, partition as u32, limit).await, expected);
        assert_eq!(read_all(&log, &topic, partition as u32, ALL).await, expected);
    }
}

/// Limits by records and by bytes, from every offset.
pub async fn a_read_returns_no_more_than_asked_but_at_least_one(subject: &dyn Subject) {
    let log = subject.open().await;
    let topic = opened(&log, "app.limits", 1).await.name;
    let mut expected = Vec::new();
    for round in 0..6 {
        let values: Vec<String> = (0..4).map(|i| format!("{}-{round}-{i}", "x".repeat(i * 10))).collect();
        expected.extend(append(&log, &topic, 0, &values).await.into_iter().zip(values));
    }
    for (i, (from, _)) in expected.iter().enumerate() {
        for records in [0, 1, 2, 5, 100] {
            for bytes in [0, 1, 60, 200, usize::MAX] {
                let batch =
                    log.read(&topic, Partition(0), *from, ReadLimit { records, bytes }).await.unwrap();
                let got: Vec<_> = batch.iter().map(|r| (r.offset, r.value.unwrap().to_vec())).collect();
                let rest = expected[i..].iter().map(|(offset, text)| (*offset, text.clone().into_bytes()));
                assert_eq!(
                    got,
                    rest.take(got.len()).collect::<Vec<_>>(),
                    "from {from}: {records}, {bytes} bytes"
                );
                assert!(!got.is_empty() && got.len() <= records.max(1), "from {from}: {records} asked for");
                if got.len() > 1 {
                    let before_last = batch.part(*from, got.len() - 1, usize::MAX).size_bytes();
                    assert!(before_last < bytes, "from {from}: went on after {bytes} bytes");
                }
            }
        }
        assert_eq!(read_all(&log, &topic, 0, ReadLimit { records: i + 1, bytes: 100 }).await, expected);
    }
}

/// The end is a place to read from, what lies past it is not.
pub async fn a_read_at_the_end_is_empty_and_past_it_out_of_range(subject: &dyn Subject) {
    let log = subject.open().await;
    let topic = opened(&log, "app.end", 1).await.name;
    let empty = log.bounds(&topic, Partition(0)).await.unwrap();
    assert_eq!(empty.start, empty.end);
    for _ in 0..2 {
        let end = log.bounds(&topic, Partition(0)).await.unwrap().end;
        let batch = log.read(&topic, Partition(0), end, ALL).await.unwrap();
        assert!(batch.is_empty());
        assert_eq!(batch.next_offset(), end);
        let past = log.read(&topic, Partition(0), end.next(), ALL).await.unwrap_err();
        let LogError::OutOfRange { position, bounds } = &past else { panic!("{past}") };
        assert_eq!((position.offset, bounds.end), (end.next(), end));
        append(&log, &topic, 0, &["a", "b"]).await;
    }
}

/// No key, no value, empty ones, headers, large ones.
pub async fn every_kind_of_record_reads_as_it_was_appended(subject: &dyn Subject) {
    let log = subject.open().await;
    let topic = opened(&log, "app.kinds", 1).await.name;
    let large = vec![7u8; 300_000];
    let parts: [Option<&[u8]>; 4] = [None, Some(b""), Some(b"\x00\xff"), Some(&large)];
    let mut headers = HeadersBuilder::new();
    headers.push(Known::CeId, b"id-1");
    headers.push_named("other", b"");
    let mut batch = BatchBuilder::new();
    for key in &parts[..3] {
        for value in parts {
            batch.push(*key, value, Headers::default());
            batch.push(*key, value, headers.as_headers());
        }
    }
    let expected = batch.clone();
    let appended = log.append(&topic, Partition(0), batch).await.unwrap();
    let first = appended.offset(0).unwrap();
    let mut at = first;
    for (i, wanted) in expected.iter(first).enumerate() {
        let got =
            log.read(&topic, Partition(0), at, ReadLimit { records: 1, bytes: usize::MAX }).await.unwrap();
        let record = got.iter().next().unwrap();
        assert_eq!(record.offset, appended.offset(i).unwrap());
        assert_eq!((record.key, record.value, record.headers), (wanted.key, wanted.value, wanted.headers));
        at = got.next_offset();
    }
}

/// Nothing to append is nothing to wait for.
pub async fn an_empty_append_is_acknowledged_and_leaves_nothing(subject: &dyn Subject) {
    let log = subject.open().await;
    let topic = opened(&log, "app.empty", 1).await.name;
    let before = log.bounds(&topic, Partition(0)).await.unwrap();
    log.append(&topic, Partition(0), BatchBuilder::new()).await.unwrap();
    assert_eq!(log.bounds(&topic, Partition(0)).await.unwrap(), before);
}

/// Every call names what is not there.
pub async fn an_unknown_topic_or_partition_is_named(subject: &dyn Subject) {
    let log = subject.open().await;
    let known = opened(&log, "app.known", 2).await.name;
    let absent = TopicName::new("app.absent");
    for (topic, partition) in [(&absent, Partition(0)), (&known, Partition(2))] {
        let expected = LogError::NoSuchPartition { topic: topic.clone(), partition };
        assert_eq!(log.append(topic, partition, texts(&["a"])).await.unwrap_err(), expected);
        assert_eq!(log.append(topic, partition, BatchBuilder::new()).await.unwrap_err(), expected);
        assert_eq!(log.read(topic, partition, Offset::ZERO, ALL).await.unwrap_err(), expected);
        assert_eq!(log.bounds(topic, partition).await.unwrap_err(), expected);
        assert_eq!(log.watch_end(topic, partition).unwrap_err(), expected);
    }
    let refused = log.open(&TopicSpec { create: false, ..spec("app.absent", 1) }).await.unwrap_err();
    assert!(matches!(&refused, LogError::NoSuchPartition { topic, .. } if *topic == absent), "{refused}");
}

/// The number of partitions is fixed for ever, and both numbers are told.
pub async fn a_topic_with_another_number_of_partitions_is_refused(subject: &dyn Subject) {
    let log = subject.open().await;
    opened(&log, "app.fixed", 12).await;
    for create in [true, false] {
        let error = log.open(&TopicSpec { create, ..spec("app.fixed", 34) }).await.unwrap_err();
        let LogError::Mismatch { topic, detail } = &error else { panic!("{error}") };
        assert_eq!(topic.as_str(), "app.fixed");
        assert!(detail.contains("12") && detail.contains("34"), "both numbers are told: {detail}");
    }
    let none = log.open(&spec("app.none", 0)).await.unwrap_err();
    assert!(matches!(none, LogError::Mismatch { .. }), "{none}");
    assert_eq!(opened(&log, "app.fixed", 12).await.partitions, 12);
}

/// Opening is idempotent, also when several do it at once; topics differ in their incarnations.
pub async fn opening_a_topic_again_finds_the_same_one(subject: &dyn Subject) {
    let log = subject.open().await;
    let all = join_all((0..8).map(|_| opened(&log, "app.same", 3))).await;
    assert!(all.iter().all(|topic| *topic == all[0]));
    append(&log, &all[0].name, 0, &["kept"]).await;
    let again = log.open(&TopicSpec { create: false, ..spec("app.same", 3) }).await.unwrap();
    assert_eq!(again, all[0]);
    assert_eq!(read_all(&log, &again.name, 0, ALL).await.len(), 1);
    let other = opened(&log, "app.other", 3).await;
    assert_eq!(other.cluster, again.cluster);
    assert_ne!(other.incarnation, again.incarnation);
}

/// Whoever waits for the end to move sees the last move, and then reads what it tells of.
pub async fn a_watch_never_misses_the_last_move(subject: &dyn Subject) {
    let log = subject.open().await;
    let topic = opened(&log, "app.watch", 1).await.name;
    let mut end = log.watch_end(&topic, Partition(0)).unwrap();
    // Not in one expression: a watch that is looked at must not be held while the log may move it.
    let first = *end.borrow_and_update();
    assert_eq!(first, log.bounds(&topic, Partition(0)).await.unwrap().end);
    let writer = async {
        let mut last = Offset::ZERO;
        for i in 0..50 {
            last = append(&log, &topic, 0, &[format!("{i}")]).await[0];
        }
        last
    };
    let reader = async {
        let mut at = log.bounds(&topic, Partition(0)).await.unwrap().start;
        let mut seen = 0;
        while seen < 50 {
            let known = *end.borrow_and_update();
            if at < known {
                let batch = log.read(&topic, Partition(0), at, ALL).await.unwrap();
                assert!(batch.next_offset() >= known, "the end told of is there to be read");
                seen += batch.len();
                at = batch.next_offset();
            } else {
                end.changed().await.expect("the log lives");
            }
        }
        at
    };
    let (last, read_to) = futures_util::future::join(writer, reader).await;
    assert!(read_to > last);
    assert!(
        *log.watch_end(&topic, Partition(0)).unwrap().borrow() > last,
        "a new receiver starts at the end"
    );
}

/// A caller that goes away leaves the whole append or nothing of it, and later appends are as before.
pub async fn a_dropped_append_is_not_taken_back_in_part(subject: &dyn Subject) {
    let log = subject.open().await;
    let topic = opened(&log, "app.dropped", 1).await.name;
    for round in 0..10 {
        let mut dropped =
            log.append(&topic, Partition(0), texts(&[format!("{round}a"), format!("{round}b")]));
        let polled = (&mut dropped).now_or_never();
        assert!(!matches!(polled, Some(Err(_))));
        drop(dropped);
        append(&log, &topic, 0, &[format!("{round}c")]).await;
    }
    let mut found = read_all(&log, &topic, 0, ALL).await.into_iter().map(|(_, value)| value).peekable();
    for round in 0..10 {
        if found.next_if(|value| *value == format!("{round}a")).is_some() {
            assert_eq!(found.next(), Some(format!("{round}b")));
        }
        assert_eq!(found.next(), Some(format!("{round}c")));
    }
    assert_eq!(found.next(), None);
}

/// Durability, immutability and identity over a crash.
pub async fn a_reopened_log_keeps_all_that_was_acknowledged(subject: &dyn Subject) {
    let mut expected = vec![Vec::new(); 2];
    let mut identity = None;
    for round in 0..4 {
        let log = subject.open().await;
        let topic = opened(&log, "app.kept", 2).await;
        assert_eq!(*identity.get_or_insert_with(|| topic.clone()), topic, "cluster and incarnation stay");
        for partition in 0..2 {
            let kept = &mut expected[partition as usize];
            assert_eq!(&read_all(&log, &topic.name, partition, ALL).await, kept);
            for i in 0..3 {
                let values = [format!("{round}.{i}.a"), format!("{round}.{i}.b")];
                kept.extend(append(&log, &topic.name, partition, &values).await.into_iter().zip(values));
            }
            let limit = ReadLimit { records: 5, bytes: usize::MAX };
            assert_eq!(&read_all(&log, &topic.name, partition, limit).await, kept);
        }
    }
}

/// However a log keeps it.
pub async fn an_appended_batch_larger_than_a_stored_unit_reads_whole(subject: &dyn Subject) {
    let log = subject.open().await;
    let topic = opened(&log, "app.large", 1).await.name;
    let values: Vec<String> = (0..10_000).map(|i| format!("{i}-{}", "v".repeat(300))).collect();
    let offsets = append(&log, &topic, 0, &values).await;
    let expected: Vec<_> = offsets.into_iter().zip(values).collect();
    let limit = ReadLimit { records: 3_000, bytes: 500_000 };
    assert!(read_all(&log, &topic, 0, limit).await == expected, "the records differ");
    assert!(read_all(&log, &topic, 0, ALL).await == expected, "the records differ in one read");
}
