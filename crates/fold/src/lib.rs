//! The fold: the pure step (state, message) -> (state, verdict, changes).
//!
//! Folding a log prefix is a pure function: the same records give the same rows to the byte, however they are cut into
//! batches, however often a part is folded again, whoever folds it.
//!
//! This crate deliberately has no clock, no randomness, no runtime, no file system and no metrics: rows come in, rows
//! go out, and the caller does all reading, writing and counting.
//!
//! A walk through it:
//! * [`dedupe`]: which messages were seen.
//! * [`rows`]: the row cache with its byte budget.
//! * [`eval`]: evaluates the app's expressions.
//! * [`folder`]: one partition's fold, batch by batch. Inside, in the order a record meets them: `form` (is it a message
//!   of this topic and partition at all), `judge` (dedupe, guards, the new state), `step` (one record's fold), `view` (the
//!   rows a state or event makes in a view), `issue` (rollups applied, writes made).
//! * [`changes`]: what a batch changed, netted, and the stamped writes it comes to.
//! * [`whole`]: a partition folded in memory from its start: what `verify` compares tables with, and, a record at a time,
//!   what `inspect` shows.

pub mod changes;
pub mod dedupe;
pub mod eval;
pub mod folder;
mod form;
mod issue;
mod judge;
mod keys;
pub mod rows;
mod step;
mod view;
pub mod whole;

pub use changes::{Changes, TableSlot, Writes};
pub use folder::{FoldError, FoldSettings, Folder, Given, SchemaFate};
pub use rows::RowCache;
