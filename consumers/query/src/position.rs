//! What is visible, how old it is, and waiting for a position to become visible.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::HeaderName;
use axum::http::request::Parts;
use futures_util::future::try_join_all;
use tidefold_app::model::Topic;
use tidefold_http::{Caller, FieldError, Problem, ProblemKind};
use tidefold_log::SharedLog;
use tidefold_record::{Offset, Partition, Position};
use tidefold_store::lookout::Wanted;
use tidefold_table::Checkpoint;
use tidefold_telemetry::clock;
use tokio::time::Instant;

use crate::proof::{HALTED_RETRY, LogTopic};
use crate::table::{ReadTable, store_problem};

const MIN_POSITION: HeaderName = HeaderName::from_static("tidefold-min-position");

/// How often a waiting request asks whether its partition is halted by now.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// What is visible within this time needs no question whether it stands in the log.
const A_MOMENT: Duration = Duration::from_millis(20);

/// The most positions of one request.
pub const POSITIONS: usize = 1_000;

/// What an answer says of itself, read before its rows: a lower bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visible {
    /// `orders:3:918`, or several with commas: the last record folded, of each partition the rows may come from.
    pub positions: String,
    /// Milliseconds since the last of them was appended; 0 where nothing newer stands in the log; `None` while a partition
    /// has records of which none was folded, or nothing tells whether it has.
    pub age_ms: Option<u64>,
}

/// The lines of `Tidefold-Min-Position`, with commas between them; `None` where there are none.
pub(crate) struct MinPosition(pub(crate) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for MinPosition {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<MinPosition, Infallible> {
        let lines = parts.headers.get_all(MIN_POSITION).iter();
        let lines: Vec<&str> = lines.map(|line| line.to_str().unwrap_or_default()).collect();
        Ok(MinPosition((!lines.is_empty()).then(|| lines.join(","))))
    }
}

/// Reads the positions of a `Tidefold-Min-Position` header: one, or several with commas.
///
/// # Errors
/// When one is no position of this topic.
pub fn parse(header: &str, topic: &Topic) -> Result<Vec<Position>, Problem> {
    let mut positions = Vec::new();
    let mut errors = Vec::new();
    if header.split(',').count() > POSITIONS {
        let detail = format!(
            "Tidefold-Min-Position takes {POSITIONS} positions: the last of each partition is enough"
        );
        return Err(Problem::new(ProblemKind::InvalidPosition, detail));
    }
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

/// Where positions are waited for, and by whom.
pub(crate) struct Place<'a> {
    pub(crate) table: &'a ReadTable,
    /// The log, where the node has one.
    pub(crate) log: Option<&'a LogTopic<'a>>,
    pub(crate) caller: &'a Caller,
}

impl Place<'_> {
    /// Waits until every position is visible, for at most `patience`. Looks at the partitions of `which`, and those of the
    /// positions. With a log, a checkpoint counts only where it is proved to be of that log. Who has to wait gives its place
    /// of working to others meanwhile.
    ///
    /// # Errors
    /// `position_not_reached` when time runs out; at once `projection_halted` with the reason that `halted`, where anybody
    /// here knows, gives for a partition, or that the log gives, `unknown_position` past the log's end, `overloaded` where too many wait; the store's
    /// trouble.
    pub(crate) async fn wait(
        &self,
        which: &[u32],
        wanted: &[Position],
        patience: Duration,
        halted: Option<impl Fn(Partition) -> Option<String>>,
    ) -> Result<Vec<Checkpoint>, Problem> {
        let deadline = Instant::now() + patience;
        let looked_at: BTreeSet<u32> =
            which.iter().copied().chain(wanted.iter().map(|position| position.partition.0)).collect();
        let halted_at = |missing: &[&Position]| {
            let halted = halted.as_ref()?;
            missing.iter().find_map(|p| Some(halted_problem(p, &halted(p.partition)?)))
        };
        let (mut waiting, mut is_answered) = (None, self.log.is_none());
        loop {
            let checkpoints = self.looked(looked_at.iter().map(|at| anything(*at)).collect()).await?;
            self.prove(wanted, &checkpoints).await?;
            let missing: Vec<&Position> = wanted.iter().filter(|at| !is_visible(at, &checkpoints)).collect();
            let Some(first) = missing.first() else { return Ok(checkpoints) };
            if let Some(problem) = halted_at(&missing) {
                return Err(problem);
            }
            if waiting.is_none() {
                waiting = Some(self.caller.wait().ok_or_else(too_many_wait)?);
            }
            if Instant::now() >= deadline {
                if !is_answered {
                    self.stand(&missing).await?;
                }
                return Err(not_reached(first, &checkpoints));
            }
            let mut past: Vec<Wanted> = looked_at.iter().map(|at| anything(*at)).collect();
            past.extend(missing.iter().map(|at| Wanted { partition: at.partition, past: Some(at.offset) }));
            let mut reached = pin!(self.looked(past));
            let mut stand = pin!(async {
                clock::pause(A_MOMENT).await;
                self.stand(&missing).await
            });
            // Who waits stays in its place all the while: only what this process knows is asked at intervals.
            while Instant::now() < deadline && halted_at(&missing).is_none() {
                let asked = if halted.is_some() { Instant::now() + ASK_AGAIN } else { deadline };
                let again = deadline.min(asked);
                let ended = tokio::time::timeout_at(again, async {
                    tokio::select! {
                        checkpoints = &mut reached => checkpoints.map(Some),
                        answer = &mut stand, if !is_answered => answer.map(|()| None),
                    }
                });
                match ended.await {
                    Ok(Ok(Some(checkpoints))) => {
                        self.prove(wanted, &checkpoints).await?;
                        return Ok(checkpoints);
                    }
                    Ok(answer) => is_answered = answer?.is_none(),
                    Err(_) => {}
                }
            }
        }
    }

    /// Checkpoints, each in its place among all, once they are as they are wanted.
    async fn looked(&self, wanted: Vec<Wanted>) -> Result<Vec<Checkpoint>, Problem> {
        let mut checkpoints = vec![Checkpoint::START; self.table.topic().partitions as usize];
        let places: Vec<Partition> = wanted.iter().map(|one| one.partition).collect();
        let found = self.table.lookout.until(wanted).await.map_err(store_problem)?;
        for (at, checkpoint) in places.iter().zip(found) {
            if let (Some(place), Some(checkpoint)) = (checkpoints.get_mut(at.0 as usize), checkpoint) {
                *place = checkpoint;
            }
        }
        Ok(checkpoints)
    }

    /// Whether the log reaches the positions. That takes as long as a message takes to become visible: it is asked while
    /// that is waited for, until it has answered.
    async fn stand(&self, missing: &[&Position]) -> Result<(), Problem> {
        let Some(log) = self.log else { return Ok(()) };
        try_join_all(missing.iter().map(|at| log.reaches(at))).await.map(|_| ())
    }

    /// Proves that the checkpoints which reached positions are of the log that is there.
    async fn prove(&self, wanted: &[Position], checkpoints: &[Checkpoint]) -> Result<(), Problem> {
        let Some(log) = self.log else { return Ok(()) };
        for position in wanted {
            let checkpoint = checkpoints.get(position.partition.0 as usize);
            if let Some(checkpoint) = checkpoint.filter(|checkpoint| checkpoint.next > position.offset) {
                log.prove(self.table, position, checkpoint).await?;
            }
        }
        Ok(())
    }
}

