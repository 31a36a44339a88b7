//! One app folded by many processes: which partitions are here, and whether the topics are still the ones that were opened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidefold_control::{Control, Entry, GenerationState};
use tidefold_log::{Bounds, Epoch, LogError, Topic, TopicSpec};
use tidefold_projector::LaneState;
use tidefold_record::{Offset, Partition};
use tidefold_table::Checkpoint;
use tidefold_telemetry::clock;

use crate::deployer::{Deployer, settle};
use crate::error::DeployError;
use crate::node::{Key, Node, Wrong, lock};
use crate::waiting::{Waiting, patiently};

/// How often the group's lag tools are told how far partitions are folded.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A partition that another process folds, or none does just now, or one whose lane here has not found its place yet: what
/// the store knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The projection's topic.
    pub topic: String,
    /// The generation.
    pub generation: u32,
    /// The partition.
    pub partition: Partition,
    /// The next offset to fold, as its checkpoint says.
    pub next: Offset,
    /// The append time of the last record folded that had one, in microseconds; 0 if none had.
    pub appended_at_micros: i64,
}

/// What a look at a topic finds.
enum Looked {
    /// The one that was opened, with all its records.
    Right,
    /// It is not what it has to be.
    Wrong(Wrong),
    /// What passes by itself is no answer.
    Untold,
}

// === impl Node ===

impl Node {
    /// The group that the processes of an app form.
    pub(crate) fn group(app: &str) -> String {
        format!("tidefold.{app}")
    }

    /// The partitions of a topic that this process owns now.
    pub(crate) fn owned(&self, place: usize) -> BTreeMap<Partition, Epoch> {
        let Some(topic) = self.topics.get(place) else { return BTreeMap::new() };
        let owned = self.owned.borrow();
        let of_topic = owned
            .partitions
            .iter()
            .filter(|((name, partition), _)| *name == topic.name && partition.0 < topic.partitions);
        of_topic.map(|((_, partition), epoch)| (*partition, *epoch)).collect()
    }

    /// Checkpoints of a generation, in the order of partitions.
    pub(crate) async fn checkpoints(&self, key: Key) -> Result<Vec<Checkpoint>, DeployError> {
        let (Some(tables), Some(topic)) = (self.tables(key), self.topics.get(key.0)) else {
            return Ok(Vec::new());
        };
        let keys: Vec<_> = (0..topic.partitions).map(|p| Bytes::copy_from_slice(&p.to_be_bytes())).collect();
        let rows = self.components.store.load(&tables.checkpoints.id, &keys).await;
        let rows = rows.map_err(DeployError::store("read checkpoints"))?;
        let checkpoint = |row: Option<Bytes>| row.and_then(|row| Checkpoint::decode(&row));
        Ok(rows.into_iter().map(|row| checkpoint(row).unwrap_or(Checkpoint::START)).collect())
    }

    /// Where each partition of a topic starts and ends.
    pub(crate) async fn bounds(&self, place: usize) -> Result<Vec<Bounds>, DeployError> {
        let Some(topic) = self.topics.get(place) else { return Ok(Vec::new()) };
        // At once: over a slow link each takes its time.
        let asked = (0..topic.partitions).map(Partition).map(async |partition| {
            let bounds = self.components.log.bounds(&topic.name, partition).await;
            bounds.map_err(DeployError::log("look at the log's ends"))
        });
        futures_util::future::try_join_all(asked).await
    }

    /// Where each partition of a topic ends.
    pub(crate) async fn ends(&self, place: usize) -> Result<Vec<Offset>, DeployError> {
        Ok(self.bounds(place).await?.into_iter().map(|bounds| bounds.end).collect())
    }

    /// Whether this process owns all of a topic from its first moment on: it has the log to itself.
    pub(crate) fn is_alone(&self, place: usize) -> bool {
        self.topics.get(place).is_some_and(|topic| self.owned(place).len() == topic.partitions as usize)
    }

