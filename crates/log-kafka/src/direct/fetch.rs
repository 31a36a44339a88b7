//! Reads, straight from the leader or the replica it names.
//!
//! Two kinds of requests are made: one that waits at the ends of all partitions that are followed at a broker ([`super::follow`]),
//! and one for a reader that stands elsewhere, which takes as much at once as that one has room for. Nothing is read ahead.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::protocol::StrBytes;
use tidefold_log::ReadLimit;
use tidefold_record::{Offset, Partition, RecordBatch};
use tokio::time::Instant;
use uuid::Uuid;

use super::accumulator::Route;
use super::connection::{Connection, within};
use super::describe::refusal;
use super::fetched::{Aborted, Fetched};
use super::produce::name_of;
use super::records::Odd;
use super::shared::Shared;
use crate::known::KnownTopic;
use crate::waiting::blocking;

/// Why nothing can be read.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Nothing stands there.
    OutOfRange,
    /// The broker knows another topic of that name, or none.
    Another,
    /// What stands there cannot be taken for records.
    Odd(Odd),
    /// Something that may pass.
    Failed(io::Error),
}

/// What is asked of a partition.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) topic: Arc<KnownTopic>,
    pub(crate) id: Uuid,
    pub(crate) partition: Partition,
    pub(crate) at: Offset,
}

/// How a request waits, and how much it takes, of each partition and in all.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) wait: Duration,
    pub(crate) each: usize,
    pub(crate) all: usize,
}

/// How long an answer may take beyond what the request waits.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);
/// How long the way to a leader may be looked for.
const FIND: Duration = Duration::from_secs(1);
/// How long a nearer replica is believed to be one, as the Java client does.
const NEARER: Duration = Duration::from_secs(300);
/// Answers up to here are taken apart where they come in.
const AT_ONCE: usize = 32 << 10;

// === impl Shared ===

