//! `tidefold verify`: the log folded again in memory, and every table compared with it, byte by byte.
//!
//! The log is folded up to where the tables are while they go on moving; then the lanes stand still, the rest is folded,
//! and the rows are compared. The log takes appends all the while. What stood in the log when it began has to be folded by
//! then: partitions that are behind that, or halted, are named, and then the report is not about the whole log.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tidefold_app::model::Projection;
use tidefold_control::SchemaRecord;
use tidefold_fold::whole::WholeFold;
use tidefold_fold::{FoldSettings, SchemaFate, TableSlot};
use tidefold_http::Problem;
use tidefold_log::ReadLimit;
use tidefold_record::{Offset, Partition, SchemaId};
use tidefold_store::StoreError;
use tidefold_store::published::Published;
use tidefold_table::GenerationTables;
use tokio::sync::mpsc;

use super::dead_letters;
use super::ndjson::{ndjson, ndjson_line};
use super::operator::Operator;
use super::rows::{self, Compared, Expected};
use super::unfolded::{self, Unfolded};

/// Records folded at once.
const READ: ReadLimit = ReadLimit { records: 4_096, bytes: 4 << 20 };
/// How long lanes may take to come to a stand.
const STAND: Duration = Duration::from_secs(30);

/// One topic, folded in memory.
struct Folded<'o> {
    operator: &'o Operator,
    projection: &'o Projection,
    partitions: Vec<WholeFold>,
    progress: &'o mpsc::Sender<Value>,
    records: &'o mut u64,
}

/// The rows of one table, as the log has them.
struct OfLog<'f> {
    partitions: &'f [WholeFold],
    slot: TableSlot,
}

type Anyhow = Box<dyn std::error::Error + Send + Sync>;

/// Progress lines, then a line with the result, or with `error`.
pub(super) fn answer(operator: Arc<Operator>) -> Response {
    let (sender, receiver) = mpsc::channel(16);
    let work = async move {
        let last = match compare(&operator, &sender).await {
            Ok(report) => report,
            Err(error) => json!({ "error": error.to_string() }),
        };
        let _ = sender.send(last).await;
    };
    let lines = stream::unfold(receiver, async |mut receiver| {
        let value: Value = receiver.recv().await?;
        Some((Some(ndjson_line(&value)), receiver))
    });
    let silent = stream::once(work).map(|()| None);
    ndjson(Body::from_stream(stream::select(lines, silent).filter_map(std::future::ready)))
}

/// Folds the log again and compares every table of every active generation.
async fn compare(operator: &Operator, progress: &mpsc::Sender<Value>) -> Result<Value, Anyhow> {
    let (mut records, mut tables, mut not_folded) = (0, Vec::new(), Vec::<Unfolded>::new());
    for projection in &operator.projections() {
        let name = projection.name();
        let control = operator.coordinator().control_log().control();
        let Some((number, generation)) =
            control.generations(name).and_then(|p| p.generations.get_key_value(&p.active?))
        else {
            continue;
        };
        let stored = projection.tables(*number);
        if let Some(damaged) = damaged_checkpoints(operator, projection, &stored).await? {
            tables.push(damaged.report(&stored.checkpoints.layout.name));
            continue;
        }
        let ends = unfolded::ends(operator, projection).await.map_err(told)?;
        if operator.coordinator().is_halted(name, *number) {
            not_folded.extend(unfolded::unfolded(operator, projection, &ends, STAND).await.map_err(told)?);
            continue;
        }
        let settings = FoldSettings { window: generation.manifest.window };
        let fold = |partition| WholeFold::new(Arc::clone(projection), Partition(partition), settings);
        let partitions = (0..projection.topic.partitions).map(fold).collect();
        let mut folded = Folded { operator, projection, partitions, progress, records: &mut records };
        folded.fold_to_checkpoints().await?;
        not_folded.extend(unfolded::unfolded(operator, projection, &ends, STAND).await.map_err(told)?);
        folded.fold_to_checkpoints().await?;
        let quiesced = operator.coordinator().quiesce(name, STAND).await?;
        folded.fold_to_checkpoints().await?;
        let stored = projection.tables(quiesced.generation);
        tables.extend(folded.compare(&stored).await?);
        quiesced.has_stood().await?;
    }
    let equal = tables.iter().all(|table| table["differing"] == 0);
    let complete = not_folded.is_empty();
    Ok(json!({ "app": operator.app(), "records": records, "equal": equal, "complete": complete,
               "unfolded": not_folded, "tables": tables }))
}

