//! What waits for its partition's leader, and who that is. Values only: no socket, no clock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::BrokerId;
use tidefold_record::{BatchBuilder, Partition, TopicName};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::connection::Address;
use super::records::{Sequence, Session};
use crate::known::KnownTopic;
use crate::pending::Answer;

/// Appends on their way to a request.
pub(crate) struct Accumulator {
    topics: Vec<Routed>,
    places: HashMap<TopicName, usize>,
    brokers: HashMap<BrokerId, Broker>,
    session: Option<Session>,
    /// Bytes that wait, and how many may.
    bytes: usize,
    most: usize,
    closed: bool,
}

/// What became of an append.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// This did.
    Answered(Answer),
    /// Nothing: it certainly does not stand in the log.
    Back(BatchBuilder),
    /// The same, and the broker knows another topic of that name, or none.
    BackFromAnother(BatchBuilder),
}

/// An append, and who waits for it.
pub(crate) struct Append {
    pub(crate) batch: BatchBuilder,
    pub(crate) answer: oneshot::Sender<Outcome>,
}

/// What a request brings to one partition.
pub(crate) struct Portion {
    pub(crate) topic: Arc<KnownTopic>,
    pub(crate) id: Uuid,
    pub(crate) partition: Partition,
    pub(crate) appends: Vec<Append>,
    pub(crate) sequence: Sequence,
}

/// What became of an append that was handed in.
pub(crate) enum Sent {
    /// It waits for the broker, who has to be told.
    Waiting(oneshot::Receiver<Outcome>, Arc<Notify>),
    /// It was not taken. `route` says that the topic's leaders should be asked for.
    Refused { batch: BatchBuilder, route: bool },
}

/// The way to a partition's leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) leader: BrokerId,
    pub(crate) address: Address,
    /// The topic's id; nil where brokers are too old to say.
    pub(crate) id: Uuid,
}

/// What a broker's link should do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Work {
    At(Address),
    None,
    Over,
}

/// Who leads the partitions of a topic.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leaders {
    /// The topic's id; nil where brokers are too old to say.
    pub(crate) id: Uuid,
    /// By partition; none where nobody leads just now.
    pub(crate) of: Vec<Option<BrokerId>>,
    pub(crate) addresses: HashMap<BrokerId, Address>,
}

struct Routed {
    topic: Arc<KnownTopic>,
    id: Uuid,
    parts: Vec<Part>,
    /// When its leaders may be asked for again; none while they are asked for.
    ask_from: Option<Instant>,
}

#[derive(Default)]
struct Part {
    leader: Option<BrokerId>,
    waiting: VecDeque<Append>,
    next: Option<Sequence>,
}

struct Broker {
    address: Address,
    work: Arc<Notify>,
    /// The partitions it leads for which something waits.
    ready: VecDeque<(usize, Partition)>,
}

/// Leaders that were not known, or not right, are asked for again after this time.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// What one partition gets of a request, unless one append is larger; under the smallest usual `max.message.bytes`.
const PORTION: usize = 256 << 10;
/// What one request takes.
const REQUEST: usize = 1 << 20;

// === impl Accumulator ===

impl Accumulator {
    pub(crate) fn new(most: usize) -> Accumulator {
        Accumulator {
            topics: Vec::new(),
            places: HashMap::new(),
            brokers: HashMap::new(),
            session: None,
            bytes: 0,
            most,
            closed: false,
        }
    }

    /// Takes an append, if its partition's leader is known.
    pub(crate) fn send(
        &mut self,
        topic: &Arc<KnownTopic>,
        partition: Partition,
        batch: BatchBuilder,
        now: Instant,
    ) -> Sent {
        let place = self.place(topic, now);
        let Some(routed) = self.topics.get_mut(place).filter(|_| !self.closed) else {
            return Sent::Refused { batch, route: false };
        };
        let part = routed.parts.get_mut(partition.0 as usize);
        let led = part.and_then(|part| Some((part.leader?, part)));
        let Some((broker, part)) =
            led.and_then(|(leader, part)| Some((self.brokers.get_mut(&leader)?, part)))
        else {
            return Sent::Refused { batch, route: routed.asks(now) };
        };
        if self.bytes + batch.size_bytes() > self.most {
            return Sent::Refused { batch, route: false };
        }
        self.bytes += batch.size_bytes();
        let (answer, waiting) = oneshot::channel();
        if part.waiting.is_empty() {
            broker.ready.push_back((place, partition));
        }
        part.waiting.push_back(Append { batch, answer });
        Sent::Waiting(waiting, Arc::clone(&broker.work))
    }

