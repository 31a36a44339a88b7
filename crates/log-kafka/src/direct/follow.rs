//! Followers: one request at a time to each broker waits at the ends of all partitions that somebody reads there.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use kafka_protocol::messages::BrokerId;
use tidefold_log::ReadLimit;
use tidefold_record::{Offset, Partition};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::accumulator::Route;
use super::connection::{Address, Connection};
use super::fetch::{Ask, Refusal, Terms, add};
use super::fetched::Fetched;
use super::followers::Place;
use super::routes::route_topic;
use super::shared::Shared;
use crate::known::KnownTopic;
use crate::tail::{Tail, Taken};
use crate::waiting::pause;

/// A request at the ends waits so long for something to come; what is followed anew meanwhile waits with it.
const WAIT: Duration = Duration::from_millis(250);
/// What such a request takes of a partition, and of all.
const EACH: usize = 1 << 20;
const ALL: usize = 8 << 20;
/// A follower that failed begins again after this time.
const REST: Duration = Duration::from_millis(100);
/// How long a reader waits for records that are known to be on their way to a follower.
const ON_ITS_WAY: Duration = Duration::from_millis(50);

// === impl Shared ===

impl Shared {
    /// What a follower keeps of these records, or will have in a moment; none where nobody follows.
    pub(crate) async fn take(
        &self,
        topic: &Arc<KnownTopic>,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> Option<tidefold_record::RecordBatch> {
        let part = topic.part(partition).ok()?;
        let deadline = Instant::now() + ON_ITS_WAY;
        loop {
            let mut moved = std::pin::pin!(part.moved.notified());
            moved.as_mut().enable();
            let target = topic.end(partition);
            let taken = match part.tail().as_mut() {
                Some(tail) => tail.take(from, limit, target),
                None => Taken::Nowhere,
            };
            match taken {
                Taken::Batch(batch) => return Some(batch),
                Taken::Nowhere => return None,
                Taken::Waiting => tokio::time::timeout_at(deadline, moved).await.ok()?,
            }
        }
    }

    /// Follows a partition from an end on that a reader has reached.
    pub(crate) fn follow(self: &Arc<Self>, topic: &Arc<KnownTopic>, partition: Partition, end: Offset) {
        let Ok(part) = topic.part(partition) else { return };
        let mut tail = part.tail();
        let new = tail.is_none();
        if tail.as_ref().is_none_or(|tail| !tail.covers(end)) {
            *tail = Some(Tail::at(partition, end));
        }
        drop(tail);
        if new {
            let mut places = self.followers.places();
            places.retain(|place| !place.is(topic, partition));
            places.push(Place { topic: Arc::clone(topic), partition });
            drop(places);
            self.attend(topic, partition);
        }
    }

    /// Whether the end of a partition is heard of by a follower that knows its way; one that knew it is looked for again.
    pub(crate) fn is_followed(self: &Arc<Self>, topic: &Arc<KnownTopic>, partition: Partition) -> bool {
        topic.part(partition).is_ok_and(|part| part.tail().is_some()) && self.attend(topic, partition)
    }

    /// Makes sure that the broker where a partition is read has a follower, who knows of it; false: nobody knows that broker.
    fn attend(self: &Arc<Self>, topic: &Arc<KnownTopic>, partition: Partition) -> bool {
        let found = self.accumulator().route_of(topic, partition, Instant::now());
        let route = match found {
            Ok(route) => self.nearer(topic, partition, route),
            Err(ask) => {
                if ask {
                    drop(self.spawn(route_topic(Arc::clone(self), Arc::clone(topic))));
                }
                return false;
            }
        };
        let mut brokers = self.followers.brokers.lock().unwrap_or_else(PoisonError::into_inner);
        match brokers.iter().find(|(broker, _)| *broker == route.leader) {
            Some((_, work)) => work.notify_one(),
            None => {
                let work = Arc::new(Notify::new());
                brokers.push((route.leader, Arc::clone(&work)));
                drop(brokers);
                drop(self.spawn(run(Arc::clone(self), route.leader, work)));
            }
        }
        true
    }

    /// What is followed at a broker, and where it listens. What nobody waits for any more is let go.
    fn asks_of(&self, broker: BrokerId) -> Option<(Address, Vec<Ask>)> {
        let mut places = self.followers.places();
        places.retain(Place::is_wanted);
        let mut address = None;
        let mut asks = Vec::with_capacity(places.len());
        for Place { topic, partition } in places.iter() {
            let found = self.accumulator().route_now(topic, *partition);
            let Some(route) = found.map(|route| self.nearer(topic, *partition, route)) else { continue };
            let next = topic.part(*partition).ok().and_then(|part| part.tail().as_ref().map(Tail::next));
            if let Some(at) = next.filter(|_| route.leader == broker) {
                asks.push(Ask { topic: Arc::clone(topic), id: route.id, partition: *partition, at });
                address = Some(route.address);
            }
        }
        address.map(|address| (address, asks))
    }

    /// One request, and what came of it for each partition.
    async fn round(
        &self,
        broker: BrokerId,
        address: &Address,
        asks: &[Ask],
        place: &mut Option<Connection>,
    ) -> io::Result<()> {
        let connection = match place {
            Some(connection) => connection,
            None => place.insert(self.connector.open(address).await?),
        };
        let terms = Terms { wait: WAIT, each: EACH, all: ALL };
        let route = Route { leader: broker, address: address.clone(), id: uuid::Uuid::nil() };
        for (at, data) in self.ask(connection, asks, terms).await? {
            let Some(ask) = asks.get(at) else { continue };
            let Ok(part) = ask.topic.part(ask.partition) else { continue };
            match self.refused(ask, &data, &route) {
                None => {}
                Some(Refusal::Failed(error)) => {
                    tracing::debug!(topic = %ask.topic.name, partition = %ask.partition, %error, "not followed here");
                    self.accumulator().unroute(broker, Some(&ask.topic.name), Instant::now());
                    continue;
                }
                // Whoever reads there finds out what is wrong, and says so.
                Some(Refusal::OutOfRange | Refusal::Another | Refusal::Odd(_)) => {
                    *part.tail() = None;
                    continue;
                }
            }
            let end = Offset(data.last_stable_offset.max(0) as u64);
            let limit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
            let (fetched, odd) = add(Fetched::new(ask.partition, ask.at, limit), data).await?;
            let mut tail = part.tail();
            let goes_on = match tail.as_mut() {
                Some(tail) => odd.is_none() & tail.push(ask.at, fetched.finish(), self.tail_bytes),
                None => false,
            };
            if !goes_on {
                *tail = None;
            }
            drop(tail);
            ask.topic.raise(ask.partition, end);
            part.moved.notify_waiters();
        }
        Ok(())
    }
}

/// Follows what is led by one broker, until the log is closed.
async fn run(shared: Arc<Shared>, broker: BrokerId, work: Arc<Notify>) {
    let mut connection = None;
    let mut turn = 0;
    while !shared.closed.is_cancelled() {
        let Some((address, mut asks)) = shared.asks_of(broker) else {
            tokio::select! {
                () = work.notified() => {}
                () = shared.closed.cancelled() => {}
            }
            continue;
        };
        // A broker fills its answer in this order: each comes first once.
        turn = (turn + 1) % asks.len().max(1);
        asks.rotate_left(turn);
        let failed = shared.round(broker, &address, &asks, &mut connection).await.err();
        if let Some(error) = failed {
            tracing::debug!(%error, ?address, "a broker is not followed just now");
            connection = None;
            shared.accumulator().unroute(broker, None, Instant::now());
            pause(REST).await;
        }
    }
}
