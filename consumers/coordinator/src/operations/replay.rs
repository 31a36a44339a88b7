//! The topics' tables built anew from the start of the log: the backfill.

use std::sync::Arc;

use tidefold_control::{Control, Entry, GenerationState, Manifest};
use tidefold_control_log::{Passing, a_few_times};

use super::begin::run_build;
use super::build::{Build, ReplayOptions};
use crate::coordinator::Coordinator;
use crate::error::CoordinatorError;
use crate::source::Source;

// === impl Coordinator ===

impl Coordinator {
    /// Builds the topics' tables anew from the start of the log, beside the live ones, and activates them: the backfill.
    /// `None`: all topics. A build that is under way is joined, with these options; one that cannot end, as what it was begun
    /// from is not there any more, is given up for a new one. Where differences are accepted and a checkpoint or verdict of
    /// the active generation is damaged, the build judges every record itself instead of following it.
    ///
    /// # Errors
    /// When a topic does not exist or is not the one this process opened, the log does not answer, or what the build would
    /// follow is damaged and differences are not accepted.
    pub async fn replay(
        &self,
        topics: Option<&[String]>,
        options: ReplayOptions,
    ) -> Result<Vec<Build>, CoordinatorError> {
        let process = self.process();
        let sources = match topics {
            None => process.sources.iter().collect(),
            Some(names) => names.iter().map(|name| process.source(name)).collect::<Result<Vec<_>, _>>()?,
        };
        let mut builds = Vec::new();
        for source in sources {
            builds.push(self.replay_one(source, options).await?);
        }
        Ok(builds)
    }

    async fn replay_one(
        &self,
        source: &Arc<Source>,
        options: ReplayOptions,
    ) -> Result<Build, CoordinatorError> {
        let (process, topic) = (self.process(), source.name.as_str());
        let refused = |reason| {
            let generation = process.control_log.active(topic).unwrap_or_default();
            CoordinatorError::Halted { topic: topic.to_owned(), generation, reason }
        };
        if let Some(reason) = process.replaced(source).await {
            return Err(refused(reason));
        }
        let damage = process.damage_of_published(source).await?;
        match &damage {
            Some(damaged) if !options.accept_differences => return Err(refused(damaged.to_string())),
            Some(damaged) => tracing::warn!(topic, %damaged, "the build judges every record itself"),
            None => {}
        }
        let trusted = damage.is_none() && process.verdicts_can_be_followed(source).await;
        let advance = || process.control_log.advance();
        let control = a_few_times(&process.retry(), "read the control topic", advance).await?;
        if let Some((number, manifest)) = building(&control, topic)
            && process.cannot_end(source, number, &manifest, trusted).await
        {
            let generation = number;
            tracing::warn!(topic, generation, "a build that cannot end is given up for a new one");
            self.abandon(topic).await?;
        } else if let Some(build) = self.begun().running(&source.name) {
            return Ok(build);
        }
        let begin = |control: &Control| {
            let known = control.generations(topic)?;
            if known.in_state(GenerationState::Building).next().is_some() {
                return None;
            }
            let verdicts_of = known.active.filter(|_| trusted);
            let manifest = source.manifest(control, process.options.window, verdicts_of)?;
            let generation = known.next_generation();
            Some(Entry::Building { topic: topic.to_owned(), generation, manifest })
        };
        let append = || process.control_log.append(&begin);
        let control = a_few_times(&process.retry(), "append to the control topic", append).await?;
        match process.reconciled().await {
            // It is begun: the build itself tries again, as a server may well need while all processes make its tables.
            Err(error) if error.is_passing() => {
                tracing::warn!(topic, %error, "tables of a build cannot be opened yet");
            }
            other => other?,
        }
        run_build(process, self.begun(), source, &control, options)
            .ok_or_else(|| CoordinatorError::NoGeneration { topic: topic.to_owned(), wanted: "unfinished" })
    }
}

/// The generation of a topic that is being built.
fn building(control: &Control, topic: &str) -> Option<(u32, Manifest)> {
    let (number, generation) = control.generations(topic)?.in_state(GenerationState::Building).next()?;
    Some((number, generation.manifest.clone()))
}
