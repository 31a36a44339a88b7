//! `tidefold status`: generations, partitions, lag, verdicts, builds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidefold_control::GenerationState;
use tidefold_coordinator::{CoordinatorError, Elsewhere, GenerationStatus};
use tidefold_log::Bounds;
use tidefold_projector::{LaneState, LaneStatus, Place};
use tidefold_record::{Offset, Partition};
use tidefold_telemetry::clock;

use super::operator::Operator;
use crate::failure::chain;

/// A node's status.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The app.
    pub app: String,
    /// The hash of its definition.
    pub definition: String,
    /// What could not be asked; lags are then at least what stands here, as last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
    /// Its projections' generations that are folded.
    pub generations: Vec<GenerationReport>,
}

/// One generation of a projection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GenerationReport {
    /// The topic.
    pub topic: String,
    /// The generation.
    pub generation: u32,
    /// `building`, `active` or `kept`.
    pub state: String,
    /// Its tables.
    pub tables: Vec<String>,
    /// Why it is not folded, and what to do.
    pub halted: Option<String>,
    /// Records that are not folded yet; none where that cannot be told, because the topic is not what it was folded from.
    pub lag_records: Option<u64>,
    /// Seconds since the oldest record that is not folded yet was, at the latest, appended; none likewise.
    pub lag_seconds: Option<f64>,
    /// Records by verdict, since the node started.
    pub verdicts: Verdicts,
    /// Its partitions.
    pub partitions: Vec<PartitionReport>,
}

/// One partition of a generation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PartitionReport {
    /// The partition.
    pub partition: u32,
    /// The next offset to fold.
    pub next: u64,
    /// The end of the log.
    pub end: u64,
    /// `end - next`.
    pub lag_records: u64,
    /// Seconds behind.
    pub lag_seconds: f64,
    /// What the lane does, and what it waits for.
    pub state: String,
    /// What has to end before what was acknowledged can be folded: another producer's open transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
    /// Offsets that wait for it, beyond `end`.
    #[serde(default)]
    pub waiting_records: u64,
    /// Whether it stands still while its log moves.
    pub stalled: bool,
}

/// Records by verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Verdicts {
    pub applied: u64,
    pub rejected: u64,
    pub duplicate: u64,
    pub dead: u64,
}

pub(super) async fn status(operator: &Operator) -> Status {
    let now = clock::now_micros();
    // What is here is told even while the log or the store does not answer.
    let (elsewhere, bounds, unknown) = match asked(operator).await {
        Ok((elsewhere, bounds)) => (elsewhere, bounds, None),
        Err(error) => {
            tracing::warn!(error = %chain(&error), "the ends of the log, or the checkpoints of other processes, cannot be told");
            (Vec::new(), Vec::new(), Some(error.to_string()))
        }
    };
    let control = operator.coordinator().control_log().control();
    let generations = operator.coordinator().status().into_iter().map(|generation| {
        let others = elsewhere.iter().filter(|other| {
            (other.topic.as_str(), other.generation) == (generation.topic.as_str(), generation.generation)
        });
        let place = operator.projections().iter().position(|known| known.name() == generation.topic);
        let bounds = place.and_then(|place| bounds.get(place)).map(Vec::as_slice).unwrap_or_default();
        let is_folded = generation.halted.is_none();
        let bounds = if is_folded { bounds } else { &[] };
        let partitions = partitions(&generation, others, bounds, now);
        let projection = control.built_from(&generation.topic, generation.generation).ok();
        let mut verdicts = Verdicts::default();
        for lane in &generation.lanes {
            verdicts.applied += lane.verdicts.applied;
            verdicts.rejected += lane.verdicts.rejected;
            verdicts.duplicate += lane.verdicts.duplicate;
            verdicts.dead += lane.verdicts.dead;
        }
        GenerationReport {
            tables: projection
                .into_iter()
                .flat_map(|projection| projection.layouts())
                .map(|layout| layout.name.clone())
                .collect(),
            state: match generation.state {
                GenerationState::Building => "building",
                GenerationState::Active => "active",
                GenerationState::Kept => "kept",
                GenerationState::Gone => "gone",
            }
            .to_owned(),
            lag_records: is_folded.then(|| partitions.iter().map(|partition| partition.lag_records).sum()),
            lag_seconds: is_folded
                .then(|| partitions.iter().map(|partition| partition.lag_seconds).fold(0.0, f64::max)),
            topic: generation.topic,
            generation: generation.generation,
            halted: generation.halted,
            verdicts,
            partitions,
        }
    });
    Status {
        app: operator.app().to_owned(),
        definition: control.definition().map(|definition| definition.hash.clone()).unwrap_or_default(),
        unknown,
        generations: generations.collect(),
    }
}

