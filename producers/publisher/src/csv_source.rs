//! Rows of CSV as messages of one type: a column fills a field, by name or by a mapping.
//!
//! The shape of a source comes first: its header, its quotes, the number of cells of its rows. Where that is wrong nothing can
//! be trusted to stand in its place, so [`check`] goes over a whole file before any row is sent. What can be read once only
//! is judged as it comes, and ends at its first wrong row. [`Mapping::lenient`] sends what is whole.

use std::path::{Path, PathBuf};

use tidefold_app::model::Message;
use tidefold_codec::{Field, Type};

use crate::csv_rows::{Row, Rows};
use crate::input::Input;
use crate::ledger::RunId;
use crate::line::{Fault, Line, SourceError, envelope, joined};

/// Which column fills which field, what makes the id, and what is taken for a row.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// (field, column); a field that is not here takes the column of its name, if there is one.
    pub fields: Vec<(String, String)>,
    /// Columns whose texts, joined by `:`, are the id; none: the run's id and the row's line.
    pub id: Vec<String>,
    /// What stands between two cells.
    pub separator: u8,
    /// Whether columns may fill nothing and rows of another shape are passed over one by one.
    pub lenient: bool,
}

/// How many mistakes in a source's shape are shown.
const FAULTS: usize = 20;

/// A field's name, type and column.
struct Fill {
    name: String,
    field: Field,
    column: usize,
}

/// A source whose header was read.
struct Table {
    rows: Rows<Input>,
    path: PathBuf,
    columns: Vec<String>,
    fills: Vec<Fill>,
    id: Vec<usize>,
}

/// Reads a source once for its shape: every mistake in the header, and each row with a quote that is not closed, another
/// number of cells than the header or bytes that are not UTF-8.
///
/// # Errors
/// [`SourceError::Shape`] with all of them, up to a bound; [`SourceError::Mapping`] when a mapping names a field or column
/// that is not there.
pub fn check(input: Input, path: &Path, message: &Message, mapping: &Mapping) -> Result<(), SourceError> {
    let mut table = Table::open(input, path, message, mapping)?;
    let mut faults = Vec::new();
    let mut more = 0;
    while let Some(row) = table.next()? {
        if let Err(fault) = table.cells(row) {
            if faults.len() < FAULTS {
                faults.push(fault);
            } else {
                more += 1;
            }
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(SourceError::Shape { path: path.to_owned(), faults, more })
}

/// The rows of a source with a header line, as envelopes.
///
/// # Errors
/// When a mapping names a field or column that is not there, or the header is wrong; all of it in one text.
pub fn lines<'m>(
    input: Input,
    path: &Path,
    message: &'m Message,
    mapping: &Mapping,
    run: &RunId,
) -> Result<impl Iterator<Item = Result<Line, SourceError>> + Send + 'm, SourceError> {
    let mut table = Table::open(input, path, message, mapping)?;
    let lenient = mapping.lenient;
    let run = run.clone();
    Ok(std::iter::from_fn(move || {
        let row = match table.next() {
            Ok(row) => row?,
            Err(error) => return Some(Err(error)),
        };
        let number = row.line;
        let cells = match table.cells(row) {
            Ok(cells) => cells,
            Err(Fault { line, detail }) if lenient => {
                return Some(Err(SourceError::Line { number: line, detail }));
            }
            Err(Fault { line, detail }) => {
                let detail =
                    format!("{detail}; rows behind it are not sent, --lenient passes over such a row");
                return Some(Err(SourceError::shape(&table.path, Fault { line, detail })));
            }
        };
        Some(table.line(number, &cells, message, &run))
    }))
}

// === impl Table ===

