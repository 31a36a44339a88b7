//! Which lanes run, as control says: those of every generation that is active, kept or being built.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidefold_app::App;
use tidefold_control::{Control, Generation, GenerationState};
use tidefold_log::{Owned, SharedMembership, Topic};
use tidefold_projector::{Assignment, Components, LaneState, LaneStatus, Orders, Projector, Role};
use tidefold_record::Partition;
use tidefold_table::GenerationTables;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::bootstrap::open_tables;
use crate::deployer::{Options, settle};
use crate::driver::Driver;
use crate::error::DeployError;
use crate::manifest::{manifest, mismatches};

/// A generation: the topic's place in the app, and its number.
pub(crate) type Key = (usize, u32);

/// The lanes of one process.
pub(crate) struct Node {
    pub(crate) app: Arc<App>,
    pub(crate) topics: Vec<Topic>,
    pub(crate) components: Components,
    pub(crate) options: Options,
    pub(crate) driver: Driver,
    pub(crate) membership: SharedMembership,
    /// What this process owns.
    pub(crate) owned: watch::Receiver<Owned>,
    /// Topics that are not what they have to be, since they were folded.
    pub(crate) wrong: Mutex<BTreeMap<usize, Wrong>>,
    folding: Mutex<BTreeMap<Key, Folding>>,
    /// What this process lets stand still, until it is done.
    pub(crate) holding: Mutex<JoinSet<()>>,
    /// Ends that.
    pub(crate) closing: CancellationToken,
    /// Generations whose tables this process has dropped.
    dropped: Mutex<BTreeSet<Key>>,
    /// Lanes of partitions that were lost, finishing the batch in hand.
    ending: Mutex<JoinSet<()>>,
    /// One reconciliation at a time.
    serial: tokio::sync::Mutex<()>,
}

/// What becomes of a wanted generation.
enum Folding {
    /// It is folded.
    Lanes(Box<Projector>),
    /// What it was built from is not what is there.
    Halted(String),
}

/// Why nothing is folded from a topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// What is wrong, and what to do.
    pub(crate) reason: String,
    /// Whether it may be put right while this process runs: no record was seen to be another or gone.
    pub(crate) may_be_right_again: bool,
}

/// A generation as this process sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationStatus {
    /// The projection's topic.
    pub topic: String,
    /// The generation.
    pub generation: u32,
    /// Where it stands.
    pub state: GenerationState,
    /// Its lanes that are here.
    pub lanes: Vec<LaneStatus>,
    /// Why it is not folded at all, and what to do.
    pub halted: Option<String>,
}

impl Node {
    pub(crate) fn new(
        app: Arc<App>,
        topics: Vec<Topic>,
        components: Components,
        options: Options,
        driver: Driver,
        membership: SharedMembership,
    ) -> Node {
        Node {
            app,
            topics,
            components,
            options,
            driver,
            owned: membership.owned(),
            membership,
            wrong: Mutex::default(),
            folding: Mutex::default(),
            holding: Mutex::default(),
            closing: CancellationToken::new(),
            dropped: Mutex::default(),
            ending: Mutex::default(),
            serial: tokio::sync::Mutex::default(),
        }
    }

    /// Makes what runs equal to what control wants. May be repeated at any time.
    pub(crate) async fn reconcile(&self) -> Result<(), DeployError> {
        let _one_at_a_time = self.serial.lock().await;
        let control = self.driver.control();
        for (key, generation) in self.generations(&control) {
            if generation.state == GenerationState::Gone {
                self.end(key).await?;
            } else if !lock(&self.folding).contains_key(&key) {
                let folding = self.begin(key, &generation, &control).await?;
                lock(&self.folding).insert(key, folding);
            }
        }
        self.assign();
        self.give_orders();
        Ok(())
    }

