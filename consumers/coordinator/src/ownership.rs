//! Which partitions are here, followed; and what is reported of them.

use std::sync::Arc;
use std::time::Duration;

use tidefold_control::{Control, Entry, GenerationState};
use tidefold_control_log::{Waiting, patiently};
use tidefold_projector::{LaneState, LaneStatus, Place};
use tidefold_record::{Offset, Partition};
use tidefold_telemetry::clock;

use crate::error::CoordinatorError;
use crate::process::Process;
use crate::source::Source;

/// How often the group's lag tools are told how far partitions are folded.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Follows control for ever, and makes what runs equal to it.
pub(crate) async fn follow_control(process: Arc<Process>) {
    loop {
        process.control_log.follow().await;
        process.settled().await;
    }
}

/// Follows what this process owns, for ever.
pub(crate) async fn follow_owned(process: Arc<Process>) {
    let mut owned = process.owned.clone();
    let rebalances = process.components.telemetry.rebalances(&Process::group(&process.app));
    while owned.changed().await.is_ok() {
        rebalances.inc();
        // What came here may be held: the one that had it may have said so.
        let (retry, advance) = (process.retry(), || process.control_log.advance());
        if let Err(error) = patiently(&retry, &Waiting::default(), "read the control topic", advance).await {
            tracing::warn!(%error, "the control topic cannot be read");
        }
        process.settled().await;
    }
}

/// Reports to the group's lag tools how far partitions are folded, and to builds what halts them, for ever.
pub(crate) async fn report(process: Arc<Process>) {
    loop {
        clock::pause(REPORT_EVERY).await;
        process.report_progress();
        if let Err(error) = process.report_halts().await {
            tracing::warn!(%error, "what halts a build cannot be reported; trying again");
        }
    }
}

// === impl Process ===

impl Process {
    /// Reports to the group how far the lanes of active generations are.
    fn report_progress(&self) {
        let control = self.control_log.control();
        for (source, number, generation) in self.generations(&control) {
            if generation.state != GenerationState::Active {
                continue;
            }
            for lane in self.lanes.of(&source.key(number)) {
                let status = lane.borrow();
                if status.place == Place::Found && status.next > Offset::ZERO {
                    self.membership.folded(&source.there.name, status.partition, status.next);
                }
            }
        }
    }

    /// Reports to builds, which may run in other processes, which partitions here are halted, and which go on again.
    async fn report_halts(&self) -> Result<(), CoordinatorError> {
        let control = self.control_log.control();
        for (source, number, generation) in self.generations(&control) {
            if generation.state != GenerationState::Building {
                continue;
            }
            for (partition, reason) in self.halts(source, number) {
                let decide = |control: &Control| {
                    let known = control.generations(source.name.as_str());
                    let building = known.filter(|p| p.state(number) == Some(GenerationState::Building));
                    let said = building?.halted(number).find(|(said, _)| *said == partition.0);
                    let same = said.map(|(_, said)| said) == reason.as_deref();
                    let (topic, reason) = (source.name.to_string(), reason.clone());
                    let entry = Entry::Halted { topic, generation: number, partition: partition.0, reason };
                    (!same).then_some(entry)
                };
                // Nothing is read or written while control says so already.
                if decide(&control).is_some() {
                    self.control_log.append(decide).await?;
                }
            }
        }
        Ok(())
    }

    /// Of each partition here that is known to be halted or to go on, why it is halted.
    fn halts(&self, source: &Source, generation: u32) -> Vec<(Partition, Option<String>)> {
        let key = source.key(generation);
        if let Some(reason) = self.lanes.halted(&key) {
            let owned = self.owned(source).into_keys();
            return owned.map(|partition| (partition, Some(reason.clone()))).collect();
        }
        let known = |status: &LaneStatus| {
            let halted = status.state.reason();
            let goes_on = matches!(status.state, LaneState::Running | LaneState::Waiting | LaneState::Held);
            (halted.is_some() || goes_on).then(|| (status.partition, halted.clone()))
        };
        self.lanes.of(&key).iter().filter_map(|lane| known(&lane.borrow())).collect()
    }
}
