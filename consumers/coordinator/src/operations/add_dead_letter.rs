//! The record declared dead on which its partition is halted. It stands in control, so that every later build goes by it.

use tidefold_control::{Control, Entry};
use tidefold_projector::{Halt, LaneState};
use tidefold_record::{Offset, Position};

use crate::coordinator::Coordinator;
use crate::error::CoordinatorError;

// === impl Coordinator ===

impl Coordinator {
    /// Declares the record dead on which its partition is halted: the partition goes on behind it.
    ///
    /// # Errors
    /// When there is no such topic or record, its partition is not halted there, or the log does not answer.
    pub async fn add_dead_letter(&self, position: &Position, reason: &str) -> Result<(), CoordinatorError> {
        let (topic, partition) = (position.topic.as_str(), position.partition);
        let process = self.process();
        let source = process.source(topic)?;
        let active = process.active(source).await?;
        let refuse = |reason: String| CoordinatorError::NotHaltedThere { position: position.clone(), reason };
        let (state, next) = match process.lanes.lane(&source.key(active), partition) {
            Some((state, next)) => (Some(state), next),
            None => {
                let checkpoints = process.checkpoints(source, active).await?;
                let checkpoint = checkpoints.get(partition.0 as usize).map(|checkpoint| checkpoint.next);
                (None, checkpoint.ok_or_else(|| refuse(format!("the topic has no partition {partition}")))?)
            }
        };
        if let Some(reason) = not_halted_there(state, next, position) {
            return Err(refuse(reason));
        }
        let decide = |control: &Control| {
            let known = control.generations(topic);
            let mut dead = known.into_iter().flat_map(|p| p.dead_letters(partition.0, position.offset));
            let known = dead.next().is_some_and(|(offset, _)| offset == position.offset);
            (!known).then(|| Entry::DeadLetterAdded {
                topic: topic.to_owned(),
                partition: partition.0,
                offset: position.offset.0,
                reason: reason.to_owned(),
            })
        };
        process.control_log.append(decide).await?;
        Ok(())
    }
}

/// Why a partition, whose lane here does this, is not halted at a record.
fn not_halted_there(state: Option<LaneState>, next: Offset, position: &Position) -> Option<String> {
    if position.offset < next {
        return Some("it is folded already".to_owned());
    }
    match state {
        Some(LaneState::Halted(Halt::Record { position: halted, .. })) => {
            (halted != *position).then(|| format!("the partition is halted at {halted}"))
        }
        Some(LaneState::Halted(_)) => {
            Some("its partition is halted, but not by a record: see `tidefold status`".to_owned())
        }
        Some(_) => Some("its partition is not halted".to_owned()),
        None => Some("another process folds its partition, if any does: ask that one".to_owned()),
    }
}
