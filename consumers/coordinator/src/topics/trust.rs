//! Whether what was folded or built is of the log that is there: before a replay builds on it.

use tidefold_control::Manifest;
use tidefold_control_log::a_few_times;
use tidefold_log::{Bounds, LogError};
use tidefold_projector::{Halt, LaneState};
use tidefold_record::Offset;
use tidefold_store::StoreError;
use tidefold_store::published::Published;
use tidefold_table::Damaged;

use crate::error::CoordinatorError;
use crate::process::Process;
use crate::source::Source;

/// Verdicts that are read at once to see whether all can be.
const PAGE: usize = 10_000;

// === impl Process ===

impl Process {
    /// Whether the active generation's verdicts can be taken as given. It has to be folded from the log that is there, or
    /// they say nothing of the log's records; and it has to be folded at all: where its manifest halts it, it publishes no
    /// more verdicts, and a build that waits for them would never end.
    pub(crate) async fn verdicts_can_be_followed(&self, source: &Source) -> bool {
        let control = self.control_log.control();
        let known = control.generations(source.name.as_str());
        let active = known.and_then(|p| p.generations.get_key_value(&p.active?));
        let Some((number, generation)) = active else { return false };
        self.is_of_what_is_there(source, &generation.manifest) && self.lies_in_the_log(source, *number).await
    }

    /// The first row that cannot be read of those that a build would follow: the active generation's checkpoints and
    /// verdicts. A build that met one would halt on it as the active generation does.
    pub(crate) async fn damage_of_published(
        &self,
        source: &Source,
    ) -> Result<Option<Damaged>, CoordinatorError> {
        let control = self.control_log.control();
        let Some(active) = control.active(source.name.as_str()) else { return Ok(None) };
        let Ok(projection) = source.built_from(&control, active) else { return Ok(None) };
        let published = Published::of(&self.components.store, &projection.tables(active));
        let read = || self.read_all(&published, source);
        match a_few_times(&self.retry(), "read what a build would follow", read).await {
            Ok(()) => Ok(None),
            Err(CoordinatorError::Store { source: StoreError::Damaged(damaged), .. }) => Ok(Some(damaged)),
            Err(error) => Err(error),
        }
    }

    async fn read_all(&self, published: &Published, source: &Source) -> Result<(), CoordinatorError> {
        let reading = CoordinatorError::store;
        published.checkpoints(source.partitions()).await.map_err(reading("read checkpoints"))?;
        for partition in source.partitions() {
            let mut from = Some(Offset::ZERO);
            while let Some(start) = from {
                let page = published.verdicts(partition, start..Offset::MAX, PAGE).await;
                let page = page.map_err(reading("read verdicts"))?;
                from = page.last().filter(|_| page.len() == PAGE).map(|(offset, _)| offset.next());
            }
        }
        Ok(())
    }

    /// Whether a build can never end as it is: what it was begun from, or whose verdicts it waits for, is not there any
    /// more, or its own tables are damaged.
    pub(crate) async fn cannot_end(
        &self,
        source: &Source,
        generation: u32,
        built: &Manifest,
        trusted: bool,
    ) -> bool {
        if !self.is_of_what_is_there(source, built) || (built.verdicts_of.is_some() && !trusted) {
            return true;
        }
        let lies_in_the_log = self.lies_in_the_log(source, generation).await;
        let damaged = |state: &LaneState| matches!(state, LaneState::Halted(halt) if halt.is_damage());
        let lanes = self.lanes.of(&source.key(generation));
        !lies_in_the_log || lanes.iter().any(|lane| damaged(&lane.borrow().state))
    }

    fn is_of_what_is_there(&self, source: &Source, built: &Manifest) -> bool {
        source.mismatches(built, self.options.window).is_empty()
    }

    /// Whether the checkpoints of a generation lie within the log, and its lanes here found the records they folded. What
    /// cannot be looked at just now is no reason to doubt it.
    async fn lies_in_the_log(&self, source: &Source, generation: u32) -> bool {
        for mut lane in self.lanes.of(&source.key(generation)) {
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
        let Ok(checkpoints) = self.checkpoints(source, generation).await else { return true };
        let Ok(bounds) = self.bounds(source).await else { return true };
        let within = |next, bounds: &Bounds| bounds.start <= next && next <= bounds.end;
        checkpoints.iter().zip(&bounds).all(|(checkpoint, bounds)| within(checkpoint.next, bounds))
    }
}
