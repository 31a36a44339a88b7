//! What only a real cluster does: other topics than asked for, topics made anew, transactions, groups.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a step that fails is a test that fails"
)]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tidefold_log::{Epoch, Log, LogError, Owned, ReadLimit, Topic, TopicSpec};
use tidefold_log_kafka::{KafkaLog, Settings};
use tidefold_record::{BatchBuilder, Headers, Offset, Partition, TopicName};
use tokio::sync::watch;

const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
const PATIENCE: Duration = Duration::from_secs(30);
const P0: Partition = Partition(0);

fn admin(broker: &str) -> AdminClient<DefaultClientContext> {
    support::stranger(broker).create().unwrap()
}

async fn create(broker: &str, name: &TopicName, partitions: i32, config: &[(&str, &str)]) {
    let mut topic = NewTopic::new(name.as_str(), partitions, TopicReplication::Fixed(1));
    for (key, value) in config {
        topic = topic.set(key, value);
    }
    let made = admin(broker).create_topics([&topic], &AdminOptions::new()).await.unwrap();
    made.into_iter().next().unwrap().unwrap();
}

async fn delete(broker: &str, name: &TopicName) {
    let gone = admin(broker).delete_topics(&[name.as_str()], &AdminOptions::new()).await.unwrap();
    gone.into_iter().next().unwrap().unwrap();
}

fn spec(name: &TopicName, partitions: u32) -> TopicSpec {
    TopicSpec { name: name.clone(), partitions, create: true }
}

fn batch(values: &[&str]) -> BatchBuilder {
    let mut batch = BatchBuilder::new();
    for value in values {
        batch.push(Some(b"k"), Some(value.as_bytes()), Headers::default());
    }
    batch
}

async fn read_all(log: &KafkaLog, topic: &TopicName) -> Vec<String> {
    let bounds = log.bounds(topic, P0).await.unwrap();
    let (mut at, mut found) = (bounds.start, Vec::new());
    while at < bounds.end {
        let batch = log.read(topic, P0, at, ALL).await.unwrap();
        assert!(batch.next_offset() > at, "a read before the end gets on");
        found.extend(batch.iter().map(|record| String::from_utf8_lossy(record.value.unwrap()).into_owned()));
        at = batch.next_offset();
    }
    found
}

async fn until(owned: &mut watch::Receiver<Owned>, what: &str, holds: impl FnMut(&Owned) -> bool) -> Owned {
    let found = tokio::time::timeout(PATIENCE, owned.wait_for(holds)).await;
    found.unwrap_or_else(|_| panic!("never: {what}")).unwrap().clone()
}

#[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_more_partitions_or_one_that_loses_records_is_refused() {
    let broker = support::broker();
    let log = support::connect(&broker);
    let kept = [("retention.ms", "-1"), ("retention.bytes", "-1")];
    for (name, partitions, config, told) in [
        ("more", 4, kept.to_vec(), vec!["4", "3"]),
        (
            "compact",
            3,
            [kept.to_vec(), vec![("cleanup.policy", "compact")]].concat(),
            vec!["cleanup.policy=delete"],
        ),
        ("hours", 3, vec![("retention.ms", "3600000")], vec!["retention.ms", "3600000"]),
        ("bytes", 3, vec![("retention.ms", "-1"), ("retention.bytes", "1000000")], vec!["retention.bytes"]),
    ] {
        let name = support::unique(name);
        create(&broker, &name, partitions, &config).await;
        let error = log.open(&spec(&name, 3)).await.unwrap_err();
        let LogError::Mismatch { topic, detail } = &error else { panic!("{error}") };
        assert_eq!(*topic, name);
        assert!(told.iter().all(|part| detail.contains(part)), "{detail}");
    }
}