impl Table {
    /// Reads the header.
    fn open(input: Input, path: &Path, message: &Message, mapping: &Mapping) -> Result<Table, SourceError> {
        let rows = Rows::new(input, mapping.separator, mapping.lenient);
        let mut table =
            Table { rows, path: path.to_owned(), columns: Vec::new(), fills: Vec::new(), id: Vec::new() };
        let mut header = table.next()?;
        // Spreadsheets say the separator on a line of its own.
        if let Some(Row { text, wrong: None, .. }) = &header
            && let [b's', b'e', b'p', b'=', separator] = text.as_slice()
        {
            table.rows.set_separator(*separator);
            header = table.next()?;
        }
        let Some(header) = header else {
            let detail = "there is no header line".to_owned();
            return Err(SourceError::shape(path, Fault { line: 1, detail }));
        };
        let line = header.line;
        let cells = table.cells(header).map_err(|fault| SourceError::shape(path, fault))?;
        table.columns = cells.iter().map(str::to_owned).collect();
        table.rows.set_width(table.columns.len());
        table.map(message, mapping)?;
        let faults: Vec<_> = table.header_faults(message, mapping).into_iter().take(FAULTS).collect();
        if faults.is_empty() {
            return Ok(table);
        }
        let faults = faults.into_iter().map(|detail| Fault { line, detail }).collect();
        Err(SourceError::Shape { path: path.to_owned(), faults, more: 0 })
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    /// Finds the columns that the mapping and the message's fields name.
    fn map(&mut self, message: &Message, mapping: &Mapping) -> Result<(), SourceError> {
        let mut problems = Vec::new();
        for (field, column) in &mapping.fields {
            if message.record.field(field).is_none() {
                problems.push(format!("{} has no field `{field}`", message.name));
            }
            if self.column(column).is_none() {
                problems.push(format!("there is no column `{column}`"));
            }
        }
        for name in &mapping.id {
            match self.column(name) {
                Some(column) => self.id.push(column),
                None => problems.push(format!("there is no column `{name}` for the id")),
            }
        }
        if !problems.is_empty() {
            let columns = self.columns.join(", ");
            return Err(SourceError::Mapping(format!("{}; the columns are: {columns}", problems.join("; "))));
        }
        for field in &message.record.fields {
            let mapped = mapping.fields.iter().find(|(name, _)| **name == *field.name);
            let name = mapped.map_or(&*field.name, |(_, column)| column);
            if let Some(column) = self.column(name) {
                self.fills.push(Fill { name: field.name.to_string(), field: field.clone(), column });
            }
        }
        Ok(())
    }

    /// What is wrong with the header, unless that does not matter.
    fn header_faults(&self, message: &Message, mapping: &Mapping) -> Vec<String> {
        if mapping.lenient {
            return Vec::new();
        }
        if let ([only], b',') = (self.columns.as_slice(), self.rows.separator())
            && let Some(other) = only.chars().find(|c| matches!(c, ';' | '\t' | '|'))
        {
            let other = other.escape_default();
            return vec![format!(
                "the header has no `,` and so one column, `{}`; if `{other}` separates the columns, give --separator '{other}'",
                shortened(only)
            )];
        }
        let mut faults = Vec::new();
        for (at, name) in self.columns.iter().enumerate() {
            let number = at + 1;
            let before = self.columns.iter().take(at).position(|other| other == name);
            if name.trim().is_empty() {
                faults.push(format!("column {number} has no name"));
            } else if let Some(before) = before {
                faults.push(format!("columns {} and {number} have the same name, `{name}`", before + 1));
            } else if !self.fills.iter().any(|fill| fill.column == at) && !self.id.contains(&at) {
                let spelled = |field: &&Field| field.name.eq_ignore_ascii_case(name.trim());
                let hint = match message.record.fields.iter().find(spelled) {
                    Some(field) => format!("write the name as its field's, `{}`", field.name),
                    None => format!("--column FIELD={name} makes it fill one"),
                };
                let name = shortened(name);
                faults.push(format!("column {number}, `{name}`, fills no field of {}; {hint}", message.name));
            }
        }
        for field in &message.record.fields {
            if field.default.is_none() && !self.fills.iter().any(|fill| *fill.name == *field.name) {
                faults.push(format!("no column fills the field `{}`, which has no default", field.name));
            }
        }
        faults
    }

    fn next(&mut self) -> Result<Option<Row>, SourceError> {
        self.rows.next().map_err(|source| SourceError::Read { path: self.path.clone(), source })
    }

    /// The cells of a row; of the header, before there are columns.
    fn cells(&self, row: Row) -> Result<csv::StringRecord, Fault> {
        let Row { line, text, wrong } = row;
        let fault = |detail: String| Fault { line, detail };
        if let Some(detail) = wrong {
            return Err(fault(detail));
        }
        let mut cells = csv::ByteRecord::new();
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .delimiter(self.rows.separator())
            .buffer_capacity(text.len())
            .from_reader(text.as_slice());
        reader.read_byte_record(&mut cells).map_err(|error| fault(error.to_string()))?;
        if !self.columns.is_empty() && cells.len() != self.columns.len() {
            let (found, columns) = (cells.len(), self.columns.len());
            let detail = match self.columns.get(found) {
                Some(first) => {
                    format!("column {}, `{}`, is the first that is missing", found + 1, shortened(first))
                }
                None => format!("column {} is the first too much", columns + 1),
            };
            return Err(fault(format!("{found} cells where the header has {columns}; {detail}")));
        }
        csv::StringRecord::from_byte_record(cells).map_err(|error| {
            let at = error.utf8_error().field();
            let name =
                self.columns.get(at).map(|name| format!(", `{}`,", shortened(name))).unwrap_or_default();
            fault(format!("column {}{name} is not UTF-8 text; save the file as UTF-8", at + 1))
        })
    }

    fn line(
        &self,
        number: u64,
        cells: &csv::StringRecord,
        message: &Message,
        run: &RunId,
    ) -> Result<Line, SourceError> {
        let data = row_json(&self.fills, cells, number)?;
        let id = if self.id.is_empty() {
            run.id(number)
        } else {
            joined(&self.id.iter().filter_map(|at| cells.get(*at)).collect::<Vec<_>>())
        };
        Ok(Line { number, text: envelope(&message.name, &id, &data), is_runs: self.id.is_empty() })
    }
}

// === impl Mapping ===

impl Default for Mapping {
    fn default() -> Mapping {
        Mapping { fields: Vec::new(), id: Vec::new(), separator: b',', lenient: false }
    }
}

fn row_json(fills: &[Fill], row: &csv::StringRecord, number: u64) -> Result<String, SourceError> {
    let mut object = serde_json::Map::new();
    for fill in fills {
        let text = row.get(fill.column).unwrap_or_default();
        if text.is_empty() && takes_default(&fill.field) {
            continue; // The write API fills it in.
        }
        let value = field_json(&fill.field, text).ok_or_else(|| SourceError::Line {
            number,
            detail: format!("field {}: `{}` is not {}", fill.name, shortened(text), expected(&fill.field)),
        })?;
        object.insert(fill.name.clone(), value);
    }
    Ok(serde_json::Value::Object(object).to_string())
}

/// Whether an empty cell stands for the field's default: where it can be nothing that the field could be.
fn takes_default(field: &Field) -> bool {
    let is_text = matches!(field.column.ty, Type::String | Type::Bytes);
    field.default.is_some() && !field.column.nullable && !is_text
}

/// What a cell of a field has to be, where not any text will do.
fn expected(field: &Field) -> &'static str {
    match field.column.ty {
        Type::Boolean => "true or false",
        Type::Int | Type::Long => "a whole number",
        Type::Float | Type::Double => "a number",
        Type::Bytes
        | Type::String
        | Type::Fixed(_)
        | Type::Enum(_)
        | Type::Decimal { .. }
        | Type::Uuid
        | Type::Date
        | Type::TimeMillis
        | Type::TimeMicros
        | Type::TimestampMillis
        | Type::TimestampMicros
        | Type::LocalTimestampMillis
        | Type::LocalTimestampMicros
        | Type::Array(_)
        | Type::Map(_)
        | Type::Record(_)
        | Type::Union(_) => "JSON",
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= 60 { text.to_owned() } else { text.chars().take(60).chain(['…']).collect() }
}

/// Numbers and booleans as JSON has them; nothing for a nullable field is null; all else is text, which the write API
/// judges.
fn field_json(field: &Field, text: &str) -> Option<serde_json::Value> {
    if text.is_empty() && field.column.nullable {
        return Some(serde_json::Value::Null);
    }
    match field.column.ty {
        Type::Boolean => {
            serde_json::from_str(&text.trim().to_ascii_lowercase()).ok().filter(serde_json::Value::is_boolean)
        }
        Type::Int | Type::Long | Type::Float | Type::Double => {
            serde_json::from_str(text.trim()).ok().filter(serde_json::Value::is_number)
        }
        Type::Array(_) | Type::Map(_) | Type::Record(_) | Type::Union(_) => serde_json::from_str(text).ok(),
        Type::Bytes
        | Type::String
        | Type::Fixed(_)
        | Type::Enum(_)
        | Type::Decimal { .. }
        | Type::Uuid
        | Type::Date
        | Type::TimeMillis
        | Type::TimeMicros
        | Type::TimestampMillis
        | Type::TimestampMicros
        | Type::LocalTimestampMillis
        | Type::LocalTimestampMicros => Some(text.into()),
    }
}

#[cfg(test)]
mod tests;
