//! The fold: the pure step (state, message) -> (state, verdict, changes), and what a table row of it looks like.
//!
//! Folding a log prefix is a pure function: the same records give the same rows to the byte, however they are cut into
//! batches, however often a part is folded again, whoever folds it.
//!
//! This crate deliberately has no clock, no randomness, no runtime, no file system and no metrics: rows come in, rows
//! go out, and the caller does all reading, writing and counting.
//!
//! A walk through it:
//! * [`verdict`]: what became of a record.
//! * [`dedupe`]: which messages were seen.
//! * [`checkpoint`]: where a partition's fold stands; [`proof`]: whether that says anything of a log's records.
//! * [`state`]: an entity's row; [`rollup`]: a rollup's row, shards added up.
//! * [`exact`]: sums that cannot overflow.
//! * [`distinct`]: the sketch behind `approx_count_distinct`.
//! * [`rows`]: the row cache with its byte budget.
//! * [`eval`]: evaluates the app's expressions.
//! * [`folder`]: one partition's fold, batch by batch. Inside, in the order a record meets them: `form` (is it a message
//!   of this topic and partition at all), `judge` (dedupe, guards, the new state), `step` (one record's fold), `view` (the
//!   rows a state or event makes in a view), `issue` (rollups applied, writes made).
//! * [`changes`]: what a batch changed, netted, and the stamped writes it comes to.
//! * [`whole`]: a partition folded in memory from its start: what `verify` compares tables with, and, a record at a time,
//!   what `inspect` shows.

pub mod changes;
pub mod checkpoint;
pub mod dedupe;
pub mod distinct;
pub mod eval;
pub mod exact;
pub mod folder;
mod form;
mod issue;
mod judge;
mod keys;
pub mod proof;
pub mod rollup;
pub mod rows;
pub mod state;
mod step;
pub mod verdict;
mod view;
pub mod whole;
mod wire;

pub use changes::{Changes, TableSlot, Writes};
pub use checkpoint::Checkpoint;
pub use folder::{FoldError, FoldSettings, Folder, Given, SchemaFate};
pub use proof::{Contradiction, Look, Proof};
pub use rows::RowCache;
pub use verdict::{Verdict, VerdictKind};
