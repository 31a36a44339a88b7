//! The log on Apache Kafka.
//!
//! It keeps the contract of [`tidefold_log::Log`] with idempotent producers and a few consumers. Beyond it: offsets
//! have gaps where transaction markers and aborted records stand, and a topic may be deleted and created again under
//! this process. That is noticed by its id within about five seconds, or at once by an append that is given an offset
//! below the known end; from then on every call says [`LogError::Mismatch`] and who watches an end is told 0:
//! only a new log takes the new topic. An append that was acknowledged before stands there too.
//!
//! It deliberately has no transactions of its own, trusts no committed offset, never creates a topic by accident and
//! never changes one. A cluster that does not answer makes every call end within about five seconds.
//!
//! A walk through it:
//! * [`settings`]: what may be set, and what librdkafka is told.
//! * [`known`]: one incarnation of a topic, and how another is told from it.
//! * [`topics`]: the topics of this process; opening, describing and checking them; where partitions end.
//! * [`ends`]: where many partitions start or end, with one question.
//! * [`config`]: a topic's settings, and whether it keeps its records.
//! * [`direct`]: appends of few records, for which one request carries all partitions of a broker, and reads far behind.
//! * [`producer`] and [`pending`]: all other appends, through librdkafka, and the counting of their delivery reports.
//! * [`feed`] and [`cursor`]: consumers that read ahead, and the places where they stand.
//! * [`tail`]: the ends of partitions that are watched and that no feed follows.
//! * [`membership`]: a place in a consumer group.
//! * [`native`]: the calls to librdkafka that rdkafka does not offer; [`context`]: its log lines.

mod config;
mod context;
mod cursor;
mod direct;
mod ends;
mod feed;
mod known;
mod membership;
mod native;
mod pending;
mod producer;
mod settings;
mod tail;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryFutureExt;
use futures_util::future::BoxFuture;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use tidefold_log::{Appended, Bounds, Log, LogError, ReadLimit, SharedMembership, Topic, TopicSpec};
use tidefold_record::{BatchBuilder, Offset, Partition, Position, RecordBatch, TopicName};
use tokio::sync::watch;
use tokio::time::Instant;

pub use context::{ClientCounts, Counts};
pub use settings::Settings;

use context::{Logs, Trouble};
use cursor::Taken;
use direct::{Direct, Outcome};
use feed::{Feeds, Patience};
use known::KnownTopic;
use membership::KafkaMembership;
use producer::Appender;
use tail::Tail;
use topics::{CALL, Cluster};

/// A log in a Kafka cluster. Dropping it waits a moment for appends that are under way.
pub struct KafkaLog {
    settings: Settings,
    cluster: Arc<Cluster>,
    direct: Option<Direct>,
    appender: Appender,
    feeds: Arc<Feeds>,
    tail: Tail,
}

/// A reader so many records behind the end is not read ahead for.
const FAR_BEHIND: u64 = 5_000;
/// A read that waits for records known to be there asks again after this long where the partition ends.
const ASK_AGAIN: Duration = Duration::from_millis(400);

// === impl KafkaLog ===

impl KafkaLog {
    /// Makes the clients. It does not wait for the brokers: a cluster that cannot be reached is told by the calls.
    ///
    /// # Errors
    /// When the settings are wrong; all mistakes are told.
    pub fn connect(settings: Settings) -> Result<KafkaLog, LogError> {
        KafkaLog::with_patience(settings, Patience::default())
    }

