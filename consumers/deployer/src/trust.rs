//! Whether what was folded or built is of the log that is there: before a replay builds on it.

use tidefold_control::Manifest;
use tidefold_log::{Bounds, LogError};
use tidefold_projector::{Halt, LaneState};

use crate::manifest::{manifest, mismatches};
use crate::node::{Key, Node};

// === impl Node ===

impl Node {
    /// Whether the active generation's verdicts can be taken as given. It has to be folded from the log that is there, or
    /// they say nothing of the log's records; and it has to be folded at all: where its manifest halts it, it publishes no
    /// more verdicts, and a build that waits for them would never end.
    pub(crate) async fn verdicts_can_be_followed(&self, place: usize) -> bool {
        let control = self.driver.control();
        let projection = self.app.topics.get(place).and_then(|topic| control.projection(topic.name.as_str()));
        let active = projection.and_then(|p| p.generations.get_key_value(&p.active?));
        let Some((number, generation)) = active else { return false };
        self.is_of_what_is_there(place, &generation.manifest) && self.lies_in_the_log((place, *number)).await
    }

    /// Whether a build can never end as it is: what it was begun from, or whose verdicts it waits for, is not there any
    /// more, or its own tables are damaged.
    pub(crate) async fn cannot_end(&self, key: Key, built: &Manifest, trusted: bool) -> bool {
        if !self.is_of_what_is_there(key.0, built) || (built.verdicts_of.is_some() && !trusted) {
            return true;
        }
        let lies_in_the_log = self.lies_in_the_log(key).await;
        let damaged = |lane: &tokio::sync::watch::Receiver<tidefold_projector::LaneStatus>| matches!(&lane.borrow().state, LaneState::Halted(halt) if is_damaged(halt));
        !lies_in_the_log || self.lanes(key).iter().any(damaged)
    }

    fn is_of_what_is_there(&self, place: usize, built: &Manifest) -> bool {
        self.topics.get(place).is_some_and(|there| {
            mismatches(built, &manifest(&self.app, there, self.options.window, None)).is_empty()
        })
    }

    /// Whether the checkpoints of a generation lie within the log, and its lanes here found the records they folded. What
    /// cannot be looked at just now is no reason to doubt it.
    async fn lies_in_the_log(&self, key: Key) -> bool {
        for mut lane in self.lanes(key) {
            let placed = lane.wait_for(|status| status.state != LaneState::Starting).await;
            let state = placed.map(|status| status.state.clone());
            let other_log = matches!(
                state,
                Ok(LaneState::Halted(
                    Halt::PastEnd { .. }
                        | Halt::BeforeStart { .. }
                        | Halt::OtherRecord { .. }
                        | Halt::Log(LogError::OutOfRange { .. })
                ))
            );
            if other_log {
                return false;
            }
        }
        // In this order: the log only grows meanwhile, so that no checkpoint seems to be past its end.
        let Ok(checkpoints) = self.checkpoints(key).await else { return true };
        let Ok(bounds) = self.bounds(key.0).await else { return true };
        let within = |next, bounds: &Bounds| bounds.start <= next && next <= bounds.end;
        checkpoints.iter().zip(&bounds).all(|(checkpoint, bounds)| within(checkpoint.next, bounds))
    }
}

fn is_damaged(halt: &Halt) -> bool {
    match halt {
        Halt::DamagedRow { .. } => true,
        Halt::Record { halt, .. } => is_damaged(halt),
        _ => false,
    }
}
