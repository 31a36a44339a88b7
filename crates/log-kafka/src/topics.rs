//! Topics this process knows, and what the cluster says of them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use tidefold_log::{Bounds, LogError, Topic, TopicSpec};
use tidefold_record::{Offset, Partition, TopicName};
use tokio::time::Instant;

use crate::config;
use crate::context::{Logs, Trouble};
use crate::known::KnownTopic;
use crate::native::{Described, Side, describe_topic};
use crate::settings::Settings;

/// Every call ends within this time.
pub(crate) const CALL: Duration = Duration::from_secs(5);
/// What one question to a broker may take of it.
pub(crate) const ASK: Duration = Duration::from_millis(4_200);
/// A topic's id is looked at again with the records that are read so long after the last look. No topic is deleted, made
/// again and filled past where a reader stands in less time.
const RECHECK: Duration = Duration::from_millis(100);
/// Topics that Kafka makes take batches of so many bytes.
const USUAL_LARGEST: usize = 1_048_588;

/// The cluster, asked about topics and offsets.
pub(crate) struct Cluster {
    pub(crate) meta: BaseConsumer<Logs>,
    pub(crate) admin: AdminClient<Logs>,
    brokers: String,
    replication: Option<i32>,
    record_bytes: usize,
    pub(crate) trouble: Arc<Trouble>,
    known: RwLock<HashMap<TopicName, Arc<KnownTopic>>>,
}

// === impl Cluster ===

impl Cluster {
    pub(crate) fn new(
        meta: BaseConsumer<Logs>,
        admin: AdminClient<Logs>,
        settings: &Settings,
        trouble: &Arc<Trouble>,
    ) -> Cluster {
        Cluster {
            meta,
            admin,
            brokers: settings.brokers(),
            replication: settings.replication,
            record_bytes: settings.record_bytes,
            trouble: Arc::clone(trouble),
            known: RwLock::default(),
        }
    }

