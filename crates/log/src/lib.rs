//! The log: append-only topics of partitions, the one truth from which every table is folded.
//!
//! This crate owns the contract ([`Log`]), a memory log that can be told to fail, delay and lose what was not synced
//! ([`memory`]), a membership that tests move by hand ([`scripted`]), and the suite that every log must pass ([`contract`], behind the feature `contract`).
//!
//! What a log does is told to an [`observer::Observer`].
//!
//! It deliberately knows nothing of apps, Avro or folds: a record is bytes with an offset. Who writes a log starts with
//! [`Log`], makes a [`contract::Subject`] of it and runs `log_contract!` in its tests.

mod bounds;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod error;
mod log;
pub mod membership;
pub mod memory;
pub mod observer;
pub mod scripted;

pub use bounds::Bounds;
pub use error::LogError;
pub use log::{Appended, Log, ReadLimit, SharedLog, Topic, TopicSpec};
pub use membership::{Epoch, Membership, Owned, SharedMembership, Sole};
pub use memory::{Faults, MemoryLog};
pub use scripted::Scripted;