    /// Gives every generation the lanes of the partitions that are owned. The others end by and by, which nothing waits
    /// for: what a lane of a partition that was lost still writes is void and does no harm.
    fn assign(&self) {
        let mut ending = lock(&self.ending);
        while ending.try_join_next().is_some() {}
        for (key, folding) in &mut *lock(&self.folding) {
            let owned = self.owned(key.0);
            match folding {
                Folding::Lanes(projector) => {
                    let lost = projector.assign(&owned);
                    if !lost.is_empty() {
                        ending.spawn_on(lost.within(self.options.drain), &self.components.runtime);
                    }
                }
                // No lane raises the alert of what has no lanes.
                Folding::Halted(_) => {
                    let Some(topic) = self.app.topics.get(key.0) else { continue };
                    for partition in owned.into_keys() {
                        tidefold_projector::alert(
                            &self.components.telemetry,
                            &self.app.name,
                            &topic.name,
                            key.1,
                            partition,
                        );
                    }
                }
            }
        }
    }

    /// Ends the lanes of a topic where they stand: it is not the one they were begun with, so that what they have read may
    /// belong to another log.
    pub(crate) async fn halt_topic(&self, place: usize, wrong: Wrong) {
        let _one_at_a_time = self.serial.lock().await;
        let before = lock(&self.wrong).insert(place, wrong.clone());
        for (key, folding) in &mut *lock(&self.folding) {
            let is_standing = match folding {
                Folding::Lanes(_) => false,
                Folding::Halted(reason) => before.as_ref().is_none_or(|before| before.reason != *reason),
            };
            if key.0 == place && !is_standing {
                *folding = Folding::Halted(wrong.reason.clone());
            }
        }
        self.assign();
    }

    /// Gives a topic its lanes again once it is right. Each proves that the log is the one it folded before it goes on.
    pub(crate) async fn resume_topic(&self, place: usize) {
        let one_at_a_time = self.serial.lock().await;
        if let Some(wrong) = lock(&self.wrong).remove(&place) {
            let stands = |folding: &Folding| matches!(folding, Folding::Halted(why) if *why == wrong.reason);
            lock(&self.folding).retain(|key, folding| key.0 != place || !stands(folding));
        }
        drop(one_at_a_time);
        settle(self).await;
    }

    /// Makes a generation ready for its lanes, if it was built from what is there.
    async fn begin(
        &self,
        key: Key,
        generation: &Generation,
        control: &Control,
    ) -> Result<Folding, DeployError> {
        let (Some(topic), Some(there)) = (self.app.topics.get(key.0), self.topics.get(key.0)) else {
            return Ok(Folding::Halted("the app has no such topic".to_owned()));
        };
        if let Some(wrong) = lock(&self.wrong).get(&key.0) {
            return Ok(Folding::Halted(wrong.reason.clone()));
        }
        let differs =
            mismatches(&generation.manifest, &manifest(&self.app, there, self.options.window, None));
        if !differs.is_empty() {
            let reason = differs.join("\n");
            tracing::error!(topic = %topic.name, generation = key.1, reason, "projection halted");
            return Ok(Folding::Halted(reason));
        }
        let store = &*self.components.store;
        open_tables(store, &topic.generation(&self.app, key.1)).await?;
        let assignment = Assignment {
            app: Arc::clone(&self.app),
            topic: key.0,
            generation: key.1,
            window: generation.manifest.window,
            partitions: Vec::new(),
            cache_bytes: self.cache_bytes(),
        };
        let orders = self.orders(key, control);
        Ok(Folding::Lanes(Box::new(Projector::idle(&self.components, &assignment, orders))))
    }

    /// Ends the lanes of a generation and drops its tables.
    async fn end(&self, key: Key) -> Result<(), DeployError> {
        if lock(&self.dropped).contains(&key) {
            return Ok(());
        }
        let folding = lock(&self.folding).remove(&key);
        if let Some(Folding::Lanes(projector)) = folding {
            projector.drain(self.options.drain).await;
        }
        if let Some(tables) = self.tables(key) {
            let ids: Vec<_> = tables.all().map(|table| table.id.clone()).collect();
            self.components.store.drop_tables(&ids).await.map_err(DeployError::store("drop tables"))?;
        }
        lock(&self.dropped).insert(key);
        Ok(())
    }

    pub(crate) fn give_orders(&self) {
        let control = self.driver.control();
        for (key, folding) in &*lock(&self.folding) {
            if let Folding::Lanes(projector) = folding {
                projector.order(self.orders(*key, &control));
            }
        }
    }

    fn orders(&self, key: Key, control: &Control) -> Orders {
        let projection = self.app.topics.get(key.0).and_then(|topic| control.projection(topic.name.as_str()));
        let hold = projection.and_then(|projection| projection.hold.as_ref());
        let hold = hold.is_some_and(|hold| hold.generation == key.1);
        Orders { role: self.role(key, control), hold }
    }