    fn with_patience(settings: Settings, patience: Patience) -> Result<KafkaLog, LogError> {
        settings.check()?;
        // Before librdkafka does: this way OpenSSL is not taken down at exit, under threads that still speak TLS.
        openssl::init();
        let wrong = |error: KafkaError| LogError::Unavailable {
            detail: format!("librdkafka refuses the settings ({error}); correct the property it names"),
        };
        let meta = BaseConsumer::from_config_and_context(&settings.meta(), Logs::default()).map_err(wrong)?;
        let admin = rdkafka::admin::AdminClient::from_config_and_context(&settings.admin(), Logs::default())
            .map_err(wrong)?;
        let trouble = Arc::new(Trouble::default());
        let cluster = Arc::new(Cluster::new(meta, admin, &settings, &trouble));
        let feeds = Arc::new(Feeds::new(
            settings.feed(),
            Logs::of("reader", &settings.counts),
            settings.fetch_bytes,
            patience,
        ));
        let direct_bytes = settings.queue_bytes / 8;
        let direct = Direct::new(&settings, direct_bytes);
        let rest = settings.queue_bytes - if direct.is_some() { direct_bytes } else { 0 };
        let appender = Appender::new(&settings, rest, &trouble).map_err(wrong)?;
        let tail = Tail::start(&cluster, &feeds).map_err(|error| LogError::Unavailable {
            detail: format!("no thread can be started ({error}); raise the process's limits"),
        })?;
        Ok(KafkaLog { settings, cluster, direct, appender, feeds, tail })
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
        let ended = "a thread that follows the topics has ended: new records are not noticed; start again";
        self.tail.has_ended().then(|| ended.to_owned())
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
            _ => {}
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
        if let Some(direct) = &self.direct
            && known.end(partition).0.saturating_sub(from.0) >= FAR_BEHIND
            && let Some(batch) = direct.fetch(&known, partition, from, limit).await
        {
            return Ok(batch);
        }
        if !self.feeds.covers(&known, partition, from) {
            self.place(&known, partition, from).await?;
        }
        let part = known.part(partition)?;
        let deadline = Instant::now() + CALL;
        let mut patient = true;
        loop {
            let mut moved = std::pin::pin!(part.moved.notified());
            moved.as_mut().enable();
            match self.feeds.take(&known, partition, from, limit, known.end(partition), patient) {
                Taken::Batch(batch) => {
                    // A consumer goes on at its offset in a topic that was made again. Only a look that is younger than
                    // the records says whose they are.
                    if !batch.is_empty() {
                        self.cluster.recheck(&known).await?;
                    }
                    return Ok(batch);
                }
                Taken::Waiting => {}
                Taken::Nowhere => self.place(&known, partition, from).await?,
                Taken::Fault(code) => self.explain(&known, partition, from, code).await?,
            }
            if Instant::now() >= deadline {
                let what = format!(
                    "the records of partition {partition} of topic {topic} from {from} on are not given"
                );
                return Err(self.cluster.unavailable(&what, Code::OperationTimedOut));
            }
            if tokio::time::timeout(ASK_AGAIN, moved).await.is_err() {
                patient = false;
                let end = self.within(&known, partition, from).await?.end;
                if from >= end {
                    return Ok(RecordBatch::empty(partition, from));
                }
            }
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

    /// Sends a feed there, if that is a place in the partition.
    async fn place(
        &self,
        topic: &Arc<KnownTopic>,
        partition: Partition,
        from: Offset,
    ) -> Result<(), LogError> {
        self.within(topic, partition, from).await?;
        self.feeds.place(topic, partition, from)
    }

    /// Finds out what a feed's fault means; where it means nothing lasting, the feed is sent there again.
    async fn explain(
        &self,
        topic: &Arc<KnownTopic>,
        partition: Partition,
        from: Offset,
        code: Code,
    ) -> Result<(), LogError> {
        self.cluster.recheck_now(topic).await?;
        self.within(topic, partition, from).await?;
        if matches!(code, Code::BadMessage | Code::InvalidMessage | Code::BadCompression) {
            let detail = format!(
                "a record from here on cannot be read ({code}); restore the partition from a replica or a backup"
            );
            return Err(LogError::Damaged {
                position: Position::new(topic.name.clone(), partition, from),
                detail,
            });
        }
        if matches!(code, Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed) {
            let what = format!("partition {partition} of topic {} may not be read", topic.name);
            return Err(self.cluster.unavailable(&what, code));
        }
        self.feeds.forget(topic, partition, from);
        Ok(())
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
            self.cluster.whole_bounds(&known, partition).await
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
        let receiver = known.watch(partition)?;
        self.tail.look();
        Ok(receiver)
    }

    fn join(&self, group: &str, topics: &[(TopicName, u32)]) -> Result<SharedMembership, LogError> {
        let prefix = &self.settings.topic_prefix;
        let config = self.settings.member(&format!("{prefix}{group}"));
        Ok(Arc::new(KafkaMembership::join(&config, &self.settings.counts, prefix, topics)?))
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.tail.stop();
        self.feeds.stop();
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
