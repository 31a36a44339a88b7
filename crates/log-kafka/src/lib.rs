//! The log on Apache Kafka.
//!
//! It keeps the contract of [`tidefold_log::Log`] with idempotent producers and reads of its own. Beyond it: offsets
//! have gaps where transaction markers and aborted records stand, and a topic may be deleted and created again under
//! this process. That is noticed by its id, at once by whoever reads or appends few records, else within about five seconds;
//! from then on every call says [`LogError::Mismatch`] and who watches an end is told 0:
//! only a new log takes the new topic. An append that was acknowledged before stands there too.
//!
//! It deliberately has no transactions of its own, trusts no committed offset, never creates a topic by accident and
//! never changes one. A cluster that does not answer makes every call end within about five seconds.
//!
//! A walk through it:
//! * [`settings`]: what may be set, and what librdkafka is told.
//! * [`known`]: one incarnation of a topic, and how another is told from it.
//! * [`topics`]: the topics of this process; opening, describing and checking them; where partitions end.
//! * [`ends`]: where partitions start and end, and who looks at that; [`question`]: what is asked once for all who ask meanwhile.
//! * [`config`]: a topic's settings, and whether it keeps its records.
//! * [`direct`]: connections of our own, for appends of few records, for which one request carries all partitions of a broker,
//!   and for all reads; [`tail`]: what was read last at a partition's end.
//! * [`producer`] and [`pending`]: all other appends, through librdkafka, and the counting of their delivery reports.
//! * [`membership`]: a place in a consumer group.
//! * [`native`]: the call to librdkafka that rdkafka does not offer; [`context`]: its log lines, and what clients count.

mod config;
mod context;
mod direct;
mod ends;
mod known;
mod membership;
mod native;
mod pending;
mod producer;
mod question;
mod settings;
mod tail;
mod topics;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryFutureExt;
use futures_util::future::BoxFuture;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use tidefold_log::{Appended, Bounds, Log, LogError, ReadLimit, SharedMembership, Topic, TopicSpec};
use tidefold_record::{BatchBuilder, Offset, Partition, Position, RecordBatch, TopicName};
use tokio::sync::watch;
use tokio::time::Instant;

pub use context::{ClientCounts, Counts};
pub use settings::Settings;

use context::{Logs, Trouble};
use direct::fetch::Refusal;
use direct::{Direct, Outcome, Shared};
use ends::Looks;
use known::KnownTopic;
use membership::KafkaMembership;
use producer::Appender;
use topics::{CALL, Cluster};
use waiting::pause;

/// A log in a Kafka cluster. Dropping it waits a moment for appends that are under way.
pub struct KafkaLog {
    settings: Settings,
    cluster: Arc<Cluster>,
    wire: Arc<Shared>,
    direct: Option<Direct>,
    appender: Appender,
    looks: Looks,
}

/// A read that failed is tried again after this time.
const READ_AGAIN: Duration = Duration::from_millis(50);

// === impl KafkaLog ===

impl KafkaLog {
    /// Makes the clients. It does not wait for the brokers: a cluster that cannot be reached is told by the calls.
    ///
    /// # Errors
    /// When the settings are wrong; all mistakes are told.
    ///
    /// Must be called within a tokio runtime, which its tasks run in.
    pub fn connect(settings: Settings) -> Result<KafkaLog, LogError> {
        settings.check()?;
        // Before librdkafka does: this way OpenSSL is not taken down at exit, under threads that still speak TLS.
        openssl::init();
        let wrong = |error: KafkaError| LogError::Unavailable {
            detail: format!("librdkafka refuses the settings ({error}); correct the property it names"),
        };
        let admin =
            rdkafka::admin::AdminClient::from_config_and_context(&settings.admin(), Logs).map_err(wrong)?;
        let trouble = Arc::new(Trouble::default());
        // The operator's compression is librdkafka's to do.
        let few_bytes = if settings.says_compression() { 0 } else { settings.queue_bytes / 8 };
        let appender = Appender::new(&settings, settings.queue_bytes - few_bytes, &trouble).map_err(wrong)?;
        let wire = Arc::new(Shared::new(&settings, few_bytes)?);
        let direct = (few_bytes > 0).then(|| Direct::of(&wire));
        let cluster = Arc::new(Cluster::new(&wire, admin, &settings, &trouble));
        let looks = Looks::start(&cluster);
        wire.count(&settings);
        Ok(KafkaLog { settings, cluster, wire, direct, appender, looks })
    }

