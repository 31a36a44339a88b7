//! Avro schemas to types, and the type texts of `app.toml`.

use std::collections::BTreeMap;
use std::sync::Arc;

use apache_avro::Schema;

use crate::types::{ColumnType, RecordType, Type};

/// Why an Avro schema or a type text has no place here.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TypeProblem {
    /// A type refers to itself: its depth cannot be bounded.
    #[error("{name} contains itself; recursive types are not supported")]
    Recursive {
        /// The type's full name.
        name: String,
    },
    /// A type text or schema that says something this crate has no type for.
    #[error("{detail}")]
    Unsupported {
        /// Where in the schema: field names from the outside in, empty for a type text.
        path: Vec<String>,
        /// What is wrong and what to write instead.
        detail: String,
    },
    /// A type text names a type that no schema declares.
    #[error("there is no type `{name}`")]
    UnknownName {
        /// The name as written.
        name: String,
    },
}

/// The record type of a message schema.
///
/// # Errors
/// All that has no place here, each with its path.
pub fn record_type(schema: &Schema) -> Result<Arc<RecordType>, Vec<TypeProblem>> {
    let _ = schema;
    unimplemented!()
}

/// Every named type (record, enum, fixed) that a schema declares, by its full name and, where that is unambiguous, by
/// its short name.
///
/// # Errors
/// As [`record_type`].
pub fn named_types(schema: &Schema) -> Result<BTreeMap<String, Type>, Vec<TypeProblem>> {
    let _ = schema;
    unimplemented!()
}

/// A column's type text: an Avro primitive or logical type name, `decimal(p,s)`, `array<T>`, `map<T>` or the name of a
/// declared type, each with `?` behind it where null is a value.
///
/// # Errors
/// When the text is not a type; `UnknownName` when only the name is unknown.
pub fn parse_type(text: &str, named: &BTreeMap<String, Type>) -> Result<ColumnType, TypeProblem> {
    let _ = (text, named);
    unimplemented!()
}

/// The text [`parse_type`] reads back to the same type.
#[must_use]
pub fn type_text(column: &ColumnType) -> String {
    let _ = column;
    unimplemented!()
}
