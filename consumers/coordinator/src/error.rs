//! What keeps a coordinator from doing what it was asked to.

use tidefold_control_log::{ControlLogError, Passing};
use tidefold_log::LogError;
use tidefold_record::Position;
use tidefold_store::StoreError;

/// What went wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// The log does not do it.
    #[error("{doing}: {source}")]
    Log {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: LogError,
    },
    /// The store does not do it.
    #[error("{doing}: {source}")]
    Store {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: StoreError,
    },
    /// Control cannot be read or written.
    #[error(transparent)]
    Control(#[from] ControlLogError),
    /// There is no such topic.
    #[error("the app has no topic {topic}; it has {}", known.join(", "))]
    NoSuchTopic {
        /// What was asked for.
        topic: String,
        /// What there is.
        known: Vec<String>,
    },
    /// There is nothing to act on.
    #[error("topic {topic} has no {wanted} generation")]
    NoGeneration {
        /// The topic.
        topic: String,
        /// What was looked for.
        wanted: &'static str,
    },
    /// A lane stopped for good.
    #[error("generation {generation} of {topic} is halted: {reason}")]
    Halted {
        /// The topic.
        topic: String,
        /// The generation.
        generation: u32,
        /// Why, and what to do.
        reason: String,
    },
    /// The lanes did not come to a common position in time.
    #[error(
        "generations {from} and {to} of {topic} did not come to a common position within {limit:?}; the build stays and \
         goes on: try again"
    )]
    NotTogether {
        /// The topic.
        topic: String,
        /// The active generation.
        from: u32,
        /// The other one.
        to: u32,
        /// How long they had.
        limit: std::time::Duration,
    },
    /// A generation was to be quiesced, and was not, or no longer is.
    #[error(
        "generation {generation} of {topic} did not stand still within {limit:?}: partitions {missing:?} go on, or \
         another operation lets the topic stand; look whether all processes run, and try again"
    )]
    NotQuiesced {
        /// The topic.
        topic: String,
        /// The generation.
        generation: u32,
        /// Which partitions did not come to a stand.
        missing: Vec<u32>,
        /// How long they had.
        limit: std::time::Duration,
    },
    /// A record is not the one that halts its partition.
    #[error("{position} is not made a dead letter: {reason}")]
    NotHaltedThere {
        /// The record.
        position: Position,
        /// Why not.
        reason: String,
    },
    /// The coordinator is ending.
    #[error("the node is shutting down; what was begun goes on at the next start")]
    Ending,
}

// === impl CoordinatorError ===

impl CoordinatorError {
    pub(crate) fn log(doing: &'static str) -> impl FnOnce(LogError) -> CoordinatorError {
        move |source| CoordinatorError::Log { doing, source }
    }

    pub(crate) fn store(doing: &'static str) -> impl FnOnce(StoreError) -> CoordinatorError {
        move |source| CoordinatorError::Store { doing, source }
    }

    /// Whether a build may come further once its lanes come to a stand, or together.
    pub(crate) fn may_settle(&self) -> bool {
        matches!(self, CoordinatorError::NotTogether { .. } | CoordinatorError::NotQuiesced { .. })
    }
}

impl Passing for CoordinatorError {
    fn is_passing(&self) -> bool {
        match self {
            CoordinatorError::Log { source, .. } => source.is_passing(),
            CoordinatorError::Store { source, .. } => source.is_passing(),
            CoordinatorError::Control(source) => source.is_passing(),
            CoordinatorError::NoSuchTopic { .. }
            | CoordinatorError::NoGeneration { .. }
            | CoordinatorError::Halted { .. }
            | CoordinatorError::NotTogether { .. }
            | CoordinatorError::NotQuiesced { .. }
            | CoordinatorError::NotHaltedThere { .. }
            | CoordinatorError::Ending => false,
        }
    }
}
