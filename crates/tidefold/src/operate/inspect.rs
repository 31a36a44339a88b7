//! `tidefold inspect`: how one key was folded, message by message.
//!
//! The key's records are folded again one at a time, with the verdicts that were published, so that the steps shown are
//! the steps that were taken.

use std::collections::BTreeMap;
use std::sync::Arc;

use bumpalo::Bump;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidefold_app::model::{Entity, Projection, Topic};
use tidefold_codec::json_out::Longs;
use tidefold_codec::text;
use tidefold_fold::{Changes, FoldSettings, Folder, Given, RowCache};
use tidefold_http::{Problem, ProblemKind};
use tidefold_log::ReadLimit;
use tidefold_record::headers::Known;
use tidefold_record::{BatchBuilder, Offset, Partition, Position, RecordBatch, RecordRef, partition_of};
use tidefold_store::published::Published;
use tidefold_table::entity::StateRef;
use tidefold_table::verdict::PASSED_OVER;
use tidefold_table::{TableKind, TableLayout, Verdict, VerdictKind};

use super::dead_letters::active;
use super::operator::{Operator, trouble};

/// One step of a key's fold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// The record.
    pub position: String,
    /// The message's type and id, as its headers say.
    pub message: Option<String>,
    /// The message's id.
    pub id: Option<String>,
    /// Its time.
    pub time: Option<String>,
    /// `applied`, `rejected`, `duplicate` or `dead`.
    pub verdict: String,
    /// Codes of a rejection, the reason of a dead letter, the position of the first of a duplicate.
    pub detail: Vec<String>,
    /// The first attempt, where this is a retry: what it came to is the verdict on this one, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// The entity's version behind it.
    pub version: u64,
    /// The entity behind it; null where there is none.
    pub state: Value,
}

/// Verdicts read at once.
const PAGE: usize = 1_000;
/// Records read at once.
const READ: ReadLimit = ReadLimit { records: 10_000, bytes: 8 << 20 };

pub(super) async fn inspect(operator: &Operator, table: &str, key: &str) -> Result<Vec<Step>, Problem> {
    let projection = of_entity(operator, table)?;
    let Some(entity) = &projection.entity else { return Ok(Vec::new()) };
    let topic = &projection.topic;
    let key = key_text(&entity.layout, key)?;
    let partition = partition_of(&key, topic.partitions);
    let verdicts = published(operator, &projection, partition).await?;
    let mut folder = Folder::new(Arc::clone(&projection), partition, FoldSettings::default());
    let mut rows = RowCache::new(usize::MAX, true);
    let mut steps = Vec::new();
    let name = projection.log_topic();
    let mut next = operator.log().bounds(&name, partition).await.map_err(trouble)?.start;
    loop {
        let batch = operator.log().read(&name, partition, next, READ).await.map_err(trouble)?;
        // An empty one that goes on is a stretch without records: where transactions were aborted.
        if batch.next_offset() <= next {
            return Ok(steps);
        }
        for record in batch.iter().filter(|record| record.key == Some(&key[..])) {
            let verdict = verdicts.get(&record.offset).cloned().unwrap_or(Verdict::Applied);
            let single = alone(&record, partition);
            for id in folder.unknown_schemas(&single) {
                let fate = operator.coordinator().schemas().fate(id).await;
                let fate =
                    fate.map_err(|error| Problem::new(ProblemKind::LogUnavailable, error.to_string()))?;
                folder.learn(id, &fate);
            }
            let published =
                BTreeMap::from_iter((verdict != Verdict::Applied).then(|| (record.offset, verdict.clone())));
            if let Verdict::Dead(reason) = &verdict
                && reason.code == PASSED_OVER
            {
                folder.pass_over(record.offset, &reason.detail);
            }
            let given = Given { published: Some(&published), own: None };
            let mut changes = Changes::default();
            rows.missing(std::iter::once(&key[..]));
            let folded = folder.fold(&single, given, &mut rows, &mut changes);
            folded.map_err(|error| Problem::new(ProblemKind::Internal, error.to_string()))?;
            let state = rows.get(&key);
            let told = Told::of(&verdict, &verdicts);
            steps.push(step(entity, topic, &record, partition, &told, state));
        }
        next = batch.next_offset();
    }
}

