//! What the composition root starts: everything an app needs to be folded in this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidefold_app::App;
use tidefold_control::{Control, Entry, GenerationState, Manifest};
use tidefold_fold::FoldSettings;
use tidefold_log::SharedLog;
use tidefold_projector::{Budget, Components, LaneStatus, Settings};
use tidefold_record::Partition;
use tidefold_store::SharedStore;
use tidefold_telemetry::{Telemetry, clock};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::bootstrap::{bootstrap, open_topics};
use crate::build::{Build, BuildProgress, Builder, Phase, ReplayOptions};
use crate::driver::Driver;
use crate::error::DeployError;
use crate::fleet;
use crate::manifest::manifest;
use crate::node::{GenerationStatus, Node, lock};
use crate::projected;
use crate::still;
use crate::waiting::{Waiting, patiently};

/// How a deployer works.
#[derive(Clone, Debug)]
pub struct Options {
    /// How lanes work.
    pub lanes: Settings,
    /// Row caches of all lanes together, in bytes.
    pub cache_bytes: usize,
    /// Batches in hand of all lanes together, in bytes.
    pub batch_bytes: usize,
    /// The dedupe window of generations that are built now; a generation built with another one halts.
    pub window: u64,
    /// How close a build has to come to the live tables before both are brought to a common position.
    pub near: u64,
    /// How long the live tables may stand still for that.
    pub hold: Duration,
    /// How long lanes may take to finish the batch in hand.
    pub drain: Duration,
    /// How often topics are looked at: whether they are still the ones that were opened.
    pub look_at_topics: Duration,
    /// Told what the start waits for.
    pub waiting: Waiting,
}

/// An app, folded. Dropping it kills everything where it stands, which loses nothing.
pub struct Deployer {
    node: Arc<Node>,
    builds: Builds,
    tasks: Mutex<JoinSet<()>>,
}

/// The builds that this process runs or ran, by topic.
type Builds = Arc<Mutex<BTreeMap<usize, Known>>>;

/// A build that this process runs or ran.
struct Known {
    build: Build,
    /// Whether it runs only in case that whoever began it is gone.
    second: bool,
}

/// How many of the holder's pauses a build is left to whoever began it.
const PATIENCE: u32 = 3;

impl Default for Options {
    fn default() -> Options {
        Options {
            lanes: Settings::default(),
            cache_bytes: 256 << 20,
            batch_bytes: 64 << 20,
            window: FoldSettings::default().window,
            near: 1_000,
            hold: Duration::from_secs(10),
            drain: Duration::from_secs(10),
            look_at_topics: Duration::from_secs(5),
            waiting: Waiting::default(),
        }
    }
}

impl Deployer {
    /// Makes the app known to its control topic, opens what it needs and starts its lanes. Where the log or the store
    /// does not answer, it waits.
    ///
    /// # Errors
    /// When the folder is not the one the log was begun with, or the log or the store refuses for good. A projection
    /// whose tables were built from something else is no error here: it halts, and the status says why.
    pub async fn start(
        app: Arc<App>,
        log: SharedLog,
        store: SharedStore,
        telemetry: Telemetry,
        runtime: tokio::runtime::Handle,
        options: Options,
    ) -> Result<Deployer, DeployError> {
        let waiting = options.waiting.clone();
        let driver = patiently(&waiting, || Driver::open(Arc::clone(&log), &app.name)).await?;
        let topics = patiently(&waiting, || open_topics(&app, &*log)).await?;
        patiently(&waiting, || bootstrap(&app, &topics, &driver, &*store, options.window)).await?;
        let group = Node::group(&app.name);
        let shares: Vec<_> = topics.iter().map(|topic| (topic.name.clone(), topic.partitions)).collect();
        let join =
            || std::future::ready(log.join(&group, &shares).map_err(DeployError::log("join the group")));
        let membership = patiently(&waiting, join).await?;
        let components = Components {
            log: Arc::clone(&log),
            store,
            schemas: Arc::new(driver.clone()),
            control: driver.watch(),
            telemetry,
            budget: Budget::new(options.batch_bytes),
            settings: options.lanes.clone(),
            runtime,
        };
        let node = Arc::new(Node::new(app, topics, components, options, driver, membership));
        patiently(&waiting, || node.reconcile()).await?;
        let deployer =
            Deployer { node: Arc::clone(&node), builds: Builds::default(), tasks: Mutex::default() };
        let (driver, store) = (node.driver.clone(), Arc::clone(&node.components.store));
        deployer.spawn(projected::copy(driver, store, node.app.name.clone()));
        deployer.spawn(follow(Arc::clone(&node)));
        deployer.spawn(fleet::follow_owned(Arc::clone(&node)));
        deployer.spawn(fleet::tell(Arc::clone(&node)));
        deployer.spawn(fleet::watch_topics(Arc::clone(&node)));
        deployer.spawn(still::obey(Arc::clone(&node)));
        deployer.resume().await?;
        deployer.spawn(finish_builds(node, Arc::clone(&deployer.builds)));
        Ok(deployer)
    }

