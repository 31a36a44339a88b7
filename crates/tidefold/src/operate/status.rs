//! `tidefold status`: generations, partitions, lag, verdicts, builds.

use serde::{Deserialize, Serialize};
use tidefold_control::GenerationState;
use tidefold_deployer::Elsewhere;
use tidefold_projector::{LaneState, LaneStatus};
use tidefold_telemetry::clock;

use super::Operator;

/// A node's status.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The app.
    pub app: String,
    /// The hash of its definition.
    pub definition: String,
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
    /// Records that are not folded yet.
    pub lag_records: u64,
    /// Seconds since the oldest record that is not folded yet was, at the latest, appended.
    pub lag_seconds: f64,
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
    /// What the lane does.
    pub state: String,
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
    let elsewhere = operator.deployer().elsewhere().await.unwrap_or_else(|error| {
        tracing::warn!(%error, "partitions of other processes cannot be told");
        Vec::new()
    });
    let generations = operator.deployer().status().into_iter().map(|generation| {
        let others = elsewhere.iter().filter(|other| {
            (other.topic.as_str(), other.generation) == (generation.topic.as_str(), generation.generation)
        });
        let lanes = generation.lanes.iter().map(|lane| partition(lane, now));
        let mut partitions: Vec<_> = lanes.chain(others.map(|other| owned_elsewhere(other, now))).collect();
        partitions.sort_by_key(|partition| partition.partition);
        let topic = operator.app().topic(&generation.topic);
        let mut verdicts = Verdicts::default();
        for lane in &generation.lanes {
            verdicts.applied += lane.verdicts.applied;
            verdicts.rejected += lane.verdicts.rejected;
            verdicts.duplicate += lane.verdicts.duplicate;
            verdicts.dead += lane.verdicts.dead;
        }
        GenerationReport {
            tables: topic
                .into_iter()
                .flat_map(|topic| topic.tables())
                .map(|layout| layout.name.clone())
                .collect(),
            state: match generation.state {
                GenerationState::Building => "building",
                GenerationState::Active => "active",
                GenerationState::Kept => "kept",
                GenerationState::Gone => "gone",
            }
            .to_owned(),
            lag_records: partitions.iter().map(|partition| partition.lag_records).sum(),
            lag_seconds: partitions.iter().map(|partition| partition.lag_seconds).fold(0.0, f64::max),
            topic: generation.topic,
            generation: generation.generation,
            halted: generation.halted,
            verdicts,
            partitions,
        }
    });
    Status {
        app: operator.app().name.clone(),
        definition: operator.app().definition_hash.clone(),
        generations: generations.collect(),
    }
}

fn partition(lane: &LaneStatus, now_micros: i64) -> PartitionReport {
    PartitionReport {
        partition: lane.partition.0,
        next: lane.next.0,
        end: lane.end.0,
        lag_records: lane.lag(),
        lag_seconds: lane.age_micros(now_micros) as f64 / 1e6,
        state: told(&lane.state),
        stalled: lane.stalled,
    }
}

/// A partition without a lane here.
fn owned_elsewhere(other: &Elsewhere, now_micros: i64) -> PartitionReport {
    let as_a_lane = LaneStatus {
        next: other.next,
        end: other.end,
        appended_at_micros: other.appended_at_micros,
        ..LaneStatus::new(other.partition)
    };
    PartitionReport { state: "owned elsewhere".to_owned(), ..partition(&as_a_lane, now_micros) }
}

/// What a lane does, with why where it does not go on.
fn told(state: &LaneState) -> String {
    match state {
        LaneState::Retrying { doing, error } => format!("retrying to {doing}: {error}"),
        LaneState::Halted(halt) => format!("halted: {halt}"),
        other => other.as_str().to_owned(),
    }
}
