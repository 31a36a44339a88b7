//! What operations work on, and how its troubles are answered.

use std::sync::Arc;

use tidefold_app::model::Projection;
use tidefold_control::GenerationState;
use tidefold_control_log::Passing;
use tidefold_coordinator::{Coordinator, CoordinatorError};
use tidefold_http::{Problem, ProblemKind};
use tidefold_log::{LogError, SharedLog};
use tidefold_projector::{Halt, LaneState, LaneStatus};
use tidefold_store::{SharedStore, StoreError};

/// What operations work on.
pub struct Operator {
    /// The app's name.
    app: Arc<str>,
    log: SharedLog,
    store: SharedStore,
    coordinator: Coordinator,
    topic_prefix: String,
}

impl Operator {
    /// Operations of one app on one node. `topic_prefix` stands before the topics' names outside of this process.
    #[must_use]
    pub fn new(
        app: Arc<str>,
        log: SharedLog,
        store: SharedStore,
        coordinator: Coordinator,
        topic_prefix: String,
    ) -> Operator {
        Operator { app, log, store, coordinator, topic_prefix }
    }

    /// The app's name.
    #[must_use]
    pub fn app(&self) -> &str {
        &self.app
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &SharedLog {
        &self.log
    }

    /// What stands before the topics' names outside of this process.
    #[must_use]
    pub fn topic_prefix(&self) -> &str {
        &self.topic_prefix
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &SharedStore {
        &self.store
    }

    /// The control driver.
    #[must_use]
    pub fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    /// Finishes the batches in hand and lets go of everything.
    pub async fn shutdown(self) {
        self.coordinator.shutdown().await;
    }

    /// Every halted partition of the active generations, with why, and every damaged checkpoint; one line where a whole
    /// generation is halted.
    #[must_use]
    pub fn halts(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for generation in self.coordinator.status() {
            let name = format!("projection of {} g{} halted", generation.topic, generation.generation);
            if generation.state != GenerationState::Active {
                continue;
            }
            if let Some(reason) = &generation.halted {
                lines.push(format!("{name}: {reason}"));
            }
            let is_halted = |lane: &&LaneStatus| matches!(lane.state, LaneState::Halted(_));
            let halted: Vec<_> =
                generation.lanes.iter().filter(is_halted).map(|lane| lane.partition).collect();
            for (partition, damaged) in &generation.damaged {
                // A halt names it.
                if !halted.contains(partition) {
                    let (topic, number) = (&generation.topic, generation.generation);
                    lines.push(format!(
                        "checkpoint of {topic} g{number} in partition {partition} cannot be read: {damaged}"
                    ));
                }
            }
            for lane in &generation.lanes {
                let partition = lane.partition;
                match &lane.state {
                    LaneState::Halted(halt) => {
                        lines.push(format!("{name} in partition {partition}: {halt}"));
                    }
                    LaneState::Tripped(_) => {
                        let (topic, number) = (&generation.topic, generation.generation);
                        let reason = lane.state.reason().unwrap_or_default();
                        lines.push(format!(
                            "projection of {topic} g{number} in partition {partition}: {reason}"
                        ));
                    }
                    LaneState::Starting
                    | LaneState::Running
                    | LaneState::Waiting
                    | LaneState::Held
                    | LaneState::Retrying { .. }
                    | LaneState::Stopped => {}
                }
            }
        }
        lines
    }

    /// Lanes of this process that ended though nobody told them to: what they fold is not folded until the next start. A
    /// lane that is halted waits for an operator, which a start would not change: see [`Operator::halts`].
    #[must_use]
    pub fn ended(&self) -> Option<String> {
        let mut lines = Vec::new();
        for generation in self.coordinator.status() {
            for lane in &generation.lanes {
                let why = match &lane.state {
                    LaneState::Halted(halt @ Halt::Vanished) => halt.to_string(),
                    LaneState::Stopped => "it stopped though nothing told it to; start again".to_owned(),
                    LaneState::Halted(_)
                    | LaneState::Tripped(_)
                    | LaneState::Starting
                    | LaneState::Running
                    | LaneState::Waiting
                    | LaneState::Held
                    | LaneState::Retrying { .. } => continue,
                };
                let (topic, partition) = (&generation.topic, lane.partition.0);
                lines.push(format!("{topic} g{} in partition {partition}: {why}", generation.generation));
            }
        }
        (!lines.is_empty()).then(|| lines.join("; "))
    }

    /// What is served, one projection a topic.
    pub(super) fn projections(&self) -> Vec<Arc<Projection>> {
        self.coordinator.control_log().control().serving()
    }

    pub(super) fn projection(&self, name: &str) -> Result<Arc<Projection>, Problem> {
        let mut projections = self.projections();
        let place = projections.iter().position(|projection| projection.name() == name);
        place.map(|place| projections.swap_remove(place)).ok_or_else(|| {
            let known: Vec<_> = self.projections().iter().map(|known| known.name().to_owned()).collect();
            Problem::new(
                ProblemKind::NotFound,
                format!("there is no topic {name}; there are {}", known.join(", ")),
            )
        })
    }

    pub(super) fn check_app(&self, name: &str) -> Result<(), Problem> {
        if name == &*self.app {
            return Ok(());
        }
        Err(Problem::new(ProblemKind::UnknownApp, format!("this node serves the app {}", self.app)))
    }
}

/// An error that carries the name of the problem that it is answered with.
pub(super) trait Named: std::fmt::Display {
    fn name(&self) -> &'static str;
}

impl Named for LogError {
    fn name(&self) -> &'static str {
        LogError::name(self)
    }
}

impl Named for StoreError {
    fn name(&self) -> &'static str {
        StoreError::name(self)
    }
}

/// Trouble with the log or the store, as an answer.
pub(super) fn trouble(error: impl Named) -> Problem {
    Problem::of_error(error.name(), error.to_string())
}

/// What the coordinator refuses, as an answer.
pub(super) fn refused(error: CoordinatorError) -> Problem {
    let kind = if error.is_passing() { ProblemKind::LogUnavailable } else { ProblemKind::Conflict };
    Problem::new(kind, crate::failure::chain(&error))
}
