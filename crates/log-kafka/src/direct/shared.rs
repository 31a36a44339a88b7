//! The connections, and what is known of who leads what.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidefold_log::LogError;
use tidefold_log::observer::SharedObserver;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accumulator::{Accumulator, Leaders, Route};
use super::connection::{Address, Connection};
use super::connector::Connector;
use super::fetches::Fetches;
use super::followers::Followers;
use super::pool::Pool;
use super::produce;
use super::security::Security;
use crate::known::KnownTopic;
use crate::settings::Settings;

/// The connections, and what is known of who leads what.
pub(crate) struct Shared {
    pub(super) accumulator: Mutex<Accumulator>,
    pub(super) connector: Connector,
    pub(super) bootstrap: Vec<Address>,
    pub(super) message_timeout: Duration,
    pub(super) most_bytes: usize,
    pub(super) pool: Pool,
    pub(super) fetches: Fetches,
    pub(super) followers: Followers,
    /// What is kept of a partition that is followed, in bytes.
    pub(super) tail_bytes: usize,
    /// Where this process stands, by which leaders name the nearest replica.
    pub(super) rack: Option<String>,
    tasks: TaskTracker,
    pub(super) closed: CancellationToken,
    pub(super) observer: SharedObserver,
    /// Where tasks run: a runtime that folds would keep appends waiting.
    home: Handle,
}

/// Appends of more bytes than this fill requests of their own.
const MOST_BYTES: usize = 64 << 10;

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
                counts.report(this.connector.tally().counts(&name, waiting));
            }
        }));
    }

    /// Done once it is closed.
    pub(crate) fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    pub(super) fn accumulator(&self) -> MutexGuard<'_, Accumulator> {
        self.accumulator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.tasks.spawn_on(task, &self.home)
    }

    /// Where brokers listen, those first that were found.
    pub(super) fn addresses(&self) -> Vec<Address> {
        let mut all = self.accumulator().addresses();
        let named: Vec<_> = self.bootstrap.iter().filter(|named| !all.contains(named)).cloned().collect();
        all.extend(named);
        all
    }

    /// Asks the brokers, those first that were found, who leads a topic's partitions.
    pub(super) async fn leaders(&self, topic: &KnownTopic) -> io::Result<Leaders> {
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

    /// A connection that stands, or a new one.
    pub(crate) async fn connection(&self, route: &Route) -> io::Result<Connection> {
        match self.pool.take(route.leader) {
            Some(connection) => Ok(connection),
            None => self.connector.open(&route.address).await,
        }
    }
}

#[cfg(test)]
impl Shared {
    /// All connections go through something that stands before the broker.
    pub(super) fn through(settings: &Settings, detour: Address) -> Arc<Shared> {
        let mut shared = Shared::new(settings, settings.queue_bytes).unwrap();
        shared.connector.detour = Some(detour);
        Arc::new(shared)
    }
}
