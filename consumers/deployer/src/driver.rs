//! The control topic, followed and appended to.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tidefold_control::{CONTROL_TOPIC, Control, Entry, Envelope, Outcome, SchemaRecord};
use tidefold_fold::SchemaFate;
use tidefold_log::{ReadLimit, SharedLog, TopicSpec};
use tidefold_projector::{SchemaSource, SchemaSourceError};
use tidefold_record::{BatchBuilder, Headers, Offset, Partition, RecordBatch, SchemaId, TopicName};
use tidefold_telemetry::clock;
use tokio::sync::{Mutex, watch};

use crate::error::DeployError;

/// How often an entry is tried when others write first.
const ATTEMPTS: u32 = 20;
const PARTITION: Partition = Partition(0);
const READ: ReadLimit = ReadLimit { records: 1_000, bytes: 4 << 20 };

/// The control topic of one app. Cheap to clone; clones share what they read.
#[derive(Clone)]
pub struct Driver {
    inner: Arc<Inner>,
}

struct Inner {
    log: SharedLog,
    app: String,
    topic: TopicName,
    /// Held while the topic is read or appended to, so that whoever appends sees what became of its entry.
    control: Mutex<Control>,
    published: watch::Sender<Arc<Control>>,
}

impl Driver {
    /// Opens the app's control topic, creating it if it is absent, and reads it to its end.
    ///
    /// # Errors
    /// When the log does not answer or the topic is another.
    pub async fn open(log: SharedLog, app: &str) -> Result<Driver, DeployError> {
        let topic = TopicName::new(CONTROL_TOPIC).in_app(app);
        let spec = TopicSpec { name: topic.clone(), partitions: 1, create: true };
        log.open(&spec).await.map_err(DeployError::log("open the control topic"))?;
        let inner = Inner {
            log,
            app: app.to_owned(),
            topic,
            control: Mutex::new(Control::default()),
            published: watch::channel(Arc::new(Control::default())).0,
        };
        let driver = Driver { inner: Arc::new(inner) };
        driver.advance().await?;
        Ok(driver)
    }