    /// Tells the group how far the lanes of active generations are.
    pub(crate) fn tell(&self) {
        let control = self.driver.control();
        for (key, generation) in self.generations(&control) {
            let Some(topic) = self.topics.get(key.0) else { continue };
            if generation.state != GenerationState::Active {
                continue;
            }
            for lane in self.lanes(key) {
                let status = lane.borrow();
                if status.next > Offset::ZERO {
                    self.membership.folded(&topic.name, status.partition, status.next);
                }
            }
        }
    }

    /// Tells builds, which may run in other processes, which partitions here are halted, and which go on again.
    pub(crate) async fn tell_halts(&self) -> Result<(), DeployError> {
        let control = self.driver.control();
        for (key, generation) in self.generations(&control) {
            let Some(topic) = self.app.topics.get(key.0) else { continue };
            if generation.state != GenerationState::Building {
                continue;
            }
            for (partition, reason) in self.halts(key) {
                let decide = |control: &Control| -> Result<Option<Entry>, DeployError> {
                    let projection = control.projection(topic.name.as_str());
                    let building = projection.filter(|p| p.state(key.1) == Some(GenerationState::Building));
                    let Some(projection) = building else { return Ok(None) };
                    let said = projection.halted(key.1).find(|(said, _)| *said == partition.0);
                    let same = said.map(|(_, said)| said) == reason.as_deref();
                    let (topic, generation, reason) = (topic.name.to_string(), key.1, reason.clone());
                    let entry = Entry::Halted { topic, generation, partition: partition.0, reason };
                    Ok((!same).then_some(entry))
                };
                // Nothing is read or written while control says so already.
                if decide(&control)?.is_some() {
                    self.driver.append(decide).await?;
                }
            }
        }
        Ok(())
    }

    /// Of each partition here that is known to be halted or to go on, why it is halted.
    fn halts(&self, key: Key) -> Vec<(Partition, Option<String>)> {
        if let Some(reason) = self.halted(key) {
            return self
                .owned(key.0)
                .into_keys()
                .map(|partition| (partition, Some(reason.clone())))
                .collect();
        }
        let lanes = self.lanes(key).into_iter();
        let told = lanes.filter_map(|lane| {
            let halted = self.halt_of(&lane);
            let status = lane.borrow();
            let goes_on = matches!(status.state, LaneState::Running | LaneState::Waiting | LaneState::Held);
            (halted.is_some() || goes_on).then(|| (status.partition, halted.clone()))
        });
        told.collect()
    }

    /// Looks whether a topic is still the one that was opened, with all its records, and says what to do where it is not.
    async fn look(&self, place: usize, was: &Topic) -> Looked {
        match self.is_other(was).await {
            Ok(()) => self.cut(place, was).await,
            Err(looked) => looked,
        }
    }

    /// Why nothing can be built from a topic in this process: it is not the one that was opened.
    pub(crate) async fn replaced(&self, place: usize) -> Option<String> {
        let known = lock(&self.wrong).get(&place).map(|wrong| wrong.reason.clone());
        if known.is_some() {
            return known;
        }
        match self.is_other(self.topics.get(place)?).await {
            Err(Looked::Wrong(wrong)) => Some(wrong.reason),
            _ => None,
        }
    }

    /// An error where a topic is not the one that was opened, or cannot be looked at.
    async fn is_other(&self, was: &Topic) -> Result<(), Looked> {
        let spec = TopicSpec { name: was.name.clone(), partitions: was.partitions, create: false };
        let mut opened = self.components.log.open(&spec).await;
        if matches!(opened, Err(LogError::NoSuchPartition { .. })) {
            // A server that has just started may not have heard of it.
            clock::pause(self.options.look_at_topics).await;
            opened = self.components.log.open(&spec).await;
        }
        let lasting = |reason| Looked::Wrong(Wrong { reason, may_be_right_again: false });
        Err(match opened {
            Ok(is) if is == *was => return Ok(()),
            Ok(is) => lasting(format!(
                "topic {} was incarnation {} in log {} with {} partitions, and is {} in log {} with {}: it was \
                 replaced while it was folded. Put back the topic that was folded and start again; to go on with this \
                 one, start again and build the tables anew with `tidefold replay`",
                was.name,
                was.incarnation,
                was.cluster,
                was.partitions,
                is.incarnation,
                is.cluster,
                is.partitions
            )),
            Err(error @ LogError::Mismatch { .. }) => Looked::Wrong(Wrong {
                reason: format!("{error}. All projections of the topic stand until it is right"),
                may_be_right_again: true,
            }),
            Err(LogError::NoSuchPartition { .. }) => lasting(format!(
                "topic {} was deleted while it was folded: put it back, then start again; to go on without its records, \
                 start again and build the tables anew with `tidefold replay`",
                was.name
            )),
            Err(_) => Looked::Untold,
        })
    }

