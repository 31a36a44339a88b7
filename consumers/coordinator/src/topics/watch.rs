//! Topics, looked at now and then: a halt of its projection where one is wrong, and its end.

use std::sync::Arc;

use tidefold_control::GenerationState;
use tidefold_record::Offset;
use tidefold_telemetry::clock;

use super::identity::Looked;
use crate::damage::Read;
use crate::process::Process;
use crate::source::Source;

/// Looks now and then whether the topics are still the ones that were opened, for ever.
pub(crate) async fn watch(process: Arc<Process>) {
    loop {
        clock::pause(process.options.look_at_topics).await;
        for source in &process.sources {
            process.look_again(source).await;
        }
    }
}

// === impl Process ===

impl Process {
    async fn look_again(&self, source: &Source) {
        let before = self.lanes.wrong(&source.name);
        if before.as_ref().is_none_or(|wrong| wrong.may_be_right_again) {
            match self.look(source).await {
                Looked::Wrong(wrong) if before.as_ref() != Some(&wrong) => {
                    tracing::error!(topic = %source.there.name, reason = wrong.reason, "topic halted");
                    self.lanes.halt(&source.name, wrong);
                    self.assign();
                }
                Looked::Right if before.is_some() => {
                    tracing::warn!(topic = %source.there.name, "the topic is right again; it is folded on");
                    // Each lane proves that the log is the one it folded before it goes on.
                    self.lanes.put_right(&source.name);
                    return self.settled().await;
                }
                Looked::Right | Looked::Wrong(_) | Looked::Untold => {}
            }
        }
        self.look_at_checkpoints(source).await;
    }

    /// Looks at the checkpoints of a topic, which lanes write and never read again: what is damaged is noted. Where a
    /// generation as a whole stands, it counts what is not folded: no lane does. What cannot be asked just now stays as it was.
    async fn look_at_checkpoints(&self, source: &Source) {
        let control = self.control_log.control();
        for (of, number, generation) in self.generations(&control) {
            if of.name != source.name || generation.state == GenerationState::Gone {
                continue;
            }
            let Ok(checkpoints) = self.each_checkpoint(source, number).await else { continue };
            if self.lanes.halted(&source.key(number)).is_some() {
                self.report_lag(source, number, &checkpoints).await;
            }
        }
    }

    async fn report_lag(&self, source: &Source, generation: u32, checkpoints: &[Read]) {
        let Ok(bounds) = self.bounds(source).await else { return };
        let owned = self.owned(source);
        for (partition, (checkpoint, bounds)) in source.partitions().zip(checkpoints.iter().zip(&bounds)) {
            if owned.contains_key(&partition) {
                // Where it cannot be read, everything may be missing.
                let next = checkpoint.as_ref().map_or(Offset::ZERO, |checkpoint| checkpoint.next);
                let records = bounds.appended.distance_from(next);
                let (telemetry, app) = (&self.components.telemetry, &*self.app);
                tidefold_projector::lag(telemetry, app, &source.name, generation, partition, records);
            }
        }
    }
}
