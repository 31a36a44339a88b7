//! The fold alone: records in memory, rows in memory, one partition, one thread, one index and one rollup.

use std::sync::Arc;

use tidefold_app::model::Projection;
use tidefold_fold::{Changes, Effect, FoldSettings, Folder, Given, RowCache, SchemaFate, checkpoint_after};
use tidefold_record::{Offset, Partition, RecordBatch, SchemaId};
use tidefold_table::Checkpoint;
use tidefold_telemetry::clock;

use crate::figure::{Outcome, figure, median};
use crate::orders::{records, storefront};
use crate::typed::TypedFold;

const RECORDS: u64 = 600_000;
const BATCH: u64 = 20_000;

/// Three runs over the same records; the middle one counts.
pub(crate) fn run() -> Outcome {
    let app = Arc::new(storefront(|text| {
        let text = text.replace("partitions = 12", "partitions = 1");
        text.split("[views.units_by_sku]").next().unwrap_or_default().to_owned()
    })?);
    let Some(projection) = app.projections.first() else { return Err("the app has no topic".into()) };
    let schemas: Vec<Arc<str>> =
        projection.topic.messages.iter().map(|m| m.schema_json.as_str().into()).collect();
    let id = |schema: &str| SchemaId(schemas.iter().position(|known| &**known == schema).unwrap_or(0) as u32);
    let mut batches = Vec::new();
    for first in (0..RECORDS).step_by(BATCH as usize) {
        for builder in records(&app, first, BATCH, &id) {
            batches.push(builder.build(Partition(0), Offset(first)));
        }
    }
    let (mut rates, mut typed) = ([0.0; 3], [0.0; 3]);
    for (rate, typed) in rates.iter_mut().zip(&mut typed) {
        *rate = once(projection, &batches, &schemas)?;
        *typed = once_typed(&batches)?;
    }
    let (rate, typed) = (median(rates), median(typed));
    figure(
        "fold alone, one index and one rollup, a core",
        format!("{rate:.0} records/s"),
        "1,000,000 a second",
    )?;
    figure(
        "the same, of a typed fold written by hand",
        format!("{:.2} of {typed:.0} records/s", rate / typed),
        "0.6",
    )?;
    Ok(())
}

/// The same records, folded by a program written for them.
fn once_typed(batches: &[RecordBatch]) -> Result<f64, Box<dyn std::error::Error + Send + Sync>> {
    let mut fold = TypedFold::default();
    let (mut applied, mut rows) = (0, 0);
    let since = clock::instant();
    for batch in batches {
        let (folded, written) = fold.fold(batch);
        (applied, rows) = (applied + folded, rows + written.len());
    }
    rate_of(batches, applied, rows, since.elapsed().as_secs_f64())
}

/// Records a second; none of them may have been refused.
fn rate_of(
    batches: &[RecordBatch],
    applied: u64,
    rows: usize,
    seconds: f64,
) -> Result<f64, Box<dyn std::error::Error + Send + Sync>> {
    let records: u64 = batches.iter().map(|batch| batch.len() as u64).sum();
    if applied != records || rows == 0 {
        return Err(format!("{applied} of {records} records were applied").into());
    }
    Ok(records as f64 / seconds)
}

fn once(
    projection: &Arc<Projection>,
    batches: &[RecordBatch],
    schemas: &[Arc<str>],
) -> Result<f64, Box<dyn std::error::Error + Send + Sync>> {
    let mut folder = Folder::new(Arc::clone(projection), Partition(0), FoldSettings::default());
    for (at, schema) in schemas.iter().enumerate() {
        folder.learn(SchemaId(at as u32), &SchemaFate::Registered(Arc::clone(schema)));
    }
    let mut entities = RowCache::new(usize::MAX, true);
    let mut rollups: Vec<RowCache> =
        projection.views.iter().map(|_| RowCache::new(usize::MAX, true)).collect();
    let mut changes = Changes::default();
    let (mut applied, mut rows, mut checkpoint) = (0, 0, Checkpoint::START);
    let since = clock::instant();
    for batch in batches {
        entities.missing(batch.iter().filter_map(|record| record.key));
        folder.fold(batch, Given::default(), &mut entities, &mut changes)?;
        applied += changes.applied;
        folder.apply_rollups(&mut changes, &mut rollups)?;
        checkpoint = checkpoint_after(&checkpoint, batch);
        let effects = folder.effects(&mut changes, &mut entities, &mut rollups, checkpoint);
        rows += effects.iter().map(Effect::row_count).sum::<usize>();
        entities.acknowledged();
        rollups.iter_mut().for_each(RowCache::acknowledged);
    }
    rate_of(batches, applied, rows, since.elapsed().as_secs_f64())
}
