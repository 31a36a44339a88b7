//! The fold: the pure step (state, message) -> transition, and what a batch of transitions comes to.
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
//! * [`folder`]: one partition's fold, batch by batch. `step` folds one record; in the order it meets them: `form` (is it
//!   a message of this topic and partition at all), `judge` (dedupe, guards, the new state), `view` (the rows it makes in
//!   views, into the buffers of `made`). That comes to one [`transition`], the only thing that what follows is told.
//! * Of views: `reads` says which can have changed at all, `adds` what a row adds to a rollup, `room` how large rows may be.
//! * [`given`]: what it is told from outside; [`error`]: what stops it.
//! * [`changes`]: a batch's transitions, added up and netted. `issue`: rollup changes onto rollup rows.
//! * [`effects`]: what a batch comes to, in the order in which it is to be done; [`publication`]: what a change feed is told.
//! * [`whole`]: a partition folded in memory from its start: what `verify` compares tables with, and, a record at a time,
//!   what `inspect` shows.

mod adds;
pub mod changes;
pub mod dedupe;
pub mod effects;
pub mod error;
pub mod eval;
pub mod folder;
mod form;
pub mod given;
mod issue;
mod judge;
mod keys;
mod made;
pub mod publication;
mod reads;
mod room;
pub mod rows;
mod step;
pub mod transition;
mod view;
pub mod whole;

pub use changes::{Changes, DeadLetter};
pub use effects::{Effect, EffectKind, TableRows, TableSlot, checkpoint_after};
pub use error::FoldError;
pub use folder::{FoldSettings, Folder};
pub use given::{Given, SchemaFate};
pub use publication::Publication;
pub use rows::RowCache;
pub use transition::Transition;
