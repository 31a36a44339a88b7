//! A generation from its first record to its activation, beside the live one.

use std::time::Duration;

use tidefold_control::GenerationState;
use tidefold_control_log::Passing;
use tidefold_telemetry::clock;
use tokio::sync::watch;

use super::activate::Activation;
use super::compare::{self, Comparison, Suspects};
use super::pair::{Pair, Reached};
use crate::error::CoordinatorError;

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

// === impl Phase ===

impl Phase {
    /// Whether the build comes to no other phase by itself.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Phase::Done(_) | Phase::Differs(_) | Phase::Failed(_))
    }
}

// === impl Build ===

impl Build {
    /// Waits for the end of the build.
    pub async fn finished(&mut self) -> Phase {
        match self.progress.wait_for(|progress| progress.phase.is_final()).await {
            Ok(progress) => progress.phase.clone(),
            Err(_) => Phase::Failed(CoordinatorError::Ending.to_string()),
        }
    }
}

/// A build at work.
pub(super) struct Builder {
    pub(super) pair: Pair,
    pub(super) options: ReplayOptions,
    pub(super) progress: watch::Sender<BuildProgress>,
}

// === impl BuildProgress ===

impl BuildProgress {
    /// At its beginning.
    pub(super) fn none() -> BuildProgress {
        BuildProgress { done: 0, total: 0, rate: 0.0, phase: Phase::Building }
    }
}

// === impl Builder ===

impl Builder {
    /// Builds to the end. A mistake of ours that ends in a panic is an end as well, and the supervisor tells of it.
    pub(super) async fn run(self) {
        let supervisor = &self.pair.process.components.supervisor;
        if let Err(panic) = supervisor.until_done("build", self.build()).await {
            self.enter(Phase::Failed(format!(
                "it panicked: {panic}. That is a mistake in Tidefold: keep the folder and what the node printed; the build \
                 goes on at the next start, or `tidefold replay` begins it again"
            )));
        }
    }

    /// Trouble that passes is waited out.
    async fn build(&self) {
        let (topic, generation) = (self.pair.name(), self.pair.to);
        loop {
            let attempt = self.attempt().await;
            let phase = match (self.fate(), attempt) {
                (_, Ok(phase)) | (Some(phase), Err(_)) => phase,
                (None, Err(error)) if error.is_passing() || error.may_settle() => {
                    tracing::warn!(topic, generation, %error, "build waits and tries again");
                    clock::pause(Duration::from_millis(500)).await;
                    continue;
                }
                (None, Err(error)) => Phase::Failed(error.to_string()),
            };
            tracing::info!(topic, generation, ?phase, "build ended");
            return self.enter(phase);
        }
    }

    async fn attempt(&self) -> Result<Phase, CoordinatorError> {
        let near = self.pair.process.options.near;
        self.pair.process.reconciled().await?;
        self.enter(Phase::Building);
        self.catch_up(near).await?;
        let mut suspects = Vec::new();
        if self.pair.follows {
            self.enter(Phase::Comparing);
            suspects = self.compare().await?;
            self.catch_up(near).await?;
        }
        self.enter(Phase::Switching);
        let report = self.reporter();
        match self.pair.switch(&suspects, self.options.accept_differences, &report).await? {
            Activation::Done(comparison) => Ok(Phase::Done(comparison)),
            Activation::Differs(comparison) => Ok(Phase::Differs(comparison)),
        }
    }

    async fn catch_up(&self, near: u64) -> Result<(), CoordinatorError> {
        let report = self.reporter();
        self.pair.catch_up(near, &report).await
    }

    /// Reports how far the build is, and at what rate from here on.
    fn reporter(&self) -> impl Fn(Reached) + Sync {
        let started = clock::instant();
        let before = std::sync::OnceLock::new();
        let telemetry = &self.pair.process.components.telemetry;
        let ratio = telemetry.replay_progress_ratio(
            &self.pair.process.app,
            self.pair.name(),
            &self.pair.to.to_string(),
        );
        move |Reached { done, total }| {
            let base = *before.get_or_init(|| done);
            let seconds = started.elapsed().as_secs_f64().max(1e-6);
            self.progress.send_modify(|progress| {
                progress.done = done;
                progress.total = total;
                progress.rate = done.saturating_sub(base) as f64 / seconds;
            });
            ratio.set(done as f64 / total.max(1) as f64);
        }
    }

    async fn compare(&self) -> Result<Vec<Suspects>, CoordinatorError> {
        let Pair { process, source, from, to, .. } = &self.pair;
        let control = process.control_log.control();
        let tables = |generation| match source.built_from(&control, generation) {
            Ok(projection) => Ok(projection.tables(generation)),
            Err(error) => {
                let (topic, reason) = (source.name.to_string(), error.to_string());
                Err(CoordinatorError::Halted { topic, generation, reason })
            }
        };
        compare::suspects(&*process.components.store, &tables(*from)?, &tables(*to)?).await
    }

    /// What became of the generation, where that is decided: by another process, or by whoever gave it up.
    fn fate(&self) -> Option<Phase> {
        let control = self.pair.process.control_log.control();
        match control.generations(self.pair.name())?.state(self.pair.to)? {
            GenerationState::Building => None,
            GenerationState::Active | GenerationState::Kept => Some(Phase::Done(Comparison::default())),
            GenerationState::Gone => Some(Phase::Failed("it was abandoned".to_owned())),
        }
    }

    fn enter(&self, phase: Phase) {
        self.progress.send_modify(|progress| progress.phase = phase);
    }
}