    /// What control says, each time that changes.
    #[must_use]
    pub fn control(&self) -> watch::Receiver<Arc<Control>> {
        self.node.driver.watch()
    }

    /// The control topic, to look up and append.
    #[must_use]
    pub fn driver(&self) -> &Driver {
        &self.node.driver
    }

    /// Every generation that is not gone, with its lanes.
    #[must_use]
    pub fn status(&self) -> Vec<GenerationStatus> {
        self.node.status()
    }

    /// Why a generation does not go on in a partition: it is not folded at all, or the partition's lane is halted. `None`
    /// too where this process does not fold it.
    #[must_use]
    pub fn halted(&self, topic: &str, generation: u32, partition: Partition) -> Option<String> {
        let place = self.place(topic).ok()?;
        self.node.halted((place, generation)).or_else(|| {
            let lanes = self.node.lanes((place, generation));
            let lane = lanes.iter().find(|lane| lane.borrow().partition == partition)?;
            self.node.halt_of(lane)
        })
    }

    /// The lanes of a generation that are here, in the order of partitions; none while it is not folded here.
    #[must_use]
    pub fn lanes(&self, topic: &str, generation: u32) -> Vec<watch::Receiver<LaneStatus>> {
        self.place(topic).map(|place| self.node.lanes((place, generation))).unwrap_or_default()
    }

    /// The builds that this process runs or ran, one for each topic.
    #[must_use]
    pub fn builds(&self) -> Vec<Build> {
        lock(&self.builds).values().map(|known| known.build.clone()).collect()
    }

    /// Builds the topics' tables anew from the start of the log, beside the live ones, and activates them: the backfill.
    /// `None`: all topics. A build that is under way is joined, with these options; one that cannot end, as what it was begun
    /// from is not there any more, is given up for a new one.
    ///
    /// # Errors
    /// When a topic does not exist or is not the one this process opened, or the log does not answer.
    pub async fn replay(
        &self,
        topics: Option<&[String]>,
        options: ReplayOptions,
    ) -> Result<Vec<Build>, DeployError> {
        let places = match topics {
            None => (0..self.node.app.topics.len()).collect(),
            Some(names) => names.iter().map(|name| self.place(name)).collect::<Result<Vec<_>, _>>()?,
        };
        let mut builds = Vec::new();
        for place in places {
            builds.push(self.replay_topic(place, options).await?);
        }
        Ok(builds)
    }

    async fn replay_topic(&self, place: usize, options: ReplayOptions) -> Result<Build, DeployError> {
        let (name, there) = match (self.node.app.topics.get(place), self.node.topics.get(place)) {
            (Some(topic), Some(there)) => (topic.name.as_str(), there),
            _ => return Err(DeployError::NoGeneration { topic: place.to_string(), wanted: "such" }),
        };
        if let Some(reason) = self.node.replaced(place).await {
            let generation = self.node.driver.active(name).unwrap_or_default();
            return Err(DeployError::Halted { topic: name.to_owned(), generation, reason });
        }
        let running = lock(&self.builds).get(&place).filter(|known| !known.second).map(|k| k.build.clone());
        let trusted = self.node.verdicts_can_be_followed(place).await;
        let under_way = building(&*self.node.driver.advance().await?, name);
        if let Some((number, manifest)) = under_way
            && self.node.cannot_end((place, number), &manifest, trusted).await
        {
            tracing::warn!(
                topic = name,
                generation = number,
                "a build that cannot end is given up for a new one"
            );
            self.abandon(name).await?;
        } else if let Some(build) = running
            && !build.progress.borrow().phase.is_final()
        {
            return Ok(build);
        }
        let begin = |control: &Control| {
            let Some(projection) = control.projection(name) else { return Ok(None) };
            if projection.in_state(GenerationState::Building).next().is_some() {
                return Ok(None);
            }
            let verdicts_of = projection.active.filter(|_| trusted);
            let manifest = manifest(&self.node.app, there, self.node.options.window, verdicts_of);
            let generation = projection.next_generation();
            Ok(Some(Entry::Building { topic: name.to_owned(), generation, manifest }))
        };
        let control = self.node.driver.append(begin).await?;
        match self.node.reconcile().await {
            // It is begun: the build itself tries again, as a server may well need while all processes make its tables.
            Err(error) if error.is_passing() => {
                tracing::warn!(topic = name, %error, "tables of a build cannot be opened yet");
            }
            other => other?,
        }
        self.build(place, &control, options)
            .ok_or_else(|| DeployError::NoGeneration { topic: name.to_owned(), wanted: "unfinished" })
    }

