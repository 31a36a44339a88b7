//! What this process does about every generation.

use tidefold_control::GenerationState;
use tidefold_projector::LaneStatus;

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
            }
        });
        status.collect()
    }
}
