//! The one task of a process that reads a control topic and appends to it.

use std::sync::Arc;

use tidefold_control::{Control, Entry, Envelope, Outcome};
use tidefold_log::{ReadLimit, SharedLog};
use tidefold_record::{BatchBuilder, Headers, Offset, Partition, TopicName};
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::ControlLogError;

/// The topic's only partition.
pub(crate) const PARTITION: Partition = Partition(0);
/// How much is read at once.
pub(crate) const READ: ReadLimit = ReadLimit { records: 1_000, bytes: 4 << 20 };

/// What it is asked.
pub(crate) enum Ask {
    /// To read to the end.
    Advance(Answer<Arc<Control>>),
    /// To append an entry at the offset it expects, and to read on past it.
    Append {
        /// Where the topic ended for whoever decided on it.
        expects: Offset,
        /// The entry.
        entry: Entry,
        /// What became of it.
        answer: oneshot::Sender<Result<Appended, ControlLogError>>,
    },
}

type Answer<T> = oneshot::Sender<Result<T, ControlLogError>>;

/// What became of an entry.
pub(crate) enum Appended {
    /// It counts; what control says with it.
    Taken(Arc<Control>),
    /// It contradicts what stands before it.
    Refused {
        /// Why.
        reason: String,
    },
    /// Another process wrote first.
    Lost,
    /// More than was expected had been read already: nothing was written.
    Late,
}

/// The topic's reader and writer. What it has read is its own; others get copies.
pub(crate) struct Writer {
    log: SharedLog,
    app: Arc<str>,
    topic: TopicName,
    control: Control,
    published: watch::Sender<Arc<Control>>,
}

// === impl Writer ===

impl Writer {
    /// One that has read nothing yet, and where it publishes what it reads.
    pub(crate) fn new(
        log: SharedLog,
        app: Arc<str>,
        topic: TopicName,
    ) -> (Writer, watch::Receiver<Arc<Control>>) {
        let (published, read) = watch::channel(Arc::new(Control::default()));
        (Writer { log, app, topic, control: Control::default(), published }, read)
    }

    /// Does what it is asked, one at a time. Whoever does not wait for the answer any more is no reason to stop.
    pub(crate) async fn run(mut self, mut asked: mpsc::Receiver<Ask>) {
        while let Some(ask) = asked.recv().await {
            match ask {
                Ask::Advance(answer) => {
                    let read = self.read_to_end(None).await;
                    let _ = answer.send(read.map(|_| self.said()));
                }
                Ask::Append { expects, entry, answer } => {
                    let _ = answer.send(self.append(expects, entry).await);
                }
            }
        }
    }

    async fn append(&mut self, expects: Offset, entry: Entry) -> Result<Appended, ControlLogError> {
        if self.control.next() != expects {
            return Ok(Appended::Late);
        }
        let own = self.write(expects, entry).await?;
        Ok(match self.read_to_end(Some(own)).await? {
            Some(Outcome::Taken) => Appended::Taken(self.said()),
            Some(Outcome::Refused { reason }) => Appended::Refused { reason },
            Some(Outcome::Lost { .. }) | None => Appended::Lost,
        })
    }

    async fn write(&self, expects: Offset, entry: Entry) -> Result<Offset, ControlLogError> {
        let name = name_of(&entry);
        let value = Envelope { expects: expects.0, entry }.to_json().map_err(|error| {
            ControlLogError::Refused { app: self.app.to_string(), entry: name, reason: error.to_string() }
        })?;
        let mut batch = BatchBuilder::new();
        batch.push(None, Some(&value), Headers::default());
        let log = ControlLogError::log("append to the control topic");
        let appended = self.log.append(&self.topic, PARTITION, batch).await.map_err(log)?;
        appended.offset(0).map_err(ControlLogError::log("append to the control topic"))
    }

    fn said(&self) -> Arc<Control> {
        Arc::clone(&self.published.borrow())
    }

    /// Folds and publishes what the topic has; returns what became of the record at `own`.
    async fn read_to_end(&mut self, own: Option<Offset>) -> Result<Option<Outcome>, ControlLogError> {
        let read = self.fold_to_end(own).await;
        // What was read before the log failed is known from now on.
        if self.control.next() != self.published.borrow().next() {
            self.published.send_replace(Arc::new(self.control.clone()));
        }
        read
    }

    async fn fold_to_end(&mut self, own: Option<Offset>) -> Result<Option<Outcome>, ControlLogError> {
        let failed = || ControlLogError::log("read the control topic");
        let (mut fate, start) = (None, self.control.next());
        loop {
            let next = self.control.next();
            let bounds = self.log.bounds(&self.topic, PARTITION).await.map_err(failed())?;
            if next >= bounds.end {
                return Ok(fate);
            }
            let read = self.log.read(&self.topic, PARTITION, next, READ).await.map_err(failed())?;
            for record in read.iter() {
                let value = record.value.unwrap_or_default();
                let outcome = self.control.apply(record.offset, value);
                if let Outcome::Refused { reason } = &outcome {
                    tracing::warn!(app = %self.app, offset = %record.offset, reason, "control entry does not count");
                }
                // What stood there before is no news.
                if outcome == Outcome::Taken && (own.is_some() || start > Offset::ZERO) {
                    self.log_entry(record.offset, value);
                }
                if own == Some(record.offset) {
                    fate = Some(outcome);
                }
            }
            if self.control.next() <= next {
                return Ok(fate);
            }
        }
    }

    /// A line for what changes which tables are served; what processes tell each other on the way is for the curious.
    fn log_entry(&self, offset: Offset, value: &[u8]) {
        let Ok(Envelope { entry, .. }) = Envelope::from_json(value) else { return };
        let (app, name) = (&self.app, name_of(&entry));
        match entry {
            Entry::SchemaRegistered { .. }
            | Entry::SchemaRefused { .. }
            | Entry::Holding { .. }
            | Entry::Standing { .. }
            | Entry::Released { .. }
            | Entry::Halted { .. } => tracing::debug!(%app, %offset, "control: {name}"),
            Entry::Defined { .. }
            | Entry::Building { .. }
            | Entry::Activated { .. }
            | Entry::Abandoned { .. }
            | Entry::Retired { .. }
            | Entry::DeadLetterAdded { .. }
            | Entry::BreakerLifted { .. } => tracing::info!(%app, %offset, "control: {name}"),
        }
    }
}

/// The entry without its weight, for messages.
pub(crate) fn name_of(entry: &Entry) -> String {
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
