//! What became of many messages: `GET /v1/{app}/outcomes/{position}?until={offset}`. Only what was not applied is listed, so
//! whoever sent a million messages asks about a million at once.

use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::Response;
use tidefold_http::{Problem, ProblemKind};
use tidefold_record::{Offset, Position};
use tidefold_table::Verdict;

use super::outcome::{Outcome, body, untold_problem};
use crate::answer;
use crate::catalog::TopicEntry;
use crate::intake::Intake;
use crate::proofs::Untold;

/// How many are listed at once.
const PAGE: usize = 1_000;

/// Answers with what was not applied from the position on, as far as it is folded, and how far that is.
pub(super) async fn answer(
    intake: &Intake,
    topic: &TopicEntry,
    position: &Position,
    query: &str,
) -> Result<Response, Problem> {
    let until = query.strip_prefix("until=").and_then(|text| text.parse().ok().map(Offset));
    let until = until.ok_or_else(|| {
        let detail =
            "an outcome takes one parameter, until=OFFSET: what was not applied of the positions before it";
        Problem::new(ProblemKind::InvalidRequest, detail)
    })?;
    let told = listed(intake, topic, position, until).await;
    let (until, outcomes) = told.map_err(|untold| untold_problem(untold, position))?;
    let mut out = Vec::with_capacity(64 + 120 * outcomes.len());
    out.extend_from_slice(b"{\"position\":\"");
    answer::write_position(&topic.name, position.partition, position.offset, &mut out);
    out.extend_from_slice(format!("\",\"until\":{until},\"items\":[").as_bytes());
    for (place, (offset, outcome)) in outcomes.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend(body(topic, position.partition, *offset, None, Some(outcome)));
    }
    out.extend_from_slice(b"]}");
    let mut response = answer::json(StatusCode::OK, out);
    response.headers_mut().insert(CACHE_CONTROL, axum::http::HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// What was not applied, and the offset before which that is all.
async fn listed(
    intake: &Intake,
    topic: &TopicEntry,
    position: &Position,
    until: Offset,
) -> Result<(Offset, Vec<(Offset, Outcome)>), Untold> {
    let (partition, first) = (position.partition, position.offset);
    let Some(folded) = intake.folded(topic, partition) else { return Ok((first, Vec::new())) };
    let checkpoint = intake.proofs.checkpoint(&folded).await?;
    let last = checkpoint.and_then(|checkpoint| checkpoint.last_read());
    let until = last.map_or(first, |last| last.next().min(until));
    if until <= first {
        return Ok((first, Vec::new()));
    }
    let found = folded.published.verdicts(partition, first..until, PAGE).await.map_err(Untold::Store)?;
    let is_all = found.len() < PAGE;
    let until = match found.last() {
        Some((last, _)) if !is_all => last.next(),
        _ => until,
    };
    // A retry is answered as its first attempt was.
    let firsts: Vec<_> = found.iter().filter_map(|(_, verdict)| repeated(verdict)).collect();
    let firsts = folded.published.verdicts_at(partition, &firsts).await.map_err(Untold::Store)?;
    let mut firsts = firsts.into_iter();
    let outcomes = found.into_iter().map(|(offset, verdict)| {
        let Some(of) = repeated(&verdict) else { return (offset, Outcome { verdict, of: None }) };
        let first = firsts.next().flatten();
        (offset, Outcome { verdict: first.unwrap_or(Verdict::Applied), of: Some(of) })
    });
    Ok((until, outcomes.collect()))
}

fn repeated(verdict: &Verdict) -> Option<Offset> {
    match verdict {
        Verdict::Duplicate(of) => Some(*of),
        _ => None,
    }
}