    /// Counts what a topic that stands has that is not folded: no lane does. What cannot be asked just now stays as it was.
    async fn tell_lag(&self, place: usize) {
        let control = self.driver.control();
        let Some(topic) = self.app.topics.get(place) else { return };
        let halted = self.generations(&control).into_iter().map(|(key, _)| key);
        for key in halted.filter(|key| key.0 == place && self.halted(*key).is_some()) {
            let looked = futures_util::future::try_join(self.checkpoints(key), self.bounds(place)).await;
            let Ok((checkpoints, bounds)) = looked else { continue };
            let owned = self.owned(place);
            for (partition, (checkpoint, bounds)) in (0..).map(Partition).zip(checkpoints.iter().zip(&bounds))
            {
                if owned.contains_key(&partition) {
                    let records = bounds.appended.distance_from(checkpoint.next);
                    let (telemetry, app) = (&self.components.telemetry, &self.app.name);
                    tidefold_projector::lag(telemetry, app, &topic.name, key.1, partition, records);
                }
            }
        }
    }

    /// Looks whether records are gone. A topic is folded from its very first record, so none ever starts later.
    async fn cut(&self, place: usize, was: &Topic) -> Looked {
        // Read before the log's ends: those only grow, unless the log is cut.
        let folded = self.folded(place);
        let Ok(bounds) = self.bounds(place).await else { return Looked::Untold };
        let mut gone = Vec::new();
        for (partition, bounds) in (0..).map(Partition).zip(bounds) {
            if bounds.start > Offset::ZERO {
                gone.push(format!("partition {partition} starts at {} instead of 0", bounds.start));
            }
            if let Some(next) = folded.get(&partition).filter(|next| **next > bounds.end) {
                gone.push(format!("partition {partition} ends at {} and is folded up to {next}", bounds.end));
            }
        }
        if gone.is_empty() {
            return Looked::Right;
        }
        let reason = format!(
            "topic {} has lost records while it was folded: {}. The tables stand as they were folded. Put the records \
             back from a backup, set the topic's retention to unlimited, and start again; to go on without what is \
             missing at its end, start again and build the tables anew with `tidefold replay` (without its beginning \
             nothing can be built)",
            was.name,
            gone.join(", ")
        );
        Looked::Wrong(Wrong { reason, may_be_right_again: false })
    }

    /// How far the lanes that are here have folded a topic, whichever generation is ahead.
    fn folded(&self, place: usize) -> BTreeMap<Partition, Offset> {
        let mut folded = BTreeMap::new();
        let control = self.driver.control();
        for (key, _) in self.generations(&control).into_iter().filter(|(key, _)| key.0 == place) {
            for lane in self.lanes(key) {
                let status = lane.borrow();
                let next = folded.entry(status.partition).or_insert(status.next);
                *next = status.next.max(*next);
            }
        }
        folded
    }
}

// === impl Deployer ===

impl Deployer {
    /// Whether a generation is not folded at all in this process: what it was built from is not what is there.
    #[must_use]
    pub fn is_halted(&self, topic: &str, generation: u32) -> bool {
        self.place(topic).is_ok_and(|place| self.node().halted((place, generation)).is_some())
    }

    /// Why nothing that is appended to a partition now would be folded: the topic is not the one that the active generation
    /// was folded from. `None` too where this process does not fold it.
    #[must_use]
    pub fn refuses(&self, topic: &str, partition: Partition) -> Option<String> {
        let active = self.node().driver.active(topic)?;
        self.node().refuses((self.place(topic).ok()?, active), partition)
    }