    /// Whether a broker lets us in; false when none answers within about five seconds, which may change.
    ///
    /// # Errors
    /// When brokers answer and turn us away: a certificate or a login is wrong. The error says which settings to look at.
    pub async fn admits(&self) -> Result<bool, LogError> {
        self.cluster.admits().await
    }

    /// Why this log does not work any more though the brokers may, once that is so.
    #[must_use]
    pub fn ended(&self) -> Option<String> {
        let ended = "a task that follows the topics has ended: new records are not noticed; start again";
        self.looks.have_ended().then(|| ended.to_owned())
    }

    /// The cluster's own name of a topic.
    fn own(&self, topic: &TopicName) -> TopicName {
        match self.settings.topic_prefix.as_str() {
            "" => topic.clone(),
            prefix => TopicName::new(format!("{prefix}{topic}")),
        }
    }

    /// An error by the name that was asked for.
    fn told(&self, mut error: LogError) -> LogError {
        let prefix = self.settings.topic_prefix.as_str();
        let asked =
            |own: &TopicName| TopicName::new(own.as_str().strip_prefix(prefix).unwrap_or(own.as_str()));
        match &mut error {
            LogError::NoSuchPartition { topic, .. } | LogError::Mismatch { topic, .. } => {
                *topic = asked(topic)
            }
            LogError::OutOfRange { position, .. } | LogError::Damaged { position, .. } => {
                position.topic = asked(&position.topic);
            }
            LogError::Full { .. }
            | LogError::Unavailable { .. }
            | LogError::Unknown { .. }
            | LogError::TooLarge { .. } => {}
        }
        error
    }

    async fn open_topic(&self, spec: &TopicSpec) -> Result<Topic, LogError> {
        let own = TopicSpec { name: self.own(&spec.name), ..spec.clone() };
        let opened = self.cluster.open(&own).await?;
        if let Some(direct) = &self.direct {
            direct.prepare(&self.cluster.find(&own.name, Partition(0)).await?).await;
        }
        Ok(Topic { name: spec.name.clone(), ..opened })
    }

    async fn append_batch(
        &self,
        topic: &TopicName,
        partition: Partition,
        batch: BatchBuilder,
    ) -> Result<Appended, LogError> {
        let known = self.cluster.find(&self.own(topic), partition).await?;
        known.check_open()?;
        if batch.is_empty() {
            return Ok(Appended::From(known.end(partition)));
        }
        let before = known.end(partition);
        let appended = self.append_known(&known, partition, batch).await;
        let appended = appended.map_err(|error| bounded_by_topic(error, &known))?;
        if lowest(&appended).is_some_and(|offset| offset < before) {
            self.cluster.recheck_now(&known).await?;
        }
        Ok(appended)
    }

    async fn append_known(
        &self,
        topic: &Arc<KnownTopic>,
        partition: Partition,
        mut batch: BatchBuilder,
    ) -> Result<Appended, LogError> {
        let gone = || LogError::Unknown { detail: "the producer is gone; open the log again".to_owned() };
        if let Some(direct) = &self.direct {
            batch = match direct.send(topic, partition, batch) {
                Ok(waiting) => match waiting.await.map_err(|_| gone())? {
                    Outcome::Answered(answer) => return answer,
                    Outcome::Back(batch) => batch,
                    Outcome::BackFromAnother(batch) => {
                        self.cluster.recheck_now(topic).await?;
                        batch
                    }
                },
                Err(batch) => batch,
            };
        }
        let waiting = self.appender.send(topic, partition, &batch)?;
        drop(batch);
        waiting.await.unwrap_or_else(|_| Err(gone()))
    }

