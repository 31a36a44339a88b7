//! A generation from its first record to its activation, beside the live one.

use std::sync::Arc;
use std::time::Duration;

use tidefold_control::{Control, Entry, GenerationState};
use tidefold_record::{Offset, Partition};
use tidefold_telemetry::clock;
use tokio::sync::watch;

use crate::compare::{self, Comparison, Suspects};
use crate::error::DeployError;
use crate::node::Node;
use crate::still::Hold;

/// How a replay ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayOptions {
    /// Activate the new generation even if its rows differ from the active one's: they were damaged, and that is why it
    /// is built.
    pub accept_differences: bool,
}

/// A build under way.
#[derive(Clone, Debug)]
pub struct Build {
    /// The projection's topic.
    pub topic: String,
    /// The generation.
    pub generation: u32,
    /// How far it is.
    pub progress: watch::Receiver<BuildProgress>,
}

/// How far a build is.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildProgress {
    /// Offsets folded, over all partitions.
    pub done: u64,
    /// Offsets there are to fold.
    pub total: u64,
    /// Offsets a second since the build was begun or resumed.
    pub rate: f64,
    /// What it is doing.
    pub phase: Phase,
}

/// What a build is doing.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// It folds the log from its start.
    Building,
    /// Its rows are compared with the active generation's, under live traffic.
    Comparing,
    /// Both generations come to a common position, and what differed is compared again.
    Switching,
    /// It is active.
    Done(Comparison),
    /// Its rows differ; it stays as it is, current, until it is accepted or abandoned.
    Differs(Comparison),
    /// It cannot go on; it stays as it is.
    Failed(String),
}

impl Phase {
    /// Whether the build comes to no other phase by itself.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Phase::Done(_) | Phase::Differs(_) | Phase::Failed(_))
    }
}

impl Build {
    /// Waits for the end of the build.
    pub async fn finished(&mut self) -> Phase {
        match self.progress.wait_for(|progress| progress.phase.is_final()).await {
            Ok(progress) => progress.phase.clone(),
            Err(_) => Phase::Failed(DeployError::Ending.to_string()),
        }
    }
}

/// A build at work.
pub(crate) struct Builder {
    pub(crate) node: Arc<Node>,
    pub(crate) topic: usize,
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// The state in which the new one is until this is done: another process may do it as well.
    pub(crate) state: GenerationState,
    /// Whether it takes the active generation's verdicts, and so can be compared with it at a common position.
    pub(crate) follows: bool,
    pub(crate) options: ReplayOptions,
    pub(crate) progress: watch::Sender<BuildProgress>,
}

impl Builder {
    /// Builds to the end. Trouble that passes is waited out.
    pub(crate) async fn run(self) {
        loop {
            let attempt = self.attempt().await;
            let phase = match (self.fate(), attempt) {
                (_, Ok(phase)) | (Some(phase), Err(_)) => phase,
                (None, Err(error)) if error.is_passing() || error.may_settle() => {
                    tracing::warn!(topic = %self.name(), generation = self.to, %error, "build waits and tries again");
                    clock::pause(Duration::from_millis(500)).await;
                    continue;
                }
                (None, Err(error)) => Phase::Failed(error.to_string()),
            };
            tracing::info!(topic = %self.name(), generation = self.to, ?phase, "build ended");
            return self.progress.send_modify(|progress| progress.phase = phase);
        }
    }

    async fn attempt(&self) -> Result<Phase, DeployError> {
        self.node.reconcile().await?;
        self.enter(Phase::Building);
        self.catch_up(self.node.options.near).await?;
        let mut suspects = Vec::new();
        if self.follows {
            self.enter(Phase::Comparing);
            suspects = self.compare().await?;
            self.catch_up(self.node.options.near).await?;
        }
        self.enter(Phase::Switching);
        self.switch(&suspects).await
    }

    /// Waits until every partition is within `near` of where it can get. Its lanes may be anywhere: checkpoints tell.
    async fn catch_up(&self, near: u64) -> Result<(), DeployError> {
        let started = clock::instant();
        let mut moved = self.node.components.store.checkpoints_moved();
        let mut before = None;
        let telemetry = &self.node.components.telemetry;
        let ratio = telemetry.replay_progress_ratio(self.name(), &self.to.to_string());
        loop {
            moved.borrow_and_update();
            self.can_go_on()?;
            let nexts = self.node.checkpoints((self.topic, self.to)).await?;
            let nexts: Vec<_> = nexts.into_iter().map(|checkpoint| checkpoint.next).collect();
            let targets = self.targets().await?;
            let (done, total) = (sum(&nexts), sum(&targets));
            let base = *before.get_or_insert(done);
            let seconds = started.elapsed().as_secs_f64().max(1e-6);
            self.progress.send_modify(|progress| {
                progress.done = done;
                progress.total = total.max(done);
                progress.rate = done.saturating_sub(base) as f64 / seconds;
            });
            ratio.set(done as f64 / total.max(done).max(1) as f64);
            let is_near = nexts.iter().zip(&targets).all(|(next, end)| end.distance_from(*next) <= near);
            if is_near && nexts.len() == targets.len() {
                return Ok(());
            }
            tokio::select! {
                Ok(()) = moved.changed() => {}
                () = clock::pause(self.node.options.lanes.look_again) => {}
            }
        }
    }