/// What the store and the log know. In this order: a checkpoint is never beyond an end that was asked for later.
async fn asked(operator: &Operator) -> Result<(Vec<Elsewhere>, Vec<Vec<Bounds>>), CoordinatorError> {
    let elsewhere = operator.coordinator().elsewhere().await?;
    Ok((elsewhere, operator.coordinator().bounds().await?))
}

/// The partitions of a generation, each once: by its lane here, or by what the store knows. Lanes know of an end a moment
/// after the log; nobody knows of a partition that changes its owner just now.
fn partitions<'a>(
    generation: &GenerationStatus,
    others: impl Iterator<Item = &'a Elsewhere>,
    bounds: &[Bounds],
    now_micros: i64,
) -> Vec<PartitionReport> {
    let seen = |lane: LaneStatus, state| Seen { lane, state, behind: 0, open_from: None };
    let told = |lane: &LaneStatus| told(lane, generation.damaged.get(&lane.partition));
    let here = generation.lanes.iter().map(|lane| (lane.partition.0, seen(lane.clone(), told(lane))));
    let mut all: BTreeMap<u32, Seen> = here.collect();
    let unknown = |number, state: &str| seen(LaneStatus::new(Partition(number)), state.to_owned());
    for other in others {
        let number = other.partition.0;
        let elsewhere = match &other.damaged {
            None => "owned elsewhere".to_owned(),
            Some(damaged) => format!("owned elsewhere; {}", unreadable(damaged)),
        };
        let Seen { lane, .. } = all.entry(number).or_insert_with(|| unknown(number, &elsewhere));
        // A lane that found its place in between knows better.
        if lane.place == Place::Unknown {
            (lane.next, lane.appended_at_micros) = (other.next, other.appended_at_micros);
        }
    }
    for (number, bounds) in (0..).zip(bounds) {
        let seen = all.entry(number).or_insert_with(|| unknown(number, "changes its owner"));
        seen.behind = bounds.appended.distance_from(bounds.end);
        seen.open_from = (seen.behind > 0).then_some(bounds.end);
        // A lane may have heard of records that an open transaction keeps from being read.
        let heard = if seen.behind > 0 { seen.lane.next } else { seen.lane.end };
        seen.lane.end = heard.max(bounds.end);
    }
    all.into_values().map(|seen| partition(seen, now_micros)).collect()
}

/// A partition, as far as it is known.
struct Seen {
    lane: LaneStatus,
    state: String,
    /// Offsets that an open transaction keeps from being read, and where it begins.
    behind: u64,
    open_from: Option<Offset>,
}

fn partition(seen: Seen, now_micros: i64) -> PartitionReport {
    let Seen { lane, mut state, behind, open_from } = seen;
    let waits = open_from.map(|from| {
        format!("another producer's transaction is open from {from} on: {behind} offsets wait for its end")
    });
    if let Some(waits) = &waits {
        state = format!("{state}; {waits}");
    }
    PartitionReport {
        partition: lane.partition.0,
        next: lane.next.0,
        end: lane.end.0,
        lag_records: lane.lag(),
        lag_seconds: lane.age_micros(now_micros) as f64 / 1e6,
        state,
        waits,
        waiting_records: behind,
        stalled: lane.stalled,
    }
}

/// What a lane does, with why where it does not go on; and what is wrong with its stored checkpoint.
fn told(lane: &LaneStatus, damaged: Option<&String>) -> String {
    let state = match &lane.state {
        LaneState::Retrying { doing, error } => format!("retrying to {doing}: {error}"),
        LaneState::Halted(halt) => format!("halted: {halt}"),
        LaneState::Tripped(_) => lane.state.reason().unwrap_or_default(),
        LaneState::Starting
        | LaneState::Running
        | LaneState::Waiting
        | LaneState::Held
        | LaneState::Stopped => lane.state.as_str().to_owned(),
    };
    match (damaged, lane.place, &lane.state) {
        (Some(damaged), Place::Found, _) => format!(
            "{state}; its stored checkpoint is damaged, and stands so until the lane writes the next one: {damaged}"
        ),
        // The halt names the damage.
        (Some(_), Place::Unknown, LaneState::Halted(_)) => format!("{state}; {FROM_THE_START}"),
        (Some(damaged), _, _) => format!("{state}; {}", unreadable(damaged)),
        (None, _, _) => state,
    }
}

/// What is said of a partition that nobody knows the place of.
const FROM_THE_START: &str = "its lag is counted from the log's start, and its age is not known";

