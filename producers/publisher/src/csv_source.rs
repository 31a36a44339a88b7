//! Rows of CSV as messages of one type: a column feeds a field, by name or by a mapping.

use std::io::BufRead;
use std::path::Path;

use tidefold_app::model::Message;
use tidefold_codec::{Field, Type};

use crate::line::{Line, SourceError, envelope, stable_id};

/// Which column feeds which field, and what makes the id.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    /// (field, column); a field that is not here takes the column of its name, if there is one.
    pub fields: Vec<(String, String)>,
    /// Columns whose texts, joined by `:`, are the id; none: the row's content and number.
    pub id: Vec<String>,
}

/// A field's name, type and column.
struct Feed {
    name: String,
    field: Field,
    column: usize,
}

/// The rows of a CSV file with a header line, as envelopes.
///
/// # Errors
/// When a mapping names a field or column that is not there, all of them in one text.
pub fn lines<'m>(
    reader: Box<dyn BufRead + Send>,
    path: &Path,
    message: &'m Message,
    mapping: &Mapping,
) -> Result<impl Iterator<Item = Result<Line, SourceError>> + Send + 'm, SourceError> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(reader);
    let header = reader.headers().map_err(|error| broken(error, path))?.clone();
    let mut problems = Vec::new();
    let feeds = feeds(message, mapping, &header, &mut problems);
    let mut column = |name: &String| {
        let found = header.iter().position(|column| column == name);
        if found.is_none() {
            problems.push(format!("there is no column `{name}` for the id"));
        }
        found
    };
    let id_columns: Vec<usize> = mapping.id.iter().filter_map(&mut column).collect();
    if !problems.is_empty() {
        let columns: Vec<_> = header.iter().collect();
        return Err(SourceError::Mapping(format!(
            "{}; the columns are: {}",
            problems.join("; "),
            columns.join(", ")
        )));
    }
    let path = path.to_owned();
    let mut next_line = 2 + line_breaks(header.as_byte_record());
    let rows = reader.into_byte_records().map(move |row| {
        let row = row.map_err(|error| broken(error, &path))?;
        let number = next_line;
        next_line += 1 + line_breaks(&row);
        let wrong = |detail: String| SourceError::Line { number, detail };
        if row.len() != header.len() {
            return Err(wrong(format!("{} cells where the header has {}", row.len(), header.len())));
        }
        let row = csv::StringRecord::from_byte_record(row)
            .map_err(|error| wrong(error.utf8_error().to_string()))?;
        let data = row_json(&feeds, &row, number)?;
        let id = if id_columns.is_empty() {
            stable_id(number, data.as_bytes())
        } else {
            id_columns.iter().filter_map(|at| row.get(*at)).collect::<Vec<_>>().join(":")
        };
        Ok(Line { number, text: envelope(&message.name, &id, &data) })
    });
    Ok(rows)
}

/// A file that cannot be read on.
fn broken(error: csv::Error, path: &Path) -> SourceError {
    let source = match error.into_kind() {
        csv::ErrorKind::Io(source) => source,
        other => std::io::Error::other(format!("{other:?}")),
    };
    SourceError::Read { path: path.to_owned(), source }
}

/// Line breaks within the cells of a row.
fn line_breaks(row: &csv::ByteRecord) -> u64 {
    row.iter().map(|cell| cell.iter().filter(|byte| **byte == b'\n').count() as u64).sum()
}

fn feeds(
    message: &Message,
    mapping: &Mapping,
    header: &csv::StringRecord,
    problems: &mut Vec<String>,
) -> Vec<Feed> {
    for (field, column) in &mapping.fields {
        if message.record.field(field).is_none() {
            problems.push(format!("{} has no field `{field}`", message.name));
        }
        if !header.iter().any(|found| found == column) {
            problems.push(format!("there is no column `{column}`"));
        }
    }
    let column_of = |name: &str| {
        let column =
            mapping.fields.iter().find(|(field, _)| field == name).map_or(name, |(_, column)| column);
        header.iter().position(|found| found == column)
    };
    let fields = message.record.fields.iter();
    fields
        .filter_map(|field| {
            let column = column_of(&field.name)?;
            Some(Feed { name: field.name.to_string(), field: field.clone(), column })
        })
        .collect()
}

fn row_json(feeds: &[Feed], row: &csv::StringRecord, number: u64) -> Result<String, SourceError> {
    let mut object = serde_json::Map::new();
    for feed in feeds {
        let text = row.get(feed.column).unwrap_or_default();
        let value = field_json(&feed.field, text).ok_or_else(|| SourceError::Line {
            number,
            detail: format!("field {}: `{}` is not {}", feed.name, shortened(text), expected(&feed.field)),
        })?;
        object.insert(feed.name.clone(), value);
    }
    Ok(serde_json::Value::Object(object).to_string())
}

/// What a cell of a field has to be, where not any text will do.
fn expected(field: &Field) -> &'static str {
    match field.column.ty {
        Type::Boolean => "true or false",
        Type::Int | Type::Long => "a whole number",
        Type::Float | Type::Double => "a number",
        _ => "JSON",
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
        _ => Some(text.into()),
    }
}
