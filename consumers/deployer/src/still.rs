//! Letting a generation stand still in every process, to look at its tables.
//!
//! A hold is an entry of the control topic. Every process obeys it: the lanes of the generation finish the batch in hand and
//! stand, and the process says where. The holder renews the hold while it needs it. A process that has obeyed for three times
//! the holder's pause without hearing of it releases the hold itself, and only then goes on: so a holder that died blocks
//! nobody, and one that lives learns that its hold is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidefold_control::{Control, Entry, Hold as Held, Stands};
use tidefold_projector::LaneStatus;
use tidefold_record::{Offset, Partition};
use tidefold_telemetry::clock;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::deployer::Deployer;
use crate::error::DeployError;
use crate::node::{Key, Node, lock};

/// How often lanes that are to stand are looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How many of the holder's pauses a process obeys a hold without hearing of it.
const PATIENCE: u32 = 3;

/// An active generation that stands still, until this is dropped.
pub struct Still {
    /// The generation.
    pub generation: u32,
    hold: Hold,
}

/// A generation that stands still, until this is dropped.
pub(crate) struct Hold {
    node: Arc<Node>,
    key: Key,
    at: Offset,
    limit: Duration,
    _until: DropGuard,
}

// === impl Still ===

impl Still {
    /// Looks whether it has stood still all the time: processes that do not hear of this one for long go on.
    ///
    /// # Errors
    /// When it has not, or the log or the store does not answer.
    pub async fn has_stood(&self) -> Result<(), DeployError> {
        self.hold.has_stood().await
    }
}

// === impl Hold ===

impl Hold {
    /// Which hold it is: its control offset.
    pub(crate) fn at(&self) -> Offset {
        self.at
    }

    /// An error where the hold is over, or a checkpoint is not where its lane said it stands.
    pub(crate) async fn has_stood(&self) -> Result<(), DeployError> {
        let control = self.node.driver.advance().await?;
        let checkpoints = self.node.checkpoints(self.key).await?;
        let hold = self.node.hold_of(self.key.0, &control).filter(|hold| hold.at == self.at);
        let stands = |partition: u32| hold.and_then(|hold| hold.standing.get(&partition)).copied();
        let moved = (0..).zip(&checkpoints).filter(|(p, checkpoint)| stands(*p) != Some(checkpoint.next.0));
        let missing: Vec<_> = moved.map(|(partition, _)| partition).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(self.node.not_still(self.key, missing, self.limit))
    }

    async fn all_stand(&self) -> Result<(), DeployError> {
        let partitions = self.node.topics.get(self.key.0).map_or(0, |topic| topic.partitions);
        let mut control = self.node.driver.watch();
        let stands = |control: &Arc<Control>| match self.node.hold_of(self.key.0, control) {
            Some(hold) if hold.at == self.at => {
                (0..partitions).all(|partition| hold.standing.contains_key(&partition))
            }
            // Somebody released it: looked at below.
            _ => true,
        };
        control.wait_for(stands).await.map_err(|_| DeployError::Ending)?;
        self.has_stood().await
    }
}

// === impl Node ===

impl Node {
    /// Lets a generation stand still in every process, and returns once all of it does.
    ///
    /// # Errors
    /// When it does not within `limit`, or the log or the store does not answer.
    pub(crate) async fn hold(self: &Arc<Node>, key: Key, limit: Duration) -> Result<Hold, DeployError> {
        let begun = tokio::time::timeout(limit, self.begin_hold(key, limit)).await;
        let hold = begun.map_err(|_| self.not_still(key, Vec::new(), limit))??;
        match tokio::time::timeout(limit, hold.all_stand()).await {
            Ok(stood) => stood.map(|()| hold),
            Err(_) => {
                let control = self.driver.control();
                let standing =
                    self.hold_of(key.0, &control).map(|hold| hold.standing.clone()).unwrap_or_default();
                let partitions = self.topics.get(key.0).map_or(0, |topic| topic.partitions);
                let missing = (0..partitions).filter(|partition| !standing.contains_key(partition));
                Err(self.not_still(key, missing.collect(), limit))
            }
        }
    }

    /// One hold of a topic at a time: waits for the end of another.
    async fn begin_hold(self: &Arc<Node>, key: Key, limit: Duration) -> Result<Hold, DeployError> {
        let name = self.name_of(key.0);
        let mut watch = self.driver.watch();
        loop {
            let mut at = None;
            let begin = |control: &Control| match self.hold_of(key.0, control) {
                // Where an earlier attempt had no answer, this may be another's: whoever looks at the end finds out.
                Some(hold) if Some(hold.at) == at => Ok(None),
                Some(_) => {
                    at = None;
                    Ok(None)
                }
                None => {
                    at = Some(control.next());
                    let topic = name.clone();
                    Ok(Some(Entry::Holding { topic, generation: key.1, renews: None }))
                }
            };
            self.driver.append(begin).await?;
            if let Some(at) = at {
                let done = CancellationToken::new();
                let keeper = keep(Arc::clone(self), key, at, done.clone());
                let mut holding = lock(&self.holding);
                while holding.try_join_next().is_some() {}
                holding.spawn_on(keeper, &self.components.runtime);
                return Ok(Hold { node: Arc::clone(self), key, at, limit, _until: done.drop_guard() });
            }
            let free = |control: &Arc<Control>| self.hold_of(key.0, control).is_none();
            watch.wait_for(free).await.map_err(|_| DeployError::Ending)?;
        }
    }

