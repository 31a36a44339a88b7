//! The way of a stream's messages into one partition: in their order, with patience while the log is full.
//!
//! A key's messages are all in one partition, so order within the partition is order within the key. Each batch waits
//! for the one before it to be settled, and if that one failed for want of the log, is not tried at all.

use std::sync::Arc;
use std::time::Duration;

use tidefold_log::{Appended, LogError};
use tidefold_record::{BatchBuilder, Offset, Partition};
use tidefold_telemetry::clock;
use tokio::sync::oneshot;

use crate::catalog::TopicEntry;
use crate::failure::Failure;
use crate::intake::Intake;

/// Messages of one chunk for one partition.
pub(crate) struct LaneBatch {
    pub(crate) topic: Arc<TopicEntry>,
    pub(crate) partition: Partition,
    pub(crate) batch: BatchBuilder,
}

/// The place of a batch in its partition's order.
pub(crate) struct Turn {
    /// Says whether the batch before it came through; none for the first.
    pub(crate) before: Option<oneshot::Receiver<bool>>,
    /// Says it to the next.
    pub(crate) done: oneshot::Sender<bool>,
}

/// What became of a batch's records.
#[derive(Debug)]
pub(crate) enum Fates {
    /// They were appended together.
    Appended(Appended),
    /// Each has its own.
    Each(Vec<Result<Offset, Failure>>),
    /// None of them came through.
    Failed(Failure),
}

// === impl Fates ===

impl Fates {
    /// What became of one record.
    pub(crate) fn of(&self, record: usize) -> Result<Offset, Failure> {
        match self {
            Fates::Appended(appended) => appended.offset(record).map_err(Failure::Log),
            Fates::Each(fates) => fates.get(record).cloned().unwrap_or(Err(Failure::OrderKept)),
            Fates::Failed(failure) => Err(failure.clone()),
        }
    }

    /// Whether what comes behind may go on without overtaking anything.
    fn came_through(&self) -> bool {
        match self {
            Fates::Appended(Appended::From(_)) => true,
            Fates::Appended(Appended::Each(fates)) => {
                fates.iter().all(|fate| matches!(fate, Ok(_) | Err(LogError::TooLarge { .. })))
            }
            Fates::Each(fates) => fates.iter().all(|fate| match fate {
                Ok(_) => true,
                Err(failure) => failure.is_the_records_own(),
            }),
            Fates::Failed(failure) => failure.is_the_records_own(),
        }
    }
}

/// Appends a batch in its turn.
pub(crate) async fn append_in_turn(intake: Arc<Intake>, lane: LaneBatch, turn: Turn) -> Fates {
    let may_go = match turn.before {
        Some(before) => before.await.unwrap_or(false),
        None => true,
    };
    let fates = match may_go {
        true => append_patiently(&intake, &lane.topic, lane.partition, lane.batch).await,
        false => Fates::Failed(Failure::OrderKept),
    };
    // The next may be gone with its stream.
    let _ = turn.done.send(fates.came_through());
    fates
}

/// Appends a batch, waiting for room for as long as the settings say, and leaving out records the log finds too large.
async fn append_patiently(
    intake: &Intake,
    topic: &TopicEntry,
    partition: Partition,
    batch: BatchBuilder,
) -> Fates {
    match append_with_patience(intake, topic, partition, &batch).await {
        Ok(appended) => Fates::Appended(appended),
        Err(error @ LogError::TooLarge { .. }) if batch.len() > 1 => {
            append_without_the_large(intake, topic, partition, batch, error).await
        }
        Err(error) => Fates::Failed(Failure::Log(error)),
    }
}

async fn append_with_patience(
    intake: &Intake,
    topic: &TopicEntry,
    partition: Partition,
    batch: &BatchBuilder,
) -> Result<Appended, LogError> {
    let since = clock::instant();
    loop {
        let error = match intake.append(topic, partition, batch.clone()).await {
            Ok(appended) => return Ok(appended),
            Err(error) => error,
        };
        let LogError::Full { retry_after } = error else { return Err(error) };
        let left = intake.settings.full_patience.saturating_sub(since.elapsed());
        if left.is_zero() {
            return Err(error);
        }
        clock::pause(retry_after.clamp(Duration::from_millis(5), left.max(Duration::from_millis(5)))).await;
    }
}

/// Appends a batch in which a record was found too large: that one gets its own failure, the rest is tried again.
async fn append_without_the_large(
    intake: &Intake,
    topic: &TopicEntry,
    partition: Partition,
    batch: BatchBuilder,
    first_error: LogError,
) -> Fates {
    let mut fates: Vec<Result<Offset, Failure>> = vec![Err(Failure::OrderKept); batch.len()];
    let mut places: Vec<usize> = (0..batch.len()).collect();
    let mut rest = batch;
    let mut error = first_error;
    loop {
        let LogError::TooLarge { index, .. } = error else {
            settle(&mut fates, &places, |_| Err(error.clone()));
            return Fates::Each(fates);
        };
        if index >= places.len() {
            settle(&mut fates, &places, |_| Err(error.clone()));
            return Fates::Each(fates);
        }
        let place = places.remove(index);
        settle(&mut fates, &[place], |_| Err(error.clone()));
        let mut without = BatchBuilder::with_capacity(places.len(), rest.size_bytes());
        for (at, record) in rest.iter(Offset::ZERO).enumerate() {
            if at != index {
                without.push(record.key, record.value, record.headers);
            }
        }
        rest = without;
        if places.is_empty() {
            return Fates::Each(fates);
        }
        match append_with_patience(intake, topic, partition, &rest).await {
            Ok(appended) => {
                settle(&mut fates, &places, |at| appended.offset(at));
                return Fates::Each(fates);
            }
            Err(next) => error = next,
        }
    }
}

fn settle(
    fates: &mut [Result<Offset, Failure>],
    places: &[usize],
    fate: impl Fn(usize) -> Result<Offset, LogError>,
) {
    for (at, place) in places.iter().enumerate() {
        if let Some(slot) = fates.get_mut(*place) {
            *slot = fate(at).map_err(Failure::Log);
        }
    }
}
