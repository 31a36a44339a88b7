//! A real broker behind a connection that breaks at the worst moment: when the records stand and the answer is on its way.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tidefold_log::{Appended, Bounds, Log, LogError, ReadLimit, TopicSpec};
use tidefold_record::{Headers, Offset, TopicName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::connection::Address;
use super::*;
use crate::KafkaLog;
use crate::settings::Settings;

const P0: Partition = Partition(0);
const PRODUCE: &[u8] = &[0, 0];
const FETCH: &[u8] = &[0, 1];

/// Stands before a broker and passes on whole frames.
struct Breaker {
    at: Address,
    /// Requests to produce that were passed on.
    produced: AtomicUsize,
    /// How many of their answers are still to be lost, each with its connection.
    lose: AtomicUsize,
    /// Requests to fetch, as they were passed on.
    fetches: Mutex<Vec<Vec<u8>>>,
}

impl Breaker {
    async fn before(broker: &str) -> Arc<Breaker> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let breaker = Arc::new(Breaker {
            at: Address { host: "127.0.0.1".to_owned(), port },
            produced: AtomicUsize::new(0),
            lose: AtomicUsize::new(0),
            fetches: Mutex::default(),
        });
        let (tasks, broker, this) = (TaskTracker::new(), broker.to_owned(), Arc::clone(&breaker));
        tasks.clone().spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tasks.spawn(Arc::clone(&this).pass(client, TcpStream::connect(&broker).await.unwrap()));
            }
        });
        breaker
    }

    async fn pass(self: Arc<Self>, mut client: TcpStream, mut broker: TcpStream) {
        while let Some(request) = frame(&mut client).await {
            if request[4..6] == *FETCH {
                self.fetches.lock().unwrap().push(request.clone());
            }
            broker.write_all(&request).await.unwrap();
            let Some(answer) = frame(&mut broker).await else { return };
            if request[4..6] == *PRODUCE {
                self.produced.fetch_add(1, Ordering::SeqCst);
                let one_less = |left: usize| left.checked_sub(1);
                if self.lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
                    return;
                }
            }
            if client.write_all(&answer).await.is_err() {
                return;
            }
        }
    }

    fn produced(&self) -> usize {
        self.produced.load(Ordering::SeqCst)
    }
}

async fn frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let size = stream.read_u32().await.ok()?;
    let mut frame = size.to_be_bytes().to_vec();
    frame.resize(4 + size as usize, 0);
    stream.read_exact(&mut frame[4..]).await.ok()?;
    Some(frame)
}

fn broker() -> String {
    let broker =
        std::env::var("TIDEFOLD_TEST_KAFKA").expect("TIDEFOLD_TEST_KAFKA was set when the tests were built");
    broker.split(',').next().unwrap().to_owned()
}

fn properties() -> BTreeMap<String, String> {
    let text = std::env::var("TIDEFOLD_TEST_KAFKA_PROPERTIES").unwrap_or_default();
    let property = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    text.lines().filter_map(property).collect()
}

/// A log whose direct way leads through a breaker, which speaks no TLS, and a topic of its own.
async fn log(name: &str, message_timeout: Duration) -> (KafkaLog, Arc<Breaker>, TopicName) {
    let broker = broker();
    let settings = Settings { bootstrap: vec![broker.clone()], message_timeout, ..Settings::default() };
    let breaker = Breaker::before(&broker).await;
    let mut log = KafkaLog::connect(settings.clone()).unwrap();
    log.direct = Some(Direct::of(&Shared::through(&settings, breaker.at.clone())));
    let topic = open(&log, name).await;
    (log, breaker, topic)
}

/// A topic that no other run uses.
async fn open(log: &KafkaLog, name: &str) -> TopicName {
    let topic = TopicName::new(format!("direct-{:016x}-{name}", RandomState::new().build_hasher().finish()));
    log.open(&TopicSpec { name: topic.clone(), partitions: 3, create: true }).await.unwrap();
    topic
}

