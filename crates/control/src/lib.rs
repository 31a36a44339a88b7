//! The control topic, folded: definitions, schema ids, generations.
//!
//! `<app>.control` has one partition. Every node folds it and so comes to the same [`Control`], which says which
//! definition is in force, what a schema id stands for, which generation of a projection is active and what it was built
//! from, and which is to stand still.
//!
//! **The log is the compare-and-set.** An entry carries the control offset it expects to get. It counts only if it got
//! it: then nothing came between what its writer knew and what it wrote. Entries about schema ids count whatever they
//! expected, because the first entry about an id decides it for ever.
//!
//! This crate deliberately reads and writes no log; the coordinator does.
//!
//! A walk through it:
//! * [`entry`]: [`Entry`] and its JSON form, the record value.
//! * [`definition`]: [`Definition`], a folder as it was defined, and the projections it makes.
//! * [`state`]: [`Control`], what the entries come to.

pub mod definition;
pub mod entry;
pub mod state;

pub use definition::{Definition, NoProjection};
pub use entry::{Entry, Envelope, Manifest, Stands};
pub use state::{Control, Generation, GenerationState, Generations, Hold, Outcome, SchemaRecord};

/// The topic's name in an app: stored as `<app>.control`.
pub const CONTROL_TOPIC: &str = "control";