    /// What control says, each time that changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Control>> {
        self.inner.published.subscribe()
    }

    /// What control says, as far as it was read.
    #[must_use]
    pub fn control(&self) -> Arc<Control> {
        Arc::clone(&self.inner.published.borrow())
    }

    /// The active generation of a topic's projection, as far as control was read.
    pub(crate) fn active(&self, topic: &str) -> Option<u32> {
        self.inner.published.borrow().active(topic)
    }

    /// Reads the topic to its end.
    ///
    /// # Errors
    /// When the log does not answer.
    pub async fn advance(&self) -> Result<Arc<Control>, DeployError> {
        let mut control = self.inner.control.lock().await;
        self.read_to_end(&mut control, None).await?;
        Ok(self.control())
    }

    /// Appends what `decide` wants, given all that stands in the topic, until it counts; `None` wants nothing. Where
    /// another entry came first, it is asked again. Returns what control says then.
    ///
    /// # Errors
    /// When the log does not answer, control refuses the entry, others always come first, or `decide` gives up.
    pub async fn append(
        &self,
        mut decide: impl FnMut(&Control) -> Result<Option<Entry>, DeployError> + Send,
    ) -> Result<Arc<Control>, DeployError> {
        let mut control = self.inner.control.lock().await;
        for _ in 0..ATTEMPTS {
            self.read_to_end(&mut control, None).await?;
            let Some(entry) = decide(&control)? else { return Ok(self.control()) };
            let name = name_of(&entry);
            let own = match self.append_once(control.next(), entry).await {
                Ok(own) => own,
                // It may stand in the log or not: reading on shows it, and `decide` knows.
                Err(error) if error.is_passing() => {
                    clock::pause(Duration::from_millis(100)).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            match self.read_to_end(&mut control, Some(own)).await? {
                Some(Outcome::Taken) => return Ok(self.control()),
                Some(Outcome::Refused { reason }) => {
                    return Err(DeployError::Refused { app: self.inner.app.clone(), entry: name, reason });
                }
                Some(Outcome::Lost { .. }) | None => {}
            }
        }
        Err(DeployError::Contended { app: self.inner.app.clone(), attempts: ATTEMPTS })
    }

    /// Follows the topic for ever: what [`Driver::watch`] gave moves with it.
    pub async fn keep_up(self) {
        loop {
            self.follow().await;
        }
    }

    /// Waits until the topic moves past what was read, and reads on. Trouble with the log is waited out.
    pub(crate) async fn follow(&self) {
        let Ok(mut end) = self.inner.log.watch_end(&self.inner.topic, PARTITION) else {
            return clock::pause(Duration::from_secs(1)).await;
        };
        let read = self.control().next();
        if end.wait_for(|end| *end > read).await.is_err() {
            return clock::pause(Duration::from_secs(1)).await;
        }
        if let Err(error) = self.advance().await {
            tracing::warn!(app = %self.inner.app, %error, "the control topic cannot be read; trying again");
            clock::pause(Duration::from_secs(1)).await;
        }
    }

    /// Entries from an offset on, as they stand in the topic, as far as [`Driver::control`] goes.
    pub(crate) async fn entries(&self, from: Offset) -> Result<RecordBatch, DeployError> {
        let until = self.control().next();
        if from >= until {
            return Ok(RecordBatch::empty(PARTITION, from));
        }
        let read = self.inner.log.read(&self.inner.topic, PARTITION, from, READ).await;
        Ok(read.map_err(DeployError::log("read the control topic"))?.before(until))
    }

    async fn append_once(&self, expects: Offset, entry: Entry) -> Result<Offset, DeployError> {
        let name = name_of(&entry);
        let value = Envelope { expects: expects.0, entry }.to_json().map_err(|error| {
            DeployError::Refused { app: self.inner.app.clone(), entry: name, reason: error.to_string() }
        })?;
        let mut batch = BatchBuilder::new();
        batch.push(None, Some(&value), Headers::default());
        let log = DeployError::log("append to the control topic");
        let appended = self.inner.log.append(&self.inner.topic, PARTITION, batch).await.map_err(log)?;
        appended.offset(0).map_err(DeployError::log("append to the control topic"))
    }

    /// A line for what changes which tables are served; what processes tell each other on the way is for the curious.
    fn log_entry(&self, offset: Offset, value: &[u8]) {
        let Ok(Envelope { entry, .. }) = Envelope::from_json(value) else { return };
        let (app, name) = (&self.inner.app, name_of(&entry));
        match entry {
            Entry::SchemaRegistered { .. }
            | Entry::SchemaRefused { .. }
            | Entry::Holding { .. }
            | Entry::Standing { .. }
            | Entry::Released { .. }
            | Entry::Halted { .. } => tracing::debug!(%app, %offset, "control: {name}"),
            _ => tracing::info!(%app, %offset, "control: {name}"),
        }
    }

    /// Folds and publishes what the topic has; returns what became of the record at `own`.
    async fn read_to_end(
        &self,
        control: &mut Control,
        own: Option<Offset>,
    ) -> Result<Option<Outcome>, DeployError> {
        let failed = || DeployError::log("read the control topic");
        let (mut fate, start) = (None, control.next());
        loop {
            let next = control.next();
            let bounds = self.inner.log.bounds(&self.inner.topic, PARTITION).await.map_err(failed())?;
            if next >= bounds.end {
                break;
            }
            let read =
                self.inner.log.read(&self.inner.topic, PARTITION, next, READ).await.map_err(failed())?;
            for record in read.iter() {
                let outcome = control.apply(record.offset, record.value.unwrap_or_default());
                if let Outcome::Refused { reason } = &outcome {
                    tracing::warn!(app = %self.inner.app, offset = %record.offset, reason, "control entry does not count");
                }
                // What stood there before is no news.
                if outcome == Outcome::Taken && (own.is_some() || start > Offset::ZERO) {
                    self.log_entry(record.offset, record.value.unwrap_or_default());
                }
                if own == Some(record.offset) {
                    fate = Some(outcome);
                }
            }
            if control.next() <= next {
                break;
            }
        }
        if control.next() != start {
            self.inner.published.send_replace(Arc::new(control.clone()));
        }
        Ok(fate)
    }
}

impl SchemaSource for Driver {
    /// Reads control to its end; an id that stands nowhere is one that our own id authority never gave, so it is
    /// refused, with its block. Whichever entry about it came first counts.
    fn fate(&self, id: SchemaId) -> BoxFuture<'_, Result<SchemaFate, SchemaSourceError>> {
        Box::pin(async move {
            if let Some(record) = self.control().schema(id) {
                return Ok(fate_of(record));
            }
            let reason = "no message of the app was registered under it, nor under those below";
            let refuse = |control: &Control| {
                let id = Control::to_refuse(id);
                let entry = Entry::SchemaRefused { id, reason: reason.to_owned() };
                Ok(control.schema(id).is_none().then_some(entry))
            };
            let detail = match self.append(refuse).await {
                Ok(_) => "control has no entry about it",
                Err(DeployError::Refused { .. }) => "another entry about it came first",
                Err(error) => return Err(SchemaSourceError { id, detail: error.to_string() }),
            };
            match self.control().schema(id) {
                Some(record) => Ok(fate_of(record)),
                None => Err(SchemaSourceError { id, detail: detail.to_owned() }),
            }
        })
    }
}

fn fate_of(record: &SchemaRecord) -> SchemaFate {
    match record {
        SchemaRecord::Registered(schema) => SchemaFate::Registered(Arc::clone(schema)),
        SchemaRecord::Refused(_) => SchemaFate::Refused,
    }
}

/// The entry without its weight, for messages.
fn name_of(entry: &Entry) -> String {
    match entry {
        Entry::Defined { hash, .. } => format!("defined {hash}"),
        Entry::SchemaRegistered { id, .. } => format!("schema_registered {}", id.0),
        Entry::SchemaRefused { id, .. } => format!("schema_refused {}", id.0),
        Entry::Building { topic, generation, .. } => format!("building {topic} {generation}"),
        Entry::Activated { topic, generation } => format!("activated {topic} {generation}"),
        Entry::Abandoned { topic, generation } => format!("abandoned {topic} {generation}"),
        Entry::Retired { topic, generation } => format!("retired {topic} {generation}"),
        Entry::Holding { topic, generation, .. } => format!("holding {topic} {generation}"),
        Entry::Standing { topic, generation, .. } => format!("standing {topic} {generation}"),
        Entry::Released { topic, generation } => format!("released {topic} {generation}"),
        Entry::Halted { topic, generation, partition, .. } => {
            format!("halted {topic} {generation} {partition}")
        }
        Entry::DeadLetterAdded { topic, partition, offset, .. } => {
            format!("dead_letter_added {topic}:{partition}:{offset}")
        }
        Entry::BreakerLifted { topic, partition, next } => {
            format!("breaker_lifted {topic}:{partition}:{next}")
        }
    }
}