/// The projection whose entity has a name.
fn of_entity(operator: &Operator, table: &str) -> Result<Arc<Projection>, Problem> {
    let projections = operator.projections();
    let name = |projection: &Arc<Projection>| projection.entity.as_ref().map(|entity| entity.name.clone());
    let found = projections.iter().find(|projection| name(projection).as_deref() == Some(table)).cloned();
    found.ok_or_else(|| {
        let names: Vec<_> = projections.iter().filter_map(name).collect();
        let detail = format!("there is no entity {table}; there are {}", names.join(", "));
        Problem::new(ProblemKind::UnknownTable, detail)
    })
}

/// The key text in its canonical form.
fn key_text(layout: &TableLayout, key: &str) -> Result<Bytes, Problem> {
    debug_assert_eq!(layout.kind, TableKind::Entity);
    let columns: Vec<_> = layout.key_columns().map(|(_, column)| column.ty).collect();
    let types: Vec<_> = columns.iter().collect();
    let arena = Bump::new();
    let datums = text::parse_key(&types, key, &arena)
        .map_err(|error| Problem::new(ProblemKind::InvalidQuery, error.to_string()))?;
    let mut bytes = Vec::new();
    text::write_key(&types, &datums, &mut bytes);
    Ok(bytes.into())
}

async fn published(
    operator: &Operator,
    projection: &Projection,
    partition: Partition,
) -> Result<BTreeMap<Offset, Verdict>, Problem> {
    let mut verdicts = BTreeMap::new();
    let Some(tables) = active(operator, projection) else { return Ok(verdicts) };
    let published = Published::of(operator.store(), &tables);
    let mut from = Offset::ZERO;
    loop {
        let rows = published.verdicts(partition, from..Offset::MAX, PAGE).await.map_err(trouble)?;
        let last = rows.last().map(|(offset, _)| *offset).filter(|_| rows.len() == PAGE);
        verdicts.extend(rows);
        match last {
            Some(last) => from = last.next(),
            None => return Ok(verdicts),
        }
    }
}

/// A batch of just this record.
fn alone(record: &RecordRef<'_>, partition: Partition) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    builder.push(record.key, record.value, record.headers);
    builder.build(partition, record.offset)
}

/// What is told of a record: a retry of a message that was refused is refused as that was.
struct Told<'a> {
    verdict: &'a Verdict,
    of: Option<Offset>,
}

// === impl Told ===

impl<'a> Told<'a> {
    fn of(verdict: &'a Verdict, others: &'a BTreeMap<Offset, Verdict>) -> Told<'a> {
        let Verdict::Duplicate(first) = verdict else { return Told { verdict, of: None } };
        let refused = others.get(first).filter(|first| first.kind() == VerdictKind::Rejected);
        Told { verdict: refused.unwrap_or(verdict), of: Some(*first) }
    }
}

fn step(
    entity: &Entity,
    topic: &Topic,
    record: &RecordRef<'_>,
    partition: Partition,
    told: &Told<'_>,
    blob: Option<&[u8]>,
) -> Step {
    let header = |name| record.headers.get(name).map(|value| String::from_utf8_lossy(value).into_owned());
    let position = |offset| Position::new(topic.name.clone(), partition, offset).to_string();
    let (word, detail) = match told.verdict {
        Verdict::Applied => ("applied", vec![]),
        Verdict::Rejected(codes) => ("rejected", codes.clone()),
        Verdict::Duplicate(of) => ("duplicate", vec![position(*of)]),
        Verdict::Dead(reason) => ("dead", vec![reason.code.clone(), reason.detail.clone()]),
    };
    let version = blob.and_then(|blob| StateRef::parse(blob).ok()).map_or(0, |state| state.version);
    let mut json = Vec::new();
    let state =
        match blob.map(|blob| tidefold_query::rows::write_entity(entity, blob, Longs::Number, &mut json)) {
            Some(Ok(Some(_))) => serde_json::from_slice(&json).unwrap_or(Value::Null),
            _ => Value::Null,
        };
    Step {
        position: position(record.offset),
        message: header(Known::CeType),
        id: header(Known::CeId),
        time: header(Known::CeTime),
        verdict: word.to_owned(),
        detail,
        of: told.of.map(position),
        version,
        state,
    }
}
