//! What an operator does about a partition that stands: declares the record dead that halts it, lifts the breaker. Each is an
//! entry of the control topic, so that every process and every later build goes by it.

use tidefold_control::Entry;
use tidefold_projector::{Halt, LaneState};
use tidefold_record::{Offset, Partition, Position};

use crate::deployer::Deployer;
use crate::error::DeployError;

// === impl Deployer ===

impl Deployer {
    /// Declares the record dead on which its partition is halted: the partition goes on behind it.
    ///
    /// # Errors
    /// When there is no such topic or record, its partition is not halted there, or the log does not answer.
    pub async fn add_dead_letter(&self, position: &Position, reason: &str) -> Result<(), DeployError> {
        let (topic, partition) = (position.topic.as_str(), position.partition);
        let place = self.place(topic)?;
        let control = self.node().driver.advance().await?;
        let refuse = |reason: String| DeployError::NotHaltedThere { position: position.clone(), reason };
        let active = control.active(topic);
        let active =
            active.ok_or_else(|| DeployError::NoGeneration { topic: topic.to_owned(), wanted: "active" })?;
        let state = self.node().lane_of((place, active), partition);
        let (state, next) = match state {
            Some((state, next)) => (Some(state), next),
            None => {
                let checkpoints = self.node().checkpoints((place, active)).await?;
                let checkpoint = checkpoints.get(partition.0 as usize).map(|checkpoint| checkpoint.next);
                (None, checkpoint.ok_or_else(|| refuse(format!("the topic has no partition {partition}")))?)
            }
        };
        match state {
            Some(LaneState::Halted(Halt::Record { position: halted, .. })) if halted == *position => {}
            Some(LaneState::Halted(Halt::Record { position: halted, .. })) => {
                return Err(refuse(format!("the partition is halted at {halted}")));
            }
            _ if position.offset < next => return Err(refuse("it is folded already".to_owned())),
            Some(LaneState::Halted(_)) => {
                return Err(refuse(
                    "its partition is halted, but not by a record: see `tidefold status`".to_owned(),
                ));
            }
            Some(_) => return Err(refuse("its partition is not halted".to_owned())),
            None => {
                return Err(refuse(
                    "another process folds its partition, if any does: ask that one".to_owned(),
                ));
            }
        }
        let decide = |control: &tidefold_control::Control| {
            let projection = control.projection(topic);
            let mut dead = projection.into_iter().flat_map(|p| p.dead_letters(partition.0, position.offset));
            let known = dead.next().is_some_and(|(offset, _)| offset == position.offset);
            Ok((!known).then(|| Entry::DeadLetterAdded {
                topic: topic.to_owned(),
                partition: partition.0,
                offset: position.offset.0,
                reason: reason.to_owned(),
            }))
        };
        self.node().driver.append(decide).await?;
        Ok(())
    }

    /// Lifts the breaker of a topic's partitions that it holds here, or of one. Returns where they stood.
    ///
    /// # Errors
    /// When there is no such topic, or the log does not answer.
    pub async fn lift_breaker(
        &self,
        topic: &str,
        partition: Option<Partition>,
    ) -> Result<Vec<Position>, DeployError> {
        let place = self.place(topic)?;
        let control = self.node().driver.advance().await?;
        let active = control.active(topic);
        let active =
            active.ok_or_else(|| DeployError::NoGeneration { topic: topic.to_owned(), wanted: "active" })?;
        let partitions = self.node().topics.get(place).map_or(0, |topic| topic.partitions);
        let mut lifted = Vec::new();
        for at in (0..partitions).map(Partition).filter(|at| partition.is_none_or(|only| only == *at)) {
            let Some((LaneState::Tripped(_), next)) = self.node().lane_of((place, active), at) else {
                continue;
            };
            let decide = |control: &tidefold_control::Control| {
                let known = control.projection(topic).and_then(|projection| projection.lifted(at.0));
                Ok((known < Some(next)).then(|| Entry::BreakerLifted {
                    topic: topic.to_owned(),
                    partition: at.0,
                    next: next.0,
                }))
            };
            self.node().driver.append(decide).await?;
            lifted.extend(self.node().app.topics.get(place).map(|t| Position::new(t.name.clone(), at, next)));
        }
        Ok(lifted)
    }
}

// === impl Node ===

impl crate::node::Node {
    /// What a partition's lane here does, and the next offset it folds.
    fn lane_of(&self, key: crate::node::Key, partition: Partition) -> Option<(LaneState, Offset)> {
        let lanes = self.lanes(key).into_iter();
        let found = lanes.map(|lane| lane.borrow().clone()).find(|lane| lane.partition == partition)?;
        Some((found.state, found.next))
    }
}
