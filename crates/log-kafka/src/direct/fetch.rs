//! Reads of records that are known to be there, straight from the leader and without reading ahead.
//!
//! A consumer of librdkafka's reads ahead, which is what a reader near the end wants. One that is far behind does not have
//! to be waited for: it is asked, and takes as much at once as it has room for. It spares an allocation a record and header,
//! and what is thrown away when a consumer is paused.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{BrokerId, FetchRequest};
use tidefold_log::ReadLimit;
use tidefold_record::{Offset, Partition, RecordBatch, TopicName};
use tokio::time::Instant;

use super::accumulator::Route;
use super::connection::{Connection, within};
use super::fetched::{Fetched, Odd};
use super::produce::name_of;
use super::{Direct, Shared, route_topic};
use crate::known::KnownTopic;
use crate::topics::blocking;

/// Connections that nobody uses just now, and what is known for the next fetch.
#[derive(Default)]
pub(crate) struct Fetches {
    idle: Mutex<HashMap<BrokerId, Vec<Connection>>>,
    /// Bytes that a record lately took on its way.
    record_bytes: AtomicUsize,
    /// Nothing of a topic is fetched before this time: it failed just now, or its records are odd.
    not_before: Mutex<HashMap<TopicName, Instant>>,
}

/// What may be asked for at once.
const LEAST: usize = 64 << 10;
const MOST: usize = 4 << 20;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long nothing is fetched of a topic after a failure, and where a consumer has to read what was fetched in vain.
const REST: Duration = Duration::from_secs(1);
const LONG_REST: Duration = Duration::from_secs(30);
/// Where nothing is known of a topic's records yet.
const RECORD_BYTES: usize = 128;
/// Connections kept to a broker.
const IDLE: usize = 4;

// === impl Direct ===

impl Direct {
    /// Records from `from` on, as many as `limit` allows and there are. None: this way does not lead there just now, or
    /// not to these records; a consumer reads them, or finds out what is wrong.
    pub(crate) async fn fetch(
        &self,
        topic: &Arc<KnownTopic>,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> Option<RecordBatch> {
        if !self.0.fetches.may_go(&topic.name) {
            return None;
        }
        let found = self.0.accumulator().route_of(topic, partition, Instant::now());
        let route = match found {
            Ok(route) => route,
            Err(ask) => {
                if ask {
                    self.0.spawn(route_topic(Arc::clone(&self.0), Arc::clone(topic)));
                }
                return None;
            }
        };
        match self.0.fetch(topic, partition, from, limit, &route).await {
            Ok(Some(batch)) => Some(batch),
            Ok(None) => {
                self.0.fetches.rest(&topic.name, LONG_REST);
                None
            }
            Err(error) => {
                tracing::debug!(topic = %topic.name, %partition, %from, %error, "reading is left to librdkafka");
                if error.kind() != io::ErrorKind::Unsupported {
                    self.0.accumulator().unroute(route.leader, Some(&topic.name), Instant::now());
                }
                self.0.fetches.rest(&topic.name, REST);
                None
            }
        }
    }
}

// === impl Shared ===

impl Shared {
    async fn fetch(
        &self,
        topic: &KnownTopic,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
        route: &Route,
    ) -> io::Result<Option<RecordBatch>> {
        let mut connection = match self.fetches.take(route.leader) {
            Some(connection) => connection,
            None => self.connector.open(&route.address).await?,
        };
        // Before it, topics go by their names, and the records could be of another topic than the one that is known.
        if connection.version::<FetchRequest>()? < 13 || route.id.is_nil() {
            let detail = "the broker knows topics by their names alone";
            return Err(io::Error::new(io::ErrorKind::Unsupported, detail));
        }
        let mut fetched = Fetched::new(partition, from, limit);
        loop {
            let at = fetched.next();
            let bytes = self.fetches.ask_for(limit.records.saturating_sub(fetched.len()), limit.bytes);
            let data = ask(&mut connection, topic, partition, at, bytes, route).await?;
            topic.raise(partition, Offset(data.last_stable_offset.max(0) as u64));
            let records = data.records.unwrap_or_default();
            let (added, odd) = add(fetched, records).await?;
            fetched = added;
            self.fetches.learn(fetched.record_bytes());
            if let Some(Odd(what)) = odd {
                tracing::debug!(topic = %topic.name, %partition, at = %fetched.next(), what, "librdkafka reads on");
            }
            let stands_still = fetched.next() == at;
            if fetched.is_full() || stands_still || odd.is_some() {
                break;
            }
        }
        self.fetches.put(route.leader, connection);
        Ok((fetched.next() > from).then(|| fetched.finish()))
    }
}

/// Taking thousands of records apart is no work for a thread that answers requests.
async fn add(mut fetched: Fetched, records: bytes::Bytes) -> io::Result<(Fetched, Option<Odd>)> {
    let added = blocking(move || {
        let odd = fetched.add(records).err();
        Ok((fetched, odd))
    });
    added.await.map_err(io::Error::other)
}

async fn ask(
    connection: &mut Connection,
    topic: &KnownTopic,
    partition: Partition,
    at: Offset,
    bytes: usize,
    route: &Route,
) -> io::Result<PartitionData> {
    let version = connection.version::<FetchRequest>()?;
    let part = FetchPartition::default()
        .with_partition(partition.0 as i32)
        .with_current_leader_epoch(-1)
        .with_fetch_offset(at.0 as i64)
        .with_last_fetched_epoch(-1)
        .with_log_start_offset(-1)
        .with_partition_max_bytes(bytes as i32);
    let request = FetchRequest::default()
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(bytes as i32)
        .with_isolation_level(1)
        .with_session_epoch(-1)
        .with_topics(vec![FetchTopic::default().with_topic_id(route.id).with_partitions(vec![part])]);
    let answer = within(PATIENCE, connection.call(&request, version)).await?;
    if let Some(error) = answer.error_code.err() {
        return Err(io::Error::other(error.to_string()));
    }
    let mut parts = answer
        .responses
        .into_iter()
        .filter(|found| found.topic_id == route.id || found.topic == name_of(&topic.name))
        .flat_map(|found| found.partitions)
        .filter(|found| found.partition_index == partition.0 as i32);
    let part = parts.next().ok_or_else(|| io::Error::other("the answer is of another partition"))?;
    match part.error_code.err() {
        None => Ok(part),
        Some(error) => Err(io::Error::other(error.to_string())),
    }
}

// === impl Fetches ===

impl Fetches {
    fn take(&self, broker: BrokerId) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&broker)?.pop()
    }

    fn put(&self, broker: BrokerId, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let of = idle.entry(broker).or_default();
        if of.len() < IDLE {
            of.push(connection);
        }
    }

    fn may_go(&self, topic: &TopicName) -> bool {
        let not_before = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        not_before.get(topic).is_none_or(|from| *from <= Instant::now())
    }

    fn rest(&self, topic: &TopicName, time: Duration) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let mut not_before = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        not_before.insert(topic.clone(), Instant::now() + time);
    }

    /// About as many bytes as so many records take, so that little is sent in vain.
    fn ask_for(&self, records: usize, most: usize) -> usize {
        let each = match self.record_bytes.load(Ordering::Relaxed) {
            0 => RECORD_BYTES,
            known => known,
        };
        records.saturating_mul(each).min(most).clamp(LEAST, MOST)
    }

    fn learn(&self, record_bytes: Option<usize>) {
        if let Some(each) = record_bytes {
            self.record_bytes.store(each.max(1), Ordering::Relaxed);
        }
    }
}
