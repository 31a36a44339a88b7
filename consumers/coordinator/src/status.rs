//! What this process does about every generation.

use std::collections::BTreeMap;

use tidefold_control::GenerationState;
use tidefold_projector::LaneStatus;
use tidefold_record::Partition;

use crate::process::Process;

/// A generation as this process sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationStatus {
    /// The projection's topic.
    pub topic: String,
    /// The generation.
    pub generation: u32,
    /// Where it stands.
    pub state: GenerationState,
    /// Its lanes that are here.
    pub lanes: Vec<LaneStatus>,
    /// Why it is not folded at all, and what to do.
    pub halted: Option<String>,
    /// Partitions whose stored checkpoint could not be read when it was looked at last, and what to do. A lane that is at
    /// work writes it anew with its next batch.
    pub damaged: BTreeMap<Partition, String>,
}

// === impl Process ===

impl Process {
    pub(crate) fn status(&self) -> Vec<GenerationStatus> {
        let control = self.control_log.control();
        let live = self.generations(&control).filter(|(_, _, g)| g.state != GenerationState::Gone);
        let status = live.map(|(source, number, generation)| {
            let key = source.key(number);
            GenerationStatus {
                topic: source.name.to_string(),
                generation: number,
                state: generation.state,
                lanes: self.lanes.of(&key).iter().map(|lane| lane.borrow().clone()).collect(),
                halted: self.lanes.halted(&key),
                damaged: self.damage.of(&key),
            }
        });
        status.collect()
    }
}
