//! JSON to Avro: one pass over the text, straight into the datum, with every mistake named by its JSON pointer.
//!
//! | type | JSON |
//! |---|---|
//! | int, long | a number without a fraction (`1.0` and `1e3` are); a long also as text |
//! | float, double | a number |
//! | decimal | text, or a number, with no more places than the scale |
//! | string, enum, uuid | text |
//! | bytes, fixed | text, base64 |
//! | date, time | text, `2026-01-31`, `12:00:00.5` |
//! | timestamp | text, RFC 3339 (local: without a zone), or the number of its unit |
//! | union | the bare value if just one branch takes it, or `{"branch": value}` |
//! | nullable | null, the bare value, or Avro's own `{"type": value}` where that can be nothing else |
//!
//! A missing field takes its default; there is none that is not in the schema.

use std::sync::Arc;

use crate::columns::is_null;
use crate::datum::Datum;
use crate::encoding::{self, foreign};
use crate::text;
use crate::types::RecordType;
use crate::wire::{Cursor, read_scalar};

mod form;
mod names;
mod nullable;
mod object;
mod path;
mod reader;
mod union;
mod value;

pub use form::{JsonLimits, Violation};
use form::{Ranges, RecordForm};
use path::Path;
pub use path::pointer_to_member;
use value::Encoding;

/// The largest record key.
const KEY_BYTES: usize = 1024;

/// Writes JSON objects as Avro datums of one record type.
#[derive(Debug)]
pub struct JsonEncoder {
    record: Arc<RecordType>,
    form: RecordForm,
    key: Vec<usize>,
    limits: JsonLimits,
}

// === impl JsonEncoder ===

impl JsonEncoder {
    /// An encoder for `record` whose fields at the places `key` make the record key.
    #[must_use]
    pub fn new(record: Arc<RecordType>, key: Vec<usize>, limits: JsonLimits) -> JsonEncoder {
        let form = RecordForm::new(&record);
        JsonEncoder { record, form, key, limits }
    }

    /// Appends the datum to `datum` and the key text to `key`. On error both are as they were. A byte order mark before
    /// the text is passed over, as RFC 8259 section 8.1 allows.
    ///
    /// # Errors
    /// Every mistake in the text, in its order, up to the limit.
    pub fn encode(&self, json: &[u8], datum: &mut Vec<u8>, key: &mut Vec<u8>) -> Result<(), Vec<Violation>> {
        let (datum_start, key_start) = (datum.len(), key.len());
        let json = encoding::without_mark(json);
        let text = match std::str::from_utf8(json) {
            Ok(text) => text,
            Err(error) => {
                let detail = match foreign(json) {
                    Some(foreign) => foreign.to_string(),
                    None => format!("byte {}: the text is not UTF-8; convert it first", error.valid_up_to()),
                };
                return Err(vec![Violation::of_text(detail)]);
            }
        };
        let mut encoding = Encoding::new(text, datum, self.limits);
        let mut ranges = Ranges::new();
        encoding.body(&self.form, &mut ranges);
        let mut violations = encoding.violations;
        if violations.is_empty() {
            self.key_text(datum, &ranges, key, &mut violations);
        }
        if violations.is_empty() {
            return Ok(());
        }
        datum.truncate(datum_start);
        key.truncate(key_start);
        if violations.first().is_some_and(|first| first.code == "invalid_json")
            && let Some(foreign) = foreign(json)
        {
            violations = vec![Violation::of_text(foreign.to_string())];
        }
        Err(violations)
    }

    fn key_text(&self, datum: &[u8], ranges: &Ranges, key: &mut Vec<u8>, violations: &mut Vec<Violation>) {
        let start = key.len();
        let mut first = None;
        for (at, place) in self.key.iter().enumerate() {
            let (Some(field), Some((from, to))) = (self.record.fields.get(*place), ranges.get(*place)) else {
                continue;
            };
            first = first.or(Some(field));
            let mut cursor = Cursor::new(datum.get(*from..*to).unwrap_or_default());
            let absent = field.column.nullable && is_null(field.null_first, &mut cursor).unwrap_or(false);
            let value = if absent { None } else { read_scalar(&field.column.ty, &mut cursor).ok() };
            if value.is_none() {
                let detail = format!("`{}` is part of the key, so it has to have a value", field.name);
                violations.push(Path::Root.name(&field.name).violation("null_not_allowed", detail));
            }
            text::write_key_part(at, self.key.len(), &field.column.ty, value.unwrap_or(Datum::Null), key);
        }
        let Some(first) = first else { return };
        let problem = match key.len() - start {
            0 => Some(("empty_key", "the key is empty".to_owned())),
            size if size > KEY_BYTES => {
                Some(("key_too_long", format!("the key has {size} bytes; {KEY_BYTES} are allowed")))
            }
            _ => None,
        };
        if let (Some((code, detail)), true) = (problem, violations.is_empty()) {
            violations.push(Path::Root.name(&first.name).violation(code, detail));
        }
    }
}
