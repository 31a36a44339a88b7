//! The control topic: appended to, followed, and copied into the store.
//!
//! What an app is, which schema an id stands for and which generation of a projection is active stands in the app's control
//! topic, one partition that `control` folds. This crate adds entries to it (the log is the compare-and-set) and reads it,
//! for who folds, who writes and who only reads.
//!
//! It deliberately decides nothing about generations and runs no lane; the coordinator does. It keeps no state but what it
//! has read: two processes that read the same topic know the same.
//!
//! A walk through it:
//! * [`topic`]: [`ControlLog`], the topic of one app, followed and appended to; `writer`: the one task that does.
//! * `define`: the app's definition, made known.
//! * [`schemas`]: our own id authority.
//! * `introduce`: both, by a process that folds nothing.
//! * [`copy`]: [`ControlCopy`], the topic in the store, for who has no log.
//! * [`waiting`]: what a start waits for, reported.

pub mod copy;
mod define;
pub mod error;
mod introduce;
pub mod schemas;
pub mod topic;
pub mod waiting;
mod writer;

pub use copy::{ControlCopy, copy_for_ever};
pub use define::define;
pub use error::ControlLogError;
pub use introduce::{introduce, open_topics};
pub use schemas::register;
pub use topic::ControlLog;
pub use waiting::{Passing, Waiting, a_few_times, patiently};
