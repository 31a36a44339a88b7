//! Brokers that fail in ways a healthy one does not: librdkafka's own mock cluster.

use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::RDKafkaApiKey as Api;
use rdkafka::types::RDKafkaRespErr as Error;
use tidefold_log::{Log, LogError, ReadLimit};
use tidefold_record::{BatchBuilder, Headers, Offset, Partition, TopicName};

use crate::{KafkaLog, Settings};

const P0: Partition = Partition(0);
const ALL: ReadLimit = ReadLimit { records: 100, bytes: usize::MAX };

fn mock(topic: &TopicName) -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(topic.as_str(), 1, 1).unwrap();
    cluster
}

fn connect(cluster: &MockCluster<'static, DefaultProducerContext>, settings: Settings) -> KafkaLog {
    // Who says how records are compressed has all appends sent by librdkafka, which these tests are about.
    let properties = [("compression.codec".to_owned(), "none".to_owned())].into();
    let settings = Settings { bootstrap: vec![cluster.bootstrap_servers()], properties, ..settings };
    KafkaLog::connect(settings).unwrap()
}

fn batch(count: usize) -> BatchBuilder {
    let mut batch = BatchBuilder::new();
    for i in 0..count {
        batch.push(Some(b"k"), Some(format!("{i}").as_bytes()), Headers::default());
    }
    batch
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_never_confirms_leaves_the_fate_unknown() {
    let topic = TopicName::new("unknown");
    let cluster = mock(&topic);
    let log = connect(&cluster, Settings { message_timeout: Duration::from_secs(5), ..Settings::default() });
    log.append(&topic, P0, batch(2)).await.unwrap();
    cluster.request_errors(Api::Produce, &[Error::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT; 200]);
    let error = log.append(&topic, P0, batch(3)).await.unwrap_err();
    assert!(matches!(error, LogError::Unknown { .. }), "{error}");
    cluster.clear_request_errors(Api::Produce);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stumbles_is_asked_again_and_nothing_is_written_twice() {
    let topic = TopicName::new("stumbles");
    let cluster = mock(&topic);
    let log = connect(&cluster, Settings::default());
    cluster.request_errors(Api::Produce, &[Error::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 2]);
    let appended = log.append(&topic, P0, batch(3)).await.unwrap();
    let first = appended.offset(0).unwrap();
    assert_eq!(appended.offset(2).unwrap(), first.advance(2));
    assert_eq!(log.read(&topic, P0, first, ALL).await.unwrap().len(), 3);
    assert_eq!(log.bounds(&topic, P0).await.unwrap().end, first.advance(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_and_a_large_record_leave_nothing() {
    let topic = TopicName::new("bounded");
    let cluster = mock(&topic);
    let settings = Settings { queue_bytes: 2_000, record_bytes: 10_000, ..Settings::default() };
    let log = connect(&cluster, settings);
    log.append(&topic, P0, batch(1)).await.unwrap();
    let mut large = batch(1);
    large.push(None, Some(&[0; 11_000]), Headers::default());
    let error = log.append(&topic, P0, large).await.unwrap_err();
    assert!(matches!(error, LogError::TooLarge { index: 1, limit_bytes: 10_000, .. }), "{error}");
    cluster.broker_round_trip_time(1, Duration::from_millis(500)).unwrap();
    // Few enough for the producer that is connected by now.
    let waiting = log.append(&topic, P0, batch(15));
    let refused = async { log.append(&topic, P0, batch(15)).await.unwrap_err() };
    let (waited, error) = futures_util::future::join(waiting, refused).await;
    assert!(waited.is_ok(), "{waited:?}");
    assert!(matches!(error, LogError::Full { .. }), "{error}");
    assert_eq!(log.bounds(&topic, P0).await.unwrap().end, Offset(16));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_failed_for_good_leaves_its_append_unknown_and_is_replaced() {
    let topic = TopicName::new("fatal");
    let cluster = mock(&topic);
    let log = connect(&cluster, Settings::default());
    log.append(&topic, P0, batch(1)).await.unwrap();
    cluster.request_errors(Api::Produce, &[Error::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER]);
    let error = log.append(&topic, P0, batch(2)).await.unwrap_err();
    assert!(matches!(error, LogError::Unknown { .. }), "{error}");
    for round in 0..3 {
        let appended = log.append(&topic, P0, batch(3)).await.unwrap();
        let first = appended.offset(0).unwrap();
        assert_eq!(log.read(&topic, P0, first, ALL).await.unwrap().len(), 3, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_a_producer_that_failed_for_good_is_answered_and_not_left_to_its_timeout() {
    let topic = TopicName::new("purged");
    let cluster = mock(&topic);
    let patience = Duration::from_secs(60);
    let log = connect(&cluster, Settings { message_timeout: 10 * patience, ..Settings::default() });
    log.append(&topic, P0, batch(1)).await.unwrap();
    cluster.broker_down(1).unwrap();
    let waits = log.append(&topic, P0, batch(2));
    let goes_on = async {
        log.appender.fail_for_good();
        cluster.broker_up(1).unwrap();
        log.append(&topic, P0, batch(3)).await
    };
    let both = futures_util::future::join(waits, goes_on);
    let (waited, next) = tokio::time::timeout(patience, both).await.expect("both are answered");
    let told = waited.unwrap_err();
    assert!(matches!(told, LogError::Unknown { .. } | LogError::Unavailable { .. }), "{told}");
    let first = next.unwrap().offset(0).unwrap();
    assert_eq!(log.read(&topic, P0, first, ALL).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_read_where_the_leader_says_that_a_replica_is_nearer() {
    let topic = TopicName::new("nearer");
    let cluster = MockCluster::new(2).unwrap();
    cluster.create_topic(topic.as_str(), 1, 2).unwrap();
    cluster.partition_leader(topic.as_str(), 0, Some(1)).unwrap();
    let properties = [("client.rack".to_owned(), "cellar-7".to_owned())].into();
    let settings =
        Settings { bootstrap: vec![cluster.bootstrap_servers()], properties, ..Settings::default() };
    let log = KafkaLog::connect(settings).unwrap();
    let first = log.append(&topic, P0, batch(3)).await.unwrap().offset(0).unwrap();
    // From now on the leader sends no records: it names the other one.
    cluster.partition_follower(topic.as_str(), 0, 2).unwrap();
    assert_eq!(log.read(&topic, P0, first, ALL).await.unwrap().len(), 3);
    // It is not asked again, either.
    let known = log.cluster.find(&topic, P0).await.unwrap();
    cluster.broker_down(1).unwrap();
    assert_eq!(log.wire.fetch(&known, P0, first, ALL).await.unwrap().len(), 3);
}
