//! How a record is written: bounds, mistakes, and the form of each type, worked out once for a record.

use std::sync::Arc;

use smallvec::SmallVec;

use super::names::list;
use crate::defaults;
use crate::nearest::nearest;
use crate::text;
use crate::types::{ColumnType, Field, RecordType, Type};

/// Up to so many fields a name is looked for one by one.
const FEW_FIELDS: usize = 24;

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
pub(super) struct ColumnForm {
    /// The branches of null and of the value, if null is a value.
    pub(super) optional: Option<(i64, i64)>,
    pub(super) ty: Form,
}

/// A type as it is written.
#[derive(Debug)]
pub(super) enum Form {
    Scalar(Type),
    Array(Box<ColumnForm>),
    Map(Box<ColumnForm>),
    Record(RecordForm),
    Union(UnionForm),
}

/// A record as it is written.
#[derive(Debug)]
pub(super) struct RecordForm {
    pub(super) name: String,
    pub(super) fields: Vec<FieldForm>,
    /// The places of the fields by name, where there are many.
    pub(super) by_name: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct FieldForm {
    pub(super) name: Arc<str>,
    pub(super) column: ColumnForm,
    pub(super) default: Option<Vec<u8>>,
}

/// A union as it is written.
#[derive(Debug)]
pub(super) struct UnionForm {
    /// The number of the first branch: 1 where null stands before it.
    pub(super) first: i64,
    pub(super) branches: Vec<BranchForm>,
}

#[derive(Debug)]
pub(super) struct BranchForm {
    /// What `{"branch": value}` may call it.
    pub(super) names: Vec<String>,
    pub(super) form: Form,
}

/// The bytes of each field of a record in the output.
pub(super) type Ranges = SmallVec<[(usize, usize); 16]>;

impl Default for JsonLimits {
    fn default() -> JsonLimits {
        JsonLimits { depth: 64, violations: 100 }
    }
}

// === impl Violation ===

impl Violation {
    /// The text as a whole is no JSON.
    pub(super) fn of_text(detail: String) -> Violation {
        Violation { pointer: "#".to_owned(), code: "invalid_json", detail }
    }
}

// === impl RecordForm ===

impl RecordForm {
    pub(super) fn new(record: &RecordType) -> RecordForm {
        let field = |field: &Field| FieldForm {
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
    pub(super) fn field(&self, name: &str, guess: usize) -> Option<usize> {
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

    pub(super) fn unknown(&self, name: &str) -> String {
        let known = self.fields.iter().map(|field| &*field.name);
        let hint = match nearest(name, known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("its fields are {}", list(known)),
        };
        format!("{} has no such field; {hint}", self.name)
    }
}

// === impl ColumnForm ===

impl ColumnForm {
    pub(super) fn new(column: &ColumnType, null_first: bool) -> ColumnForm {
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
    pub(super) fn new(ty: &Type, nullable: bool) -> Form {
        match ty {
            Type::Array(element) => Form::Array(Box::new(ColumnForm::new(element, true))),
            Type::Map(value) => Form::Map(Box::new(ColumnForm::new(value, true))),
            Type::Record(record) => Form::Record(RecordForm::new(record)),
            Type::Union(branches) => Form::Union(UnionForm {
                first: i64::from(nullable),
                branches: branches.iter().map(|branch| BranchForm::new(&branch.ty, branches)).collect(),
            }),
            scalar @ (Type::Boolean
            | Type::Int
            | Type::Long
            | Type::Float
            | Type::Double
            | Type::Bytes
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
            | Type::LocalTimestampMicros) => Form::Scalar(scalar.clone()),
        }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Form::Scalar(ty) => text::expected(ty),
            Form::Array(_) => "array".to_owned(),
            Form::Map(_) => "map, an object".to_owned(),
            Form::Record(record) => format!("{}, an object", record.name),
            Form::Union(union) => {
                format!(
                    "union of {}",
                    list(union.branches.iter().filter_map(|b| b.names.first()).map(String::as_str))
                )
            }
        }
    }
}
