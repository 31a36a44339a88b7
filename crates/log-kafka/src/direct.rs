//! Connections of our own: appends of few records, all reads, and questions about topics.
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
//! **Reads.** Topics go by their ids, so that records are never those of another topic of the name. [`follow`] waits at the
//! ends of partitions, for all of them at a broker with one request; [`fetch`] reads anywhere else.
//!
//! TLS and logins are by librdkafka's properties ([`security`]).
//!
//! * [`accumulator`]: what waits, and for whom; [`records`], [`fetched`] and [`unpack`]: Kafka's form of records, written and
//!   read. These are values only.
//! * [`connection`], [`pool`] and [`security`]: the protocol's frames. [`produce`], [`fetch`] and [`describe`]: requests, and
//!   what their answers mean. [`link`]: the loop that serves one broker's appends.

mod accumulator;
mod connection;
pub(crate) mod describe;
pub(crate) mod fetch;
mod fetched;
mod follow;
mod link;
mod pool;
mod produce;
mod records;
mod security;
mod unpack;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidefold_log::LogError;
use tidefold_log::observer::SharedObserver;
use tidefold_record::{BatchBuilder, Partition};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::known::KnownTopic;
use crate::pending::Answer;
use crate::settings::Settings;
use accumulator::{Accumulator, Leaders, Route, Sent};
use connection::{Address, Connector};
use fetch::Fetches;
use follow::Followers;
use pool::Pool;
use security::Security;

/// The direct way of appends into the cluster; none where the operator says how records are compressed.
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

/// The connections, and what is known of who leads what.
pub(crate) struct Shared {
    accumulator: Mutex<Accumulator>,
    connector: Connector,
    bootstrap: Vec<Address>,
    message_timeout: Duration,
    most_bytes: usize,
    pool: Pool,
    fetches: Fetches,
    followers: Followers,
    /// What is kept of a partition that is followed, in bytes.
    tail_bytes: usize,
    /// Where this process stands, by which leaders name the nearest replica.
    rack: Option<String>,
    tasks: TaskTracker,
    closed: CancellationToken,
    observer: SharedObserver,
    /// Where tasks run: a runtime that folds would keep appends waiting.
    home: Handle,
}

/// Larger appends fill requests of their own, and gain by being compressed.
pub(crate) const MOST_RECORDS: usize = 16;
const MOST_BYTES: usize = 64 << 10;

// === impl Direct ===

impl Direct {
    pub(crate) fn of(shared: &Arc<Shared>) -> Direct {
        Direct(Arc::clone(shared))
    }

    /// Finds out who leads a topic's partitions, so that its first appends are taken.
    pub(crate) async fn prepare(&self, topic: &Arc<KnownTopic>) {
        let ask = self.0.accumulator().prepare(topic, Instant::now());
        if ask {
            // A task of its own: whoever asks may be gone before the answer is there, which others wait for, too.
            let asking = self.0.spawn(route_topic(Arc::clone(&self.0), Arc::clone(topic)));
            let _ended = asking.await;
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
                    drop(self.0.spawn(route_topic(Arc::clone(&self.0), Arc::clone(topic))));
                }
                Err(batch)
            }
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Its tasks run in the runtime this is called in.
    ///
    /// # Errors
    /// Settings that cannot be followed, by name; or there is no runtime.
    pub(crate) fn new(settings: &Settings, queue_bytes: usize) -> Result<Shared, LogError> {
        let refuse = |detail: String| LogError::Unavailable { detail };
        let brokers = settings.bootstrap.iter().flat_map(|list| list.split(','));
        let parse = |text: &str| {
            let wrong = || refuse(format!("{text:?} names no broker; give it as host:port"));
            Address::parse(text).ok_or_else(wrong)
        };
        let bootstrap =
            brokers.filter(|text| !text.trim().is_empty()).map(parse).collect::<Result<_, _>>()?;
        let home = Handle::try_current();
        Ok(Shared {
            accumulator: Mutex::new(Accumulator::new(queue_bytes)),
            connector: Connector::new(settings, Security::of(settings).map_err(refuse)?),
            bootstrap,
            message_timeout: settings.message_timeout,
            // What may hold a record that is too large goes where sizes are told.
            most_bytes: MOST_BYTES.min(settings.record_bytes),
            pool: Pool::default(),
            fetches: Fetches::default(),
            followers: Followers::default(),
            tail_bytes: (settings.fetch_bytes / 64).clamp(64 << 10, 1 << 20),
            rack: settings.properties.get("client.rack").cloned(),
            tasks: TaskTracker::new(),
            closed: CancellationToken::new(),
            observer: settings.observer.clone(),
            home: home
                .map_err(|error| refuse(format!("there is no runtime for the log's tasks ({error})")))?,
        })
    }

    /// Ends its tasks; what waits to be appended still goes its way.
    pub(crate) fn close(&self) {
        self.accumulator().close();
        self.closed.cancel();
    }

    /// Tells what went over its connections, as librdkafka's clients do.
    pub(crate) fn count(self: &Arc<Self>, settings: &Settings) {
        let (counts, every) = (settings.counts.clone(), settings.counts_every);
        if !counts.are_wanted() || every.is_zero() {
            return;
        }
        let (this, name) = (Arc::clone(self), format!("{}#direct", settings.client_id));
        drop(self.spawn(async move {
            while tokio::time::timeout(every, this.closed.cancelled()).await.is_err() {
                let waiting = this.accumulator().waiting();
                counts.tell(this.connector.tally().counts(&name, waiting));
            }
        }));
    }

    /// Done once it is closed.
    pub(crate) fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    fn accumulator(&self) -> MutexGuard<'_, Accumulator> {
        self.accumulator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.tasks.spawn_on(task, &self.home)
    }

    /// The way to a partition's leader, who is asked for where that is due.
    async fn find_route(
        self: &Arc<Self>,
        topic: &Arc<KnownTopic>,
        partition: Partition,
        deadline: Instant,
    ) -> Option<Route> {
        let found = self.accumulator().route_of(topic, partition, Instant::now());
        match found {
            Ok(route) => return Some(route),
            Err(true) => {
                let asking = self.spawn(route_topic(Arc::clone(self), Arc::clone(topic)));
                let _late = tokio::time::timeout_at(deadline, asking).await;
            }
            Err(false) => {}
        }
        self.accumulator().route_now(topic, partition)
    }

    /// Where brokers listen, those first that were found.
    fn addresses(&self) -> Vec<Address> {
        let mut all = self.accumulator().addresses();
        let named: Vec<_> = self.bootstrap.iter().filter(|named| !all.contains(named)).cloned().collect();
        all.extend(named);
        all
    }

    /// Asks the brokers, those first that were found, who leads a topic's partitions.
    async fn leaders(&self, topic: &KnownTopic) -> io::Result<Leaders> {
        let mut why = io::Error::other("no broker is named");
        for address in self.addresses() {
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
        drop(shared.spawn(link::run(Arc::clone(&shared), broker, work)));
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
impl Shared {
    /// All connections go through something that stands before the broker.
    fn through(settings: &Settings, detour: Address) -> Arc<Shared> {
        let mut shared = Shared::new(settings, settings.queue_bytes).unwrap();
        shared.connector.detour = Some(detour);
        Arc::new(shared)
    }
}

#[cfg(test)]
mod tests;