#[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_is_told_from_the_old_one() {
    let broker = support::broker();
    let log = support::connect(&broker);
    let name = support::unique("anew");
    let old = log.open(&spec(&name, 1)).await.unwrap();
    log.append(&name, P0, batch(&["a", "b", "c"])).await.unwrap();
    assert_eq!(read_all(&log, &name).await, ["a", "b", "c"]);
    let new = replace(&broker, &name, &old).await;
    let noticed = async {
        loop {
            match log.bounds(&name, P0).await {
                Err(LogError::Mismatch { detail, .. }) => break detail,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    let detail = tokio::time::timeout(PATIENCE, noticed).await.expect("it is noticed");
    assert!(detail.contains("deleted and created again") && detail.contains(&new.incarnation), "{detail}");
    let read = log.read(&name, P0, Offset(1), ALL).await.unwrap_err();
    assert!(matches!(read, LogError::Mismatch { .. }), "{read}");
    let append = log.append(&name, P0, batch(&["y"])).await.unwrap_err();
    assert!(matches!(append, LogError::Mismatch { .. }), "{append}");
    let again = log.open(&spec(&name, 1)).await.unwrap_err();
    assert!(matches!(again, LogError::Mismatch { .. }), "only a new log takes the new topic: {again}");
    let log = support::connect(&broker);
    assert_eq!(log.open(&spec(&name, 1)).await.unwrap(), new);
    assert_eq!(read_all(&log, &name).await, ["x"]);
}

/// Makes a topic anew behind a log's back, and puts a record there.
async fn replace(broker: &str, name: &TopicName, old: &Topic) -> Topic {
    delete(broker, name).await;
    let other = support::connect(broker);
    let new = async {
        loop {
            match other.open(&spec(name, 1)).await {
                Ok(topic) if topic.incarnation != old.incarnation => break topic,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    let new = tokio::time::timeout(PATIENCE, new).await.expect("the topic is made again");
    other.append(name, P0, batch(&["x"])).await.unwrap();
    new
}

#[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]
#[tokio::test(flavor = "multi_thread")]
async fn who_only_appends_to_a_topic_made_anew_is_not_acknowledged() {
    let broker = support::broker();
    let log = support::connect(&broker);
    let name = support::unique("appended");
    let old = log.open(&spec(&name, 1)).await.unwrap();
    log.append(&name, P0, batch(&["a"; 100])).await.unwrap();
    let new = replace(&broker, &name, &old).await;
    let refused = async {
        loop {
            match log.append(&name, P0, batch(&["y"])).await {
                Err(LogError::Mismatch { detail, .. }) => break detail,
                Err(_) => {}
                Ok(appended) => panic!("{appended:?} in the new topic"),
            }
        }
    };
    let detail = tokio::time::timeout(PATIENCE, refused).await.expect("it is refused");
    assert!(detail.contains(&new.incarnation) && detail.contains("tidefold replay"), "{detail}");
}

#[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]
#[tokio::test(flavor = "multi_thread")]
async fn appends_of_few_records_name_the_topic_by_its_id_and_never_reach_one_made_anew() {
    let broker = support::broker();
    let log = support::connect(&broker);
    let name = support::unique("empty");
    let old = log.open(&spec(&name, 1)).await.unwrap();
    replace(&broker, &name, &old).await;
    // Nothing is known of the old topic that an offset in the new one could contradict.
    let error = log.append(&name, P0, batch(&["y"])).await.unwrap_err();
    assert!(matches!(error, LogError::Mismatch { .. }), "{error}");
    assert_eq!(read_all(&support::connect(&broker), &name).await, ["x"]);
}

#[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_at_the_end_of_a_topic_made_anew_hears_of_it() {
    let broker = support::broker();
    let log = support::connect(&broker);
    let name = support::unique("waited");
    let old = log.open(&spec(&name, 1)).await.unwrap();
    log.append(&name, P0, batch(&["a", "b", "c"])).await.unwrap();
    let mut end = log.watch_end(&name, P0).unwrap();
    assert_eq!(*end.borrow_and_update(), Offset(3));
    replace(&broker, &name, &old).await;
    let fell = end.wait_for(|end| *end == Offset::ZERO);
    tokio::time::timeout(PATIENCE, fell).await.expect("it is told").unwrap();
    let watched = log.watch_end(&name, P0).unwrap_err();
    assert!(matches!(watched, LogError::Mismatch { .. }), "{watched}");
}

#[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]
#[tokio::test(flavor = "multi_thread")]
async fn aborted_transactions_and_markers_are_stepped_over() {
    let broker = support::broker();
    let log = support::connect(&broker);
    let name = support::unique("transactions");
    log.open(&spec(&name, 1)).await.unwrap();
    log.append(&name, P0, batch(&["before"])).await.unwrap();
    let (topic, id) = (name.as_str().to_owned(), support::unique("writer"));
    let told = log.watch_end(&name, P0).unwrap();
    tokio::task::spawn_blocking(move || {
        let mut config = support::stranger(&broker);
        let producer: BaseProducer = config.set("transactional.id", id.as_str()).create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        for (value, commit) in [("no", false), ("yes", true), ("never", false)] {
            producer.begin_transaction().unwrap();
            producer.send(BaseRecord::to(&topic).partition(0).key("k").payload(value)).unwrap();
            producer.flush(PATIENCE).unwrap();
            if commit {
                producer.commit_transaction(PATIENCE).unwrap();
            } else {
                producer.abort_transaction(PATIENCE).unwrap();
            }
        }
    })
    .await
    .unwrap();
    let mut told = told;
    let moved = told.wait_for(|end| *end >= Offset(7));
    tokio::time::timeout(PATIENCE, moved)
        .await
        .expect("the end is told, though no record stands there")
        .unwrap();
    assert_eq!(log.bounds(&name, P0).await.unwrap().end, Offset(7));
    assert_eq!(read_all(&log, &name).await, ["before", "yes"]);
    let fresh = support::connect(&std::env::var("TIDEFOLD_TEST_KAFKA").unwrap());
    let last = fresh.read(&name, P0, Offset(5), ALL).await.unwrap();
    assert!(last.is_empty());
    assert_eq!(
        last.next_offset(),
        Offset(7),
        "nothing but aborted records: the end is where reading goes on"
    );
}

#[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_at_the_end_hears_of_records_of_others() {
    let broker = support::broker();
    let (log, other) = (support::connect(&broker), support::connect(&broker));
    let name = support::unique("watched");
    log.open(&spec(&name, 1)).await.unwrap();
    other.open(&spec(&name, 1)).await.unwrap();
    let mut end = log.watch_end(&name, P0).unwrap();
    for round in 1..=20u64 {
        other.append(&name, P0, batch(&["v"])).await.unwrap();
        let moved = end.wait_for(|end| *end >= Offset(round));
        tokio::time::timeout(PATIENCE, moved).await.expect("the move is told").unwrap();
        let batch = log.read(&name, P0, Offset(round - 1), ALL).await.unwrap();
        assert_eq!((batch.len(), batch.next_offset()), (1, Offset(round)));
    }
}

#[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]
#[tokio::test(flavor = "multi_thread")]
async fn readers_at_many_places_all_read_everything() {
    let broker = support::broker();
    let log = support::connect(&broker);
    let name = support::unique("readers");
    log.open(&spec(&name, 1)).await.unwrap();
    let values: Vec<String> = (0..300).map(|i| i.to_string()).collect();
    let texts: Vec<&str> = values.iter().map(String::as_str).collect();
    log.append(&name, P0, batch(&texts)).await.unwrap();
    let readers = (0..6u64).map(|reader| {
        let (log, name, values) = (&log, &name, &values);
        async move {
            let (mut at, mut found) = (Offset(reader * 20), Vec::new());
            while at < Offset(300) {
                let limit = ReadLimit { records: 30 + reader as usize, bytes: usize::MAX };
                let batch = log.read(name, P0, at, limit).await.unwrap();
                found.extend(batch.iter().map(|r| String::from_utf8_lossy(r.value.unwrap()).into_owned()));
                at = batch.next_offset();
            }
            assert_eq!(found, values[reader as usize * 20..]);
        }
    });
    futures_util::future::join_all(readers).await;
}

#[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]
#[tokio::test(flavor = "multi_thread")]
async fn members_share_partitions_and_take_over_from_one_that_leaves() {
    let broker = support::broker();
    let (one, two) = (support::connect(&broker), support::connect(&broker));
    let name = support::unique("shared");
    one.open(&spec(&name, 4)).await.unwrap();
    let group = support::unique("group");
    let topics = [(name.clone(), 4)];
    let first = one.join(group.as_str(), &topics).unwrap();
    let mut of_first = first.owned();
    let alone = until(&mut of_first, "one member owns all", |owned| owned.partitions.len() == 4).await;
    first.folded(&name, P0, Offset(3));

    let second = two.join(group.as_str(), &topics).unwrap();
    let mut of_second = second.owned();
    let theirs = until(&mut of_second, "the second owns half", |owned| owned.partitions.len() == 2).await;
    let ours = until(&mut of_first, "the first owns half", |owned| owned.partitions.len() == 2).await;
    let keys = |owned: &Owned| owned.partitions.keys().cloned().collect::<BTreeSet<_>>();
    assert!(keys(&ours).is_disjoint(&keys(&theirs)), "nobody shares a partition");
    assert_eq!(keys(&ours).union(&keys(&theirs)).count(), 4);
    let newest = |owned: &Owned| owned.partitions.values().copied().max().unwrap_or(Epoch(0));
    let kept =
        |owned: &Owned| ours.partitions.iter().all(|(at, epoch)| owned.partitions.get(at) == Some(epoch));
    assert!(kept(&alone), "what stays is not interrupted");

    second.leave().await;
    assert!(of_second.borrow_and_update().partitions.is_empty(), "who left owns nothing");
    let again = until(&mut of_first, "the first takes over", |owned| owned.partitions.len() == 4).await;
    assert!(kept(&again) && newest(&again) > newest(&alone), "what came back was given anew");
    first.leave().await;
    assert!(of_first.borrow_and_update().partitions.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_away_is_told_by_every_call() {
    // A port nobody listens on: bound once, and closed.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let log = support::connect(&format!("127.0.0.1:{port}"));
    let name = support::unique("away");
    let told = [
        log.open(&spec(&name, 1)).await.unwrap_err(),
        log.append(&name, P0, batch(&["a"])).await.unwrap_err(),
        log.read(&name, P0, Offset(0), ALL).await.unwrap_err(),
        log.bounds(&name, P0).await.unwrap_err(),
    ];
    for error in told {
        let LogError::Unavailable { detail } = &error else { panic!("{error}") };
        assert!(detail.contains(&port.to_string()) && detail.contains("check"), "{detail}");
    }
}

#[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_far_behind_reads_everything_within_its_budget() {
    let broker = support::broker();
    let log = KafkaLog::connect(Settings { fetch_bytes: 1 << 20, ..support::settings(&broker) }).unwrap();
    let name = support::unique("behind");
    log.open(&spec(&name, 2)).await.unwrap();
    let text = "v".repeat(500);
    for round in 0..20 {
        let values: Vec<String> = (0..1_000).map(|i| format!("{round}.{i}.{text}")).collect();
        let texts: Vec<&str> = values.iter().map(String::as_str).collect();
        log.append(&name, P0, batch(&texts)).await.unwrap();
        log.append(&name, Partition(1), batch(&texts)).await.unwrap();
    }
    for partition in [P0, Partition(1)] {
        let (mut at, mut count) = (Offset(0), 0);
        while at < Offset(20_000) {
            let limit = ReadLimit { records: 700, bytes: 200_000 };
            let batch = log.read(&name, partition, at, limit).await.unwrap();
            for record in batch.iter() {
                let head = format!("{}.{}.", count / 1_000, count % 1_000);
                assert!(record.value.unwrap().starts_with(head.as_bytes()), "{}", record.offset);
                count += 1;
            }
            at = batch.next_offset();
        }
        assert_eq!(count, 20_000);
    }
}
