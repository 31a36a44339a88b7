//! The control topic, followed and appended to.

use std::sync::Arc;
use std::time::Duration;

use tidefold_control::{CONTROL_TOPIC, Control, Entry};
use tidefold_log::{SharedLog, TopicSpec};
use tidefold_record::{Offset, RecordBatch, TopicName};
use tidefold_telemetry::clock;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::error::ControlLogError;
use crate::waiting::Passing;
use crate::writer::{Appended, Ask, PARTITION, READ, Writer, name_of};

/// How often an entry is tried when others write first.
const ATTEMPTS: u32 = 20;
/// How many asks may wait before whoever asks waits, too.
const ASKS: usize = 64;

/// The control topic of one app. Cheap to clone; clones share what they read. One task reads and writes it, so that a
/// process never competes with itself for an offset; it ends with the last clone.
#[derive(Clone)]
pub struct ControlLog {
    log: SharedLog,
    app: Arc<str>,
    topic: TopicName,
    asks: mpsc::Sender<Ask>,
    read: watch::Receiver<Arc<Control>>,
    _writer: Arc<AbortOnDropHandle<()>>,
}

// === impl ControlLog ===

impl ControlLog {
    /// Opens the app's control topic, creating it if it is absent, and reads it to its end.
    ///
    /// # Errors
    /// When the log does not answer or the topic is another.
    pub async fn open(log: SharedLog, app: &str) -> Result<ControlLog, ControlLogError> {
        let topic = TopicName::new(CONTROL_TOPIC).in_app(app);
        let spec = TopicSpec { name: topic.clone(), partitions: 1, create: true };
        log.open(&spec).await.map_err(ControlLogError::log("open the control topic"))?;
        let app: Arc<str> = app.into();
        let (asks, asked) = mpsc::channel(ASKS);
        let (writer, read) = Writer::new(Arc::clone(&log), Arc::clone(&app), topic.clone());
        #[expect(clippy::disallowed_methods, reason = "it ends with the control log, which owns it")]
        let task = tokio::runtime::Handle::current().spawn(writer.run(asked));
        let _writer = Arc::new(AbortOnDropHandle::new(task));
        let control_log = ControlLog { log, app, topic, asks, read, _writer };
        control_log.advance().await?;
        Ok(control_log)
    }

    /// What control says, each time that changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Control>> {
        self.read.clone()
    }

    /// What control says, as far as it was read.
    #[must_use]
    pub fn control(&self) -> Arc<Control> {
        Arc::clone(&self.read.borrow())
    }

    /// The active generation of a topic's projection, as far as control was read.
    #[must_use]
    pub fn active(&self, topic: &str) -> Option<u32> {
        self.read.borrow().active(topic)
    }

    /// Reads the topic to its end.
    ///
    /// # Errors
    /// When the log does not answer.
    pub async fn advance(&self) -> Result<Arc<Control>, ControlLogError> {
        self.ask(Ask::Advance).await?
    }

    /// Appends what `decide` wants, given all that stands in the topic, until it counts; `None` wants nothing. Where
    /// another entry came first, it is asked again. Returns what control says then.
    ///
    /// # Errors
    /// When the log does not answer, control refuses the entry, or others always come first.
    pub async fn append(
        &self,
        mut decide: impl FnMut(&Control) -> Option<Entry> + Send,
    ) -> Result<Arc<Control>, ControlLogError> {
        self.try_append(|control| Ok(decide(control))).await
    }

    /// As [`ControlLog::append`], by somebody who may give up.
    ///
    /// # Errors
    /// The same, and what `decide` gives up with.
    pub async fn try_append<E: From<ControlLogError>>(
        &self,
        mut decide: impl FnMut(&Control) -> Result<Option<Entry>, E> + Send,
    ) -> Result<Arc<Control>, E> {
        let mut attempts = 0;
        while attempts < ATTEMPTS {
            let control = self.advance().await?;
            let Some(entry) = decide(&control)? else { return Ok(control) };
            let name = name_of(&entry);
            let expects = control.next();
            match self.ask(|answer| Ask::Append { expects, entry, answer }).await? {
                Ok(Appended::Taken(control)) => return Ok(control),
                Ok(Appended::Refused { reason }) => {
                    let app = self.app.to_string();
                    return Err(ControlLogError::Refused { app, entry: name, reason }.into());
                }
                Ok(Appended::Lost) => attempts += 1,
                // Another of this process came first, and nothing was written: one of them always gets on.
                Ok(Appended::Late) => {}
                // It may stand in the log or not: reading on shows it, and `decide` knows.
                Err(error) if error.is_passing() => {
                    attempts += 1;
                    clock::pause(Duration::from_millis(100)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(ControlLogError::Contended { app: self.app.to_string(), attempts: ATTEMPTS }.into())
    }

    /// Follows the topic for ever: what [`ControlLog::watch`] gave moves with it.
    pub async fn keep_up(self) {
        loop {
            self.follow().await;
        }
    }

    /// Waits until the topic moves past what was read, and reads on. Trouble with the log is waited out.
    pub async fn follow(&self) {
        let Ok(mut end) = self.log.watch_end(&self.topic, PARTITION) else {
            return clock::pause(Duration::from_secs(1)).await;
        };
        let read = self.control().next();
        if end.wait_for(|end| *end > read).await.is_err() {
            return clock::pause(Duration::from_secs(1)).await;
        }
        if let Err(error) = self.advance().await {
            tracing::warn!(app = %self.app, %error, "the control topic cannot be read; trying again");
            clock::pause(Duration::from_secs(1)).await;
        }
    }

    /// Entries from an offset on, as they stand in the topic, as far as [`ControlLog::control`] goes.
    pub(crate) async fn entries(&self, from: Offset) -> Result<RecordBatch, ControlLogError> {
        let until = self.control().next();
        if from >= until {
            return Ok(RecordBatch::empty(PARTITION, from));
        }
        let read = self.log.read(&self.topic, PARTITION, from, READ).await;
        Ok(read.map_err(ControlLogError::log("read the control topic"))?.before(until))
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, ControlLogError> {
        let ended = || ControlLogError::Ended { app: self.app.to_string() };
        let (answer, answered) = oneshot::channel();
        self.asks.send(ask(answer)).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())
    }
}