    async fn read_batch(
        &self,
        topic: &TopicName,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<RecordBatch, LogError> {
        let known = self.cluster.find(&self.own(topic), partition).await?;
        let batch = match self.wire.take(&known, partition, from, limit).await {
            Some(batch) => batch,
            None => self.fetch(&known, partition, from, limit).await?,
        };
        // Where topics go by their names alone, only a look that is younger than the records says whose they are.
        if self.wire.reads_by_name() && !batch.is_empty() {
            self.cluster.recheck(&known).await?;
        }
        if batch.next_offset() >= known.end(partition) && known.is_waited_for(partition) {
            self.wire.follow(&known, partition, batch.next_offset());
        }
        Ok(batch)
    }

    /// Reads from the leader, for as long as a call may take.
    async fn fetch(
        &self,
        topic: &Arc<KnownTopic>,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<RecordBatch, LogError> {
        let deadline = Instant::now() + CALL;
        loop {
            let why = match self.wire.fetch(topic, partition, from, limit).await {
                Ok(batch) => return Ok(batch),
                Err(Refusal::Odd(odd)) => {
                    let detail = format!(
                        "a record from here on cannot be read ({}); restore the partition from a replica or a backup",
                        odd.0
                    );
                    let position = Position::new(topic.name.clone(), partition, from);
                    return Err(LogError::Damaged { position, detail });
                }
                Err(Refusal::OutOfRange) => {
                    self.within(topic, partition, from).await?;
                    std::io::Error::other("the offset is out of range, and is not by now")
                }
                Err(Refusal::Another) => {
                    self.cluster.recheck_now(topic).await?;
                    std::io::Error::other("the broker does not know the topic yet")
                }
                Err(Refusal::Failed(why)) => why,
            };
            let denied = why.kind() == std::io::ErrorKind::PermissionDenied;
            if denied || Instant::now() + READ_AGAIN >= deadline {
                self.cluster.recheck_now(topic).await?;
                let what = format!(
                    "the records of partition {partition} of topic {} from {from} on are not given",
                    topic.name
                );
                return Err(self.cluster.failed(&what, &why));
            }
            pause(READ_AGAIN).await;
        }
    }

    /// The bounds, if `from` lies in them.
    async fn within(
        &self,
        topic: &Arc<KnownTopic>,
        partition: Partition,
        from: Offset,
    ) -> Result<Bounds, LogError> {
        let bounds = self.cluster.bounds(topic, partition).await?;
        if bounds.start <= from && from <= bounds.end {
            return Ok(bounds);
        }
        self.cluster.recheck_now(topic).await?;
        Err(LogError::OutOfRange { position: Position::new(topic.name.clone(), partition, from), bounds })
    }
}

impl Log for KafkaLog {
    fn open<'a>(&'a self, spec: &'a TopicSpec) -> BoxFuture<'a, Result<Topic, LogError>> {
        Box::pin(self.open_topic(spec).map_err(|error| self.told(error)))
    }

    fn append<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        batch: BatchBuilder,
    ) -> BoxFuture<'a, Result<Appended, LogError>> {
        Box::pin(self.append_batch(topic, partition, batch).map_err(|error| self.told(error)))
    }

    fn read<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> BoxFuture<'a, Result<RecordBatch, LogError>> {
        Box::pin(self.read_batch(topic, partition, from, limit).map_err(|error| self.told(error)))
    }

    fn bounds<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
    ) -> BoxFuture<'a, Result<Bounds, LogError>> {
        let bounds = async move {
            let known = self.cluster.find(&self.own(topic), partition).await?;
            self.cluster.shared_bounds(&known, partition).await
        };
        Box::pin(bounds.map_err(|error| self.told(error)))
    }

    fn watch_end(
        &self,
        topic: &TopicName,
        partition: Partition,
    ) -> Result<watch::Receiver<Offset>, LogError> {
        let known =
            self.cluster.find_blocking(&self.own(topic), partition).map_err(|error| self.told(error))?;
        let (receiver, is_fresh) = known.watch(partition)?;
        if !is_fresh {
            self.looks.look();
        }
        Ok(receiver)
    }

    fn join(&self, group: &str, topics: &[(TopicName, u32)]) -> Result<SharedMembership, LogError> {
        Ok(Arc::new(KafkaMembership::join(&self.settings, group, topics)?))
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.wire.close();
    }
}

/// A record that is not too large for us is too large for the topic.
fn bounded_by_topic(mut error: LogError, topic: &KnownTopic) -> LogError {
    if let (LogError::TooLarge { size_bytes, limit_bytes, .. }, Some(largest)) = (&mut error, topic.largest())
        && *size_bytes <= *limit_bytes
    {
        *limit_bytes = largest;
    }
    error
}

/// An offset below an end that was known before belongs to another log than the one that ended there.
fn lowest(appended: &Appended) -> Option<Offset> {
    match appended {
        Appended::From(first) => Some(*first),
        Appended::Each(fates) => fates.iter().filter_map(|fate| fate.as_ref().ok()).min().copied(),
    }
}

#[cfg(test)]
mod tests;
