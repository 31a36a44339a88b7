//! The breaker of partitions lifted, which it holds because of many dead letters. It stands in control, where their lanes
//! read it.

use tidefold_control::{Control, Entry};
use tidefold_projector::LaneState;
use tidefold_record::{Partition, Position};

use crate::coordinator::Coordinator;
use crate::error::CoordinatorError;

// === impl Coordinator ===

impl Coordinator {
    /// Lifts the breaker of a topic's partitions that it holds here, or of one. Returns where they stood.
    ///
    /// # Errors
    /// When there is no such topic, or the log does not answer.
    pub async fn lift_breaker(
        &self,
        topic: &str,
        partition: Option<Partition>,
    ) -> Result<Vec<Position>, CoordinatorError> {
        let process = self.process();
        let source = process.source(topic)?;
        let key = source.key(process.active(source).await?);
        let mut lifted = Vec::new();
        for at in source.partitions().filter(|at| partition.is_none_or(|only| only == *at)) {
            let Some((LaneState::Tripped(_), next)) = process.lanes.lane(&key, at) else { continue };
            let decide = |control: &Control| {
                let known = control.generations(topic).and_then(|known| known.lifted(at.0));
                (known < Some(next)).then(|| Entry::BreakerLifted {
                    topic: topic.to_owned(),
                    partition: at.0,
                    next: next.0,
                })
            };
            process.control_log.append(decide).await?;
            lifted.push(Position::new(source.name.clone(), at, next));
        }
        Ok(lifted)
    }
}
