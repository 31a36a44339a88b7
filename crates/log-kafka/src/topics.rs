//! Topics this process knows, and what the cluster says of them.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::types::RDKafkaErrorCode as Code;
use tidefold_log::{LogError, Topic, TopicSpec};
use tidefold_record::{Offset, Partition, TopicName};
use tokio::time::Instant;

use crate::config;
use crate::context::{Logs, Trouble};
use crate::direct::Shared;
use crate::direct::describe::{Side, Told};
use crate::known::{Described, KnownTopic, no_such};
use crate::settings::Settings;
use crate::waiting::pause;

/// Every call ends within this time.
pub(crate) const CALL: Duration = Duration::from_secs(5);
/// What one question to a broker may take of it.
pub(crate) const ASK: Duration = Duration::from_millis(4_200);
/// A topic's id is looked at again with the records that are read so long after the last look. No topic is deleted, made
/// again and filled past where a reader stands in less time.
const RECHECK: Duration = Duration::from_millis(100);
/// A rest before a question is asked again.
const AGAIN: Duration = Duration::from_millis(100);
const ALLOW: &str = "allow this principal the operation (access control lists)";
const LOGIN: &str = "check the sasl.* and ssl.* properties";
const RUNS: &str = "check that the brokers run and can be reached; the call may be repeated";
/// Topics that Kafka makes take batches of so many bytes.
const USUAL_LARGEST: usize = 1_048_588;