/// Checkpoints that cannot be read: then nobody knows how much of the log the tables have, and there is nothing to compare
/// them with.
async fn damaged_checkpoints(
    operator: &Operator,
    projection: &Projection,
    tables: &GenerationTables,
) -> Result<Option<Compared>, Anyhow> {
    let published = Published::of(operator.store(), tables);
    let (mut rows, mut damaged) = (0, Vec::new());
    for partition in (0..projection.topic.partitions).map(Partition) {
        match published.checkpoint(partition).await {
            Ok(found) => rows += u64::from(found.is_some()),
            Err(StoreError::Damaged(found)) => {
                rows += 1;
                damaged.push(found);
            }
            Err(error) => return Err(error.into()),
        }
    }
    let not_compared = || {
        format!(
            "the other tables of {} were not compared: how much they have is not known",
            projection.name()
        )
    };
    Ok((!damaged.is_empty()).then(|| Compared::damaged(rows, &damaged, not_compared())))
}

fn told(problem: Problem) -> Anyhow {
    problem.detail().to_owned().into()
}

// === impl Folded ===

impl Folded<'_> {
    /// Folds every partition up to the checkpoint of the active generation as it is now.
    async fn fold_to_checkpoints(&mut self) -> Result<(), Anyhow> {
        let Some(tables) = dead_letters::active(self.operator, self.projection) else { return Ok(()) };
        let published = Published::of(self.operator.store(), &tables);
        let found = published.checkpoints((0..self.projection.topic.partitions).map(Partition)).await?;
        let nexts: Vec<Offset> = found.iter().map(|found| found.map_or(Offset::ZERO, |c| c.next)).collect();
        let total: u64 = *self.records
            + nexts
                .iter()
                .zip(&self.partitions)
                .map(|(next, fold)| next.distance_from(fold.next_offset()))
                .sum::<u64>();
        for (partition, until) in nexts.into_iter().enumerate() {
            self.fold_partition(partition, until, total).await?;
        }
        Ok(())
    }

    async fn fold_partition(&mut self, partition: usize, until: Offset, total: u64) -> Result<(), Anyhow> {
        let name = self.projection.log_topic();
        let Some(fold) = self.partitions.get_mut(partition) else { return Ok(()) };
        while fold.next_offset() < until {
            let next = fold.next_offset();
            let limit = ReadLimit { records: READ.records.min(until.distance_from(next) as usize), ..READ };
            let read = self.operator.log().read(&name, Partition(partition as u32), next, limit).await?;
            // Offsets are no count of records: none stands where a transaction ended or was aborted. So many records may
            // reach beyond the checkpoint, and a part of the log may have none.
            let batch = read.before(until);
            if batch.next_offset() <= next {
                return Err(
                    format!("{name}:{partition} ends at {next}, before its checkpoint {until}").into()
                );
            }
            let control = self.operator.coordinator().control_log().control();
            let declared = control.generations(self.projection.name()).into_iter();
            for (offset, reason) in
                declared.flat_map(|of_topic| of_topic.dead_letters(partition as u32, next))
            {
                fold.pass_over(offset, reason);
            }
            fold.fold(&batch, None, |id: SchemaId| match control.schema(id) {
                Some(SchemaRecord::Registered(schema)) => SchemaFate::Registered(Arc::clone(schema)),
                _ => SchemaFate::Refused,
            })?;
            *self.records += batch.len() as u64;
            let _ = self.progress.try_send(json!({ "records": *self.records, "total": total }));
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn compare(&self, stored: &GenerationTables) -> Result<Vec<Value>, Anyhow> {
        let views = stored.views.iter().enumerate().map(|(at, table)| (TableSlot::View(at), table));
        let entity = stored.entity.iter().map(|table| (TableSlot::Entity, table));
        let all: Vec<_> = entity.chain(views).chain([(TableSlot::Verdicts, &stored.verdicts)]).collect();
        let mut reports = Vec::new();
        for (slot, table) in all {
            let expected = OfLog { partitions: &self.partitions, slot };
            let found = rows::compare(self.operator.store(), table, &expected).await?;
            reports.push(found.report(&table.layout.name));
            tokio::task::yield_now().await;
        }
        Ok(reports)
    }
}

// === impl OfLog ===

impl OfLog<'_> {
    fn all(&self) -> impl Iterator<Item = (Bytes, Bytes)> {
        self.partitions.iter().flat_map(|fold| fold.rows(self.slot))
    }
}

impl Expected for OfLog<'_> {
    fn row(&self, key: &[u8]) -> Option<Bytes> {
        self.partitions.iter().find_map(|fold| fold.row(self.slot, key))
    }

    fn count(&self) -> u64 {
        self.all().count() as u64
    }

    fn keys(&self) -> Vec<Bytes> {
        self.all().map(|(key, _)| key).collect()
    }
}