    /// Whether a topic's leaders should be asked for, now that it is about to be used.
    pub(crate) fn prepare(&mut self, topic: &Arc<KnownTopic>, now: Instant) -> bool {
        let place = self.place(topic, now);
        self.topics.get_mut(place).is_some_and(|routed| routed.asks(now))
    }

    /// The way to a partition's leader, if it is known.
    pub(crate) fn route_now(&self, topic: &Arc<KnownTopic>, partition: Partition) -> Option<Route> {
        let place = self.places.get(&topic.name).filter(|_| !self.closed)?;
        let routed = self.topics.get(*place).filter(|routed| Arc::ptr_eq(&routed.topic, topic))?;
        let leader = routed.parts.get(partition.0 as usize)?.leader?;
        let address = self.brokers.get(&leader)?.address.clone();
        Some(Route { leader, address, id: routed.id })
    }

    /// The way to a partition's leader, if it is known; else whether the topic's leaders should be asked for, which the caller
    /// then does.
    pub(crate) fn route_of(
        &mut self,
        topic: &Arc<KnownTopic>,
        partition: Partition,
        now: Instant,
    ) -> Result<Route, bool> {
        let place = self.place(topic, now);
        if let Some(route) = self.route_now(topic, partition) {
            return Ok(route);
        }
        let routed = self.topics.get_mut(place).filter(|_| !self.closed);
        Err(routed.is_some_and(|routed| routed.asks(now)))
    }

    fn place(&mut self, topic: &Arc<KnownTopic>, now: Instant) -> usize {
        if let Some(place) = self.places.get(&topic.name) {
            let known = self.topics.get(*place).is_some_and(|routed| Arc::ptr_eq(&routed.topic, topic));
            if known {
                return *place;
            }
        }
        // A topic that was opened anew is another one: its old place empties itself, and gets nothing more.
        let parts = (0..topic.partitions()).map(|_| Part::default()).collect();
        self.topics.push(Routed { topic: Arc::clone(topic), id: Uuid::nil(), parts, ask_from: Some(now) });
        self.places.insert(topic.name.clone(), self.topics.len() - 1);
        self.topics.len() - 1
    }

    /// Notes what was found out about a topic's leaders; nothing: it could not be. Returns the brokers that are new here.
    pub(crate) fn route(
        &mut self,
        topic: &TopicName,
        leaders: Option<Leaders>,
        now: Instant,
    ) -> Vec<(BrokerId, Arc<Notify>)> {
        let mut new = Vec::new();
        let Some(routed) = self.places.get(topic).and_then(|place| self.topics.get_mut(*place)) else {
            return new;
        };
        routed.ask_from = Some(now + ASK_AGAIN);
        let Some(leaders) = leaders else { return new };
        routed.id = leaders.id;
        for (part, leader) in routed.parts.iter_mut().zip(leaders.of) {
            // What waits for the old leader goes through it, or comes back from it.
            if part.waiting.is_empty() {
                part.leader = leader;
            }
        }
        for (id, address) in leaders.addresses {
            let broker = self.brokers.entry(id).or_insert_with(|| {
                let work = Arc::new(Notify::new());
                new.push((id, Arc::clone(&work)));
                Broker { address: address.clone(), work, ready: VecDeque::new() }
            });
            broker.address = address;
        }
        new
    }

    /// Forgets who leads the partitions that a broker was thought to lead, or all of one topic; what waits for them is
    /// given back.
    pub(crate) fn unroute(&mut self, broker: BrokerId, only: Option<&TopicName>, now: Instant) {
        let meant = |routed: &Routed| only.is_none_or(|topic| *topic == routed.topic.name);
        if let Some(broker) = self.brokers.get_mut(&broker) {
            broker.ready.retain(|(place, _)| !self.topics.get(*place).is_some_and(meant));
        }
        for routed in self.topics.iter_mut().filter(|routed| meant(routed)) {
            for part in routed.parts.iter_mut().filter(|part| part.leader == Some(broker)) {
                part.leader = None;
                routed.ask_from = routed.ask_from.map(|_| now + ASK_AGAIN);
                for append in part.waiting.drain(..) {
                    self.bytes -= append.batch.size_bytes();
                    append.give_back(Outcome::Back);
                }
            }
        }
    }

