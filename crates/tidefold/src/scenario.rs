//! Runs an app's scenarios: messages are encoded as ingest would, folded in memory, and tables are read as a caller would.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};
use tidefold_app::App;
use tidefold_app::model::Projection;
use tidefold_app::scenario::{ExpectedRows, ExpectedTable, OutcomeKind, Scenario, ScenarioMessage};
use tidefold_codec::json_in::{JsonEncoder, JsonLimits};
use tidefold_codec::json_out::Longs;
use tidefold_codec::text::write_rfc3339_micros;
use tidefold_fold::whole::WholeFold;
use tidefold_fold::{FoldSettings, SchemaFate, TableSlot};
use tidefold_query::rows;
use tidefold_record::headers::Known;
use tidefold_record::{
    BatchBuilder, HeadersBuilder, Offset, Partition, SchemaId, TopicName, frame, partition_of,
};
use tidefold_table::rollup;
use tidefold_table::verdict;
use tidefold_table::{Row, TableId, TableKind, TableLayout, Verdict};

/// A row's key text and its columns.
type Object = (String, Map<String, Value>);

/// One scenario's log and tables.
struct Stage {
    app: Arc<App>,
    /// By topic and partition.
    folds: BTreeMap<(TopicName, Partition), WholeFold>,
    serial: u64,
}

/// What is wrong; empty when the scenario holds.
#[must_use]
pub fn run(app: &Arc<App>, scenario: &Scenario) -> Vec<String> {
    let mut stage = Stage { app: Arc::clone(app), folds: BTreeMap::new(), serial: 0 };
    let mut wrong = Vec::new();
    for (at, message) in scenario.given.iter().enumerate() {
        match stage.send(message) {
            Ok(Judged { verdict: Verdict::Applied, .. }) => {}
            Ok(judged) => {
                wrong.push(format!("given message {}, {}: {}", at + 1, message.message_type, told(&judged)))
            }
            Err(text) => wrong.push(format!("given message {}, {}: {text}", at + 1, message.message_type)),
        }
    }
    for (at, (message, expected)) in scenario.when.iter().zip(&scenario.outcomes).enumerate() {
        let place = format!("message {}, {}", at + 1, message.message_type);
        match stage.send(message) {
            Ok(judged) => {
                if !judged.is_expected(expected.kind, expected.codes.as_deref()) {
                    let codes = expected.codes.as_ref().map(|codes| codes.join(", ")).unwrap_or_default();
                    wrong.push(
                        format!("{place}: {}, expected {} {codes}", told(&judged), word(expected.kind))
                            .trim_end()
                            .to_owned(),
                    );
                }
            }
            Err(text) => wrong.push(format!("{place}: {text}")),
        }
    }
    for table in &scenario.tables {
        if let Err(text) = stage.check(table, &mut wrong) {
            wrong.push(format!("{}: {text}", table.table));
        }
    }
    wrong
}

/// What a message came to. A retry of one that was refused came to what that did.
struct Judged {
    verdict: Verdict,
    /// The first attempt, where this is a retry of a refused one.
    retry_of: Option<Offset>,
}

impl Judged {
    /// A retry of a refused message may be expected as what it came to, or as the duplicate that its own verdict row says.
    fn is_expected(&self, kind: OutcomeKind, codes: Option<&[String]>) -> bool {
        is_expected(&self.verdict, kind, codes) || (self.retry_of.is_some() && kind == OutcomeKind::Duplicate)
    }
}

fn told(judged: &Judged) -> String {
    let verdict = verdict_text(&judged.verdict);
    judged.retry_of.map_or(verdict.clone(), |first| format!("{verdict} (a retry of offset {first})"))
}

fn verdict_text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Applied => "applied".to_owned(),
        Verdict::Rejected(codes) => format!("rejected: {}", codes.join(", ")),
        Verdict::Duplicate(of) => format!("duplicate of offset {of}"),
        Verdict::Dead(reason) => format!("dead: {} ({})", reason.code, reason.detail),
    }
}

/// An outcome as scenarios write it.
fn word(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::Applied => "applied",
        OutcomeKind::Rejected => "rejected",
        OutcomeKind::Duplicate => "duplicate",
        OutcomeKind::Dead => "dead",
    }
}