    pub(crate) fn known(&self) -> Vec<Arc<KnownTopic>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn get(&self, name: &TopicName) -> Option<Arc<KnownTopic>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Keeps what was described; the same incarnation stays the same object.
    pub(crate) fn keep(&self, name: &TopicName, described: Described) -> Arc<KnownTopic> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(name)
            && found.incarnation == described.id
            && found.partitions() == described.partitions
            && found.void.get().is_none()
        {
            return Arc::clone(found);
        }
        let topic = Arc::new(KnownTopic::new(name, described));
        known.insert(name.clone(), Arc::clone(&topic));
        topic
    }

    /// The topic, with this partition; blocks for a topic that was not asked for before.
    pub(crate) fn find_blocking(
        &self,
        name: &TopicName,
        partition: Partition,
    ) -> Result<Arc<KnownTopic>, LogError> {
        let topic = match self.get(name) {
            Some(topic) => topic,
            None => match self.describe_blocking(name)? {
                Some(described) => self.keep(name, described),
                None => return Err(no_such(name, partition)),
            },
        };
        topic.check(partition)?;
        Ok(topic)
    }

    /// The topic, with this partition.
    pub(crate) async fn find(
        self: &Arc<Self>,
        name: &TopicName,
        partition: Partition,
    ) -> Result<Arc<KnownTopic>, LogError> {
        if let Some(topic) = self.get(name) {
            topic.check(partition)?;
            return Ok(topic);
        }
        let (this, name) = (Arc::clone(self), name.clone());
        blocking(move || this.find_blocking(&name, partition)).await
    }

    fn describe_blocking(&self, name: &TopicName) -> Result<Option<Described>, LogError> {
        match describe_topic(self.meta.client(), name.as_str(), ASK) {
            Ok(described) => {
                self.trouble.over();
                Ok(Some(described))
            }
            Err(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => Ok(None),
            Err(Code::InvalidTopic) => Err(LogError::Mismatch {
                topic: name.clone(),
                detail: "no topic can have this name; use letters, digits, `.`, `_` and `-`, at most 249"
                    .to_owned(),
            }),
            Err(code) => Err(self.unavailable(&format!("topic {name} cannot be described"), code)),
        }
    }

    async fn describe(self: &Arc<Self>, name: &TopicName) -> Result<Option<Described>, LogError> {
        let (this, name) = (Arc::clone(self), name.clone());
        blocking(move || this.describe_blocking(&name)).await
    }

    /// Looks at the topic's id again, if that is some time ago. One look is under way at a time, and whoever comes meanwhile
    /// shares it: over a slow link, as many as there are partitions come. A cluster that does not answer is no reason to
    /// fail.
    pub(crate) async fn recheck(self: &Arc<Self>, topic: &KnownTopic) -> Result<(), LogError> {
        let mut checked = topic.checked.lock().await;
        if checked.elapsed() > RECHECK {
            self.recheck_now(topic).await?;
            // Both the answer and the records that are read next have the way from the broker behind them.
            *checked = Instant::now();
        }
        drop(checked);
        topic.void.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Looks whether the topic is as it has to be: its id, its partitions, its settings, and all its records from the first
    /// on. What is found stands in the topic. For a thread that may block.
    pub(crate) fn look_blocking(&self, topic: &KnownTopic) {
        if topic.void.get().is_some() {
            return;
        }
        match self.looked_at(topic) {
            Ok(largest) => {
                topic.learn_largest(largest);
                topic.close(None);
            }
            Err(error @ LogError::Mismatch { .. }) if topic.void.get().is_none() => topic.close(Some(error)),
            Err(error) => tracing::debug!(%error, "a topic cannot be looked at just now"),
        }
    }

    fn looked_at(&self, topic: &KnownTopic) -> Result<Option<usize>, LogError> {
        topic.compare(self.describe_blocking(&topic.name)?.as_ref())?;
        let largest = futures_executor::block_on(self.check_config(&topic.name))?;
        let starts = self.offsets_blocking(topic, topic.all(), Side::Start, ASK)?;
        match starts.told.into_iter().find(|(_, start)| *start > Offset::ZERO) {
            None => Ok(largest),
            Some((partition, start)) => {
                let detail = format!(
                    "partition {partition} starts at {start} instead of 0: the records before that were deleted, and tables \
                     are folded from the very first one. Put them back from a backup, and set the topic's retention to \
                     unlimited"
                );
                Err(LogError::Mismatch { topic: topic.name.clone(), detail })
            }
        }
    }

    pub(crate) async fn recheck_now(self: &Arc<Self>, topic: &KnownTopic) -> Result<(), LogError> {
        match self.describe(&topic.name).await {
            Ok(now) => topic.compare(now.as_ref()),
            Err(_) => Ok(()),
        }
    }

    /// Asks the partition's leader, for as long as there is none just now.
    pub(crate) fn bounds_blocking(
        &self,
        topic: &KnownTopic,
        partition: Partition,
        timeout: Duration,
    ) -> Result<Bounds, KafkaError> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(50));
            match self.meta.fetch_watermarks(topic.name.as_str(), partition.0 as i32, left) {
                Ok((start, end)) => {
                    let end = Offset(end.max(start).max(0) as u64);
                    let bounds = Bounds { start: Offset(start.max(0) as u64), end, appended: end };
                    topic.raise(partition, bounds.end);
                    return Ok(bounds);
                }
                Err(error)
                    if error.rdkafka_error_code().is_some_and(leaderless) && Instant::now() < deadline =>
                {
                    pause_blocking();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Where the partition starts and ends now: asked of its leader.
    pub(crate) async fn bounds(
        self: &Arc<Self>,
        topic: &Arc<KnownTopic>,
        partition: Partition,
    ) -> Result<Bounds, LogError> {
        let before = topic.end(partition);
        let (this, asked) = (Arc::clone(self), Arc::clone(topic));
        let found = blocking(move || Ok(this.bounds_blocking(&asked, partition, ASK))).await?;
        match found {
            Ok(bounds) if bounds.end >= before => Ok(bounds),
            Ok(bounds) => self.recheck_now(topic).await.map(|()| bounds),
            Err(error) => {
                let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
                if matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition)
                {
                    self.recheck_now(topic).await?;
                }
                let what =
                    format!("the bounds of partition {partition} of topic {} are not told", topic.name);
                Err(self.unavailable(&what, code))
            }
        }
    }

    pub(crate) fn unavailable(&self, what: &str, code: Code) -> LogError {
        let advice = match code {
            Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::GroupAuthorizationFailed => "allow this principal the operation (access control lists)",
            Code::Authentication | Code::SaslAuthenticationFailed => "check the sasl.* and ssl.* properties",
            _ => "check that the brokers run and can be reached; the call may be repeated",
        };
        let told = self.trouble.told();
        let advice = told.as_deref().unwrap_or(advice);
        let detail = format!("{what} by the brokers at {} ({code}); {advice}", self.brokers);
        LogError::Unavailable { detail }
    }

    /// Whether a broker lets us in: true, or false when none answers within the time. `Err` when they turn us away.
    pub(crate) async fn admits(self: &Arc<Self>) -> Result<bool, LogError> {
        let this = Arc::clone(self);
        if blocking(move || Ok(this.meta.client().fetch_cluster_id(ASK))).await?.is_some() {
            self.trouble.over();
            return Ok(true);
        }
        match self.trouble.told() {
            None => Ok(false),
            Some(_) => Err(self.unavailable("this process is turned away", Code::Authentication)),
        }
    }

    /// Makes sure the topic is as described.
    pub(crate) async fn open(self: &Arc<Self>, spec: &TopicSpec) -> Result<Topic, LogError> {
        if spec.partitions == 0 || spec.partitions > 10_000 {
            let detail = format!("it cannot have {} partitions; ask for 1 to 10,000", spec.partitions);
            return Err(LogError::Mismatch { topic: spec.name.clone(), detail });
        }
        let described = match self.describe(&spec.name).await? {
            Some(described) => described,
            None if !spec.create => return Err(no_such(&spec.name, Partition(0))),
            None => self.create(spec).await?,
        };
        // Whoever reads the topic through this log must not come to read another one under its name.
        if let Some(known) = self.get(&spec.name) {
            known.compare(Some(&described))?;
        }
        if described.partitions != spec.partitions {
            let detail = format!(
                "it has {} partitions and {} are asked for; the number is fixed for ever, so ask for {} or use another \
                 topic",
                described.partitions, spec.partitions, described.partitions
            );
            return Err(LogError::Mismatch { topic: spec.name.clone(), detail });
        }
        let largest = self.check_config(&spec.name).await?;
        let this = Arc::clone(self);
        let cluster = blocking(move || Ok(this.meta.client().fetch_cluster_id(ASK))).await?;
        let cluster = cluster
            .ok_or_else(|| self.unavailable("the cluster's id is not told", Code::OperationTimedOut))?;
        let topic = self.keep(&spec.name, described);
        if let Some(largest) =
            largest.filter(|bytes| *bytes < self.record_bytes && topic.largest() != Some(*bytes))
        {
            tracing::warn!(
                topic = %spec.name,
                max.message.bytes = largest,
                record_bytes = self.record_bytes,
                "the topic takes smaller records than the app's max_message_bytes allows; larger ones are refused until its \
                 max.message.bytes is raised"
            );
        }
        topic.learn_largest(largest);
        self.learn_ends(&topic).await?;
        Ok(Topic {
            name: spec.name.clone(),
            partitions: topic.partitions(),
            cluster,
            incarnation: topic.incarnation.clone(),
        })
    }

    /// Creates the topic and waits until it is seen.
    async fn create(self: &Arc<Self>, spec: &TopicSpec) -> Result<Described, LogError> {
        let largest = (self.record_bytes + 1_000).max(USUAL_LARGEST).to_string();
        let topic = NewTopic::new(
            spec.name.as_str(),
            spec.partitions as i32,
            TopicReplication::Fixed(self.replication.unwrap_or(-1)),
        )
        .set("cleanup.policy", "delete")
        .set("retention.ms", "-1")
        .set("retention.bytes", "-1")
        .set("max.message.bytes", &largest);
        let options = AdminOptions::new().request_timeout(Some(ASK)).operation_timeout(Some(ASK));
        let what = format!("topic {} cannot be created", spec.name);
        let made = self.admin.create_topics([&topic], &options).await;
        let made =
            made.map_err(|error| self.unavailable(&what, error.rdkafka_error_code().unwrap_or(Code::Fail)))?;
        match made.into_iter().next() {
            Some(Ok(_)) | None | Some(Err((_, Code::TopicAlreadyExists))) => {}
            Some(Err((_, Code::InvalidTopic))) => {
                let detail =
                    "no topic can have this name; use letters, digits, `.`, `_` and `-`, at most 249";
                return Err(LogError::Mismatch { topic: spec.name.clone(), detail: detail.to_owned() });
            }
            Some(Err((_, Code::InvalidReplicationFactor))) => {
                let detail = format!(
                    "{} replicas are asked for and there are not so many brokers; start more or lower replication",
                    self.replication.map_or("the broker's default of".to_owned(), |n| n.to_string())
                );
                return Err(LogError::Mismatch { topic: spec.name.clone(), detail });
            }
            Some(Err((_, code))) => return Err(self.unavailable(&what, code)),
        }
        let deadline = Instant::now() + CALL;
        loop {
            if let Some(described) = self.describe(&spec.name).await?
                && described.partitions > 0
            {
                return Ok(described);
            }
            if Instant::now() >= deadline {
                return Err(self.unavailable(
                    &format!("topic {} was created and is not seen", spec.name),
                    Code::OperationTimedOut,
                ));
            }
            pause(Duration::from_millis(20)).await;
        }
    }

    /// A topic whose records go away cannot be the truth from which tables are folded, nor one of which nobody knows that.
    /// Tells the largest batch it takes, in bytes.
    async fn check_config(&self, name: &TopicName) -> Result<Option<usize>, LogError> {
        let told = config::read(&self.admin, name.as_str(), ASK).await;
        let told = told
            .map_err(|code| self.unavailable(&format!("the settings of topic {name} are not told"), code))?;
        let judged = config::judge(&told);
        if !judged.wrong.is_empty() {
            return Err(LogError::Mismatch { topic: name.clone(), detail: judged.wrong.join("; ") });
        }
        if !judged.untold.is_empty() {
            let detail = format!(
                "whether topic {name} keeps its records is not known: the brokers at {} do not tell {}; allow this principal \
                 DescribeConfigs on the topic",
                self.brokers,
                judged.untold.join(", ")
            );
            return Err(LogError::Unavailable { detail });
        }
        Ok(judged.largest)
    }
}

pub(crate) fn no_such(topic: &TopicName, partition: Partition) -> LogError {
    LogError::NoSuchPartition { topic: topic.clone(), partition }
}

/// A rest before brokers are asked again.
#[expect(
    clippy::disallowed_methods,
    reason = "brokers learn of a new topic or leader one after the other and tell nobody"
)]
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Runs what blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    tokio::task::spawn_blocking(ask).await.unwrap_or_else(|_| {
        Err(LogError::Unavailable { detail: "the process is shutting down; start it again".to_owned() })
    })
}

/// A leader is being found, or the news of one is on its way.
pub(crate) fn leaderless(code: Code) -> bool {
    matches!(
        code,
        Code::NotLeaderForPartition
            | Code::LeaderNotAvailable
            | Code::OffsetNotAvailable
            | Code::UnknownPartition
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "brokers learn of a new leader one after the other and tell nobody"
)]
fn pause_blocking() {
    std::thread::sleep(Duration::from_millis(20));
}