    pub(crate) fn work(&self, broker: BrokerId) -> Work {
        match self.brokers.get(&broker) {
            Some(broker) if !broker.ready.is_empty() => Work::At(broker.address.clone()),
            _ if self.closed => Work::Over,
            _ => Work::None,
        }
    }

    /// What the next request to a broker brings, within its bounds, each partition's in the order in which it came.
    pub(crate) fn take(&mut self, broker: BrokerId, session: Session) -> Vec<Portion> {
        let mut portions = Vec::new();
        let Some(broker) = self.brokers.get_mut(&broker) else { return portions };
        let mut left = REQUEST;
        for _ in 0..broker.ready.len() {
            if left == 0 {
                break;
            }
            let Some((place, partition)) = broker.ready.pop_front() else { break };
            let Some(routed) = self.topics.get_mut(place) else { continue };
            let Some(part) = routed.parts.get_mut(partition.0 as usize) else { continue };
            let (appends, bytes) = part.take();
            self.bytes -= bytes;
            left = left.saturating_sub(bytes);
            if !part.waiting.is_empty() {
                broker.ready.push_back((place, partition));
            }
            if appends.is_empty() {
                continue;
            }
            let sequence = part.number(session, appends.iter().map(|append| append.batch.len()).sum());
            let topic = Arc::clone(&routed.topic);
            portions.push(Portion { topic, id: routed.id, partition, appends, sequence });
        }
        portions
    }

    pub(crate) fn session(&self) -> Option<Session> {
        self.session
    }

    /// The session that is to be used, which is the one given unless there is one already.
    pub(crate) fn begin(&mut self, session: Session) -> Session {
        *self.session.get_or_insert(session)
    }

    /// Batches after this have another session: one with a number that was not written leaves a gap in its own.
    pub(crate) fn end(&mut self, session: Session) {
        self.session = self.session.filter(|now| *now != session);
    }

    /// Takes nothing more; what waits still goes its way.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.brokers.values().for_each(|broker| broker.work.notify_one());
    }

    /// How many appends wait.
    pub(crate) fn waiting(&self) -> u64 {
        self.topics.iter().flat_map(|routed| &routed.parts).map(|part| part.waiting.len() as u64).sum()
    }

    pub(crate) fn address(&self, broker: BrokerId) -> Option<Address> {
        self.brokers.get(&broker).map(|broker| broker.address.clone())
    }

    pub(crate) fn addresses(&self) -> Vec<Address> {
        self.brokers.values().map(|broker| broker.address.clone()).collect()
    }
}

// === impl Routed ===

impl Routed {
    /// Whether to ask for the leaders, which the caller then does: some are missing, nobody asks and it was not just now.
    fn asks(&mut self, now: Instant) -> bool {
        let missing = self.parts.iter().any(|part| part.leader.is_none());
        let asks = missing && self.ask_from.is_some_and(|from| from <= now);
        if asks {
            self.ask_from = None;
        }
        asks
    }
}

// === impl Part ===

impl Part {
    fn take(&mut self) -> (Vec<Append>, usize) {
        let (mut count, mut bytes) = (0, 0);
        for append in &self.waiting {
            if count > 0 && bytes + append.batch.size_bytes() > PORTION {
                break;
            }
            bytes += append.batch.size_bytes();
            count += 1;
        }
        (self.waiting.drain(..count).collect(), bytes)
    }

    fn number(&mut self, session: Session, records: usize) -> Sequence {
        let sequence =
            self.next.filter(|next| next.session == session).unwrap_or(Sequence { session, first: 0 });
        self.next = Some(Sequence { session, first: Sequence::after(sequence.first, records) });
        sequence
    }
}

// === impl Append ===

impl Append {
    /// It certainly does not stand in the log: its caller may send it another way.
    pub(crate) fn give_back(self, why: fn(BatchBuilder) -> Outcome) {
        let Append { batch, answer } = self;
        // Who appended may be gone.
        let _gone = answer.send(why(batch));
    }
}

#[cfg(test)]
mod tests;