fn is_expected(verdict: &Verdict, kind: OutcomeKind, codes: Option<&[String]>) -> bool {
    match (verdict, kind) {
        (Verdict::Applied, OutcomeKind::Applied) | (Verdict::Duplicate(_), OutcomeKind::Duplicate) => true,
        (Verdict::Rejected(found), OutcomeKind::Rejected) => codes.is_none_or(|codes| codes == found),
        (Verdict::Dead(reason), OutcomeKind::Dead) => {
            codes.is_none_or(|codes| codes == [reason.code.clone()])
        }
        _ => false,
    }
}

// === impl Stage ===

impl Stage {
    fn send(&mut self, message: &ScenarioMessage) -> Result<Judged, String> {
        let app = Arc::clone(&self.app);
        let (projection, place) = app.message(&message.message_type).ok_or("there is no such message")?;
        let topic = &projection.topic;
        let schema = topic.messages.get(place).ok_or("there is no such message")?;
        let encoder = JsonEncoder::new(Arc::clone(&schema.record), schema.key.clone(), JsonLimits::default());
        let (mut value, mut key) = (Vec::new(), Vec::new());
        // The place of the message in its topic is its schema id here: no registry is needed.
        frame(SchemaId(place as u32), &mut value);
        encoder.encode(message.data.to_string().as_bytes(), &mut value, &mut key).map_err(|violations| {
            violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        })?;
        self.serial += 1;
        let headers = headers(message, &app.name, self.serial);
        let partition = partition_of(&key, topic.partitions);
        let fold = self
            .folds
            .entry((topic.name.clone(), partition))
            .or_insert_with(|| WholeFold::new(Arc::clone(projection), partition, FoldSettings::default()));
        let mut batch = BatchBuilder::new();
        batch.push(Some(&key), Some(&value), headers.as_headers());
        let offset = fold.next_offset();
        let batch = batch.build(partition, offset);
        let fate = |id: SchemaId| match topic.messages.get(id.0 as usize) {
            Some(message) => SchemaFate::Registered(message.schema_json.as_str().into()),
            None => SchemaFate::Refused,
        };
        fold.fold(&batch, None, fate).map_err(|error| error.to_string())?;
        let verdict = |offset| {
            let row = fold.row(TableSlot::Verdicts, &verdict::Key { partition, offset }.encode());
            let verdict = row.map(|row| Verdict::decode(&row)).transpose();
            verdict.map(|verdict| verdict.unwrap_or(Verdict::Applied)).map_err(|broken| broken.to_string())
        };
        let judged = verdict(offset)?;
        if let Verdict::Duplicate(first) = judged
            && let refused @ Verdict::Rejected(_) = verdict(first)?
        {
            return Ok(Judged { verdict: refused, retry_of: Some(first) });
        }
        Ok(Judged { verdict: judged, retry_of: None })
    }

    fn check(&self, expected: &ExpectedTable, wrong: &mut Vec<String>) -> Result<(), String> {
        let found = self.table(&expected.table)?;
        match &expected.rows {
            ExpectedRows::ByKey(rows) => {
                for (key, row) in rows {
                    let there = found.iter().find(|(found, _)| found == key).map(|(_, object)| object);
                    let place = format!("{} {key}", expected.table);
                    match (row, there) {
                        (Some(row), Some(object)) => differences(&place, &row.columns, object, wrong),
                        (Some(_), None) => wrong.push(format!("{place}: is not there")),
                        (None, Some(object)) => {
                            wrong.push(format!("{place}: is there: {}", Value::from(object.clone())))
                        }
                        (None, None) => {}
                    }
                }
            }
            ExpectedRows::All(rows) => {
                if rows.len() != found.len() {
                    let objects: Vec<_> =
                        found.iter().map(|(_, object)| Value::from(object.clone())).collect();
                    let there = Value::from(objects);
                    wrong.push(format!(
                        "{}: {} rows, expected {}: {there}",
                        expected.table,
                        found.len(),
                        rows.len()
                    ));
                }
                for (at, (row, (_, object))) in rows.iter().zip(&found).enumerate() {
                    differences(&format!("{} row {}", expected.table, at + 1), &row.columns, object, wrong);
                }
            }
        }
        Ok(())
    }

