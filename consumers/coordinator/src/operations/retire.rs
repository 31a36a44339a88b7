//! Generations that are not needed any more, given up with their tables.

use tidefold_control::{Control, Entry, GenerationState};

use crate::coordinator::Coordinator;
use crate::error::CoordinatorError;

// === impl Coordinator ===

impl Coordinator {
    /// Drops every kept generation of a topic. Returns their numbers.
    ///
    /// # Errors
    /// When the topic does not exist, or the log or the store does not answer; then it goes on at the next start.
    pub async fn retire(&self, topic: &str) -> Result<Vec<u32>, CoordinatorError> {
        self.end_all(topic, GenerationState::Kept, |topic, generation| Entry::Retired { topic, generation })
            .await
    }

    /// Gives up the build of a topic, if there is one, and drops its tables. Returns its number.
    ///
    /// # Errors
    /// When the topic does not exist, or the log or the store does not answer; then it goes on at the next start.
    pub async fn abandon(&self, topic: &str) -> Result<Vec<u32>, CoordinatorError> {
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
    ) -> Result<Vec<u32>, CoordinatorError> {
        let process = self.process();
        process.source(topic)?;
        let in_state = |control: &Control| -> Vec<u32> {
            let known = control.generations(topic);
            known.map(|p| p.in_state(state).map(|(number, _)| number).collect()).unwrap_or_default()
        };
        // Only those that are there now: what comes to this state in between is somebody else's.
        let chosen = in_state(&*process.control_log.advance().await?);
        for generation in &chosen {
            let decide = |control: &Control| {
                let there = in_state(control).contains(generation);
                there.then(|| entry(topic.to_owned(), *generation))
            };
            process.control_log.append(decide).await?;
        }
        process.reconciled().await?;
        Ok(chosen)
    }
}
