//! Which partitions are not folded as far as an operation speaks of: what keeps `verify` and `replay` from claiming the whole
//! log while a partition is behind or halted.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidefold_app::model::Projection;
use tidefold_http::Problem;
use tidefold_log::Bounds;
use tidefold_query::recent::load_checkpoints;
use tidefold_record::{Offset, Partition, Position};
use tidefold_telemetry::clock;

use super::dead_letters::active;
use super::operator::{Operator, refused, trouble};

/// A partition of which not every record is folded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfolded {
    /// The first record that is not folded.
    pub position: String,
    /// How many there were from there on when the operation began.
    pub records: u64,
    /// Why the partition does not go on, and what to do; none where it is behind, or nobody here knows why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halted: Option<String>,
    /// What has to end before anybody can fold on: another producer's open transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
}

/// How often checkpoints are looked at while something is not folded yet.
const LOOK: Duration = Duration::from_millis(50);

/// Where each partition of a topic ends now, with what stands behind an open transaction: it is acknowledged, though nobody
/// can read it yet.
pub(super) async fn ends(operator: &Operator, projection: &Projection) -> Result<Vec<Offset>, Problem> {
    Ok(bounds(operator, projection).await?.into_iter().map(|bounds| bounds.appended).collect())
}

/// Waits until the active generation is folded up to `ends`, for at most `patience`, and names the partitions that are not,
/// or that are halted. A halted one is not waited for.
pub(super) async fn unfolded(
    operator: &Operator,
    projection: &Projection,
    ends: &[Offset],
    patience: Duration,
) -> Result<Vec<Unfolded>, Problem> {
    let since = clock::instant();
    loop {
        let Some(tables) = active(operator, projection) else { return Ok(Vec::new()) };
        let checkpoints = load_checkpoints(operator.store(), &tables, 0..projection.topic.partitions).await;
        let checkpoints = checkpoints.map_err(trouble)?;
        let (mut found, mut may_go_on) = (Vec::new(), false);
        for ((partition, checkpoint), end) in (0..).map(Partition).zip(&checkpoints).zip(ends) {
            let halted = operator.coordinator().halted(projection.name(), tables.generation, partition);
            let records = end.distance_from(checkpoint.next);
            if records == 0 && halted.is_none() {
                continue;
            }
            may_go_on |= halted.is_none();
            let position =
                Position::new(projection.topic.name.clone(), partition, checkpoint.next).to_string();
            found.push((partition, checkpoint.next, Unfolded { position, records, halted, waits: None }));
        }
        if !may_go_on || since.elapsed() >= patience {
            return explained(operator, projection, found).await;
        }
        clock::pause(LOOK).await;
    }
}

async fn bounds(operator: &Operator, projection: &Projection) -> Result<Vec<Bounds>, Problem> {
    operator.coordinator().bounds_of(projection.name()).await.map_err(refused)
}

/// Says of partitions that are folded as far as they can be read that a transaction keeps the rest from being read.
async fn explained(
    operator: &Operator,
    projection: &Projection,
    found: Vec<(Partition, Offset, Unfolded)>,
) -> Result<Vec<Unfolded>, Problem> {
    let bounds = match found.iter().any(|(_, _, unfolded)| unfolded.halted.is_none()) {
        true => bounds(operator, projection).await?,
        false => Vec::new(),
    };
    let mut all = Vec::with_capacity(found.len());
    for (partition, next, mut unfolded) in found {
        if let Some(bounds) = bounds.get(partition.0 as usize)
            && unfolded.halted.is_none()
            && next >= bounds.end
            && bounds.appended > bounds.end
        {
            unfolded.waits = Some(format!(
                "another producer's transaction is open from {} on; what stands behind it is folded once that ends",
                bounds.end
            ));
        }
        all.push(unfolded);
    }
    Ok(all)
}
