//! What operators and other producers do to a topic while it is used, and what a process may be called in the cluster.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a step that fails is a test that fails"
)]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tidefold_log::{Bounds, Log, LogError, ReadLimit, TopicSpec};
use tidefold_log_kafka::{Counts, KafkaLog, Settings};
use tidefold_record::{BatchBuilder, Headers, Offset, Partition, TopicName};

const PATIENCE: Duration = Duration::from_secs(30);
const P0: Partition = Partition(0);
const KEPT: [(&str, &str); 3] =
    [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];

fn admin(broker: &str) -> AdminClient<DefaultClientContext> {
    support::stranger(broker).create().unwrap()
}

async fn set(broker: &str, topic: &TopicName, settings: &[(&str, &str)]) {
    let mut config = AlterConfig::new(ResourceSpecifier::Topic(topic.as_str()));
    for (key, value) in settings {
        config = config.set(key, value);
    }
    let done = admin(broker).alter_configs([&config], &AdminOptions::new()).await.unwrap();
    done.into_iter().next().unwrap().unwrap();
}

fn spec(name: &TopicName, partitions: u32) -> TopicSpec {
    TopicSpec { name: name.clone(), partitions, create: true }
}

fn batch(value: &[u8]) -> BatchBuilder {
    let mut batch = BatchBuilder::new();
    batch.push(Some(b"k"), Some(value), Headers::default());
    batch
}

/// Appends until that is refused, and says why.
async fn refused(log: &KafkaLog, topic: &TopicName) -> String {
    let refused = async {
        loop {
            match log.append(topic, P0, batch(b"v")).await {
                Err(LogError::Mismatch { detail, .. }) => break detail,
                Err(error) => panic!("{error}"),
                Ok(_) => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("it is refused within seconds")
}

async fn taken(log: &KafkaLog, topic: &TopicName) {
    let taken = async {
        while log.append(topic, P0, batch(b"v")).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, taken).await.expect("it is taken again once it is right");
}

#[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_comes_to_forget_records_takes_none_until_it_is_right() {
    let broker = support::broker();
    let log = support::connect(&broker);
    let name = support::unique("forgets");
    log.open(&spec(&name, 2)).await.unwrap();
    for wrong in
        [("retention.ms", "3600000"), ("retention.bytes", "1000"), ("cleanup.policy", "compact,delete")]
    {
        let settings: Vec<_> = KEPT.into_iter().filter(|(key, _)| *key != wrong.0).chain([wrong]).collect();
        set(&broker, &name, &settings).await;
        let detail = refused(&log, &name).await;
        assert!(detail.contains(wrong.0) && detail.contains(wrong.1), "{detail}");
        assert!(log.bounds(&name, P0).await.is_ok(), "how much waits is told on");
        set(&broker, &name, &KEPT).await;
        taken(&log, &name).await;
    }
}

#[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_given_partitions_or_loses_its_start_takes_nothing_more() {
    let broker = support::broker();
    let log = support::connect(&broker);
    let (grown, cut) = (support::unique("grown"), support::unique("cut"));
    for name in [&grown, &cut] {
        log.open(&spec(name, 2)).await.unwrap();
        log.append(name, P0, batch(b"v")).await.unwrap();
    }
    let more = NewPartitions::new(grown.as_str(), 5);
    let done = admin(&broker).create_partitions([&more], &AdminOptions::new()).await.unwrap();
    done.into_iter().next().unwrap().unwrap();
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(cut.as_str(), 0, rdkafka::Offset::Offset(1)).unwrap();
    admin(&broker).delete_records(&list, &AdminOptions::new()).await.unwrap();
    let detail = refused(&log, &grown).await;
    assert!(detail.contains("5 partitions") && detail.contains('2'), "{detail}");
    let detail = refused(&log, &cut).await;
    assert!(detail.contains("partition 0 starts at 1 instead of 0"), "{detail}");
    for name in [&grown, &cut] {
        let bounds = log.bounds(name, P0).await.unwrap();
        assert!(bounds.end >= Offset(1), "{bounds:?}");
    }
}

#[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_behind_an_open_transaction_is_appended_and_cannot_be_read_yet() {
    let broker = support::broker();
    let log = support::connect(&broker);
    let (name, id) = (support::unique("open"), support::unique("writer"));
    log.open(&spec(&name, 1)).await.unwrap();
    let (topic, of) = (name.as_str().to_owned(), broker);
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let (begun, begins) = tokio::sync::oneshot::channel();
    let other = tokio::task::spawn_blocking(move || {
        let mut config = support::stranger(&of);
        let producer: BaseProducer = config.set("transactional.id", id.as_str()).create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::to(&topic).partition(0).key("k").payload("open")).unwrap();
        producer.flush(PATIENCE).unwrap();
        begun.send(()).unwrap();
        ended.recv().unwrap();
        producer.abort_transaction(PATIENCE).unwrap();
    });
    begins.await.unwrap();
    let appended = log.append(&name, P0, batch(b"behind")).await.unwrap();
    assert_eq!(appended.offset(0).unwrap(), Offset(1));
    let bounds = Bounds { start: Offset(0), end: Offset(0), appended: Offset(2) };
    assert_eq!(log.bounds(&name, P0).await.unwrap(), bounds);
    let mut told = log.watch_end(&name, P0).unwrap();
    end.send(()).unwrap();
    other.await.unwrap();
    let moved = told.wait_for(|end| *end >= Offset(3));
    tokio::time::timeout(PATIENCE, moved).await.expect("the end of the transaction is told").unwrap();
    let limit = ReadLimit { records: 10, bytes: usize::MAX };
    let read = log.read(&name, P0, Offset(0), limit).await.unwrap();
    let found: Vec<_> = read.iter().map(|record| (record.offset, record.value.unwrap().to_vec())).collect();
    assert_eq!(found, [(Offset(1), b"behind".to_vec())], "an aborted record and a marker are none");
    assert_eq!(log.bounds(&name, P0).await.unwrap().appended, Offset(3));
}