    /// Where the partitions of each topic end now, in the order of the app's topics: lanes know it a moment later.
    ///
    /// # Errors
    /// When the log does not answer.
    pub async fn ends(&self) -> Result<Vec<Vec<Offset>>, DeployError> {
        let ends = |all: Vec<Bounds>| all.into_iter().map(|bounds| bounds.end).collect();
        Ok(self.bounds().await?.into_iter().map(ends).collect())
    }

    /// Where the partitions of each topic start and end now, in the order of the app's topics.
    ///
    /// # Errors
    /// When the log does not answer.
    pub async fn bounds(&self) -> Result<Vec<Vec<Bounds>>, DeployError> {
        let (node, mut all) = (self.node(), Vec::new());
        for place in 0..node.topics.len() {
            all.push(node.bounds(place).await?);
        }
        Ok(all)
    }

    /// The partitions of generations folded here whose lanes are not here or still start, from their checkpoints in the
    /// store.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn elsewhere(&self) -> Result<Vec<Elsewhere>, DeployError> {
        let (node, mut all) = (self.node(), Vec::new());
        let control = node.driver.control();
        for (key, generation) in node.generations(&control) {
            let lanes = node.lanes(key);
            let placed =
                lanes.iter().map(|lane| lane.borrow()).filter(|lane| lane.state != LaneState::Starting);
            let here: Vec<_> = placed.map(|lane| lane.partition).collect();
            let Some((topic, there)) = node.app.topics.get(key.0).zip(node.topics.get(key.0)) else {
                continue;
            };
            let complete = here.len() == there.partitions as usize;
            if generation.state == GenerationState::Gone || complete || node.halted(key).is_some() {
                continue;
            }
            for (partition, checkpoint) in (0..).map(Partition).zip(node.checkpoints(key).await?) {
                if !here.contains(&partition) {
                    all.push(Elsewhere {
                        topic: topic.name.as_str().to_owned(),
                        generation: key.1,
                        partition,
                        next: checkpoint.next,
                        appended_at_micros: checkpoint.appended_at_micros,
                    });
                }
            }
        }
        Ok(all)
    }
}

/// Follows what this process owns, for ever.
pub(crate) async fn follow_owned(node: Arc<Node>) {
    let mut owned = node.owned.clone();
    let rebalances = node.components.telemetry.rebalances(&Node::group(&node.app.name));
    while owned.changed().await.is_ok() {
        rebalances.inc();
        // What came here may be held: the one that had it may have said so.
        if let Err(error) = patiently(&Waiting::default(), || node.driver.advance()).await {
            tracing::warn!(%error, "the control topic cannot be read");
        }
        settle(&node).await;
    }
}

/// Tells the group's lag tools how far partitions are folded, and builds what halts them, for ever.
pub(crate) async fn tell(node: Arc<Node>) {
    loop {
        clock::pause(TELL_EVERY).await;
        node.tell();
        if let Err(error) = node.tell_halts().await {
            tracing::warn!(%error, "what halts a build cannot be told; trying again");
        }
    }
}

/// Looks now and then whether the topics are still the ones that were opened, for ever.
pub(crate) async fn watch_topics(node: Arc<Node>) {
    loop {
        clock::pause(node.options.look_at_topics).await;
        for (place, topic) in node.topics.iter().enumerate() {
            let before = lock(&node.wrong).get(&place).cloned();
            if before.as_ref().is_none_or(|wrong| wrong.may_be_right_again) {
                match node.look(place, topic).await {
                    Looked::Wrong(wrong) if before.as_ref() != Some(&wrong) => {
                        tracing::error!(topic = %topic.name, reason = wrong.reason, "topic halted");
                        node.halt_topic(place, wrong).await;
                    }
                    Looked::Right if before.is_some() => {
                        tracing::warn!(topic = %topic.name, "the topic is right again; it is folded on");
                        node.resume_topic(place).await;
                        continue;
                    }
                    Looked::Right | Looked::Wrong(_) | Looked::Untold => {}
                }
            }
            if before.is_some() {
                node.tell_lag(place).await;
            }
        }
    }
}
