//! The control driver: definitions, schema ids, tables, builds, activation, retirement.
//!
//! What an app is, which schema an id stands for and which generation of a projection is active stands in the app's
//! control topic. This crate follows that topic, adds entries to it (the log is the compare-and-set), and sees to it
//! that the process folds exactly the generations the topic says are wanted.
//!
//! It deliberately keeps no state of its own: kill it anywhere, and the next start reads the control topic, drops the
//! tables of generations that are gone, and finishes the builds that were begun.
//!
//! Any number of processes fold one app. They form a group, each folds the partitions it owns, and two that own one for a
//! while do no harm. What has to stand still as a whole (the end of a replay, a roll back, a verify) stands by an entry of
//! the control topic that every process obeys. Whoever is asked does it, whatever it owns.
//!
//! A walk through it:
//! * [`deployer`]: [`Deployer`], what the composition root starts: `replay`, `rollback`, `retire`, status.
//! * [`driver`]: [`Driver`], the control topic followed and appended to; also the [`tidefold_projector::SchemaSource`]
//!   of the lanes: our own id authority.
//! * `bootstrap`: the first start of an app, and every later one.
//! * `introduce`: the same for a process that folds nothing.
//! * `projected`: the control topic copied into the store, for who only reads.
//! * `node`: which lanes run, as control says.
//! * `fleet`: which partitions are here, and whether the topics are still the ones that were opened.
//! * `trust`: whether what was folded or built is of the log that is there.
//! * `still`: letting a generation stand still in every process, to look at its tables.
//! * `acts`: what an operator does about a partition that stands.
//! * `build`: a generation from its first record to its activation. [`compare`]: two generations, row by row.
//! * [`waiting`]: what a start waits for, told.
//! * [`manifest`]: what a generation was built from, against what is there.

mod acts;
mod bootstrap;
mod build;
pub mod compare;
pub mod deployer;
pub mod driver;
pub mod error;
mod fleet;
mod introduce;
pub mod manifest;
mod node;
mod projected;
mod still;
mod trust;
pub mod waiting;

pub use build::{Build, BuildProgress, Phase, ReplayOptions};
pub use compare::{Comparison, RowDifference, TableComparison};
pub use deployer::{Deployer, Options};
pub use driver::Driver;
pub use error::DeployError;
pub use fleet::Elsewhere;
pub use introduce::introduce;
pub use node::GenerationStatus;
pub use projected::ControlCopy;
pub use still::Still;
pub use waiting::Waiting;