#[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]
#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_as_large_as_the_log_was_told_and_the_topic_takes() {
    let broker = support::broker();
    let settings = Settings { record_bytes: 3_000_000, ..support::settings(&broker) };
    let log = KafkaLog::connect(settings).unwrap();
    let name = support::unique("large");
    log.open(&spec(&name, 1)).await.unwrap();
    log.append(&name, P0, batch(&vec![7; 2_900_000])).await.unwrap();
    let error = log.append(&name, P0, batch(&vec![7; 3_100_000])).await.unwrap_err();
    assert!(matches!(error, LogError::TooLarge { limit_bytes: 3_000_000, .. }), "{error}");
    set(&broker, &name, &[&KEPT[..], &[("max.message.bytes", "500000")]].concat()).await;
    let told = async {
        loop {
            match log.append(&name, P0, batch(&vec![7; 600_000])).await {
                Err(LogError::TooLarge { limit_bytes: 500_000, .. }) => break,
                Ok(_) | Err(LogError::TooLarge { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("the topic's own bound is told");
    log.append(&name, P0, batch(&vec![7; 400_000])).await.unwrap();
}

#[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]
#[tokio::test(flavor = "multi_thread")]
async fn a_process_joins_by_either_protocol_under_a_lasting_name_and_counts() {
    let broker = support::broker();
    let name = support::unique("joined");
    for protocol in ["classic", "consumer"] {
        let (sent, clients) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (counts_sent, told) = (Arc::clone(&sent), Arc::clone(&clients));
        let settings = Settings {
            group_protocol: protocol.to_owned(),
            instance_id: Some(format!("{}-1", name.as_str())),
            client_id: format!("tidefold-test-{protocol}"),
            counts_every: Duration::from_millis(100),
            counts: Counts::new(move |counts| {
                counts_sent.fetch_add(counts.requests, Ordering::Relaxed);
                told.lock().unwrap().push(counts.client);
            }),
            ..support::settings(&broker)
        };
        let log = KafkaLog::connect(settings).unwrap();
        log.open(&spec(&name, 3)).await.unwrap();
        log.append(&name, P0, batch(b"v")).await.unwrap();
        log.read(&name, P0, Offset(0), ReadLimit { records: 1, bytes: 1 }).await.unwrap();
        let group = format!("{}.{protocol}", name.as_str());
        let seat = log.join(&group, &[(name.clone(), 3)]).unwrap();
        let mut owned = seat.owned();
        let all = owned.wait_for(|owned| owned.partitions.len() == 3);
        tokio::time::timeout(PATIENCE, all)
            .await
            .unwrap_or_else(|_| panic!("{protocol}: nothing owned"))
            .unwrap();
        let counted = async {
            while !["producer", "direct", "group"]
                .iter()
                .all(|client| clients.lock().unwrap().contains(client))
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, counted).await.expect("every client counts");
        assert!(sent.load(Ordering::Relaxed) > 0);
        seat.leave().await;
    }
}

#[test]
fn another_group_protocol_is_refused_with_what_there_is() {
    let settings = Settings { group_protocol: "new".to_owned(), ..Settings::default() };
    let Err(error) = KafkaLog::connect(settings) else { panic!("it is taken") };
    assert!(error.to_string().contains("classic or consumer"), "{error}");
}
