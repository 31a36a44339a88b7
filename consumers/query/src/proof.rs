//! Whether a position is visible, as far as the log can prove it: a checkpoint that is not of the log that is there says
//! nothing of the records that are there. A node without a log goes by the checkpoint alone.

use std::sync::PoisonError;
use std::time::Duration;

use tidefold_app::model::Projection;
use tidefold_http::{Problem, ProblemKind};
use tidefold_log::{Bounds, LogError, ReadLimit, SharedLog};
use tidefold_record::{Offset, Partition, Position, TopicName};
use tidefold_table::Checkpoint;
use tidefold_table::proof::{Contradiction, Look};
use tidefold_telemetry::clock;

use crate::table::ReadTable;

/// When to come back to a halted projection: an operator has to act first.
pub(crate) const HALTED_RETRY: Duration = Duration::from_secs(30);

/// A topic in the log.
pub struct LogTopic<'a> {
    log: &'a SharedLog,
    name: TopicName,
}

// === impl LogTopic ===

impl<'a> LogTopic<'a> {
    /// The topic of a projection.
    #[must_use]
    pub fn new(log: &'a SharedLog, projection: &Projection) -> LogTopic<'a> {
        LogTopic { log, name: projection.log_topic() }
    }

    /// Refuses a position that the log does not reach to: nobody knows what will stand there.
    ///
    /// # Errors
    /// Where it does not. A log that does not answer says nothing.
    pub(crate) async fn reaches(&self, position: &Position) -> Result<(), Problem> {
        let Ok(Bounds { appended: end, .. }) = self.log.bounds(&self.name, position.partition).await else {
            return Ok(());
        };
        if position.offset < end {
            return Ok(());
        }
        let detail =
            format!("the log of {}:{} ends at {end}, before {position}", position.topic, position.partition);
        Err(Problem::new(ProblemKind::UnknownPosition, detail))
    }

    /// Proves that the checkpoint which reached a position is of this log.
    ///
    /// # Errors
    /// `projection-halted` where it is not, `position-not-reached` where the log does not say.
    pub(crate) async fn prove(
        &self,
        table: &ReadTable,
        position: &Position,
        checkpoint: &Checkpoint,
    ) -> Result<(), Problem> {
        let halted = |reason: String| {
            let detail = format!("whether {position} is visible cannot be told: {reason}");
            Problem::new(ProblemKind::ProjectionHalted, detail).with_retry_after(HALTED_RETRY)
        };
        match self.compare(table, position.partition, checkpoint).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(found)) => Err(halted(format!("{found}; {}", found.remedy()))),
            Err(error @ (LogError::Mismatch { .. } | LogError::NoSuchPartition { .. })) => {
                Err(halted(error.to_string()))
            }
            Err(error) => {
                let detail = format!("whether {position} is visible cannot be told: {error}");
                Err(Problem::new(ProblemKind::PositionNotReached, detail)
                    .with_retry_after(Duration::from_secs(1)))
            }
        }
    }

    async fn compare(
        &self,
        table: &ReadTable,
        partition: Partition,
        checkpoint: &Checkpoint,
    ) -> Result<Result<(), Contradiction>, LogError> {
        let Some(proof) = table.recent.proof(partition.0) else { return Ok(Ok(())) };
        let (now, generation) = (clock::instant(), table.generation);
        let look =
            proof.lock().unwrap_or_else(PoisonError::into_inner).look(generation, checkpoint, now, false);
        let bounds = match look {
            Look::Nothing => return Ok(Ok(())),
            // It was proved once: a log that is away for a moment takes nothing from that.
            Look::Bounds => match self.log.bounds(&self.name, partition).await {
                Err(LogError::Unavailable { .. } | LogError::Unknown { .. } | LogError::Full { .. }) => {
                    return Ok(Ok(()));
                }
                other => other?,
            },
            Look::Record(_) => self.log.bounds(&self.name, partition).await?,
        };
        let mut found = checkpoint.within(bounds.start, bounds.end);
        if let (Ok(()), Look::Record(Some(at))) = (&found, look) {
            found = self.record(partition, at, checkpoint).await?;
        }
        proof.lock().unwrap_or_else(PoisonError::into_inner).found(
            generation,
            checkpoint,
            now,
            found.clone(),
        );
        Ok(found)
    }

    async fn record(
        &self,
        partition: Partition,
        at: Offset,
        checkpoint: &Checkpoint,
    ) -> Result<Result<(), Contradiction>, LogError> {
        match self.log.read(&self.name, partition, at, ReadLimit { records: 1, bytes: 1 }).await {
            Ok(batch) => Ok(checkpoint.stands_on(batch.get(at).as_ref())),
            Err(LogError::OutOfRange { .. }) => Ok(Err(Contradiction::OtherRecord { at })),
            Err(error) => Err(error),
        }
    }
}