    pub(crate) fn hold_of<'a>(&self, place: usize, control: &'a Control) -> Option<&'a Held> {
        let topic = self.app.topics.get(place)?;
        control.projection(topic.name.as_str())?.hold.as_ref()
    }

    fn not_still(&self, key: Key, missing: Vec<u32>, limit: Duration) -> DeployError {
        DeployError::NotStill { topic: self.name_of(key.0), generation: key.1, missing, limit }
    }

    fn name_of(&self, place: usize) -> String {
        self.app.topics.get(place).map_or(String::new(), |topic| topic.name.as_str().to_owned())
    }

    /// Ends the hold of a topic, whoever began it.
    pub(crate) async fn release(&self, place: usize) -> Result<(), DeployError> {
        let control = self.driver.control();
        let Some(hold) = self.hold_of(place, &control) else { return Ok(()) };
        let entry = Entry::Released { topic: self.name_of(place), generation: hold.generation };
        self.say(place, hold.at, &entry).await
    }

    /// Appends an entry about a hold, while it is that hold.
    async fn say(&self, place: usize, at: Offset, entry: &Entry) -> Result<(), DeployError> {
        let decide = |control: &Control| {
            let same = self.hold_of(place, control).is_some_and(|hold| hold.at == at);
            Ok(same.then(|| entry.clone()))
        };
        self.driver.append(decide).await.map(|_| ())
    }

    /// Says which partitions stand here that nobody has said of yet, once all that are here do.
    async fn say_standing(&self, place: usize, hold: &Held) -> Result<(), DeployError> {
        let (key, owned) = ((place, hold.generation), self.owned(place));
        let unsaid: Vec<_> = owned.keys().filter(|p| !hold.standing.contains_key(&p.0)).copied().collect();
        if unsaid.is_empty() {
            return Ok(());
        }
        if self.halted(key).is_none() {
            let still = |lane: &watch::Receiver<LaneStatus>| -> Option<Partition> {
                let status = lane.borrow();
                status.state.is_still().then_some(status.partition)
            };
            let still: Vec<_> = self.lanes(key).iter().filter_map(still).collect();
            if !unsaid.iter().all(|partition| still.contains(partition)) {
                return Ok(());
            }
        }
        let checkpoints = self.checkpoints(key).await?;
        let stands = |partition: &Partition| {
            let next = checkpoints.get(partition.0 as usize)?.next.0;
            Some(Stands { partition: partition.0, next })
        };
        let partitions = unsaid.iter().filter_map(stands).collect();
        let (topic, generation) = (self.name_of(place), hold.generation);
        self.say(place, hold.at, &Entry::Standing { topic, generation, partitions }).await
    }
}

/// Renews a hold until it is done with, then releases it.
async fn keep(node: Arc<Node>, key: Key, at: Offset, done: CancellationToken) {
    let (topic, generation) = (node.name_of(key.0), key.1);
    let renew = Entry::Holding { topic: topic.clone(), generation, renews: Some(at.0) };
    loop {
        tokio::select! {
            () = done.cancelled() => break,
            () = node.closing.cancelled() => break,
            () = clock::pause(node.options.hold) => {}
        }
        if let Err(error) = node.say(key.0, at, &renew).await {
            tracing::warn!(topic, generation, %error, "what stands still cannot be kept so");
        }
    }
    // Where this does not come through, the others release it by and by.
    if let Err(error) = node.say(key.0, at, &Entry::Released { topic: topic.clone(), generation }).await {
        tracing::warn!(topic, generation, %error, "what stands still cannot be released yet");
    }
}

/// Obeys the holds of all processes, for ever.
pub(crate) async fn obey(node: Arc<Node>) {
    let (mut control, mut owned) = (node.driver.watch(), node.owned.clone());
    // Since when this process has known of which renewal of a topic's hold.
    let mut known: BTreeMap<usize, (Offset, Instant)> = BTreeMap::new();
    loop {
        let now = control.borrow_and_update().clone();
        owned.borrow_and_update();
        node.give_orders();
        for place in 0..node.topics.len() {
            let Some(hold) = node.hold_of(place, &now) else {
                known.remove(&place);
                continue;
            };
            if known.get(&place).map(|(renewed, _)| *renewed) != Some(hold.renewed) {
                known.insert(place, (hold.renewed, Instant::now()));
            }
            let since = known.get(&place).map_or(Duration::ZERO, |(_, since)| since.elapsed());
            let said = if since > node.options.hold * PATIENCE {
                let (topic, generation) = (node.name_of(place), hold.generation);
                tracing::warn!(topic, generation, "whoever let it stand still does not answer; it goes on");
                node.say(place, hold.at, &Entry::Released { topic, generation }).await
            } else {
                node.say_standing(place, hold).await
            };
            if let Err(error) = said {
                tracing::warn!(%error, "what stands still cannot be told yet; trying again");
                clock::pause(LOOK * 5).await;
            }
        }
        let holds = !known.is_empty();
        tokio::select! {
            changed = control.changed() => if changed.is_err() { return },
            Ok(()) = owned.changed() => {}
            () = clock::pause(LOOK), if holds => {}
        }
    }
}

// === impl Deployer ===

impl Deployer {
    /// Lets the active generation of a topic finish the batches in hand and stand still, in every process. Its log goes on
    /// growing.
    ///
    /// # Errors
    /// When the topic has no active generation, or it does not come to a stand within `limit`.
    pub async fn still(&self, topic: &str, limit: Duration) -> Result<Still, DeployError> {
        let place = self.place(topic)?;
        let active = self.node().driver.advance().await?.active(topic);
        let generation =
            active.ok_or_else(|| DeployError::NoGeneration { topic: topic.to_owned(), wanted: "active" })?;
        Ok(Still { generation, hold: self.node().hold((place, generation), limit).await? })
    }
}
