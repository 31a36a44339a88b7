//! What has no place among the types.

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
