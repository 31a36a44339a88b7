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

use smallvec::SmallVec;

use crate::columns::is_null;
use crate::datum::Datum;
use crate::defaults;
use crate::encoding::{self, foreign};
use crate::text;
use crate::types::{ColumnType, RecordType, Type};
use crate::wire::{Cursor, read_scalar};

mod nullable;
mod object;
mod path;
mod reader;
mod union;
mod value;

use path::{Path, nearest};
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

/// Bounds that hold before anything is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonLimits {
    /// How deep arrays and objects may nest.
    pub depth: usize,
    /// How many mistakes are reported before the rest is left out.
    pub violations: usize,
}

/// One mistake in a JSON body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {detail}")]
pub struct Violation {
    /// RFC 6901 pointer to the place, as a URI fragment: `#/items/0/qty`.
    pub pointer: String,
    /// The rule, a snake_case constant: `invalid_json`, `too_deep`, `duplicate_key`, `unknown_field`,
    /// `missing_field`, `null_not_allowed`, `wrong_type`, `out_of_range`, `unknown_symbol`, `bad_format`,
    /// `ambiguous_union`, `empty_key`, `key_too_long`.
    pub code: &'static str,
    /// For humans: what was found, what is allowed, the nearest valid name.
    pub detail: String,
}

/// A column as it is written.
#[derive(Debug)]
struct ColumnForm {
    /// The branches of null and of the value, if null is a value.
    optional: Option<(i64, i64)>,
    ty: Form,
}

/// A type as it is written.
#[derive(Debug)]
enum Form {
    Scalar(Type),
    Array(Box<ColumnForm>),
    Map(Box<ColumnForm>),
    Record(RecordForm),
    Union(UnionForm),
}

/// A record as it is written.
#[derive(Debug)]
struct RecordForm {
    name: String,
    fields: Vec<FieldForm>,
    /// The places of the fields by name, where there are many.
    by_name: Vec<usize>,
}

#[derive(Debug)]
struct FieldForm {
    name: Arc<str>,
    column: ColumnForm,
    default: Option<Vec<u8>>,
}

/// A union as it is written.
#[derive(Debug)]
struct UnionForm {
    /// The number of the first branch: 1 where null stands before it.
    first: i64,
    branches: Vec<BranchForm>,
}

#[derive(Debug)]
struct BranchForm {
    /// What `{"branch": value}` may call it.
    names: Vec<String>,
    form: Form,
}

/// The bytes of each field of a record in the output.
type Ranges = SmallVec<[(usize, usize); 16]>;

impl Default for JsonLimits {
    fn default() -> JsonLimits {
        JsonLimits { depth: 64, violations: 100 }
    }
}

// === impl Violation ===

impl Violation {
    /// The text as a whole is no JSON.
    fn of_text(detail: String) -> Violation {
        Violation { pointer: "#".to_owned(), code: "invalid_json", detail }
    }
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

// === impl RecordForm ===

/// Up to so many fields a name is looked for one by one.
const FEW_FIELDS: usize = 24;

impl RecordForm {
    fn new(record: &RecordType) -> RecordForm {
        let field = |field: &crate::types::Field| FieldForm {
            name: field.name.clone(),
            column: ColumnForm::new(&field.column, field.null_first),
            default: defaults::of_field(field).and_then(Result::ok),
        };
        let fields: Vec<_> = record.fields.iter().map(field).collect();
        let mut by_name: Vec<_> = (0..fields.len()).collect();
        by_name.sort_by_key(|place| record.fields.get(*place).map(|field| field.name.clone()));
        if fields.len() <= FEW_FIELDS {
            by_name.clear();
        }
        RecordForm { name: record.full_name.clone(), fields, by_name }
    }

    /// The field of a name; most likely it is the one at `guess`.
    #[inline]
    fn field(&self, name: &str, guess: usize) -> Option<usize> {
        if self.fields.get(guess).is_some_and(|field| *field.name == *name) {
            return Some(guess);
        }
        if self.by_name.is_empty() {
            return self.fields.iter().position(|field| *field.name == *name);
        }
        let found =
            self.by_name.binary_search_by_key(&Some(name), |place| self.fields.get(*place).map(|f| &*f.name));
        found.ok().and_then(|at| self.by_name.get(at).copied())
    }

    fn unknown(&self, name: &str) -> String {
        let known = self.fields.iter().map(|field| &*field.name);
        let hint = match nearest(name, known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("its fields are {}", path::list(known)),
        };
        format!("{} has no such field; {hint}", self.name)
    }
}

// === impl ColumnForm ===

impl ColumnForm {
    fn new(column: &ColumnType, null_first: bool) -> ColumnForm {
        let optional = match column {
            ColumnType { nullable: false, .. } => None,
            ColumnType { ty: Type::Union(_), .. } => Some((0, 1)),
            _ => Some((i64::from(!null_first), i64::from(null_first))),
        };
        ColumnForm { optional, ty: Form::new(&column.ty, column.nullable) }
    }
}

// === impl Form ===

impl Form {
    fn new(ty: &Type, nullable: bool) -> Form {
        match ty {
            Type::Array(element) => Form::Array(Box::new(ColumnForm::new(element, true))),
            Type::Map(value) => Form::Map(Box::new(ColumnForm::new(value, true))),
            Type::Record(record) => Form::Record(RecordForm::new(record)),
            Type::Union(branches) => Form::Union(UnionForm {
                first: i64::from(nullable),
                branches: branches.iter().map(|branch| BranchForm::new(&branch.ty, branches)).collect(),
            }),
            scalar => Form::Scalar(scalar.clone()),
        }
    }

    fn describe(&self) -> String {
        match self {
            Form::Scalar(ty) => text::expected(ty),
            Form::Array(_) => "array".to_owned(),
            Form::Map(_) => "map, an object".to_owned(),
            Form::Record(record) => format!("{}, an object", record.name),
            Form::Union(union) => {
                format!(
                    "union of {}",
                    path::list(union.branches.iter().filter_map(|b| b.names.first()).map(String::as_str))
                )
            }
        }
    }
}