fn unreadable(damaged: &str) -> String {
    format!("{damaged}; {FROM_THE_START}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(number: u32, next: u64, end: u64, state: LaneState) -> LaneStatus {
        let place = if state == LaneState::Starting { Place::Unknown } else { Place::Found };
        LaneStatus {
            next: Offset(next),
            place,
            end: Offset(end),
            state,
            ..LaneStatus::new(Partition(number))
        }
    }

    fn partitions<'a>(
        lanes: &[LaneStatus],
        others: impl Iterator<Item = &'a Elsewhere>,
        bounds: &[Bounds],
        now_micros: i64,
    ) -> Vec<PartitionReport> {
        super::partitions(&generation(lanes, &[]), others, bounds, now_micros)
    }

    fn generation(lanes: &[LaneStatus], damaged: &[(u32, &str)]) -> GenerationStatus {
        let damaged = damaged.iter().map(|(number, said)| (Partition(*number), (*said).to_owned()));
        GenerationStatus {
            topic: "orders".to_owned(),
            generation: 1,
            state: GenerationState::Active,
            lanes: lanes.to_vec(),
            halted: None,
            damaged: damaged.collect(),
        }
    }

    #[test]
    fn a_damaged_checkpoint_is_named_whatever_its_lane_does_and_nobody_guesses_its_lag() {
        let halted = LaneState::Halted(tidefold_projector::Halt::Vanished);
        let unread = LaneStatus { place: Place::Unknown, ..lane(1, 0, 5, halted) };
        let lanes = [lane(0, 5, 5, LaneState::Waiting), unread];
        let elsewhere = Elsewhere { damaged: Some("row 2".to_owned()), ..checkpoint(2, 0) };
        let generation = generation(&lanes, &[(0, "row 0"), (1, "row 1")]);
        let told = super::partitions(&generation, [elsewhere].iter(), &ended(&[5, 5, 5]), 0);
        let lags: Vec<_> = told.iter().map(|partition| partition.lag_records).collect();
        assert_eq!(lags, [0, 5, 5]);
        let says = |number: usize, parts: &[&str]| {
            let state = &told[number].state;
            assert!(parts.iter().all(|part| state.contains(part)), "{state}");
        };
        says(0, &["waiting; ", "until the lane writes the next one: row 0"]);
        says(1, &["halted: ", "counted from the log's start"]);
        says(2, &["owned elsewhere; row 2", "counted from the log's start"]);
    }

    fn ended(ends: &[u64]) -> Vec<Bounds> {
        let bounds = |end: &u64| Bounds { start: Offset::ZERO, end: Offset(*end), appended: Offset(*end) };
        ends.iter().map(bounds).collect()
    }

    fn checkpoint(number: u32, next: u64) -> Elsewhere {
        Elsewhere {
            topic: "orders".to_owned(),
            generation: 1,
            partition: Partition(number),
            next: Offset(next),
            appended_at_micros: 0,
            damaged: None,
        }
    }

    #[test]
    fn a_lane_that_starts_is_as_far_as_its_checkpoint() {
        let told =
            partitions(&[lane(0, 0, 0, LaneState::Starting)], [checkpoint(0, 7)].iter(), &ended(&[9]), 0);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].state.as_str(), told[0].next, told[0].lag_records), ("starting", 7, 2));
    }

    #[test]
    fn a_lane_that_found_its_place_in_between_tells_itself() {
        let told =
            partitions(&[lane(0, 8, 9, LaneState::Running)], [checkpoint(0, 7)].iter(), &ended(&[9]), 0);
        assert_eq!((told.len(), told[0].lag_records), (1, 1));
    }

    #[test]
    fn records_that_a_lane_has_not_heard_of_count() {
        let told = partitions(&[lane(0, 5, 5, LaneState::Running)], [].iter(), &ended(&[6]), 0);
        assert_eq!((told[0].end, told[0].lag_records), (6, 1));
    }

    #[test]
    fn a_partition_that_changes_its_owner_is_not_caught_up() {
        let ends = ended(&[3, 5, 0]);
        let told = partitions(&[lane(1, 5, 5, LaneState::Running)], [].iter(), &ends, 0);
        let lags: Vec<_> =
            told.iter().map(|partition| (partition.partition, partition.lag_records)).collect();
        assert_eq!(lags, [(0, 3), (1, 0), (2, 0)]);
    }

    #[test]
    fn a_transaction_that_is_open_is_told_with_what_waits_behind_it() {
        let bounds = Bounds { start: Offset::ZERO, end: Offset(5), appended: Offset(8) };
        let told = partitions(&[lane(0, 5, 5, LaneState::Waiting)], [].iter(), &[bounds], 0);
        assert_eq!(told[0].lag_records, 0, "nobody can fold it yet");
        let state = told[0].state.as_str();
        assert!(state.starts_with("waiting; ") && state.contains("from 5 on: 3 offsets"), "{state}");
        assert!(told[0].waits.is_some() && told[0].waiting_records == 3, "{:?}", told[0]);
    }

    #[test]
    fn a_partition_of_another_process_is_as_late_as_its_last_record() {
        let other = Elsewhere { appended_at_micros: 1_000_000, ..checkpoint(0, 7) };
        let told = partitions(&[], [other].iter(), &ended(&[9]), 3_000_000);
        assert_eq!((told[0].lag_records, told[0].lag_seconds), (2, 2.0));
        assert_eq!(told[0].state, "owned elsewhere");
    }
}