impl Shared {
    /// Records from `from` on, as many as `limit` allows and there are.
    pub(crate) async fn fetch(
        self: &Arc<Self>,
        topic: &Arc<KnownTopic>,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<RecordBatch, Refusal> {
        let route = self.route_of(topic, partition).await.map_err(Refusal::Failed)?;
        let fetched = self.fetch_from(topic, partition, from, limit, &route).await;
        if matches!(fetched, Err(Refusal::Failed(_))) {
            self.accumulator().unroute(route.leader, Some(&topic.name), Instant::now());
        }
        fetched
    }

    async fn fetch_from(
        &self,
        topic: &Arc<KnownTopic>,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
        route: &Route,
    ) -> Result<RecordBatch, Refusal> {
        let mut connection = self.connection(route).await.map_err(Refusal::Failed)?;
        let mut fetched = Fetched::new(partition, from, limit);
        loop {
            let at = fetched.next();
            let bytes = self.fetches.ask_for(limit.records.saturating_sub(fetched.len()), limit.bytes);
            let ask = Ask { topic: Arc::clone(topic), id: route.id, partition, at };
            let terms = Terms { wait: Duration::ZERO, each: bytes, all: bytes };
            let answer = self.ask(&mut connection, std::slice::from_ref(&ask), terms).await;
            let answer = answer.inspect_err(|_| self.pool.forget(route.leader)).map_err(Refusal::Failed)?;
            let Some((_, data)) = answer.into_iter().next() else {
                return Err(Refusal::Failed(io::Error::other("the answer is of another partition")));
            };
            if let Some(refusal) = self.refused(&ask, &data, route) {
                self.pool.put(route.leader, connection);
                return Err(refusal);
            }
            let end = Offset(data.last_stable_offset.max(0) as u64);
            topic.raise(partition, end);
            if from > end {
                return Err(Refusal::OutOfRange);
            }
            let (added, odd) = add(fetched, data).await.map_err(Refusal::Failed)?;
            fetched = added;
            self.fetches.learn(fetched.record_bytes());
            if let Some(odd) = odd.filter(|_| fetched.next() == from) {
                return Err(Refusal::Odd(odd));
            }
            let stands_still = fetched.next() == at;
            if fetched.is_full() || fetched.next() >= end || odd.is_some() || stands_still {
                self.pool.put(route.leader, connection);
                if stands_still && at == from && from < end {
                    let why = "the broker sends nothing though there is more";
                    return Err(Refusal::Failed(io::Error::other(why)));
                }
                return Ok(fetched.finish());
            }
        }
    }

    /// What a partition's part of an answer says beside records; where it names another replica, that one is asked from now on.
    pub(crate) fn refused(&self, ask: &Ask, data: &PartitionData, route: &Route) -> Option<Refusal> {
        let place = || (ask.topic.name.clone(), ask.partition);
        match data.error_code.err() {
            None if data.preferred_read_replica.0 >= 0 && data.preferred_read_replica != route.leader => {
                let nearer = (data.preferred_read_replica, Instant::now() + NEARER);
                self.fetches.nearer().insert(place(), nearer);
                Some(Refusal::Failed(io::Error::other("another replica is nearer")))
            }
            None => None,
            Some(ResponseError::OffsetOutOfRange) => match self.fetches.nearer().remove(&place()) {
                // A replica that is behind its leader.
                Some(_) => Some(Refusal::Failed(refusal(ResponseError::OffsetNotAvailable))),
                None => Some(Refusal::OutOfRange),
            },
            Some(ResponseError::UnknownTopicId | ResponseError::InconsistentTopicId) => {
                Some(Refusal::Another)
            }
            Some(ResponseError::CorruptMessage) => Some(Refusal::Odd(Odd("what the broker calls corrupt"))),
            Some(error) => {
                self.fetches.nearer().remove(&place());
                Some(Refusal::Failed(refusal(error)))
            }
        }
    }

    /// The way to where a partition is read.
    async fn route_of(self: &Arc<Self>, topic: &Arc<KnownTopic>, partition: Partition) -> io::Result<Route> {
        let route = self.find_route(topic, partition, Instant::now() + FIND).await;
        let route = route.ok_or_else(|| io::Error::other("nobody is known to lead the partition"))?;
        Ok(self.nearer(topic, partition, route))
    }

    /// The way to the replica that the leader named, if it did.
    pub(crate) fn nearer(&self, topic: &KnownTopic, partition: Partition, route: Route) -> Route {
        if self.rack.is_none() {
            return route;
        }
        let place = (topic.name.clone(), partition);
        let known = self.fetches.nearer().get(&place).copied();
        let nearer = known.filter(|(_, until)| *until > Instant::now()).map(|(broker, _)| broker);
        let address = nearer.and_then(|broker| self.accumulator().address(broker));
        match nearer.zip(address) {
            Some((leader, address)) => Route { leader, address, ..route },
            None => route,
        }
    }

    /// Whether what is read may be of another topic of the name.
    pub(crate) fn reads_by_name(&self) -> bool {
        self.fetches.by_name.load(Ordering::Relaxed)
    }

    /// One request, and what its answer holds of what was asked for.
    pub(crate) async fn ask(
        &self,
        connection: &mut Connection,
        asks: &[Ask],
        terms: Terms,
    ) -> io::Result<Vec<(usize, PartitionData)>> {
        let version = connection.version::<FetchRequest>()?;
        // Before it, topics go by their names.
        let by_name = version < 13;
        if by_name {
            self.fetches.by_name.store(true, Ordering::Relaxed);
        }
        let mut topics: Vec<FetchTopic> = Vec::new();
        for ask in asks {
            let part = FetchPartition::default()
                .with_partition(ask.partition.0 as i32)
                .with_current_leader_epoch(-1)
                .with_fetch_offset(ask.at.0 as i64)
                .with_last_fetched_epoch(-1)
                .with_log_start_offset(-1)
                .with_partition_max_bytes(size(terms.each));
            let topic = FetchTopic::default();
            let topic = match by_name {
                true => topic.with_topic(name_of(&ask.topic.name)),
                false => topic.with_topic_id(ask.id),
            };
            let same = |one: &&mut FetchTopic| one.topic == topic.topic && one.topic_id == topic.topic_id;
            match topics.iter_mut().find(same) {
                Some(one) => one.partitions.push(part),
                None => topics.push(topic.with_partitions(vec![part])),
            }
        }
        let mut request = FetchRequest::default()
            .with_max_wait_ms(terms.wait.as_millis() as i32)
            .with_min_bytes(i32::from(!terms.wait.is_zero()))
            .with_max_bytes(size(terms.all))
            .with_isolation_level(1)
            .with_session_epoch(-1)
            .with_topics(topics);
        if let Some(rack) = self.rack.as_ref().filter(|_| version >= 11) {
            request = request.with_rack_id(StrBytes::from_string(rack.clone()));
        }
        let answer = within(terms.wait + PATIENCE, connection.call(&request, version)).await?;
        if let Some(error) = answer.error_code.err() {
            return Err(refusal(error));
        }
        let mut found = Vec::with_capacity(asks.len());
        for topic in answer.responses {
            for part in topic.partitions {
                let is = |ask: &Ask| {
                    let same = if by_name {
                        topic.topic == name_of(&ask.topic.name)
                    } else {
                        topic.topic_id == ask.id
                    };
                    same && ask.partition.0 as i32 == part.partition_index
                };
                if let Some(at) = asks.iter().position(is) {
                    found.push((at, part));
                }
            }
        }
        Ok(found)
    }
}

fn size(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

/// Adds the records of an answer. Taking thousands of them apart is no work for a thread that answers requests.
pub(crate) async fn add(mut fetched: Fetched, data: PartitionData) -> io::Result<(Fetched, Option<Odd>)> {
    let listed = data.aborted_transactions.unwrap_or_default();
    let aborted = Aborted::new(
        listed.iter().map(|aborted| (aborted.producer_id.0, aborted.first_offset.max(0) as u64)),
    );
    let records: Bytes = data.records.unwrap_or_default();
    if records.len() <= AT_ONCE {
        let odd = fetched.add(records, aborted).err();
        return Ok((fetched, odd));
    }
    let added = blocking(move || {
        let odd = fetched.add(records, aborted).err();
        Ok((fetched, odd))
    });
    added.await.map_err(io::Error::other)
}
