//! The app language: a folder of `app.toml` and Avro schemas, with SQL in it, becomes one checked [`App`].
//!
//! An app that loads is right: every name resolves, every expression has a type, every view can be maintained
//! incrementally, every table has a layout. What is wrong is reported all at once, with file, line and column.
//!
//! This crate deliberately does not evaluate expressions, fold, read or write anything: the caller passes the texts of the files.
//!
//! A walk through it:
//! * [`model`]: [`App`], a set of projections: topic, entity, clauses, views. What the other crates work from.
//! * [`expr`]: typed expressions, the form SQL is compiled to.
//! * [`functions`]: the registry of functions, a row each; [`values`]: what they and the operators do with values.
//! * [`sql`]: SQL text to typed expressions and views.
//! * [`source`]: the files of a folder.
//! * [`load`]: the texts of a folder to an [`App`] or to diagnostics.
//! * [`rules`]: every rule that [`load`] and [`scenario`] hold a folder to, with one line each.
//! * [`diagnostic`]: a mistake with its place, its rule and the nearest valid name, and how it is printed.
//! * [`summary`]: what `tidefold check` prints of an app that is right.
//! * [`difference`]: what changed between two definitions, in words.
//! * [`scenario`]: given these messages, when this one comes, then that: the app's own tests.

pub mod diagnostic;
pub mod difference;
pub mod expr;
pub mod functions;
pub mod load;
pub mod model;
pub mod rules;
pub mod scenario;
pub mod source;
pub mod sql;
pub mod summary;
pub mod values;

pub use diagnostic::{Diagnostic, Diagnostics, Style};
pub use difference::difference;
pub use load::load;
pub use model::App;
pub use source::SourceFile;