    /// Every row of a table in key order: its key text (of an entity) and its columns.
    fn table(&self, name: &str) -> Result<Vec<Object>, String> {
        let mut projections = self.app.projections.iter();
        let projection = projections
            .find(|projection| projection.layouts().any(|table| table.name == name))
            .ok_or("there is no such table")?;
        let slot = match projection.views.iter().position(|view| view.name == name) {
            Some(view) => TableSlot::View(view),
            None => TableSlot::Entity,
        };
        let mut stored: Vec<(Bytes, Bytes)> = Vec::new();
        for ((of, _), fold) in &self.folds {
            if *of == projection.topic.name {
                stored.extend(fold.rows(slot));
            }
        }
        stored.sort();
        objects(projection, slot, stored)
    }
}

fn objects(
    projection: &Projection,
    slot: TableSlot,
    stored: Vec<(Bytes, Bytes)>,
) -> Result<Vec<Object>, String> {
    let mut found = Vec::new();
    let mut push = |key: &[u8], json: &[u8]| -> Result<(), String> {
        let object = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        found.push((String::from_utf8_lossy(key).into_owned(), object));
        Ok(())
    };
    match (slot, &projection.entity) {
        (TableSlot::Entity, Some(entity)) => {
            for (key, value) in stored {
                let mut json = Vec::new();
                if rows::write_entity(entity, &value, Longs::Number, &mut json)
                    .map_err(|error| error.to_string())?
                    .is_some()
                {
                    push(&key, &json)?;
                }
            }
        }
        (TableSlot::View(view), _) => {
            let view = projection.views.get(view).ok_or("there is no such view")?;
            if view.layout.kind == TableKind::Index {
                for (key, value) in logical(&view.layout, stored)? {
                    let mut json = Vec::new();
                    rows::write_index(&view.layout, &key, &value, Longs::Number, &mut json)
                        .map_err(|error| error.to_string())?;
                    push(&key, &json)?;
                }
                return Ok(found);
            }
            let stored = logical(&view.layout, stored)?;
            let rows: Vec<Row> = stored.into_iter().map(|(key, value)| Row { key, value }).collect();
            let id = TableId::new("scenario", &view.name, 0);
            let groups = rollup::add_up(&view.layout, &id, &rows, true).map_err(|error| error.to_string())?;
            for (key, group) in groups.into_iter().filter(|(_, group)| group.count > 0) {
                let mut json = Vec::new();
                rows::write_group(&view.layout, key, &group, Longs::Number, &mut json)
                    .map_err(|error| error.to_string())?;
                push(key, &json)?;
            }
        }
        _ => {}
    }
    Ok(found)
}

/// Rows as a query lists them: without buckets, in the order of their keys.
fn logical(layout: &TableLayout, stored: Vec<(Bytes, Bytes)>) -> Result<Vec<(Bytes, Bytes)>, String> {
    if layout.bucket.is_none() {
        return Ok(stored);
    }
    let cut = |(key, value): (Bytes, Bytes)| match layout.without_bucket(&key) {
        Ok(key) => Ok((Bytes::from(key.into_owned()), value)),
        Err(error) => Err(error.to_string()),
    };
    let mut rows = stored.into_iter().map(cut).collect::<Result<Vec<_>, _>>()?;
    rows.sort();
    Ok(rows)
}

fn differences(
    place: &str,
    expected: &Map<String, Value>,
    found: &Map<String, Value>,
    wrong: &mut Vec<String>,
) {
    for (column, value) in expected {
        match found.get(column) {
            Some(there) if there == value => {}
            Some(there) => wrong.push(format!("{place}: {column} is {there}, expected {value}")),
            None => wrong.push(format!("{place}: has no column {column}")),
        }
    }
}

fn headers(message: &ScenarioMessage, app: &str, serial: u64) -> HeadersBuilder {
    let mut headers = HeadersBuilder::new();
    let caller = message.caller.as_deref().unwrap_or("anonymous");
    let id = message.id.clone().unwrap_or_else(|| format!("scenario-{serial}"));
    let mut time = Vec::new();
    write_rfc3339_micros(message.time_micros, &mut time);
    headers.push(Known::CeSpecversion, b"1.0");
    headers.push(Known::CeId, id.as_bytes());
    headers.push(Known::CeSource, format!("/v1/{app}/{caller}").as_bytes());
    headers.push(Known::CeType, message.message_type.as_bytes());
    headers.push(Known::CeTime, &time);
    headers.push(Known::AppendTime, &time);
    if let Some(caller) = &message.caller {
        headers.push(Known::Caller, caller.as_bytes());
    }
    if let Some(version) = message.if_match {
        headers.push(Known::IfMatch, version.to_string().as_bytes());
    }
    headers
}
