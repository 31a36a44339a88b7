//! Scenarios: the app's own tests. Files in `scenarios/` say: given these messages, when these come, then that happens.
//!
//! ```toml
//! [[scenario]]
//! name = "an order is paid once"
//! given = [
//!     { type = "PlaceOrder", data = { order_id = "o-1", customer_id = "c-1", total_cents = 500 } },
//!     { type = "PayOrder", data = { order_id = "o-1" } },
//! ]
//! when = { type = "PayOrder", data = { order_id = "o-1" } }      # or a list
//! then.outcome = { rejected = ["not_payable"] }                  # or a list, one for each message of `when`
//! then.orders."o-1" = { status = "paid" }                        # an entity by its key; columns not named may be anything
//! then.orders."o-2" = false                                      # there is no such entity
//! then.orders_by_customer = [{ order_id = "o-1" }]               # all rows of a table, in the order of its key
//! ```
//!
//! A message may also have `id`, `time` (RFC 3339), `caller` and `if_match`. A scenario starts from nothing; its messages
//! come in the order written, `given` first, one second apart from 2026-01-01T00:00:00Z where they have no `time`. Every
//! message of `given` has to be applied. This module reads and checks scenarios; it does not run them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Value};
use tidefold_codec::json_in::{JsonEncoder, JsonLimits};
use tidefold_codec::text::parse_rfc3339_micros;
use tidefold_table::{TableKind, TableLayout};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::load::names;
use crate::load::reader::{Reader, Table};
use crate::load::report::Report;
use crate::load::text::Text;
use crate::load::{parse_toml, unmarked};
use crate::{App, Diagnostics, SourceFile, rules};

/// 2026-01-01T00:00:00Z, the time of a scenario's first message.
pub const FIRST_TIME_MICROS: i64 = 1_767_225_600_000_000;

/// One scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name, unique in the app.
    pub name: String,
    /// The file it stands in.
    pub file: String,
    /// Where its name stands in the file.
    pub span: Range<usize>,
    /// Messages that come first; every one has to be applied.
    pub given: Vec<ScenarioMessage>,
    /// Messages whose outcome is judged.
    pub when: Vec<ScenarioMessage>,
    /// One for each message of `when`.
    pub outcomes: Vec<ExpectedOutcome>,
    /// What the tables hold in the end.
    pub tables: Vec<ExpectedTable>,
}

/// A message of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct ScenarioMessage {
    /// Its type, one of the app's.
    pub message_type: String,
    /// Its id; without one, no other message has the same.
    pub id: Option<String>,
    /// `event_time()` and `append_time()`.
    pub time_micros: i64,
    /// `caller()`.
    pub caller: Option<String>,
    /// The version the entity has to have.
    pub if_match: Option<u64>,
    /// Its data, as a publisher would send it.
    pub data: Value,
    /// Where it stands in the file.
    pub span: Range<usize>,
}

/// What has to become of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedOutcome {
    /// Which outcome.
    pub kind: OutcomeKind,
    /// Codes it has to carry: all codes of a rejection, the code of a dead letter. `None`: any.
    pub codes: Option<Vec<String>>,
    /// Where it stands in the file; the message where nothing is said (then it has to be applied).
    pub span: Range<usize>,
}

/// The outcomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeKind {
    /// It changed the state.
    Applied,
    /// A guard refused it.
    Rejected,
    /// It was there before.
    Duplicate,
    /// It cannot be folded.
    Dead,
}

/// What a table has to hold.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedTable {
    /// The table, one of the app's.
    pub table: String,
    /// Its rows.
    pub rows: ExpectedRows,
    /// Where it stands in the file.
    pub span: Range<usize>,
}

/// Rows of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpectedRows {
    /// Entities by their key text; `None`: there is none.
    ByKey(Vec<(String, Option<ExpectedRow>)>),
    /// All rows, in the order of the table's key.
    All(Vec<ExpectedRow>),
}

/// A row: columns that are not named may be anything.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedRow {
    /// Columns and their values, as the query API writes them.
    pub columns: Map<String, Value>,
    /// Where it stands in the file.
    pub span: Range<usize>,
}