fn batch(records: usize) -> BatchBuilder {
    let mut batch = BatchBuilder::new();
    (0..records).for_each(|i| batch.push(Some(b"k"), Some(format!("{i}").as_bytes()), Headers::default()));
    batch
}

#[cfg_attr(
    not(all(kafka_is_there, kafka_is_plain)),
    ignore = "needs Kafka without TLS: TIDEFOLD_TEST_KAFKA (make servers-up)"
)]
#[tokio::test(flavor = "multi_thread")]
async fn records_whose_acknowledgement_was_lost_are_acknowledged_where_they_stand_and_stand_once() {
    let (log, breaker, topic) = log("lost", Duration::from_secs(8)).await;
    assert_eq!(log.append(&topic, P0, batch(2)).await, Ok(Appended::From(Offset(0))));
    assert_eq!(breaker.produced(), 1, "it took the direct way");
    breaker.lose.store(2, Ordering::SeqCst);
    assert_eq!(log.append(&topic, P0, batch(3)).await, Ok(Appended::From(Offset(2))));
    assert_eq!(breaker.produced(), 4, "sent three times");
    assert_eq!(log.append(&topic, P0, batch(1)).await, Ok(Appended::From(Offset(5))));
    assert_eq!(
        log.bounds(&topic, P0).await,
        Ok(Bounds { start: Offset(0), end: Offset(6), appended: Offset(6) })
    );
}

#[cfg_attr(
    not(all(kafka_is_there, kafka_is_plain)),
    ignore = "needs Kafka without TLS: TIDEFOLD_TEST_KAFKA (make servers-up)"
)]
#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_never_acknowledged_are_unknown_and_the_next_ones_are_taken() {
    let (log, breaker, topic) = log("never", Duration::from_secs(1)).await;
    breaker.lose.store(usize::MAX, Ordering::SeqCst);
    let error = log.append(&topic, P0, batch(3)).await.unwrap_err();
    assert!(matches!(error, LogError::Unknown { .. }), "{error}");
    breaker.lose.store(0, Ordering::SeqCst);
    assert_eq!(log.append(&topic, P0, batch(1)).await, Ok(Appended::From(Offset(3))));
    assert_eq!(
        log.bounds(&topic, P0).await,
        Ok(Bounds { start: Offset(0), end: Offset(4), appended: Offset(4) })
    );
}

#[cfg_attr(
    not(all(kafka_is_there, kafka_is_plain)),
    ignore = "needs Kafka without TLS: TIDEFOLD_TEST_KAFKA (make servers-up)"
)]
#[tokio::test(flavor = "multi_thread")]
async fn appends_that_come_together_share_requests_whatever_their_partitions() {
    let (log, breaker, topic) = log("together", Duration::from_secs(8)).await;
    let appends = (0..90).map(|i| log.append(&topic, Partition(i % 3), batch(2)));
    let appended = futures_util::future::join_all(appends).await;
    for partition in 0..3 {
        let mut firsts: Vec<_> = appended
            .iter()
            .skip(partition)
            .step_by(3)
            .map(|appended| match appended {
                Ok(Appended::From(first)) => first.0,
                other => panic!("{other:?}"),
            })
            .collect();
        firsts.sort_unstable();
        assert!(firsts.into_iter().eq((0..30).map(|i| i * 2)));
    }
    assert!(breaker.produced() < 30, "{} requests for 90 appends", breaker.produced());
}

