//! What became of a message: `GET /v1/{app}/outcomes/{position}`, and `Prefer: wait` on the way in.
//!
//! "Applied" is stored nowhere: a record before the checkpoint without a verdict row was applied. That holds only of a record
//! that stands in the log, and of a checkpoint that is proved to be of this log. The checkpoint is read first, the verdict
//! after it, the mirror image of how they are written.
//!
//! A retry is answered as the first attempt was: its own verdict row only says of which message it is a duplicate, and
//! that message's verdict is what its sender has to know.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, LOCATION, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use tidefold_http::{Caller, Preferences, Problem, ProblemKind};
use tidefold_log::ReadLimit;
use tidefold_record::headers::Known;
use tidefold_record::{Offset, Partition, Position};
use tidefold_store::lookout::Wanted;
use tidefold_table::Verdict;
use tidefold_telemetry::clock;

use crate::answer::{self, Standing};
use crate::catalog::TopicEntry;
use crate::failure::Failure;
use crate::intake::Intake;
use crate::proofs::Untold;
use outcome::{Outcome, body, outcome_name, untold_problem};

mod outcome;
mod range;

/// A wait that was asked for.
#[derive(Debug)]
pub(crate) struct Waited {
    /// How long, bounded already.
    pub(crate) asked: Duration,
    /// Who waits.
    pub(crate) caller: Caller,
}

// === impl Intake ===

impl Intake {
    /// What became of a record that stands in the log; `None` while it is pending. Whether the tables are of this log is
    /// proved again if that was a while ago.
    async fn outcome(
        &self,
        topic: &TopicEntry,
        partition: Partition,
        offset: Offset,
    ) -> Result<Option<Outcome>, Untold> {
        let Some(folded) = self.folded(topic, partition) else { return Ok(None) };
        let checkpoint = self.proofs.checkpoint(&folded).await?;
        Outcome::judged(&folded, checkpoint, offset).await
    }

    /// The id of the record at an offset; the inner one is missing where the record has none. An error where no record
    /// stands there that a fold reads.
    async fn id_at(
        &self,
        topic: &TopicEntry,
        partition: Partition,
        offset: Offset,
    ) -> Result<Option<String>, Problem> {
        let unknown = |detail| Problem::new(ProblemKind::UnknownPosition, detail);
        let place = format!("{}:{partition}", topic.name);
        let failed = |error| Failure::Log(error).problem("");
        let bounds = self.log.bounds(&topic.log_name, partition).await.map_err(failed)?;
        if offset >= bounds.appended {
            return Err(unknown(format!("the log of {place} ends at {}", bounds.appended)));
        }
        if offset >= bounds.end {
            // Behind a transaction that is open: it stands there, and nobody can read it yet.
            return Ok(None);
        }
        if offset < bounds.start {
            return Err(unknown(format!("the log of {place} starts at {}", bounds.start)));
        }
        let limit = ReadLimit { records: 1, bytes: 1 };
        let batch = self.log.read(&topic.log_name, partition, offset, limit).await.map_err(failed)?;
        let Some(record) = batch.get(offset) else {
            return Err(unknown(format!(
                "no message stands at {place}:{offset}: a transaction was aborted there, or ended"
            )));
        };
        Ok(record.headers.get(Known::CeId).map(|id| String::from_utf8_lossy(id).into_owned()))
    }
}

