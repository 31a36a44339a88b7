//! What became of one message: how it is found, and how it is told.

use tidefold_codec::json_out::write_string;
use tidefold_http::{Problem, ProblemKind};
use tidefold_record::{Offset, Partition, Position};
use tidefold_table::{Checkpoint, Verdict};

use crate::answer;
use crate::catalog::TopicEntry;
use crate::failure::Failure;
use crate::proofs::{Folded, Untold};

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The verdict. Of a retry, the verdict on the first message with its id: never a duplicate.
    pub(super) verdict: Verdict,
    /// Where the first message with its id stands, if this is a retry of it.
    pub(super) of: Option<Offset>,
}

// === impl Outcome ===

impl Outcome {
    /// What became of a record that stands in the log, as far as a checkpoint says that was proved.
    pub(super) async fn judged(
        folded: &Folded,
        checkpoint: Option<Checkpoint>,
        offset: Offset,
    ) -> Result<Option<Outcome>, Untold> {
        let partition = folded.partition;
        if !checkpoint.is_some_and(|checkpoint| checkpoint.covers(offset)) {
            return Ok(None);
        }
        let (mut at, mut of) = (offset, None);
        loop {
            let verdict = folded.published.verdict(partition, at).await.map_err(Untold::Store)?;
            match verdict.unwrap_or(Verdict::Applied) {
                // The first of an id stands before all that repeat it, so this ends; and before the checkpoint.
                Verdict::Duplicate(first) if first < at => (at, of) = (first, Some(first)),
                Verdict::Duplicate(first) => {
                    let found = format!("it is said to repeat offset {first}, which is not before it");
                    return Err(Untold::Store(folded.published.damaged_verdict(partition, at, found)));
                }
                verdict => return Ok(Some(Outcome { verdict, of })),
            }
        }
    }
}

/// Why it cannot be told, as an answer.
pub(super) fn untold_problem(untold: Untold, position: &Position) -> Problem {
    match untold {
        Untold::Store(error) => Problem::of_error(error.name(), error.to_string()),
        Untold::Log(error) => Failure::Log(error).problem(""),
        Untold::Contradicted(found) => {
            let detail = format!("what became of {position} cannot be told: {found}; {}", found.remedy());
            Problem::new(ProblemKind::LogChanged, detail).with_usual_retry()
        }
    }
}

/// The body of an outcome.
pub(super) fn body(
    topic: &TopicEntry,
    partition: Partition,
    offset: Offset,
    id: Option<&str>,
    outcome: Option<&Outcome>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(160);
    out.push(b'{');
    if let Some(id) = id {
        out.extend_from_slice(b"\"id\":");
        write_string(id, &mut out);
        out.push(b',');
    }
    out.extend_from_slice(b"\"position\":\"");
    answer::write_position(&topic.name, partition, offset, &mut out);
    out.extend_from_slice(b"\",\"outcome\":");
    write_string(outcome_name(outcome), &mut out);
    match outcome.map(|outcome| &outcome.verdict) {
        None | Some(Verdict::Applied | Verdict::Duplicate(_)) => {}
        Some(Verdict::Rejected(codes)) => write_codes(codes, &mut out),
        Some(Verdict::Dead(reason)) => {
            write_codes(std::slice::from_ref(&reason.code), &mut out);
            out.extend_from_slice(b",\"detail\":");
            write_string(&reason.detail, &mut out);
        }
    }
    if let Some(of) = outcome.and_then(|outcome| outcome.of) {
        out.extend_from_slice(b",\"of\":\"");
        answer::write_position(&topic.name, partition, of, &mut out);
        out.push(b'"');
    }
    out.push(b'}');
    out
}

/// Its name to callers; that of none is pending.
pub(super) fn outcome_name(outcome: Option<&Outcome>) -> &'static str {
    match outcome.map(|outcome| (&outcome.verdict, outcome.of)) {
        None => "pending",
        Some((Verdict::Applied, None)) => "applied",
        Some((Verdict::Applied, Some(_)) | (Verdict::Duplicate(_), _)) => "duplicate",
        Some((Verdict::Rejected(_), _)) => "rejected",
        Some((Verdict::Dead(_), _)) => "dead",
    }
}

fn write_codes(codes: &[String], out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"codes\":[");
    for (place, code) in codes.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_string(code, out);
    }
    out.push(b']');
}
