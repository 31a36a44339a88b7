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
//! * [`checkpoint`]: where a partition's fold stands.
//! * [`state`]: an entity's row; [`rollup`]: a rollup's row, shards added up.
//! * [`distinct`]: the sketch behind `approx_count_distinct`.
//! * [`rows`]: the row cache with its byte budget.
//! * [`eval`]: evaluates the app's expressions.
//! * [`view`]: the rows a state or event makes in a view.
//! * [`folder`]: one partition's fold, batch by batch: decode, dedupe, judge, set, derive.
//! * [`changes`]: what a batch changed, netted, and the stamped writes it comes to.

pub mod changes;
pub mod checkpoint;
pub mod dedupe;
pub mod distinct;
pub mod eval;
pub mod folder;
pub mod rollup;
pub mod rows;
pub mod state;
pub mod verdict;
pub mod view;
mod wire;

pub use changes::{Changes, TableSlot, Writes};
pub use checkpoint::Checkpoint;
pub use folder::{FoldError, FoldSettings, Folder, Given, SchemaFate};
pub use rows::RowCache;
pub use verdict::{Verdict, VerdictKind};
