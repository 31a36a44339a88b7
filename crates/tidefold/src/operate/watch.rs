//! Dead letters as metrics. Verdicts are written in the order of a partition's offsets, so each round goes on behind the
//! last and reads only what is new; a round never passes a checkpoint, behind which verdicts may stand with gaps.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tidefold_app::model::Projection;
use tidefold_codec::text::parse_rfc3339_micros;
use tidefold_http::Problem;
use tidefold_log::ReadLimit;
use tidefold_query::recent::load_checkpoints;
use tidefold_record::headers::Known;
use tidefold_record::{Offset, Partition};
use tidefold_store::published::Published;
use tidefold_table::GenerationTables;
use tidefold_telemetry::{Telemetry, clock};

use super::dead_letters::active;
use super::operator::{Operator, trouble};

/// How long between rounds.
const ROUND: Duration = Duration::from_secs(10);
/// Verdict rows that one scan returns.
const PAGE: usize = 1_000;
/// Dead letters of a page that are looked at for one with a time: other writers' records need not have any.
const TIMELESS: usize = 10;

/// What was counted of a topic.
struct Counted {
    generation: u32,
    letters: i64,
    partitions: Vec<CountedPartition>,
}

#[derive(Clone, Default)]
struct CountedPartition {
    /// Verdicts below are counted.
    next: Offset,
    /// When its first dead letter was appended of which that is known.
    oldest_micros: Option<i64>,
}

/// Counts until the operator is gone.
pub async fn watch(operator: Weak<Operator>, telemetry: Telemetry) {
    let mut topics = BTreeMap::new();
    while let Some(operator) = operator.upgrade() {
        if let Err(problem) = round(&operator, &mut topics, &telemetry).await {
            tracing::warn!(
                reason = problem.detail(),
                "dead letters were not counted; the next round goes on"
            );
        }
        drop(operator);
        clock::pause(ROUND).await;
    }
}

async fn round(
    operator: &Arc<Operator>,
    topics: &mut BTreeMap<String, Counted>,
    telemetry: &Telemetry,
) -> Result<(), Problem> {
    let app = operator.app();
    for projection in &operator.projections() {
        let Some(tables) = active(operator, projection) else { continue };
        let fresh = || Counted {
            generation: tables.generation,
            letters: 0,
            partitions: vec![CountedPartition::default(); projection.topic.partitions as usize],
        };
        let counted = topics.entry(projection.name().to_owned()).or_insert_with(fresh);
        if counted.generation != tables.generation {
            *counted = fresh();
        }
        counted.go_on(operator, projection, &tables).await?;
        let oldest = counted.partitions.iter().filter_map(|partition| partition.oldest_micros).min();
        match oldest {
            None if counted.letters > 0 => {
                telemetry.forget_dlq_oldest_age_seconds(app, projection.name());
            }
            oldest => {
                let age = oldest.map_or(0, |micros| clock::now_micros().saturating_sub(micros).max(0));
                telemetry.dlq_oldest_age_seconds(app, projection.name()).set(age as f64 / 1e6);
            }
        }
        telemetry.dlq_messages(app, projection.name()).set(counted.letters);
    }
    Ok(())
}

// === impl Counted ===

impl Counted {
    async fn go_on(
        &mut self,
        operator: &Operator,
        projection: &Projection,
        tables: &GenerationTables,
    ) -> Result<(), Problem> {
        let checkpoints = load_checkpoints(operator.store(), tables, 0..projection.topic.partitions).await;
        let checkpoints = checkpoints.map_err(trouble)?;
        let published = Published::of(operator.store(), tables);
        for (at, (counted, checkpoint)) in self.partitions.iter_mut().zip(checkpoints).enumerate() {
            let at = Partition(at as u32);
            while counted.next < checkpoint.next {
                let range = counted.next..checkpoint.next;
                let page = published.dead_letters(at, range, PAGE).await.map_err(trouble)?;
                for (offset, _) in page.letters.iter().take(TIMELESS) {
                    if counted.oldest_micros.is_some() {
                        break;
                    }
                    counted.oldest_micros = appended(operator, projection, at, *offset).await?;
                }
                self.letters += page.letters.len() as i64;
                counted.next = page.next.unwrap_or(checkpoint.next);
            }
        }
        Ok(())
    }
}

/// When a record was appended, where it says so.
async fn appended(
    operator: &Operator,
    projection: &Projection,
    partition: Partition,
    offset: Offset,
) -> Result<Option<i64>, Problem> {
    let name = projection.log_topic();
    let limit = ReadLimit { records: 1, bytes: 1 };
    let batch = operator.log().read(&name, partition, offset, limit).await.map_err(trouble)?;
    let time = batch.get(offset).and_then(|record| {
        let text = record.headers.get(Known::AppendTime).or_else(|| record.headers.get(Known::CeTime))?;
        parse_rfc3339_micros(text)
    });
    Ok(time)
}