    /// The active generation judges; others take its verdicts, except a build that was begun without any.
    fn role(&self, key: Key, control: &Control) -> Role {
        let projection = self.app.topics.get(key.0).and_then(|topic| control.projection(topic.name.as_str()));
        let Some((projection, active)) = projection.and_then(|p| p.active.map(|active| (p, active))) else {
            return Role::Judge;
        };
        match projection.generations.get(&key.1) {
            _ if active == key.1 => Role::Judge,
            Some(g) if g.state == GenerationState::Building && g.manifest.verdicts_of.is_none() => {
                Role::Judge
            }
            _ => Role::Follow { active },
        }
    }

    /// The lanes of a generation that are here, in the order of partitions; none while it is not folded.
    pub(crate) fn lanes(&self, key: Key) -> Vec<watch::Receiver<LaneStatus>> {
        match lock(&self.folding).get(&key) {
            Some(Folding::Lanes(projector)) => projector.lanes(),
            _ => Vec::new(),
        }
    }

    /// Why a generation is not folded at all.
    pub(crate) fn halted(&self, key: Key) -> Option<String> {
        match lock(&self.folding).get(&key) {
            Some(Folding::Halted(reason)) => Some(reason.clone()),
            _ => None,
        }
    }

    /// Why nothing appended to a partition would be folded into a generation: it is not folded at all, or its lane found
    /// that the log is another one.
    pub(crate) fn refuses(&self, key: Key, partition: Partition) -> Option<String> {
        match lock(&self.folding).get(&key)? {
            Folding::Halted(reason) => Some(reason.clone()),
            Folding::Lanes(projector) => match &projector.lane(partition)?.borrow().state {
                LaneState::Halted(halt) if halt.is_of_the_log() => Some(halt.to_string()),
                _ => None,
            },
        }
    }

    /// Why a lane does not go on: it is halted, or held by the breaker.
    pub(crate) fn halt_of(&self, lane: &watch::Receiver<LaneStatus>) -> Option<String> {
        lane.borrow().state.reason()
    }

    pub(crate) fn tables(&self, key: Key) -> Option<GenerationTables> {
        self.app.topics.get(key.0).map(|topic| topic.generation(&self.app, key.1))
    }

    /// Every generation of the app's topics that control knows.
    pub(crate) fn generations(&self, control: &Control) -> Vec<(Key, Generation)> {
        let mut all = Vec::new();
        for (place, topic) in self.app.topics.iter().enumerate() {
            let projection = control.projection(topic.name.as_str());
            let generations = projection.into_iter().flat_map(|projection| &projection.generations);
            all.extend(generations.map(|(number, generation)| ((place, *number), generation.clone())));
        }
        all
    }

    pub(crate) fn status(&self) -> Vec<GenerationStatus> {
        let control = self.driver.control();
        let live = self.generations(&control).into_iter().filter(|(_, g)| g.state != GenerationState::Gone);
        live.filter_map(|(key, generation)| {
            Some(GenerationStatus {
                topic: self.app.topics.get(key.0)?.name.as_str().to_owned(),
                generation: key.1,
                state: generation.state,
                lanes: self.lanes(key).iter().map(|lane| lane.borrow().clone()).collect(),
                halted: self.halted(key),
            })
        })
        .collect()
    }

    /// Lets every lane finish the batch in hand.
    pub(crate) async fn drain(&self, limit: Duration) {
        let all = std::mem::take(&mut *lock(&self.folding));
        let projectors = all.into_values().filter_map(|folding| match folding {
            Folding::Lanes(projector) => Some(projector.drain(limit)),
            Folding::Halted(_) => None,
        });
        futures_util::future::join_all(projectors).await;
        // Each has its own limit.
        let mut ending = std::mem::take(&mut *lock(&self.ending));
        while ending.join_next().await.is_some() {}
    }

    /// Caches of one lane: the budget is shared by all lanes, with room for a build beside each.
    fn cache_bytes(&self) -> usize {
        let lanes: usize = self.topics.iter().map(|topic| topic.partitions as usize).sum();
        self.options.cache_bytes / (2 * lanes.max(1))
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