#[cfg_attr(
    not(all(kafka_is_there, kafka_is_plain)),
    ignore = "needs Kafka without TLS: TIDEFOLD_TEST_KAFKA (make servers-up)"
)]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_topic_finds_too_large_is_told_as_that_and_leaves_nothing() {
    let (log, _, topic) = log("large", Duration::from_secs(8)).await;
    let admin = &log.cluster.admin;
    let set = AlterConfig::new(ResourceSpecifier::Topic(topic.as_str())).set("max.message.bytes", "9000");
    admin.alter_configs([&set], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    let mut large = BatchBuilder::new();
    large.push(None, Some(&[7; 20_000]), Headers::default());
    // The broker takes a moment to hear of it, in which it takes the record.
    let mut stand = 0;
    let error = loop {
        match log.append(&topic, P0, large.clone()).await {
            Ok(_) => stand += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LogError::TooLarge { index: 0, .. }), "{error}");
    let fits = |appended| matches!(appended, Ok(Appended::From(first)) if first == Offset(stand));
    assert!(fits(log.append(&topic, P0, batch(1)).await));
}

#[cfg_attr(
    not(all(kafka_is_there, kafka_is_plain)),
    ignore = "needs Kafka without TLS: TIDEFOLD_TEST_KAFKA (make servers-up)"
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_record_larger_than_the_settings_allow_does_not_go_the_direct_way() {
    let (mut log, breaker, topic) = log("limit", Duration::from_secs(8)).await;
    log.settings.record_bytes = 100;
    log.direct = Some(Direct::of(&Shared::through(&log.settings, breaker.at.clone())));
    let known = log.cluster.find(&topic, P0).await.unwrap();
    let direct = log.direct.as_ref().unwrap();
    direct.prepare(&known).await;
    let mut large = BatchBuilder::new();
    large.push(None, Some(&[7; 200]), Headers::default());
    assert!(direct.send(&known, P0, large).is_err());
    assert!(direct.send(&known, P0, batch(1)).is_ok());
}

#[cfg_attr(
    not(all(kafka_is_there, kafka_is_plain)),
    ignore = "needs Kafka without TLS: TIDEFOLD_TEST_KAFKA (make servers-up)"
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_cannot_be_reached_directly_is_left_to_librdkafka() {
    let (mut log, _, topic) = log("away", Duration::from_secs(8)).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let nowhere = Address { host: "127.0.0.1".to_owned(), port };
    let direct = Direct::of(&Shared::through(&log.settings, nowhere));
    // It knows who leads, and finds nobody there.
    let known = log.cluster.find(&topic, P0).await.unwrap();
    let leaders = log.direct.as_ref().unwrap().0.leaders(&known).await.unwrap();
    direct.0.accumulator().prepare(&known, Instant::now());
    for (broker, work) in direct.0.accumulator().route(&topic, Some(leaders), Instant::now()) {
        drop(direct.0.spawn(link::run(Arc::clone(&direct.0), broker, work)));
    }
    log.direct = Some(direct);
    assert_eq!(log.append(&topic, P0, batch(2)).await, Ok(Appended::From(Offset(0))));
}

#[cfg_attr(
    not(all(kafka_is_there, kafka_is_plain)),
    ignore = "needs Kafka without TLS: TIDEFOLD_TEST_KAFKA (make servers-up)"
)]
#[tokio::test(flavor = "multi_thread")]
async fn who_is_far_behind_reads_every_record_once_and_in_order() {
    let (log, _, topic) = log("behind", Duration::from_secs(8)).await;
    let mut written = Vec::new();
    // Large appends are compressed, small ones are not: batches of both kinds in turn.
    for round in 0..40 {
        let mut many = BatchBuilder::new();
        for i in 0..500 {
            let value = format!("{round}-{i}-{}", "x".repeat(i % 90));
            many.push(Some(b"k"), Some(value.as_bytes()), Headers::default());
            written.push(value);
        }
        log.append(&topic, P0, many).await.unwrap();
        log.append(&topic, P0, batch(3)).await.unwrap();
        written.extend((0..3).map(|i| i.to_string()));
    }
    let known = log.cluster.find(&topic, P0).await.unwrap();
    let limit = ReadLimit { records: 6_000, bytes: 1 << 20 };
    let (mut at, mut read) = (Offset(0), Vec::new());
    while at.0 < written.len() as u64 {
        let direct = log.wire.fetch(&known, P0, at, limit).await.unwrap();
        assert!(direct.len() <= limit.records && direct.size_bytes() < 2 * limit.bytes);
        let some = log.read(&topic, P0, at, ReadLimit { records: 20, ..limit }).await.unwrap();
        assert!(!some.is_empty());
        some.iter().zip(direct.iter()).for_each(|(one, other)| assert_eq!(one, other));
        read.extend(direct.iter().map(|record| String::from_utf8(record.value.unwrap().to_vec()).unwrap()));
        at = direct.next_offset();
    }
    assert_eq!(read, written);
    let end = log.wire.fetch(&known, P0, at, limit).await.unwrap();
    assert_eq!((end.len(), end.next_offset()), (0, at));
}

