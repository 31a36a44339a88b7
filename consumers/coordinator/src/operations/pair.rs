//! A generation and the one that is to be active in its place, brought to a common position.

use std::sync::Arc;

use tidefold_control::GenerationState;
use tidefold_record::{Offset, Partition};
use tidefold_telemetry::clock;

use crate::error::CoordinatorError;
use crate::process::Process;
use crate::source::Source;

/// A generation, and the one that is to be active in its place.
pub(crate) struct Pair {
    pub(super) process: Arc<Process>,
    pub(super) source: Arc<Source>,
    /// The active one.
    pub(super) from: u32,
    /// The new one.
    pub(super) to: u32,
    /// The state in which the new one is until it is active: another process may see to that as well.
    pub(super) state: GenerationState,
    /// Whether it takes the active generation's verdicts, and so can be compared with it at a common position.
    pub(super) follows: bool,
}

/// How far the new one of a pair is: offsets folded over all partitions, and offsets there are to fold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reached {
    pub(super) done: u64,
    pub(super) total: u64,
}

// === impl Pair ===

impl Pair {
    pub(super) fn name(&self) -> &str {
        self.source.name.as_str()
    }

    /// Waits until every partition is within `near` of where it can get. Its lanes may be anywhere: checkpoints tell.
    pub(super) async fn catch_up(
        &self,
        near: u64,
        reached: &(dyn Fn(Reached) + Sync),
    ) -> Result<(), CoordinatorError> {
        let mut moved = self.process.components.store.checkpoints_moved().times;
        loop {
            moved.borrow_and_update();
            self.can_go_on()?;
            let nexts = self.process.checkpoints(&self.source, self.to).await?;
            let nexts: Vec<_> = nexts.into_iter().map(|checkpoint| checkpoint.next).collect();
            let targets = self.targets().await?;
            let (done, total) = (sum(&nexts), sum(&targets));
            reached(Reached { done, total: total.max(done) });
            let is_near = nexts.iter().zip(&targets).all(|(next, end)| end.distance_from(*next) <= near);
            if is_near && nexts.len() == targets.len() {
                return Ok(());
            }
            tokio::select! {
                Ok(()) = moved.changed() => {}
                () = clock::pause(self.process.options.lanes.look_again) => {}
            }
        }
    }

    /// An error once the generation is not what it was any more, or a partition of it is halted. Of those that are here
    /// their lanes tell, of others what their processes said.
    fn can_go_on(&self) -> Result<(), CoordinatorError> {
        let (topic, generation, key) = (self.name().to_owned(), self.to, self.source.key(self.to));
        let control = self.process.control_log.control();
        let known = control.generations(&topic);
        if known.and_then(|known| known.state(self.to)) != Some(self.state) {
            return Err(CoordinatorError::NoGeneration { topic, wanted: "such" });
        }
        let owned = self.process.owned(&self.source);
        let elsewhere = || {
            let mut halted = known.into_iter().flat_map(|known| known.halted(self.to));
            let other = halted.find(|(partition, _)| !owned.contains_key(&Partition(*partition)));
            other.map(|(partition, reason)| format!("partition {partition}: {reason}"))
        };
        let lanes = &self.process.lanes;
        let here = || lanes.of(&key).into_iter().find_map(|lane| lane.borrow().state.reason());
        let halted = lanes.halted(&key).or_else(here).or_else(elsewhere);
        halted.map_or(Ok(()), |reason| Err(CoordinatorError::Halted { topic, generation, reason }))
    }

    /// How far each lane can get: to the active generation's checkpoint while it follows, never past the log's end.
    async fn targets(&self) -> Result<Vec<Offset>, CoordinatorError> {
        let ends = self.process.ends(&self.source).await?;
        if !self.follows {
            return Ok(ends);
        }
        let active = self.process.checkpoints(&self.source, self.from).await?;
        Ok(active.into_iter().zip(ends).map(|(checkpoint, end)| checkpoint.next.min(end)).collect())
    }
}

fn sum(offsets: &[Offset]) -> u64 {
    offsets.iter().map(|offset| offset.0).sum()
}