/// The cluster, asked about topics and offsets.
pub(crate) struct Cluster {
    pub(crate) wire: Arc<Shared>,
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
        wire: &Arc<Shared>,
        admin: AdminClient<Logs>,
        settings: &Settings,
        trouble: &Arc<Trouble>,
    ) -> Cluster {
        Cluster {
            wire: Arc::clone(wire),
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

    /// The topic, with this partition, for a caller that cannot wait: one that was not asked for before is asked for by a
    /// thread, which takes as long as an answer does.
    pub(crate) fn find_blocking(
        self: &Arc<Self>,
        name: &TopicName,
        partition: Partition,
    ) -> Result<Arc<KnownTopic>, LogError> {
        if let Some(topic) = self.get(name) {
            topic.check(partition)?;
            return Ok(topic);
        }
        let failed = |detail: String| LogError::Unavailable { detail };
        let asks = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| failed(format!("no runtime for a question ({error})")))?;
            runtime.block_on(self.find(name, partition))
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("kafka-ask".to_owned()).spawn_scoped(scope, asks);
            let thread = thread.map_err(|error| failed(format!("no thread for a question ({error})")))?;
            thread.join().unwrap_or_else(|_| Err(failed("a question about a topic broke off".to_owned())))
        })
    }

    /// The topic, with this partition.
    pub(crate) async fn find(
        &self,
        name: &TopicName,
        partition: Partition,
    ) -> Result<Arc<KnownTopic>, LogError> {
        let topic = match self.get(name) {
            Some(topic) => topic,
            None => match self.describe(name).await? {
                Some(described) => self.keep(name, described),
                None => return Err(no_such(name, partition)),
            },
        };
        topic.check(partition)?;
        Ok(topic)
    }

    async fn ask_about(&self, name: &TopicName) -> Result<Told, LogError> {
        let deadline = Instant::now() + ASK;
        loop {
            let why = match tokio::time::timeout_at(deadline, self.wire.describe(name)).await {
                Ok(Ok(told)) => {
                    self.trouble.over();
                    return Ok(told);
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => {
                    let detail =
                        "no topic can have this name; use letters, digits, `.`, `_` and `-`, at most 249";
                    return Err(LogError::Mismatch { topic: name.clone(), detail: detail.to_owned() });
                }
                Ok(Err(error)) => error,
                Err(_) => io::ErrorKind::TimedOut.into(),
            };
            // What turns us away does so again; a broker that is not there may come back.
            if Instant::now() + AGAIN >= deadline || why.kind() == io::ErrorKind::PermissionDenied {
                return Err(self.failed(&format!("topic {name} cannot be described"), &why));
            }
            pause(AGAIN).await;
        }
    }

    pub(crate) async fn describe(&self, name: &TopicName) -> Result<Option<Described>, LogError> {
        Ok(self.ask_about(name).await?.topic)
    }

    /// Looks at the topic's id again, if that is some time ago. One look is under way at a time, and whoever comes meanwhile
    /// shares it: over a slow link, as many as there are partitions come. A cluster that does not answer is no reason to
    /// fail.
    pub(crate) async fn recheck(&self, topic: &KnownTopic) -> Result<(), LogError> {
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
    /// on. What is found stands in the topic.
    pub(crate) async fn look(&self, topic: &Arc<KnownTopic>) {
        if topic.void.get().is_some() {
            return;
        }
        match self.looked_at(topic).await {
            Ok(largest) => {
                topic.learn_largest(largest);
                topic.close(None);
            }
            Err(error @ LogError::Mismatch { .. }) if topic.void.get().is_none() => topic.close(Some(error)),
            Err(error) => tracing::debug!(%error, "a topic cannot be looked at just now"),
        }
    }

    async fn looked_at(&self, topic: &Arc<KnownTopic>) -> Result<Option<usize>, LogError> {
        topic.compare(self.describe(&topic.name).await?.as_ref())?;
        let largest = self.check_config(&topic.name).await?;
        let starts = self.wire.offsets(topic, topic.all(), Side::Start, ASK).await;
        let deleted = starts.told.into_iter().find(|(_, start)| *start > Offset::ZERO);
        if let Some((partition, start)) = deleted {
            let detail = format!(
                "partition {partition} starts at {start} instead of 0: the records before that were deleted, and tables \
                 are folded from the very first one. Put them back from a backup, and set the topic's retention to \
                 unlimited"
            );
            return Err(LogError::Mismatch { topic: topic.name.clone(), detail });
        }
        // What is not told may be any offset.
        match starts.untold {
            None => Ok(largest),
            Some(why) => Err(self.failed(&format!("the starts of topic {} are not told", topic.name), &why)),
        }
    }

    pub(crate) async fn recheck_now(&self, topic: &KnownTopic) -> Result<(), LogError> {
        match self.describe(&topic.name).await {
            Ok(now) => topic.compare(now.as_ref()),
            Err(_) => Ok(()),
        }
    }

    pub(crate) fn unavailable(&self, what: &str, code: Code) -> LogError {
        let advice = match code {
            Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::GroupAuthorizationFailed => ALLOW,
            Code::Authentication | Code::SaslAuthenticationFailed => LOGIN,
            _ => RUNS,
        };
        self.said(what, &code, advice)
    }

    /// The same of what our own connections came to.
    pub(crate) fn failed(&self, what: &str, why: &io::Error) -> LogError {
        self.said(what, why, if why.kind() == io::ErrorKind::PermissionDenied { ALLOW } else { RUNS })
    }

    fn said(&self, what: &str, why: &dyn std::fmt::Display, advice: &str) -> LogError {
        let told = self.trouble.told();
        let advice = told.as_deref().unwrap_or(advice);
        let detail = format!("{what} by the brokers at {} ({why}); {advice}", self.brokers);
        LogError::Unavailable { detail }
    }

    /// Whether a broker lets us in: true, or false when none answers within the time. `Err` when they turn us away, which
    /// librdkafka's clients find out meanwhile.
    pub(crate) async fn admits(&self) -> Result<bool, LogError> {
        let deadline = Instant::now() + ASK;
        loop {
            if let Ok(Ok(_)) = tokio::time::timeout_at(deadline, self.wire.reach()).await {
                self.trouble.over();
                return Ok(true);
            }
            if self.trouble.told().is_some() {
                return Err(self.unavailable("this process is turned away", Code::Authentication));
            }
            if Instant::now() + AGAIN >= deadline {
                return Ok(false);
            }
            pause(AGAIN).await;
        }
    }

    /// Makes sure the topic is as described.
    pub(crate) async fn open(&self, spec: &TopicSpec) -> Result<Topic, LogError> {
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
        let cluster = self.ask_about(&spec.name).await?.cluster;
        let cluster =
            cluster.ok_or_else(|| self.unavailable("the cluster's id is not told", Code::InvalidMessage))?;
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
    async fn create(&self, spec: &TopicSpec) -> Result<Described, LogError> {
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
