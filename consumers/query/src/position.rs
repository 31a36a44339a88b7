//! What is visible, how old it is, and waiting for a position to become visible.

use std::collections::BTreeSet;
use std::time::Duration;

use tidefold_app::model::Topic;
use tidefold_fold::Checkpoint;
use tidefold_http::{FieldError, Problem, ProblemKind};
use tidefold_log::SharedLog;
use tidefold_record::{Partition, Position};
use tidefold_store::{SharedStore, StoreError};
use tidefold_telemetry::clock;
use tokio::time::Instant;

use crate::generations::ReadTable;
use crate::proof::{HALTED_RETRY, LogTopic};

/// How often a waiting request looks again when nothing told it to: writes of other processes tell nobody.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What an answer says of itself, read before its rows: a lower bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visible {
    /// `orders:3:918`, or several with commas: the last record folded, of each partition the rows may come from.
    pub positions: String,
    /// Milliseconds since the last of them was appended; 0 where nothing newer stands in the log; `None` while a partition
    /// has records of which none was folded, or nothing tells whether it has.
    pub age_ms: Option<u64>,
}

/// Reads the positions of a `Tidefold-Min-Position` header: one, or several with commas.
///
/// # Errors
/// When one is no position of this topic.
pub fn parse(header: &str, topic: &Topic) -> Result<Vec<Position>, Problem> {
    let mut positions = Vec::new();
    let mut errors = Vec::new();
    for text in header.split(',').map(str::trim) {
        let refuse = |detail: String| FieldError::in_parameter("Tidefold-Min-Position", "bad_format", detail);
        match text.parse::<Position>() {
            Err(error) => errors.push(refuse(error.to_string())),
            Ok(position) if position.topic != topic.name => {
                errors.push(refuse(format!(
                    "{position} is not of topic {}, which this table is folded from",
                    topic.name
                )));
            }
            Ok(position) if position.partition.0 >= topic.partitions => {
                errors.push(refuse(format!(
                    "topic {} has partitions 0 to {}",
                    topic.name,
                    topic.partitions - 1
                )));
            }
            Ok(position) => positions.push(position),
        }
    }
    if errors.is_empty() {
        return Ok(positions);
    }
    let detail = "Tidefold-Min-Position takes the position of an answer to a write";
    Err(Problem::new(ProblemKind::InvalidPosition, detail).with_errors(errors))
}

/// Waits until every position is visible, for at most `patience`. Looks at the partitions of `which`, and those of the
/// positions. With a log, a checkpoint counts only where it is proved to be of that log.
///
/// # Errors
/// `position_not_reached` when time runs out; at once: `unknown_position` past the log's end, `projection_halted` with the
/// reason that `halted` gives for a partition, or that the log gives; the store's trouble.
pub async fn wait(
    store: &SharedStore,
    table: &ReadTable<'_>,
    which: &[u32],
    wanted: &[Position],
    patience: Duration,
    log: Option<&LogTopic<'_>>,
    halted: impl Fn(Partition) -> Option<String>,
) -> Result<Vec<Checkpoint>, Problem> {
    let deadline = Instant::now() + patience;
    let looked_at: BTreeSet<u32> =
        which.iter().copied().chain(wanted.iter().map(|position| position.partition.0)).collect();
    let looked_at: Vec<u32> = looked_at.into_iter().collect();
    let mut checkpoints = vec![Checkpoint::START; table.topic.partitions as usize];
    let mut moved = store.checkpoints_moved();
    let mut first = true;
    loop {
        moved.borrow_and_update();
        let looked = table.recent.look(store, &table.tables, &looked_at, &mut checkpoints).await;
        looked.map_err(store_problem)?;
        let of = |position: &Position| checkpoints.get(position.partition.0 as usize);
        let reached = |position: &Position| of(position).is_some_and(|c| c.next > position.offset);
        for position in wanted {
            match (log, of(position)) {
                (Some(log), Some(checkpoint)) if reached(position) => {
                    log.prove(table, position, checkpoint).await?;
                }
                (Some(log), _) if first => log.reaches(position).await?,
                _ => {}
            }
        }
        first = false;
        let Some(missing) = wanted.iter().find(|position| !reached(position)) else { return Ok(checkpoints) };
        let mut waiting = wanted.iter().filter(|position| !reached(position));
        if let Some((position, reason)) =
            waiting.find_map(|position| Some((position, halted(position.partition)?)))
        {
            let detail =
                format!("{position} is in the log and will be visible once its projection goes on: {reason}");
            let problem = Problem::new(ProblemKind::ProjectionHalted, detail);
            return Err(problem.with_retry_after(HALTED_RETRY));
        }
        if Instant::now() >= deadline {
            let at = checkpoints.get(missing.partition.0 as usize).map_or(0, |c| c.next.0);
            let detail =
                format!("{missing} is not visible yet; the tables have offsets below {at} of its partition");
            let problem = Problem::new(ProblemKind::PositionNotReached, detail);
            return Err(problem.with_retry_after(Duration::from_secs(1)));
        }
        let look_again = deadline.min(Instant::now() + LOOK_AGAIN);
        // A closed channel means the store is shutting down: then only the deadline ends the wait.
        if let Ok(Err(_)) = tokio::time::timeout_at(look_again, moved.changed()).await {
            clock::pause(LOOK_AGAIN).await;
        }
    }
}

/// What to say of rows that come from one partition, or from any.
pub fn visible(
    topic: &Topic,
    checkpoints: &[Checkpoint],
    partition: Option<u32>,
    log: Option<(&SharedLog, &str)>,
) -> Visible {
    let mut positions = String::new();
    let (mut oldest_micros, mut any, mut unread) = (None, false, false);
    for (at, checkpoint) in checkpoints.iter().enumerate() {
        let at = at as u32;
        if partition.is_some_and(|only| only != at) {
            continue;
        }
        let at_end = log.is_some_and(|(log, app)| {
            let end = log.watch_end(&topic.name.in_app(app), Partition(at));
            end.is_ok_and(|end| *end.borrow() <= checkpoint.next)
        });
        if checkpoint.next.0 == 0 {
            unread |= log.is_some() && !at_end;
            any |= at_end;
            continue;
        }
        any = true;
        if !positions.is_empty() {
            positions.push(',');
        }
        positions.push_str(&Position::new(topic.name.clone(), Partition(at), checkpoint.last).to_string());
        if !at_end && checkpoint.appended_at_micros > 0 {
            let appended = checkpoint.appended_at_micros;
            oldest_micros = Some(oldest_micros.map_or(appended, |oldest: i64| oldest.min(appended)));
        }
    }
    let age_micros = oldest_micros.map_or(0, |appended| clock::now_micros().saturating_sub(appended).max(0));
    let known = any && !unread;
    Visible { positions, age_ms: known.then(|| u64::try_from(age_micros / 1_000).unwrap_or(0)) }
}

/// The store's trouble as an answer.
pub fn store_problem(error: StoreError) -> Problem {
    match error {
        StoreError::Unavailable { .. } => Problem::new(ProblemKind::StoreUnavailable, error.to_string())
            .with_retry_after(Duration::from_secs(1)),
        StoreError::Refused { .. } | StoreError::Damaged { .. } => {
            Problem::new(ProblemKind::Internal, error.to_string())
        }
    }
}