    /// Goes back to the generation that was active before, at a common position.
    ///
    /// # Errors
    /// When no generation is kept, or it does not get to where the active one is.
    pub async fn rollback(&self, topic: &str) -> Result<u32, DeployError> {
        let place = self.place(topic)?;
        let control = self.node.driver.control();
        let projection = control.projection(topic);
        let kept =
            projection.and_then(|p| p.in_state(GenerationState::Kept).last()).map(|(number, _)| number);
        let Some((from, to)) = projection.and_then(|p| p.active).zip(kept) else {
            return Err(DeployError::NoGeneration { topic: topic.to_owned(), wanted: "kept" });
        };
        let builder = Builder {
            node: Arc::clone(&self.node),
            topic: place,
            from,
            to,
            state: GenerationState::Kept,
            follows: true,
            options: ReplayOptions { accept_differences: true },
            progress: watch::channel(start_of(Phase::Switching)).0,
        };
        builder.switch(&[]).await?;
        Ok(to)
    }

    /// Drops every kept generation of a topic. Returns their numbers.
    ///
    /// # Errors
    /// When the topic does not exist, or the log or the store does not answer; then it goes on at the next start.
    pub async fn retire(&self, topic: &str) -> Result<Vec<u32>, DeployError> {
        self.place(topic)?;
        self.end_all(topic, GenerationState::Kept, |topic, generation| Entry::Retired { topic, generation })
            .await
    }

    /// Gives up the build of a topic, if there is one, and drops its tables. Returns its number.
    ///
    /// # Errors
    /// When the topic does not exist, or the log or the store does not answer; then it goes on at the next start.
    pub async fn abandon(&self, topic: &str) -> Result<Vec<u32>, DeployError> {
        self.place(topic)?;
        self.end_all(topic, GenerationState::Building, |topic, generation| Entry::Abandoned {
            topic,
            generation,
        })
        .await
    }

    async fn end_all(
        &self,
        topic: &str,
        state: GenerationState,
        entry: fn(String, u32) -> Entry,
    ) -> Result<Vec<u32>, DeployError> {
        let in_state = |control: &Control| -> Vec<u32> {
            let projection = control.projection(topic);
            projection.map(|p| p.in_state(state).map(|(number, _)| number).collect()).unwrap_or_default()
        };
        // Only those that are there now: what comes to this state in between is somebody else's.
        let chosen = in_state(&*self.node.driver.advance().await?);
        for generation in &chosen {
            let decide = |control: &Control| {
                let there = in_state(control).contains(generation);
                Ok(there.then(|| entry(topic.to_owned(), *generation)))
            };
            self.node.driver.append(decide).await?;
        }
        self.node.reconcile().await?;
        Ok(chosen)
    }

    /// Ends everything, letting every lane finish the batch in hand; then leaves the group, so that others take over.
    pub async fn shutdown(self) {
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        tasks.shutdown().await;
        self.node.closing.cancel();
        let mut holding = std::mem::take(&mut *lock(&self.node.holding));
        let released = async { while holding.join_next().await.is_some() {} };
        // What is not released in time, the others release.
        let _ = tokio::time::timeout(self.node.options.drain, released).await;
        self.node.drain(self.node.options.drain).await;
        self.node.membership.leave().await;
    }

    /// A process that has the log to itself goes on with builds that were begun, and ends holds that were left over:
    /// whoever it was that began them is gone.
    async fn resume(&self) -> Result<(), DeployError> {
        for place in 0..self.node.topics.len() {
            if !self.node.is_alone(place) {
                continue;
            }
            patiently(&self.node.options.waiting, || self.node.release(place)).await?;
            let control = self.node.driver.control();
            self.build(place, &control, ReplayOptions::default());
        }
        Ok(())
    }

