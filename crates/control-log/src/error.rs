//! What keeps control from being read or written.

use tidefold_log::LogError;
use tidefold_store::StoreError;

use crate::waiting::Passing;

/// What went wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ControlLogError {
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
    /// Records under strange schema ids made all ids be refused.
    #[error(
        "no schema id is left for a message of {app}: records with ids of another registry were sent to its topics until \
         every id was refused; begin the app anew under another name or topic prefix"
    )]
    NoSchemaId {
        /// The app.
        app: String,
    },
    /// The task that reads and writes the topic has ended with its runtime.
    #[error("the control topic of {app} is not followed any more: the node is shutting down")]
    Ended {
        /// The app.
        app: String,
    },
}

// === impl ControlLogError ===

impl ControlLogError {
    pub(crate) fn log(doing: &'static str) -> impl FnOnce(LogError) -> ControlLogError {
        move |source| ControlLogError::Log { doing, source }
    }

    pub(crate) fn store(doing: &'static str) -> impl FnOnce(StoreError) -> ControlLogError {
        move |source| ControlLogError::Store { doing, source }
    }
}

impl Passing for ControlLogError {
    fn is_passing(&self) -> bool {
        match self {
            ControlLogError::Log { source, .. } => source.is_passing(),
            ControlLogError::Store { source, .. } => source.is_passing(),
            ControlLogError::DefinitionChanged { .. }
            | ControlLogError::Refused { .. }
            | ControlLogError::Contended { .. }
            | ControlLogError::NoSchemaId { .. }
            | ControlLogError::Ended { .. } => false,
        }
    }
}

impl Passing for LogError {
    fn is_passing(&self) -> bool {
        matches!(self, LogError::Full { .. } | LogError::Unavailable { .. } | LogError::Unknown { .. })
    }
}

impl Passing for StoreError {
    fn is_passing(&self) -> bool {
        matches!(self, StoreError::Unavailable { .. })
    }
}
