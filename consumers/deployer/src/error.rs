//! What keeps a deployer from doing what it was asked to.

use tidefold_log::LogError;
use tidefold_record::Position;
use tidefold_store::StoreError;

/// What went wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
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
    /// The folder is not the one this log was begun with.
    #[error(
        "the definition of app {app} is not the one this log was begun with:\n{}\nStart with the folder as it was, or \
         with a new data folder.",
        differences.join("\n")
    )]
    DefinitionChanged {
        /// The app.
        app: String,
        /// What differs, a line each.
        differences: Vec<String>,
    },
    /// The control topic did not take an entry.
    #[error("the control topic of {app} did not take the entry {entry}: {reason}")]
    Refused {
        /// The app.
        app: String,
        /// Which entry.
        entry: String,
        /// Why.
        reason: String,
    },
    /// Others kept writing to the control topic first.
    #[error("others wrote to the control topic of {app} {attempts} times before this entry; try again")]
    Contended {
        /// The app.
        app: String,
        /// How often it was tried.
        attempts: u32,
    },
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
    /// A generation was to stand still, and did not, or no longer does.
    #[error(
        "generation {generation} of {topic} did not stand still within {limit:?}: partitions {missing:?} go on, or \
         another operation lets the topic stand; look whether all processes run, and try again"
    )]
    NotStill {
        /// The topic.
        topic: String,
        /// The generation.
        generation: u32,
        /// Which partitions did not come to a stand.
        missing: Vec<u32>,
        /// How long they had.
        limit: std::time::Duration,
    },
    /// Records under strange schema ids made all ids be refused.
    #[error(
        "no schema id is left for a message of {app}: records with ids of another registry were sent to its topics until \
         every id was refused; begin the app anew under another name or topic prefix"
    )]
    NoSchemaId {
        /// The app.
        app: String,
    },
    /// A record is not the one that halts its partition.
    #[error("{position} is not made a dead letter: {reason}")]
    NotHaltedThere {
        /// The record.
        position: Position,
        /// Why not.
        reason: String,
    },
    /// The deployer is ending.
    #[error("the node is shutting down; what was begun goes on at the next start")]
    Ending,
}

impl DeployError {
    pub(crate) fn log(doing: &'static str) -> impl FnOnce(LogError) -> DeployError {
        move |source| DeployError::Log { doing, source }
    }

    pub(crate) fn store(doing: &'static str) -> impl FnOnce(StoreError) -> DeployError {
        move |source| DeployError::Store { doing, source }
    }

    /// Whether a build may come further once its lanes come to a stand, or together.
    pub(crate) fn may_settle(&self) -> bool {
        matches!(self, DeployError::NotTogether { .. } | DeployError::NotStill { .. })
    }

    /// Whether trying again may help by itself: the log or the store does not answer just now.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            DeployError::Log {
                source: LogError::Full { .. } | LogError::Unavailable { .. } | LogError::Unknown { .. },
                ..
            } | DeployError::Store { source: StoreError::Unavailable { .. }, .. }
        )
    }
}