    async fn compare(&self) -> Result<Vec<Suspects>, DeployError> {
        let (from, to) = (self.node.tables((self.topic, self.from)), self.node.tables((self.topic, self.to)));
        let (Some(from), Some(to)) = (from, to) else { return Ok(Vec::new()) };
        compare::suspects(&*self.node.components.store, &from, &to).await
    }

    /// Brings both generations to a common position, compares what differed, and activates the new one there: so each
    /// generation's verdicts go on where the other's end.
    pub(crate) async fn switch(&self, suspects: &[Suspects]) -> Result<Phase, DeployError> {
        let limit = self.node.options.hold;
        if !self.follows {
            let comparison = compare::recheck(&*self.node.components.store, suspects).await?;
            self.activate(None).await?;
            return Ok(Phase::Done(comparison));
        }
        let hold = self.node.hold((self.topic, self.from), limit).await?;
        let together = tokio::time::timeout(limit, self.catch_up(0)).await;
        let (topic, from, to) = (self.name().to_owned(), self.from, self.to);
        together.map_err(|_| DeployError::NotTogether { topic, from, to, limit })??;
        let comparison = compare::recheck(&*self.node.components.store, suspects).await?;
        hold.has_stood().await?;
        if comparison.differing() > 0 && !self.options.accept_differences {
            return Ok(Phase::Differs(comparison));
        }
        self.activate(Some(&hold)).await?;
        Ok(Phase::Done(comparison))
    }

    /// Activates the new generation, if the one before still stands.
    async fn activate(&self, hold: Option<&Hold>) -> Result<(), DeployError> {
        let name = self.name();
        let decide = |control: &Control| {
            let active = control.active(name);
            if active == Some(self.to) {
                return Ok(None);
            }
            if active != Some(self.from) {
                return Err(DeployError::NoGeneration { topic: name.to_owned(), wanted: "such active" });
            }
            let stands = self.node.hold_of(self.topic, control).map(|held| held.at);
            if hold.is_some_and(|hold| stands != Some(hold.at())) {
                let (topic, limit) = (name.to_owned(), self.node.options.hold);
                return Err(DeployError::NotTogether { topic, from: self.from, to: self.to, limit });
            }
            Ok(Some(Entry::Activated { topic: name.to_owned(), generation: self.to }))
        };
        self.node.driver.append(decide).await?;
        self.node.reconcile().await
    }

    /// An error once the generation is not what is being built any more, or a partition of it is halted. Of those that are
    /// here their lanes tell, of others what their processes said.
    fn can_go_on(&self) -> Result<(), DeployError> {
        let (topic, generation, key) = (self.name().to_owned(), self.to, (self.topic, self.to));
        let control = self.node.driver.control();
        let projection = control.projection(&topic);
        if projection.and_then(|projection| projection.state(self.to)) != Some(self.state) {
            return Err(DeployError::NoGeneration { topic, wanted: "such" });
        }
        let owned = self.node.owned(self.topic);
        let elsewhere = || {
            let mut halted = projection.into_iter().flat_map(|projection| projection.halted(self.to));
            let other = halted.find(|(partition, _)| !owned.contains_key(&Partition(*partition)));
            other.map(|(partition, reason)| format!("partition {partition}: {reason}"))
        };
        let here = || self.node.lanes(key).into_iter().find_map(|lane| self.node.halt_of(&lane));
        let halted = self.node.halted(key).or_else(here).or_else(elsewhere);
        halted.map_or(Ok(()), |reason| Err(DeployError::Halted { topic, generation, reason }))
    }

    /// How far each lane can get: to the active generation's checkpoint while it follows, never past the log's end.
    async fn targets(&self) -> Result<Vec<Offset>, DeployError> {
        let ends = self.node.ends(self.topic).await?;
        if !self.follows {
            return Ok(ends);
        }
        let active = self.node.checkpoints((self.topic, self.from)).await?;
        Ok(active.into_iter().zip(ends).map(|(checkpoint, end)| checkpoint.next.min(end)).collect())
    }

    /// What became of the generation, where that is decided: by another process, or by whoever gave it up.
    fn fate(&self) -> Option<Phase> {
        let control = self.node.driver.control();
        match control.projection(self.name())?.state(self.to)? {
            GenerationState::Building => None,
            GenerationState::Active | GenerationState::Kept => Some(Phase::Done(Comparison::default())),
            GenerationState::Gone => Some(Phase::Failed("it was abandoned".to_owned())),
        }
    }

    fn enter(&self, phase: Phase) {
        self.progress.send_modify(|progress| progress.phase = phase);
    }

    fn name(&self) -> &str {
        self.node.app.topics.get(self.topic).map_or("", |topic| topic.name.as_str())
    }
}

fn sum(offsets: &[Offset]) -> u64 {
    offsets.iter().map(|offset| offset.0).sum()
}
