//! The registry of functions: one row each, with its name, arguments, types, NULL and failure, its evaluator and its
//! line of the documents.
//!
//! **Adding a function is one row** in a file below, beside its evaluator, and its name in [`FUNCTIONS`]. The checker
//! types a call by the row (`sql/functions.rs`), the proofs of nullity read it (`sql/nullity.rs`), the fold calls its
//! evaluator, and `docs/app-language-sql.md` prints it; a test holds every row to what it says of NULL and failure.
//!
//! An evaluator is a plain function of values, so it stands here, beside what the checker has to know of it. This crate
//! still evaluates no expression: it never walks one over a record.

pub mod choices;
pub mod collections;
pub mod context;
pub mod numbers;
pub mod row;
pub mod texts;
pub mod times;

pub use row::Function;

/// Every function, in the order of the documents.
pub static FUNCTIONS: [&Function; 24] = [
    &context::EVENT_TIME,
    &context::APPEND_TIME,
    &context::CALLER,
    &texts::LOWER,
    &texts::UPPER,
    &texts::LENGTH,
    &texts::TRIM,
    &texts::SUBSTR,
    &texts::STARTS_WITH,
    &texts::REPLACE,
    &numbers::ABS,
    &numbers::MOD,
    &numbers::ROUND,
    &numbers::FLOOR,
    &numbers::CEIL,
    &choices::LEAST,
    &choices::GREATEST,
    &choices::COALESCE,
    &choices::NULLIF,
    &times::DATE_TRUNC,
    &times::DATE_PART,
    &times::TO_DATE,
    &collections::CARDINALITY,
    &collections::MAP_VALUE,
];

/// The function of a name, which is in lower case.
#[must_use]
pub fn function(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|row| row.name == name || row.aliases.contains(&name)).copied()
}

/// Every name, sorted.
#[must_use]
pub fn function_names() -> Vec<&'static str> {
    let names = |row: &&'static Function| std::iter::once(row.name).chain(row.aliases.iter().copied());
    let mut list: Vec<&str> = FUNCTIONS.iter().flat_map(names).collect();
    list.sort_unstable();
    list
}