/// Any checkpoint of a partition.
fn anything(partition: u32) -> Wanted {
    Wanted { partition: Partition(partition), past: None }
}

fn is_visible(position: &Position, checkpoints: &[Checkpoint]) -> bool {
    let checkpoint = checkpoints.get(position.partition.0 as usize);
    checkpoint.is_some_and(|checkpoint| checkpoint.next > position.offset)
}

fn not_reached(position: &Position, checkpoints: &[Checkpoint]) -> Problem {
    let at = checkpoints.get(position.partition.0 as usize).map_or(0, |checkpoint| checkpoint.next.0);
    let detail =
        format!("{position} is not visible yet; the tables have offsets below {at} of its partition");
    Problem::new(ProblemKind::PositionNotReached, detail).with_retry_after(Duration::from_secs(1))
}

fn halted_problem(position: &Position, reason: &str) -> Problem {
    let detail =
        format!("{position} is in the log and will be visible once its projection goes on: {reason}");
    Problem::new(ProblemKind::ProjectionHalted, detail).with_retry_after(HALTED_RETRY)
}

fn too_many_wait() -> Problem {
    let detail =
        "as many requests wait for positions as may, or one address's share of them; ask again shortly";
    Problem::new(ProblemKind::Overloaded, detail).with_retry_after(Duration::from_secs(1))
}

/// What to say of rows that come from one partition, or from any.
pub(crate) fn visible(
    table: &ReadTable,
    checkpoints: &[Checkpoint],
    partition: Option<u32>,
    log: Option<&SharedLog>,
) -> Visible {
    let mut positions = String::new();
    let (mut oldest_micros, mut any, mut unread) = (None, false, false);
    for (at, checkpoint) in checkpoints.iter().enumerate() {
        let at = at as u32;
        if partition.is_some_and(|only| only != at) {
            continue;
        }
        let at_end = log.is_some_and(|log| {
            let end = log.watch_end(&table.log_topic, Partition(at));
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
        write_position(table.topic().name.as_str(), at, checkpoint.last, &mut positions);
        if !at_end && checkpoint.appended_at_micros > 0 {
            let appended = checkpoint.appended_at_micros;
            oldest_micros = Some(oldest_micros.map_or(appended, |oldest: i64| oldest.min(appended)));
        }
    }
    let age_micros = oldest_micros.map_or(0, |appended| clock::now_micros().saturating_sub(appended).max(0));
    let known = any && !unread;
    Visible { positions, age_ms: known.then(|| u64::try_from(age_micros / 1_000).unwrap_or(0)) }
}

/// As [`Position`] is printed: once an answer, which is often enough to do it without formatting.
fn write_position(topic: &str, partition: u32, offset: Offset, out: &mut String) {
    let mut number = itoa::Buffer::new();
    out.reserve(topic.len() + 32);
    out.push_str(topic);
    out.push(':');
    out.push_str(number.format(partition));
    out.push(':');
    out.push_str(number.format(offset.0));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidefold_record::TopicName;

    use super::*;

    proptest! {
        #[test]
        fn a_position_is_written_as_it_is_printed(partition: u32, offset: u64) {
            let mut written = String::new();
            write_position("orders", partition, Offset(offset), &mut written);
            let position = Position::new(TopicName::new("orders"), Partition(partition), Offset(offset));
            prop_assert_eq!(written, position.to_string());
        }
    }
}