/// Reads the scenarios of an app's files: those in `scenarios/` that end in `.toml`.
///
/// # Errors
/// Every mistake in them.
pub fn parse(files: &[SourceFile], app: &App) -> Result<Vec<Scenario>, Diagnostics> {
    let mut scenarios = Vec::new();
    let mut mistakes = Vec::new();
    let mut names = BTreeSet::new();
    let in_folder = |file: &SourceFile| file.path.starts_with("scenarios/") && file.path.ends_with(".toml");
    let mut files: Vec<SourceFile> = unmarked(files.to_vec());
    files.retain(in_folder);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    for file in &files {
        let mut report = Report::of(&file.path);
        if let Some(document) = parse_toml(&file.text, &file.path, &mut report) {
            let reader = Reader { file: &file.text, report: &mut report };
            let mut parser = Parser { reader, app, path: &file.path, names: &mut names };
            scenarios.extend(parser.file(document.get_ref()));
        }
        mistakes.append(&mut report.list);
    }
    if mistakes.is_empty() {
        return Ok(scenarios);
    }
    Err(Diagnostics::new(mistakes, files))
}

struct Parser<'p> {
    reader: Reader<'p>,
    app: &'p App,
    path: &'p str,
    names: &'p mut BTreeSet<String>,
}

impl Parser<'_> {
    fn file(&mut self, document: &DeTable<'_>) -> Vec<Scenario> {
        let root = Table { table: document, span: 0..0, title: "a scenario file".to_owned() };
        self.reader.only(&root, &["scenario"]);
        let tables = self.list(&root, "scenario", "[[scenario]]");
        tables.iter().filter_map(|table| self.scenario(table)).collect()
    }

    /// The tables of an array, or one table.
    fn list<'d>(&mut self, table: &Table<'d>, key: &str, title: &str) -> Vec<Table<'d>> {
        let Some(value) = table.table.get(key) else { return Vec::new() };
        let items = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![value],
        };
        let mut tables = Vec::new();
        for item in items {
            match item.get_ref() {
                DeValue::Table(inner) => {
                    tables.push(Table { table: inner, span: item.span(), title: title.to_owned() });
                }
                other => self.reader.wrong_type(&item.span(), title, "a table", other),
            }
        }
        tables
    }

    fn scenario(&mut self, table: &Table<'_>) -> Option<Scenario> {
        self.reader.only(table, &["name", "given", "when", "then"]);
        let name = self.reader.required_text(table, "name", "say what the scenario shows")?;
        if !self.names.insert(name.value.clone()) {
            let message = format!("there is another scenario `{}`", name.value);
            self.reader.report.toml(rules::DUPLICATE_SCENARIO, &name.span, message, "choose another name");
        }
        let mut time = FIRST_TIME_MICROS;
        let given = self.messages(table, "given", &mut time);
        let when = self.messages(table, "when", &mut time);
        let mut outcomes = Vec::new();
        let mut tables = Vec::new();
        if let Some(then) = self.reader.table(table, "then", "`then`") {
            outcomes = self.outcomes(&then);
            tables = self.tables(&then);
        }
        if outcomes.is_empty() {
            let applied =
                |message: &ScenarioMessage| outcome(OutcomeKind::Applied, None, message.span.clone());
            outcomes = when.iter().map(applied).collect();
        }
        if outcomes.len() != when.len() {
            let message =
                format!("there are {} outcomes for {} messages in `when`", outcomes.len(), when.len());
            let span = outcomes.first().map_or(name.span.clone(), |outcome| outcome.span.clone());
            self.reader.report.toml(rules::BAD_OUTCOME, &span, message, "write one for each message");
        }
        let file = self.path.to_owned();
        Some(Scenario { name: name.value, file, span: name.span, given, when, outcomes, tables })
    }

    fn messages(&mut self, table: &Table<'_>, key: &str, time: &mut i64) -> Vec<ScenarioMessage> {
        let tables = self.list(table, key, &format!("a message of `{key}`"));
        tables.iter().filter_map(|table| self.message(table, time)).collect()
    }

    fn message(&mut self, table: &Table<'_>, time: &mut i64) -> Option<ScenarioMessage> {
        self.reader.only(table, &["type", "id", "time", "caller", "if_match", "data"]);
        let message_type =
            self.reader.required_text(table, "type", "name a message of the app: type = \"PlaceOrder\"")?;
        if self.app.message(&message_type.value).is_none() {
            let known: Vec<&str> = self.app.messages().map(|message| message.name.as_str()).collect();
            self.unknown("message", &message_type, known);
        }
        if let Some(own) = self.time(table) {
            *time = own;
        }
        let time_micros = *time;
        *time += 1_000_000;
        let if_match = self.reader.integer(table, "if_match", 0..=i64::MAX);
        let mut text = |key: &str| self.reader.text(table, key).map(|text| text.value);
        let (id, caller) = (text("id"), text("caller"));
        let written = table.table.get("data");
        let data = written.map_or(Value::Object(Map::new()), |data| json(data.get_ref()));
        self.data(&message_type, &data, written, &table.span);
        Some(ScenarioMessage {
            message_type: message_type.value,
            id,
            time_micros,
            caller,
            if_match: if_match.and_then(|version| u64::try_from(version).ok()),
            data,
            span: table.span.clone(),
        })
    }

    /// Data that its schema refuses would be refused by the write API: no scenario can mean it.
    fn data(
        &mut self,
        of: &Text,
        data: &Value,
        written: Option<&Spanned<DeValue<'_>>>,
        message: &Range<usize>,
    ) {
        let Some((projection, place)) = self.app.message(&of.value) else { return };
        let Some(schema) = projection.topic.messages.get(place) else { return };
        let encoder = JsonEncoder::new(Arc::clone(&schema.record), schema.key.clone(), JsonLimits::default());
        let encoded = encoder.encode(data.to_string().as_bytes(), &mut Vec::new(), &mut Vec::new());
        for violation in encoded.err().unwrap_or_default() {
            let span = written.map_or(message.clone(), |data| place_of(&violation.pointer, data));
            let text = format!("{} {violation}", of.value);
            self.reader.report.toml(rules::BAD_DATA, &span, text, "data is what the write API would take");
        }
    }

    fn time(&mut self, table: &Table<'_>) -> Option<i64> {
        let value = table.table.get("time")?;
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Datetime(time) => time.to_string(),
            other => {
                self.reader.wrong_type(&value.span(), "`time`", "an RFC 3339 time", other);
                return None;
            }
        };
        let micros = parse_rfc3339_micros(text.as_bytes());
        if micros.is_none() {
            let help = "write it like 2026-01-31T12:00:00Z";
            self.reader.report.toml(rules::BAD_TIME, &value.span(), format!("`{text}` is no time"), help);
        }
        micros
    }

    fn outcomes(&mut self, then: &Table<'_>) -> Vec<ExpectedOutcome> {
        let Some(value) = then.table.get("outcome") else { return Vec::new() };
        let items = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![value],
        };
        items.into_iter().map(|item| self.outcome(item.get_ref(), item.span())).collect()
    }

    fn outcome(&mut self, value: &DeValue<'_>, span: Range<usize>) -> ExpectedOutcome {
        let kind = |name: &str| match name {
            "applied" => Some(OutcomeKind::Applied),
            "rejected" => Some(OutcomeKind::Rejected),
            "duplicate" => Some(OutcomeKind::Duplicate),
            "dead" => Some(OutcomeKind::Dead),
            _ => None,
        };
        let read = match value {
            DeValue::String(name) => kind(name).map(|kind| outcome(kind, None, span.clone())),
            DeValue::Table(table) if table.len() == 1 => table.iter().find_map(|(name, codes)| {
                let kind = kind(name.get_ref())
                    .filter(|kind| matches!(kind, OutcomeKind::Rejected | OutcomeKind::Dead))?;
                Some(outcome(kind, Some(codes_of(codes.get_ref())?), span.clone()))
            }),
            _ => None,
        };
        read.unwrap_or_else(|| {
            let help = "write \"applied\", \"duplicate\", \"dead\", { rejected = [\"code\"] } or { dead = \"code\" }";
            self.reader.report.toml(rules::BAD_OUTCOME, &span, "this is no outcome", help);
            outcome(OutcomeKind::Applied, None, span)
        })
    }

    fn tables(&mut self, then: &Table<'_>) -> Vec<ExpectedTable> {
        let app = self.app;
        let mut expected = Vec::new();
        for (key, value) in then.table.iter().filter(|(key, _)| key.get_ref() != "outcome") {
            let name = Text::new(key.get_ref(), key.span(), self.reader.file);
            let Some(layout) = app.layouts().find(|layout| layout.name == name.value) else {
                let known = app.layouts().map(|layout| layout.name.as_str()).chain(["outcome"]).collect();
                self.unknown("table", &name, known);
                continue;
            };
            if let Some(rows) = self.rows(layout, value.get_ref(), value.span()) {
                expected.push(ExpectedTable { table: name.value, rows, span: name.span });
            }
        }
        expected
    }

    fn rows(
        &mut self,
        layout: &TableLayout,
        value: &DeValue<'_>,
        span: Range<usize>,
    ) -> Option<ExpectedRows> {
        match value {
            DeValue::Table(keys) if layout.kind == TableKind::Entity => {
                let mut rows = Vec::new();
                for (key, row) in keys {
                    let expected = match row.get_ref() {
                        DeValue::Boolean(false) => None,
                        DeValue::Table(row_table) => Some(self.row(layout, row_table, row.span())),
                        other => {
                            self.reader.wrong_type(
                                &row.span(),
                                "an expected row",
                                "a table, or false for no row",
                                other,
                            );
                            continue;
                        }
                    };
                    rows.push((key.get_ref().to_string(), expected));
                }
                Some(ExpectedRows::ByKey(rows))
            }
            DeValue::Array(items) => {
                let mut rows = Vec::new();
                for item in items {
                    match item.get_ref() {
                        DeValue::Table(row) => rows.push(self.row(layout, row, item.span())),
                        other => self.reader.wrong_type(&item.span(), "an expected row", "a table", other),
                    }
                }
                Some(ExpectedRows::All(rows))
            }
            _ => {
                let message = format!("rows of `{}` are expected as a list", layout.name);
                let help =
                    format!("write then.{0} = [{{ … }}, …], all rows of the table in key order", layout.name);
                self.reader.report.toml(rules::BAD_EXPECTATION, &span, message, help);
                None
            }
        }
    }

    fn row(&mut self, layout: &TableLayout, row: &DeTable<'_>, span: Range<usize>) -> ExpectedRow {
        let mut columns = Map::new();
        for (key, value) in row {
            if layout.column(key.get_ref()).is_none() {
                let name = Text::new(key.get_ref(), key.span(), self.reader.file);
                self.unknown(
                    "column",
                    &name,
                    layout.columns.iter().map(|column| column.name.as_str()).collect(),
                );
            }
            columns.insert(key.get_ref().to_string(), json(value.get_ref()));
        }
        ExpectedRow { columns, span }
    }

    fn unknown(&mut self, what: &str, name: &Text, known: Vec<&str>) {
        let help = names::nearest_or_all(&name.value, known.into_iter(), what);
        let message = format!("there is no {what} `{}`", name.value);
        self.reader.report.toml(rules::UNKNOWN_SCENARIO_NAME, &name.span, message, help);
    }
}