    /// Runs the build of a topic that control says is under way.
    fn build(&self, place: usize, control: &Control, options: ReplayOptions) -> Option<Build> {
        let (builder, build) = begin(&self.node, place, control, options)?;
        lock(&self.builds).insert(place, Known { build: build.clone(), second: false });
        self.spawn(builder.run());
        Some(build)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &self.node.components.runtime);
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    pub(crate) fn place(&self, topic: &str) -> Result<usize, DeployError> {
        let topics = &self.node.app.topics;
        topics.iter().position(|known| known.name.as_str() == topic).ok_or_else(|| {
            let known = topics.iter().map(|topic| topic.name.as_str().to_owned()).collect();
            DeployError::NoSuchTopic { topic: topic.to_owned(), known }
        })
    }
}

/// The generation of a topic that is being built.
fn building(control: &Control, topic: &str) -> Option<(u32, Manifest)> {
    let (number, generation) = control.projection(topic)?.in_state(GenerationState::Building).next()?;
    Some((number, generation.manifest.clone()))
}

/// The build of a topic that control says is under way.
fn begin(
    node: &Arc<Node>,
    place: usize,
    control: &Control,
    options: ReplayOptions,
) -> Option<(Builder, Build)> {
    let name = node.app.topics.get(place)?.name.as_str();
    let projection = control.projection(name)?;
    let from = projection.active?;
    let (to, generation) = projection.in_state(GenerationState::Building).next()?;
    let (progress, seen) = watch::channel(start_of(Phase::Building));
    let (state, follows) = (generation.state, generation.manifest.verdicts_of.is_some());
    let node = Arc::clone(node);
    let builder = Builder { node, topic: place, from, to, state, follows, options, progress };
    Some((builder, Build { topic: name.to_owned(), generation: to, progress: seen }))
}

/// Sees to it, for ever, that a build is finished though the process that began it may be gone: whoever owns partition 0
/// runs it as well, later. Two that run one build do no harm.
async fn finish_builds(node: Arc<Node>, builds: Builds) {
    let mut tasks = JoinSet::new();
    let (mut watch, mut owned) = (node.driver.watch(), node.owned.clone());
    let mut came = true;
    loop {
        let control = watch.borrow_and_update().clone();
        owned.borrow_and_update();
        while tasks.try_join_next().is_some() {}
        for place in (0..node.topics.len()).filter(|place| node.owned(*place).contains_key(&Partition(0))) {
            let Some((builder, build)) = begin(&node, place, &control, ReplayOptions::default()) else {
                continue;
            };
            let mut known = lock(&builds);
            let same = known.get(&place).map(|known| &known.build);
            let same = same.filter(|known| known.generation == build.generation);
            let failed = |build: &Build| matches!(build.progress.borrow().phase, Phase::Failed(_));
            // One that failed may do better with the partitions that came here.
            if same.is_none_or(|known| came && failed(known)) {
                known.insert(place, Known { build, second: true });
                tasks.spawn_on(later(builder, Arc::clone(&builds)), &node.components.runtime);
            }
        }
        came = tokio::select! {
            Ok(()) = watch.changed() => false,
            Ok(()) = owned.changed() => true,
            else => return,
        };
    }
}

/// Leaves a build to whoever began it for a while, and altogether where that is this process.
async fn later(builder: Builder, builds: Builds) {
    clock::pause(builder.node.options.hold * PATIENCE).await;
    if lock(&builds).get(&builder.topic).is_some_and(|known| known.second) {
        builder.run().await;
    }
}

fn start_of(phase: Phase) -> BuildProgress {
    BuildProgress { done: 0, total: 0, rate: 0.0, phase }
}

/// Follows control for ever, and makes what runs equal to it.
async fn follow(node: Arc<Node>) {
    loop {
        node.driver.follow().await;
        settle(&node).await;
    }
}

/// Makes what runs equal to what is wanted, however long that takes.
pub(crate) async fn settle(node: &Node) {
    let mut last = String::new();
    while let Err(error) = node.reconcile().await {
        // Once for each reason, not once for each attempt.
        if std::mem::replace(&mut last, error.to_string()) != last {
            tracing::warn!(%error, "what control wants cannot be done yet; trying again");
        }
        clock::pause(Duration::from_secs(1)).await;
    }
}
