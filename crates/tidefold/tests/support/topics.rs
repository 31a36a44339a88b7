//! What others may do to topics: an operator's mistakes, by the cluster's own means.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::backends::Backends;

const ASK: Duration = Duration::from_secs(10);

/// The topics of one fleet.
pub struct Topics {
    admin: AdminClient<DefaultClientContext>,
    meta: BaseConsumer,
    prefix: String,
}

/// Where a topic's partitions are.
#[derive(Debug)]
pub struct Spread {
    /// How many partitions each broker leads.
    pub leads: BTreeMap<i32, usize>,
    /// The fewest copies any partition has, and the fewest of them that are in sync.
    pub replicas: usize,
    pub in_sync: usize,
}

impl Topics {
    pub fn of(backends: &Backends) -> Topics {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", std::env::var("TIDEFOLD_TEST_KAFKA").unwrap());
        let (admin, meta) = (config.create().unwrap(), config.create().unwrap());
        Topics { admin, meta, prefix: backends.prefix().to_owned() }
    }

    fn own(&self, topic: &str) -> String {
        format!("{}{topic}", self.prefix)
    }

    fn options() -> AdminOptions {
        AdminOptions::new().request_timeout(Some(ASK)).operation_timeout(Some(ASK))
    }

    /// Deletes it and makes it again, with as many partitions and the settings it had.
    pub async fn recreate(&self, topic: &str, partitions: i32) {
        let name = self.own(topic);
        let deleted = self.admin.delete_topics(&[&name], &Topics::options()).await.unwrap();
        assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
        let new = NewTopic::new(&name, partitions, TopicReplication::Fixed(-1)).set("retention.ms", "-1");
        loop {
            let made = self.admin.create_topics([&new], &Topics::options()).await.unwrap();
            match made.as_slice() {
                [Ok(_)] => break,
                // The name is still the old one's.
                [Err((_, RDKafkaErrorCode::TopicAlreadyExists))] => {}
                other => panic!("{name} cannot be made again: {other:?}"),
            }
        }
        // Every partition has a leader, which the brokers hear of a moment later.
        let led =
            |spread: Spread| spread.leads.iter().map(|(id, n)| if *id >= 0 { *n } else { 0 }).sum::<usize>();
        while led(self.spread(topic)) < partitions as usize {}
    }

    /// Deletes all records that are there.
    pub async fn truncate(&self, topic: &str, partitions: i32) {
        let mut offsets = TopicPartitionList::new();
        for partition in 0..partitions {
            offsets.add_partition_offset(&self.own(topic), partition, Offset::End).unwrap();
        }
        let deleted = self.admin.delete_records(&offsets, &Topics::options()).await.unwrap();
        assert!(deleted.elements().iter().all(|element| element.error().is_ok()), "{deleted:?}");
    }

    /// Gives it more partitions.
    pub async fn grow(&self, topic: &str, partitions: usize) {
        let name = self.own(topic);
        let grown = [NewPartitions::new(&name, partitions)];
        let grown = self.admin.create_partitions(&grown, &Topics::options()).await.unwrap();
        assert!(grown.iter().all(Result::is_ok), "{grown:?}");
    }

    /// Sets `cleanup.policy`, and leaves what it keeps unlimited.
    pub async fn clean_up_by(&self, topic: &str, policy: &str) {
        self.keep_by(topic, policy, "-1").await;
    }

    /// Sets `cleanup.policy` and `retention.ms`.
    pub async fn keep_by(&self, topic: &str, policy: &str, retention_ms: &str) {
        let name = self.own(topic);
        let config = AlterConfig::new(ResourceSpecifier::Topic(&name))
            .set("cleanup.policy", policy)
            .set("retention.ms", retention_ms)
            .set("retention.bytes", "-1");
        let set = self.admin.alter_configs(&[config], &Topics::options()).await.unwrap();
        assert!(set.iter().all(Result::is_ok), "{set:?}");
    }

    /// Which brokers lead, and how many copies there are.
    pub fn spread(&self, topic: &str) -> Spread {
        let metadata = self.meta.fetch_metadata(Some(&self.own(topic)), ASK).unwrap();
        let mut spread = Spread { leads: BTreeMap::new(), replicas: usize::MAX, in_sync: usize::MAX };
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            *spread.leads.entry(partition.leader()).or_default() += 1;
            spread.replicas = spread.replicas.min(partition.replicas().len());
            spread.in_sync = spread.in_sync.min(partition.isr().len());
        }
        spread
    }

    /// A setting of the topic, as the brokers have it.
    pub async fn setting(&self, topic: &str, setting: &str) -> String {
        let name = self.own(topic);
        let told = self.admin.describe_configs(&[ResourceSpecifier::Topic(&name)], &Topics::options()).await;
        let config = told.unwrap().remove(0).unwrap();
        let entry = config.entries.iter().find(|entry| entry.name == setting);
        entry.and_then(|entry| entry.value.clone()).unwrap_or_default()
    }
}
