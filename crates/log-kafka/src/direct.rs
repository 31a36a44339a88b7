//! Appends of few records, and reads far behind the end, over connections of our own.
//!
//! **Appends.** librdkafka sends a request for each partition. Single messages that come for a dozen partitions at once make
//! requests of a few records each, and then broker and producer spend most of their time on requests. Here one request at
//! a time is under way to each broker, and the next takes along everything that came meanwhile, for all partitions: what
//! a database calls group commit. Nothing lingers.
//!
//! It keeps what an idempotent producer of librdkafka's keeps (acks=all; a batch that is sent again stands once), and
//! leaves everything else to it: appends that are large, that find no leader, or that a broker refuses come back as
//! [`Outcome::Back`], which says that they certainly do not stand in the log. Only what may stand is seen to here:
//! it is sent again as it was until its fate is known or the message timeout has passed.
//!
//! **Reads.** [`fetch`] says why and when. Whatever it does not understand is read by a consumer instead.
//!
//! TLS and logins are by librdkafka's properties ([`security`]); with those that are not understood here, a log uses librdkafka
//! alone.
//!
//! * [`accumulator`]: what waits, and for whom; [`records`] and [`fetched`]: Kafka's form of records, written and read. These
//!   are values only.
//! * [`connection`] and [`security`]: the protocol's frames. [`produce`] and [`fetch`]: requests, and what their answers
//!   mean. [`link`]: the loop that serves one broker's appends.

mod accumulator;
mod connection;
mod fetch;
mod fetched;
mod link;
mod produce;
mod records;
mod security;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidefold_record::{BatchBuilder, Partition};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::known::KnownTopic;
use crate::pending::Answer;
use crate::settings::Settings;
use accumulator::{Accumulator, Leaders, Sent};
use connection::{Address, Connector};
use fetch::Fetches;
use security::Security;

/// The direct way into the cluster.
pub(crate) struct Direct(Arc<Shared>);

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

struct Shared {
    accumulator: Mutex<Accumulator>,
    connector: Connector,
    bootstrap: Vec<Address>,
    message_timeout: Duration,
    most_bytes: usize,
    fetches: Fetches,
    tasks: TaskTracker,
    /// Where tasks run: a runtime that folds would keep appends waiting.
    home: Option<Handle>,
}

/// Larger appends fill requests of their own, and gain by being compressed.
pub(crate) const MOST_RECORDS: usize = 16;
const MOST_BYTES: usize = 64 << 10;

// === impl Direct ===

impl Direct {
    /// Its tasks run in the runtime this is called in. None where the settings ask for what only librdkafka does: some ways
    /// of logging in, compression of the operator's choice.
    pub(crate) fn new(settings: &Settings, queue_bytes: usize) -> Option<Direct> {
        let bootstrap: Option<Vec<_>> =
            settings.bootstrap.iter().flat_map(|list| list.split(',')).map(Address::parse).collect();
        let bootstrap = bootstrap.filter(|_| !settings.says_compression())?;
        let security = Security::of(settings)?;
        Some(Direct(Arc::new(Shared {
            accumulator: Mutex::new(Accumulator::new(queue_bytes)),
            connector: Connector::new(&settings.client_id, security),
            bootstrap,
            message_timeout: settings.message_timeout,
            // What may hold a record that is too large goes where sizes are told.
            most_bytes: MOST_BYTES.min(settings.record_bytes),
            fetches: Fetches::default(),
            tasks: TaskTracker::new(),
            home: Handle::try_current().ok(),
        })))
    }

    /// Finds out who leads a topic's partitions, so that its first appends are taken.
    pub(crate) async fn prepare(&self, topic: &Arc<KnownTopic>) {
        let ask = self.0.accumulator().prepare(topic, Instant::now());
        if ask {
            route_topic(Arc::clone(&self.0), Arc::clone(topic)).await;
        }
    }

    /// Takes an append that is small enough and whose leader is known; any other is given back at once.
    ///
    /// Must be called within a tokio runtime.
    pub(crate) fn send(
        &self,
        topic: &Arc<KnownTopic>,
        partition: Partition,
        batch: BatchBuilder,
    ) -> Result<oneshot::Receiver<Outcome>, BatchBuilder> {
        if batch.len() >= MOST_RECORDS || batch.size_bytes() > self.0.most_bytes {
            return Err(batch);
        }
        let sent = self.0.accumulator().send(topic, partition, batch, Instant::now());
        match sent {
            Sent::Waiting(waiting, work) => {
                work.notify_one();
                Ok(waiting)
            }
            Sent::Refused { batch, route } => {
                if route {
                    self.0.spawn(route_topic(Arc::clone(&self.0), Arc::clone(topic)));
                }
                Err(batch)
            }
        }
    }
}

#[cfg(test)]
impl Direct {
    /// All connections go through something that stands before the broker.
    fn through(settings: &Settings, detour: Address) -> Direct {
        let mut direct = Direct::new(settings, settings.queue_bytes).unwrap();
        Arc::get_mut(&mut direct.0).unwrap().connector.detour = Some(detour);
        direct
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        self.0.accumulator().close();
    }
}

// === impl Shared ===

impl Shared {
    fn accumulator(&self) -> MutexGuard<'_, Accumulator> {
        self.accumulator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match &self.home {
            Some(home) => drop(self.tasks.spawn_on(task, home)),
            None => drop(self.tasks.spawn(task)),
        }
    }

    /// Asks the brokers, those first that were found, who leads a topic's partitions.
    async fn leaders(&self, topic: &KnownTopic) -> io::Result<Leaders> {
        let mut all = self.accumulator().addresses();
        all.extend(
            self.bootstrap.iter().filter(|address| !all.contains(address)).cloned().collect::<Vec<_>>(),
        );
        let mut why = io::Error::other("no broker is named");
        for address in all {
            let asked = async {
                let mut connection = self.connector.open(&address).await?;
                produce::leaders(&mut connection, topic).await
            };
            match asked.await {
                Ok(Some(leaders)) => return Ok(leaders),
                Ok(None) => why = io::Error::other(format!("{address:?} does not know the topic")),
                Err(error) => why = error,
            }
        }
        Err(why)
    }
}

async fn route_topic(shared: Arc<Shared>, topic: Arc<KnownTopic>) {
    let leaders = shared.leaders(&topic).await;
    if let Err(error) = &leaders {
        tracing::debug!(topic = %topic.name, %error, "nobody knows who leads; appends go through librdkafka");
    }
    let new = shared.accumulator().route(&topic.name, leaders.ok(), Instant::now());
    for (broker, work) in new {
        shared.spawn(link::run(Arc::clone(&shared), broker, work));
    }
}

/// The time that Kafka keeps with a record.
#[expect(clippy::disallowed_methods, reason = "as librdkafka does; nothing here reads it")]
fn millis() -> i64 {
    use std::time::{SystemTime, UNIX_EPOCH};
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
