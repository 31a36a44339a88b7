//! `tidefold dead-letters`: records that could not be folded, with why.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidefold_app::model::Topic;
use tidefold_app::tables::GenerationTables;
use tidefold_fold::Verdict;
use tidefold_fold::verdict::verdict_key;
use tidefold_http::{Problem, ProblemKind};
use tidefold_log::ReadLimit;
use tidefold_record::{Offset, Partition, Position, RecordRef, unframe};
use tidefold_store::Scan;

use super::{Operator, unavailable};

/// A dead letter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Where it stands.
    pub position: String,
    /// Why it is dead, a constant.
    pub code: String,
    /// Why, in words.
    pub detail: String,
    /// Its key, as text where it is text.
    pub key: Option<String>,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// The schema id its value names.
    pub schema_id: Option<u32>,
    /// Its value, in hex.
    pub value: Option<String>,
}

/// Verdict rows that one scan returns.
const PAGE: usize = 1_000;
/// Bytes of a value that are shown.
const VALUE_BYTES: usize = 4_096;

pub(super) async fn list(operator: &Operator, limit: usize) -> Result<Vec<DeadLetter>, Problem> {
    let mut letters = Vec::new();
    for topic in &operator.app().topics {
        let Some(tables) = active(operator, topic) else { continue };
        let mut from = None;
        loop {
            let scan = Scan::Range { prefix: Bytes::new(), from, until: None, reverse: false, limit: PAGE };
            let rows = operator.store().scan(&tables.verdicts.id, &scan).await.map_err(unavailable)?;
            for row in &rows {
                let (Some(Verdict::Dead(_)), Some((partition, offset))) =
                    (Verdict::decode(&row.value), place(&row.key))
                else {
                    continue;
                };
                if letters.len() == limit {
                    return Ok(letters);
                }
                let position = Position::new(topic.name.clone(), partition, offset);
                letters.push(letter(operator, &position, &row.value).await?);
            }
            match rows.last() {
                Some(last) if rows.len() == PAGE => from = Some(behind(&last.key)),
                _ => break,
            }
        }
    }
    Ok(letters)
}

pub(super) async fn show(operator: &Operator, position: &Position) -> Result<DeadLetter, Problem> {
    let topic = operator.topic(position.topic.as_str())?;
    let absent = || Problem::new(ProblemKind::NotFound, format!("{position} is not a dead letter"));
    let tables = active(operator, topic).ok_or_else(absent)?;
    let key = Bytes::copy_from_slice(&verdict_key(position.partition.0, position.offset));
    let rows = operator.store().load(&tables.verdicts.id, &[key]).await.map_err(unavailable)?;
    let row = rows.into_iter().next().flatten().ok_or_else(absent)?;
    if !matches!(Verdict::decode(&row), Some(Verdict::Dead(_))) {
        return Err(absent());
    }
    letter(operator, position, &row).await
}

/// The tables of a topic's active generation.
pub(super) fn active(operator: &Operator, topic: &Topic) -> Option<GenerationTables> {
    let generation = operator.deployer().control().borrow().active(topic.name.as_str())?;
    Some(GenerationTables::new(operator.app(), topic, generation))
}

async fn letter(operator: &Operator, position: &Position, verdict: &[u8]) -> Result<DeadLetter, Problem> {
    let (code, detail) = match Verdict::decode(verdict) {
        Some(Verdict::Dead(reason)) => (reason.code, reason.detail),
        _ => (String::new(), String::new()),
    };
    let name = position.topic.in_app(&operator.app().name);
    let limit = ReadLimit { records: 1, bytes: 1 };
    let batch =
        operator.log().read(&name, position.partition, position.offset, limit).await.map_err(unavailable)?;
    let mut letter = DeadLetter {
        position: position.to_string(),
        code,
        detail,
        key: None,
        headers: vec![],
        schema_id: None,
        value: None,
    };
    if let Some(record) = batch.get(position.offset) {
        describe(&record, &mut letter);
    }
    Ok(letter)
}

fn describe(record: &RecordRef<'_>, letter: &mut DeadLetter) {
    letter.key = record.key.map(|key| String::from_utf8_lossy(key).into_owned());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    letter.headers =
        record.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    if let Some(value) = record.value {
        letter.schema_id = unframe(value).ok().map(|(id, _)| id.0);
        letter.value = Some(value.iter().take(VALUE_BYTES).map(|byte| format!("{byte:02x}")).collect());
    }
}

/// Partition and offset of a verdict row's key.
pub(super) fn place(key: &[u8]) -> Option<(Partition, Offset)> {
    let (partition, rest) = key.split_first_chunk::<4>()?;
    let offset: [u8; 8] = rest.try_into().ok()?;
    Some((Partition(u32::from_be_bytes(*partition)), Offset(u64::from_be_bytes(offset))))
}

/// The first key behind this one.
pub(super) fn behind(key: &[u8]) -> Bytes {
    let mut next = key.to_vec();
    next.push(0);
    next.into()
}
