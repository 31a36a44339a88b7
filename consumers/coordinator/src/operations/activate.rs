//! A generation put in the place of the active one, at one position.

use tidefold_control::{Control, Entry};

use super::compare::{self, Comparison, Suspects};
use super::pair::{Pair, Reached};
use crate::error::CoordinatorError;
use crate::quiesce::Quiesced;

/// How an activation went.
pub(super) enum Activation {
    /// The new one is active.
    Done(Comparison),
    /// It is not: rows differ.
    Differs(Comparison),
}

// === impl Pair ===

impl Pair {
    /// Brings both generations to a common position, compares what differed, and activates the new one there: so each
    /// generation's verdicts go on where the other's end. Where rows differ, it does so if that is accepted.
    pub(super) async fn switch(
        &self,
        suspects: &[Suspects],
        accept_differences: bool,
        reached: &(dyn Fn(Reached) + Sync),
    ) -> Result<Activation, CoordinatorError> {
        let limit = self.process.options.hold;
        let store = &*self.process.components.store;
        if !self.follows {
            let comparison = compare::recheck(store, suspects).await?;
            self.activate(None).await?;
            return Ok(Activation::Done(comparison));
        }
        let quiesced = self.process.quiesce(&self.source, self.from, limit).await?;
        let together = tokio::time::timeout(limit, self.catch_up(0, reached)).await;
        together.map_err(|_| self.not_together())??;
        let comparison = compare::recheck(store, suspects).await?;
        quiesced.has_stood().await?;
        if comparison.differing() > 0 && !accept_differences {
            return Ok(Activation::Differs(comparison));
        }
        self.activate(Some(&quiesced)).await?;
        Ok(Activation::Done(comparison))
    }

    /// Activates the new generation, if the one before still stands.
    async fn activate(&self, quiesced: Option<&Quiesced>) -> Result<(), CoordinatorError> {
        let topic = self.name();
        let decide = |control: &Control| {
            let active = control.active(topic);
            if active == Some(self.to) {
                return Ok(None);
            }
            if active != Some(self.from) {
                return Err(CoordinatorError::NoGeneration {
                    topic: topic.to_owned(),
                    wanted: "such active",
                });
            }
            if quiesced.is_some_and(|quiesced| !quiesced.is_held(control)) {
                return Err(self.not_together());
            }
            Ok(Some(Entry::Activated { topic: topic.to_owned(), generation: self.to }))
        };
        self.process.control_log.try_append(decide).await?;
        self.process.reconciled().await
    }

    fn not_together(&self) -> CoordinatorError {
        let (topic, limit) = (self.name().to_owned(), self.process.options.hold);
        CoordinatorError::NotTogether { topic, from: self.from, to: self.to, limit }
    }
}
