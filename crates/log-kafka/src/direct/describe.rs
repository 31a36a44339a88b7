//! Questions about topics: what they are, and where their partitions start and end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest, MetadataRequest, MetadataResponse};
use tidefold_record::{Offset, Partition, TopicName};
use tokio::time::Instant;

use super::accumulator::Route;
use super::produce::{identity, name_of};
use super::shared::Shared;
use crate::known::{Described, KnownTopic};
use crate::waiting::pause;

/// What a broker says of the cluster, and of a topic in it; none: it does not know it.
pub(crate) struct Told {
    pub(crate) cluster: Option<String>,
    pub(crate) topic: Option<Described>,
}

/// Which offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The first that is still there.
    Start,
    /// Behind the last that may be read: no transaction is open before it.
    End,
    /// Behind the last that was appended, whether it may be read yet or not.
    Appended,
}

/// What was told of some partitions.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    pub(crate) told: Vec<(Partition, Offset)>,
    /// Why others were not.
    pub(crate) untold: Option<io::Error>,
}

type Asked = io::Result<Vec<(Partition, Result<Offset, ResponseError>)>>;

/// Leaders are asked for again after this time.
const REST: Duration = Duration::from_millis(20);

// === impl Shared ===

impl Shared {
    /// Asks the brokers, those first that were found.
    async fn metadata(&self, topics: Vec<MetadataRequestTopic>) -> io::Result<MetadataResponse> {
        let request =
            MetadataRequest::default().with_topics(Some(topics)).with_allow_auto_topic_creation(false);
        let mut why = io::Error::other("no broker is named");
        for address in self.addresses() {
            let asked = async { self.connector.open(&address).await?.ask(&request).await };
            match asked.await {
                Ok(answer) => return Ok(answer),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// Whether any broker answers.
    pub(crate) async fn reach(&self) -> io::Result<()> {
        self.metadata(Vec::new()).await.map(|_| ())
    }

    /// What a broker says of a topic.
    pub(crate) async fn describe(&self, name: &TopicName) -> io::Result<Told> {
        let topic = MetadataRequestTopic::default().with_name(Some(name_of(name)));
        let answer = self.metadata(vec![topic]).await?;
        let cluster = answer.cluster_id.map(|id| id.to_string());
        let Some(found) = answer.topics.first() else { return Ok(Told { cluster, topic: None }) };
        let topic = match found.error_code.err() {
            None => {
                let partitions = found.partitions.len() as u32;
                Some(Described { partitions, id: identity(found.topic_id) })
            }
            Some(ResponseError::UnknownTopicOrPartition) => None,
            Some(error) => return Err(refusal(error)),
        };
        Ok(Told { cluster, topic })
    }

    /// Asks the leaders of partitions, those again that have none just now or another one than was thought.
    pub(crate) async fn offsets(
        self: &Arc<Self>,
        topic: &Arc<KnownTopic>,
        partitions: impl Iterator<Item = Partition>,
        side: Side,
        timeout: Duration,
    ) -> Offsets {
        let deadline = Instant::now() + timeout;
        let mut open: Vec<_> = partitions.collect();
        let mut offsets = Offsets::default();
        let mut refused = None;
        while !open.is_empty() {
            offsets.untold = None;
            let groups = self.by_leader(topic, &mut open, deadline).await;
            if !open.is_empty() {
                offsets.untold = Some(io::Error::other("nobody is known to lead it"));
            }
            let asks = groups.iter().map(|(route, of)| self.list_offsets(topic, route, of, side));
            let all = tokio::time::timeout_at(deadline, join_all(asks)).await;
            let all = all.unwrap_or_else(|_| vec![]);
            if all.len() < groups.len() {
                offsets.untold = Some(io::ErrorKind::TimedOut.into());
            }
            for ((route, of), answer) in groups.iter().zip(all) {
                let sorted = sort(of, answer);
                offsets.told.extend(sorted.told);
                refused = sorted.refused.or(refused);
                if !sorted.again.is_empty() {
                    self.accumulator().unroute(route.leader, Some(&topic.name), Instant::now());
                    open.extend(sorted.again);
                    offsets.untold = sorted.why;
                }
            }
            if open.is_empty() || Instant::now() + REST >= deadline {
                break;
            }
            pause(REST).await;
        }
        offsets.untold = refused.or(offsets.untold);
        offsets
    }

    /// Partitions with the ways to their leaders; those stay behind that have none.
    async fn by_leader(
        self: &Arc<Self>,
        topic: &Arc<KnownTopic>,
        open: &mut Vec<Partition>,
        deadline: Instant,
    ) -> Vec<(Route, Vec<Partition>)> {
        let mut groups: Vec<(Route, Vec<Partition>)> = Vec::new();
        let mut without = Vec::new();
        for partition in open.drain(..) {
            match self.find_route(topic, partition, deadline).await {
                Some(route) => match groups.iter_mut().find(|(known, _)| known.leader == route.leader) {
                    Some((_, of)) => of.push(partition),
                    None => groups.push((route, vec![partition])),
                },
                None => without.push(partition),
            }
        }
        *open = without;
        groups
    }

    async fn list_offsets(
        &self,
        topic: &KnownTopic,
        route: &Route,
        partitions: &[Partition],
        side: Side,
    ) -> Asked {
        let (time, isolation) = match side {
            Side::Start => (-2, 1),
            Side::End => (-1, 1),
            Side::Appended => (-1, 0),
        };
        let part = |partition: &Partition| {
            ListOffsetsPartition::default()
                .with_partition_index(partition.0 as i32)
                .with_current_leader_epoch(-1)
                .with_timestamp(time)
        };
        let asked = ListOffsetsTopic::default()
            .with_name(name_of(&topic.name))
            .with_partitions(partitions.iter().map(part).collect());
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_isolation_level(isolation)
            .with_topics(vec![asked]);
        let mut connection = self.connection(route).await?;
        let answer = match connection.ask(&request).await {
            Ok(answer) => answer,
            Err(error) => {
                self.pool.forget(route.leader);
                return Err(error);
            }
        };
        self.pool.put(route.leader, connection);
        let parts = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let told = parts.map(|part| {
            let offset = match part.error_code.err() {
                None => Ok(Offset(part.offset.max(0) as u64)),
                Some(error) => Err(error),
            };
            (Partition(part.partition_index.max(0) as u32), offset)
        });
        Ok(told.collect())
    }
}

/// What was told, and why the rest was not: for now, or for good.
#[derive(Default)]
struct Sorted {
    told: Vec<(Partition, Offset)>,
    again: Vec<Partition>,
    why: Option<io::Error>,
    refused: Option<io::Error>,
}

fn sort(asked: &[Partition], answer: Asked) -> Sorted {
    let mut sorted = Sorted::default();
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Sorted { again: asked.to_vec(), why: Some(error), ..sorted },
    };
    for (partition, offset) in answer {
        match offset {
            Ok(offset) => sorted.told.push((partition, offset)),
            // A leader that has just changed says so in many ways.
            Err(error) if error.is_retriable() => {
                sorted.again.push(partition);
                sorted.why = Some(refusal(error));
            }
            Err(error) => sorted.refused = Some(refusal(error)),
        }
    }
    sorted
}

/// What a broker does not do, as an error whose kind says what that is about.
pub(crate) fn refusal(error: ResponseError) -> io::Error {
    let kind = match error {
        ResponseError::TopicAuthorizationFailed
        | ResponseError::GroupAuthorizationFailed
        | ResponseError::ClusterAuthorizationFailed => io::ErrorKind::PermissionDenied,
        ResponseError::InvalidTopicException => io::ErrorKind::InvalidInput,
        ResponseError::UnknownTopicOrPartition | ResponseError::UnknownTopicId => io::ErrorKind::NotFound,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error.to_string())
}