/// Where stands what a JSON pointer names, or what would have it.
fn place_of(pointer: &str, data: &Spanned<DeValue<'_>>) -> Range<usize> {
    let mut place = data;
    for word in pointer.trim_start_matches(['#', '/']).split('/') {
        let inner = match place.get_ref() {
            DeValue::Table(table) => table.get(word.replace("~1", "/").replace("~0", "~").as_str()),
            DeValue::Array(items) => word.parse().ok().and_then(|at: usize| items.get(at)),
            _ => None,
        };
        match inner {
            Some(inner) => place = inner,
            None => break,
        }
    }
    place.span()
}

fn outcome(kind: OutcomeKind, codes: Option<Vec<String>>, span: Range<usize>) -> ExpectedOutcome {
    ExpectedOutcome { kind, codes, span }
}

fn codes_of(value: &DeValue<'_>) -> Option<Vec<String>> {
    match value {
        DeValue::String(code) => Some(vec![code.to_string()]),
        DeValue::Array(codes) => codes.iter().map(|code| Some(code.get_ref().as_str()?.to_owned())).collect(),
        _ => None,
    }
}

/// A TOML value as JSON: times as RFC 3339 text, the text "null" of no type: TOML has no null, `{ null = true }` is one.
fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(integer) => {
            let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
            let number = number.and_then(|n| serde_json::from_str(&n.to_string()).ok());
            number.unwrap_or_else(|| Value::from(integer.as_str()))
        }
        DeValue::Float(float) => {
            serde_json::from_str(float.as_str()).unwrap_or_else(|_| Value::from(float.as_str()))
        }
        DeValue::Boolean(boolean) => Value::from(*boolean),
        DeValue::Datetime(time) => Value::from(time.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) if is_null(table) => Value::Null,
        DeValue::Table(table) => {
            table.iter().map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref()))).collect()
        }
    }
}

fn is_null(table: &DeTable<'_>) -> bool {
    table.len() == 1 && table.get("null").is_some_and(|value| value.get_ref().as_bool() == Some(true))
}