/// The route of an outcome.
pub(crate) async fn get(State(intake): State<Arc<Intake>>, request: Request) -> Result<Response, Problem> {
    let path = request.uri().path();
    let (app, text) =
        path.strip_prefix("/v1/").and_then(|rest| rest.split_once("/outcomes/")).unwrap_or_default();
    intake.check_app(app)?;
    let text = text.replace("%3A", ":").replace("%3a", ":");
    let position: Position =
        text.parse().map_err(|error| Problem::new(ProblemKind::InvalidPosition, format!("{error}")))?;
    let topic = topic_of(&intake, &position)?;
    let (partition, offset) = (position.partition, position.offset);
    if let Some(query) = request.uri().query() {
        return range::answer(&intake, &topic, &position, query).await;
    }
    let id = intake.id_at(&topic, partition, offset).await?;
    let outcome = intake.outcome(&topic, partition, offset).await;
    let outcome = outcome.map_err(|untold| untold_problem(untold, &position))?;
    let body = body(&topic, partition, offset, id.as_deref(), outcome.as_ref());
    let mut response = answer::json(StatusCode::OK, body);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if outcome.is_none() {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Ok(response)
}

fn topic_of(intake: &Intake, position: &Position) -> Result<Arc<TopicEntry>, Problem> {
    let refuse = |detail| Problem::new(ProblemKind::InvalidPosition, detail);
    let catalog = intake.catalog.now();
    let topic = catalog.topics().iter().find(|topic| topic.name == position.topic).ok_or_else(|| {
        let names: Vec<_> = catalog.topics().iter().map(|topic| topic.name.as_str()).collect();
        refuse(format!("the app has no topic `{}`; it has {}", position.topic, names.join(", ")))
    })?;
    if position.partition.0 >= topic.partitions {
        let detail =
            format!("topic {} has partitions 0 to {}", topic.name, topic.partitions.saturating_sub(1));
        return Err(refuse(detail));
    }
    Ok(Arc::clone(topic))
}

/// Waits for the verdict on a message that was just appended, and answers with it; `202` when time runs out or the store
/// cannot be asked: the message stands in the log either way.
pub(crate) async fn wait(
    intake: &Intake,
    standing: &Standing<'_>,
    waited: Waited,
) -> Result<Response, Problem> {
    // Where too many wait the preference is not applied, as RFC 7240 allows: the message stands in the log.
    let Some(_waiting) = waited.caller.wait() else { return Ok(standing.accepted(&intake.app)) };
    let since = clock::instant();
    let outcome = tokio::time::timeout(waited.asked, until_judged(intake, standing)).await.ok();
    intake.metrics.wait_seconds.observe(since.elapsed().as_secs_f64());
    let (applied, waited) = Preferences::waited(waited.asked);
    let mut response = match &outcome {
        None => standing.accepted(&intake.app),
        Some(outcome) => match refusal(standing, outcome) {
            Some(problem) => {
                let problem = problem.with_header(applied, waited);
                return Err(match answer::outcome_path(&intake.app, &standing.position()) {
                    Some(path) => problem.with_header(LOCATION, path),
                    None => problem,
                });
            }
            None => {
                let Standing { topic, partition, offset, id } = standing;
                let body = body(topic, *partition, *offset, Some(id), Some(outcome));
                answer::json(StatusCode::OK, body)
            }
        },
    };
    if let Some(path) = answer::outcome_path(&intake.app, &standing.position()) {
        response.headers_mut().insert(LOCATION, path);
    }
    response.headers_mut().insert(applied, waited);
    Ok(response)
}

async fn until_judged(intake: &Intake, standing: &Standing<'_>) -> Outcome {
    loop {
        match judged_now(intake, standing).await {
            Ok(Some(outcome)) => return outcome,
            Ok(None) => {}
            Err(error) => tracing::debug!(?error, "cannot read an outcome; looking again"),
        }
        clock::pause(intake.settings.wait_poll).await;
    }
}

/// Waits until a record is folded in the generation that is active; `None` where none is, or is any more. All who wait share
/// their looks at the checkpoint.
async fn judged_now(intake: &Intake, standing: &Standing<'_>) -> Result<Option<Outcome>, Untold> {
    let Standing { topic, partition, offset, .. } = standing;
    let mut changes = intake.catalog.changes();
    let Some(folded) = intake.folded(topic, *partition) else { return Ok(None) };
    let wanted = Wanted { partition: *partition, past: Some(*offset) };
    let mut past = pin!(folded.lookout.until(vec![wanted]));
    let found = loop {
        tokio::select! {
            biased;
            found = past.as_mut() => break found.map_err(Untold::Store)?,
            // Not by the clock: a timer for each who waits would wake a thread each time.
            Ok(()) = changes.changed() => if intake.active(topic) != Some(folded.generation) {
                return Ok(None);
            },
        }
    };
    let checkpoint = intake.proofs.proved(&folded, found.into_iter().next().flatten(), false).await?;
    Outcome::judged(&folded, checkpoint, *offset).await
}

/// The problem an outcome is answered with; none for those that are successes.
fn refusal(standing: &Standing<'_>, outcome: &Outcome) -> Option<Problem> {
    let (kind, codes, mut detail) = match &outcome.verdict {
        Verdict::Applied | Verdict::Duplicate(_) => return None,
        Verdict::Rejected(codes) => {
            let kind = if codes.iter().any(|code| code == "idempotency_conflict") {
                ProblemKind::IdempotencyConflict
            } else if codes.iter().any(|code| code == "version_mismatch") {
                ProblemKind::VersionMismatch
            } else {
                ProblemKind::Rejected
            };
            (kind, codes.clone(), format!("rejected: {}", codes.join(", ")))
        }
        Verdict::Dead(reason) => {
            (ProblemKind::Dead, vec![reason.code.clone()], format!("{}: {}", reason.code, reason.detail))
        }
    };
    let of = outcome.of.map(|of| {
        let mut position = Vec::with_capacity(48);
        answer::write_position(&standing.topic.name, standing.partition, of, &mut position);
        String::from_utf8_lossy(&position).into_owned()
    });
    if let Some(of) = &of {
        detail.push_str(&format!(" (as the first message with this id, at {of})"));
    }
    let problem = Problem::new(kind, detail)
        .with_member("id", standing.id)
        .with_member("position", standing.position_text())
        .with_member("outcome", outcome_name(Some(outcome)))
        .with_member("codes", codes);
    Some(match of {
        Some(of) => problem.with_member("of", of),
        None => problem,
    })
}
