//! The way to one broker: one request after the other, each with all that came meanwhile.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::BrokerId;
use tidefold_log::observer::Operation;
use tidefold_log::{Appended, LogError};
use tidefold_record::Offset;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::accumulator::{Outcome, Portion, Work};
use super::connection::{Address, Connection, within};
use super::produce::{self, Encoded, Fate};
use super::records::{self, Session};
use super::shared::Shared;
use crate::waiting::pause;

/// The first rest before what is open is sent again, and the longest.
const REST: Duration = Duration::from_millis(50);
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Serves one broker until the log is closed and nothing waits.
pub(crate) async fn run(shared: Arc<Shared>, broker: BrokerId, work: Arc<Notify>) {
    let mut connection = None;
    loop {
        let found = shared.accumulator().work(broker);
        match found {
            Work::Over => return,
            Work::None => work.notified().await,
            Work::At(address) => {
                if let Err(error) = round(&shared, broker, &address, &mut connection).await {
                    tracing::debug!(%error, ?address, "a broker is left to librdkafka for a while");
                    connection = None;
                    shared.accumulator().unroute(broker, None, Instant::now());
                }
            }
        }
    }
}

/// One request.
async fn round(
    shared: &Arc<Shared>,
    broker: BrokerId,
    address: &Address,
    place: &mut Option<Connection>,
) -> io::Result<()> {
    let connection = match place {
        Some(connection) => connection,
        None => place.insert(shared.connector.open(address).await?),
    };
    let known = shared.accumulator().session();
    let session = match known {
        Some(session) => session,
        None => {
            let fresh = produce::session(connection).await?;
            shared.accumulator().begin(fresh)
        }
    };
    let portions = shared.accumulator().take(broker, session);
    if portions.is_empty() {
        return Ok(());
    }
    let deadline = Instant::now() + shared.message_timeout;
    let portions: Vec<_> = portions.into_iter().map(encode).collect();
    match produce::produce(connection, &portions, shared.message_timeout).await {
        Ok(fates) => {
            settle(shared, broker, session, portions.into_iter().zip(fates), deadline);
            Ok(())
        }
        Err(error) => {
            recover(shared, session, portions, deadline, &error.to_string());
            Err(error)
        }
    }
}

fn encode(portion: Portion) -> Encoded {
    let appends = portion.appends.iter().map(|append| &append.batch);
    let records = Bytes::from(records::encode(appends, portion.sequence, millis()));
    Encoded { portion, records }
}

/// Answers what has a fate, and sees to the rest.
fn settle(
    shared: &Arc<Shared>,
    broker: BrokerId,
    session: Session,
    fates: impl Iterator<Item = (Encoded, Fate)>,
    deadline: Instant,
) {
    let mut open = Vec::new();
    let mut why = String::new();
    for (sent, fate) in fates {
        match fate {
            Fate::Stands(first) => stands(shared, sent.portion, first),
            Fate::Refused(error) => {
                let topic = &sent.portion.topic.name;
                tracing::debug!(%topic, %error, "appends are left to librdkafka");
                let mut accumulator = shared.accumulator();
                accumulator.end(session);
                accumulator.unroute(broker, Some(topic), Instant::now());
                drop(accumulator);
                let other = error == ResponseError::UnknownTopicId;
                let why = if other { Outcome::BackFromAnother } else { Outcome::Back };
                sent.portion.appends.into_iter().for_each(|append| append.give_back(why));
            }
            Fate::Open(error) => {
                why = error.to_string();
                shared.accumulator().unroute(broker, Some(&sent.portion.topic.name), Instant::now());
                open.push(sent);
            }
        }
    }
    if !open.is_empty() {
        recover(shared, session, open, deadline, &why);
    }
}

fn stands(shared: &Shared, portion: Portion, first: Offset) {
    let Portion { topic, partition, appends, .. } = portion;
    let records: usize = appends.iter().map(|append| append.batch.len()).sum();
    shared.connector.tally().appended(records);
    topic.raise(partition, first.advance(records as u64));
    let mut at = first;
    for append in appends {
        let next = at.advance(append.batch.len() as u64);
        // Who appended may be gone.
        let _gone = append.answer.send(Outcome::Answered(Ok(Appended::From(at))));
        at = next;
    }
}

/// Finds out, beside everything else, what became of portions whose answer did not come: the same batches are sent again to
/// whoever leads by then, who knows by their numbers whether they stand already.
fn recover(shared: &Arc<Shared>, session: Session, open: Vec<Encoded>, deadline: Instant, why: &str) {
    shared.accumulator().end(session);
    // Each on its own, so that none waits for another's leader.
    for sent in open {
        drop(shared.spawn(resend(Arc::clone(shared), sent, deadline, why.to_owned())));
    }
}

async fn resend(shared: Arc<Shared>, sent: Encoded, deadline: Instant, mut why: String) {
    let (topic, partition) = (Arc::clone(&sent.portion.topic), sent.portion.partition);
    let mut said = String::new();
    for rest in rests() {
        if std::mem::replace(&mut said, why.clone()) != why {
            tracing::warn!(topic = %topic.name, %partition, error = why, "retrying to append");
        }
        if Instant::now() + rest >= deadline {
            break;
        }
        pause(rest).await;
        shared.observer.retried(Operation::Append);
        let left = deadline.saturating_duration_since(Instant::now());
        why = match within(left, once_more(&shared, &sent, left)).await {
            Ok(Fate::Stands(first)) => return stands(&shared, sent.portion, first),
            // A refusal, too: it is said of a batch that went out before, and that one may stand all the same.
            Ok(Fate::Refused(error) | Fate::Open(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
    }
    unknown(sent.portion, &why);
}

/// How long to rest between two attempts, as everywhere: twice as long each time, half of it by chance, so that those who
/// lost one leader together do not come to the next one together.
fn rests() -> impl Iterator<Item = Duration> + Send {
    let halves = ExponentialBuilder::new().with_min_delay(REST / 2).with_max_delay(LONGEST_REST / 2);
    halves.with_jitter().without_max_times().build()
}

async fn once_more(shared: &Shared, sent: &Encoded, timeout: Duration) -> io::Result<Fate> {
    let leaders = shared.leaders(&sent.portion.topic).await?;
    let leader = leaders.of.get(sent.portion.partition.0 as usize).copied().flatten();
    let address = leader.and_then(|leader| leaders.addresses.get(&leader));
    let Some(address) = address else { return Err(io::Error::other("nobody leads the partition")) };
    let mut connection = shared.connector.open(address).await?;
    let fates = produce::produce(&mut connection, std::slice::from_ref(sent), timeout).await?;
    fates.into_iter().next().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn unknown(portion: Portion, why: &str) {
    for append in portion.appends {
        let detail =
            format!("{why}, from the leader of partition {} of {}", portion.partition, portion.topic.name);
        let _gone = append.answer.send(Outcome::Answered(Err(LogError::Unknown { detail })));
    }
}

/// The time that Kafka keeps with a record.
#[expect(clippy::disallowed_methods, reason = "as librdkafka does; nothing here reads it")]
fn millis() -> i64 {
    use std::time::{SystemTime, UNIX_EPOCH};
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
