//! Which lanes run here, and what becomes of generations: builds, comparison, activation, roll back, retirement.
//!
//! What an app is, which schema an id stands for and which generation of a projection is active stands in the app's
//! control topic. This crate follows it by [`ControlLog`](tidefold_control_log::ControlLog), adds the entries about
//! generations and holds, and sees to it that the process folds exactly the generations the topic says are wanted.
//!
//! It deliberately keeps no state of its own: kill it anywhere, and the next start reads the control topic, drops the
//! tables of generations that are gone, and finishes the builds that were begun.
//!
//! Any number of processes fold one app. They form a group, each folds the partitions it owns, and two that own one for a
//! while do no harm. What has to stand still as a whole (the end of a replay, a roll back, a verify) stands by an entry of
//! the control topic that every process follows. Whoever is asked does it, whatever it owns.
//!
//! Values flow down: control, and what is owned, decide which lanes run; what lanes report decides what holds and builds do.
//! Whatever changes stands in one place of its own, and nothing is global to the process: any number of apps may be folded
//! in one.
//!
//! A walk through it:
//! * [`coordinator`]: [`Coordinator`], what the composition root starts. [`options`]: how it works.
//! * `process`: what everything here works with, given once; `source`: a topic of it; `tasks`: what runs beside it.
//! * `bootstrap`: the first start of an app, and every later one. `schemas`: what schema ids stand for, as lanes ask it.
//! * **Ownership**: `lanes`, the lanes of this process and nothing else; `reconcile`: made equal to what control wants;
//!   `ownership`: what is followed for that, and reported of it. [`status`], [`positions`]: what is seen of them; `damage`:
//!   checkpoints that cannot be read.
//! * **Holds**: `holds`, followed; [`quiesce`], begun, renewed and released.
//! * **Topic identity**: [`topics`], whether topics are what they have to be.
//! * **Operations**: [`operations`], one file each.

mod bootstrap;
pub mod coordinator;
mod damage;
pub mod error;
mod holds;
mod lanes;
pub mod operations;
pub mod options;
mod ownership;
pub mod positions;
mod process;
pub mod quiesce;
mod reconcile;
mod schemas;
mod source;
pub mod status;
mod tasks;
pub mod topics;

pub use coordinator::Coordinator;
pub use error::CoordinatorError;
pub use operations::build::{Build, BuildProgress, Phase, ReplayOptions};
pub use operations::compare::{Comparison, RowDifference, TableComparison};
pub use options::Options;
pub use positions::Elsewhere;
pub use quiesce::Quiesced;
pub use status::GenerationStatus;