#[cfg_attr(
    not(all(kafka_is_there, kafka_is_plain)),
    ignore = "needs Kafka without TLS: TIDEFOLD_TEST_KAFKA (make servers-up)"
)]
#[tokio::test(flavor = "multi_thread")]
async fn records_are_read_however_others_compressed_them() {
    let (log, _, topic) = log("compressed", Duration::from_secs(8)).await;
    let mut written = Vec::new();
    for codec in ["none", "zstd", "lz4", "gzip", "snappy"] {
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", log.settings.brokers()).set("compression.codec", codec);
        let other: BaseProducer = config.create().unwrap();
        for i in 0..3_000 {
            let value = format!("{codec} {i}");
            other.send(BaseRecord::<str, str>::to(topic.as_str()).partition(0).payload(&value)).unwrap();
            written.push(value);
        }
        other.flush(Duration::from_secs(30)).unwrap();
    }
    log.bounds(&topic, P0).await.unwrap();
    let limit = ReadLimit { records: 4_000, bytes: usize::MAX };
    let (mut at, mut read) = (Offset(0), Vec::new());
    while at.0 < written.len() as u64 {
        let batch = log.read(&topic, P0, at, limit).await.unwrap();
        read.extend(batch.iter().map(|record| String::from_utf8(record.value.unwrap().to_vec()).unwrap()));
        at = batch.next_offset();
    }
    assert_eq!(read, written);
}

/// `make secured` runs it for every way in.
#[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]
#[tokio::test(flavor = "multi_thread")]
async fn the_direct_way_is_secured_by_librdkafkas_properties() {
    let broker = broker();
    let settings = Settings { bootstrap: vec![broker], properties: properties(), ..Settings::default() };
    let log = KafkaLog::connect(settings).unwrap();
    let topic = open(&log, "secured").await;
    let known = log.cluster.find(&topic, P0).await.unwrap();
    let direct = log.direct.as_ref().unwrap();
    let appended = direct.send(&known, P0, batch(3)).unwrap().await.unwrap();
    assert!(matches!(appended, Outcome::Answered(Ok(Appended::From(Offset(0))))), "{appended:?}");
    let limit = ReadLimit { records: 9, bytes: usize::MAX };
    assert_eq!(log.wire.fetch(&known, P0, Offset(0), limit).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_says_in_which_rack_the_reader_stands_where_that_is_set() {
    let topic = TopicName::new("rack");
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(topic.as_str(), 1, 1).unwrap();
    for rack in [None, Some("cellar-7")] {
        let properties = rack.map(|rack| ("client.rack".to_owned(), rack.to_owned())).into_iter().collect();
        let bootstrap = vec![cluster.bootstrap_servers()];
        let settings = Settings { bootstrap, properties, ..Settings::default() };
        let log = KafkaLog::connect(settings.clone()).unwrap();
        let appended = log.append(&topic, P0, batch(2)).await.unwrap();
        let breaker = Breaker::before(&cluster.bootstrap_servers()).await;
        let shared = Shared::through(&settings, breaker.at.clone());
        let known = log.cluster.find(&topic, P0).await.unwrap();
        let limit = ReadLimit { records: 9, bytes: usize::MAX };
        let read = shared.fetch(&known, P0, appended.offset(0).unwrap(), limit).await.unwrap();
        assert_eq!(read.len(), 2);
        let fetches = breaker.fetches.lock().unwrap();
        let says = |fetch: &Vec<u8>| fetch.windows(8).any(|word| word == b"cellar-7");
        assert!(!fetches.is_empty());
        assert!(fetches.iter().all(|fetch| says(fetch) == rack.is_some()), "{rack:?}: {fetches:?}");
    }
}
