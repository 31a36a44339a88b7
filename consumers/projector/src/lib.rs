//! One lane a partition: batch, load, fold, write, checkpoint.
//!
//! A projector folds some partitions of one topic into the tables of one generation. Each partition has a *lane*, a
//! task that owns its caches and touches no other lane's rows. What a lane writes is a pure function of a log prefix,
//! stamped with the log position, and written in an order that lets anybody repeat it: so a lane may be killed between
//! any two writes, and two lanes may even work on one partition, and the tables still come out as one fold of the log.
//!
//! This crate deliberately does not decide which generations exist, which definition is in force or what a schema id
//! stands for (the coordinator does), and knows no backend. It never skips what it cannot read or write: trouble with the
//! log or the store holds the partition, it never makes a dead letter.
//!
//! A walk through it:
//! * [`projector`]: [`Projector`], the lanes of one generation: start, assign, orders, status, drain. A
//!   partition that comes back under another epoch gets a new lane.
//! * [`settings`]: [`Components`], [`Settings`], [`Assignment`], [`Orders`] and [`Budget`]: what a projector is given.
//! * `lane`: the loop of one partition; `recover`: how it finds its place; `step`: the batch step, which folds and then does
//!   what the batch comes to, effect by effect. `rules`: the invariants I1 to I7, as statements about those effects.
//! * `pace`: when a lane waits a moment for more records, because small batches take too much of the processor.
//! * `io`: everything that touches the log and the store, repeated until it is acknowledged (I6).
//! * [`feed`]: where the change feed goes.
//! * `stand`: how a lane stands until an operator lets it go on.
//! * [`status`]: what a lane tells about itself. [`halt`]: why a lane stopped for good, and what to do.
//! * `observe`, `metrics`: what lanes log and count. [`breaker`], [`watchdog`]: two small state machines, without clock or task.

pub mod breaker;
pub mod feed;
pub mod halt;
mod io;
mod lane;
mod metrics;
mod observe;
mod pace;
pub mod projector;
mod recover;
mod rules;
pub mod settings;
pub mod source;
mod stand;
pub mod status;
mod step;
pub mod watchdog;

pub use breaker::{Breaker, BreakerSettings, Tripped};
pub use feed::{Feed, FeedError, SharedFeed};
pub use halt::Halt;
pub use metrics::{alert, lag};
pub use pace::Pace;
pub use projector::{Ending, Projector};
pub use settings::{Assignment, Budget, Components, Orders, Settings};
pub use source::{SchemaSource, SchemaSourceError};
pub use status::{LaneState, LaneStatus, Place, VerdictCounts};
pub use watchdog::Watchdog;

#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
#[cfg(test)]
mod tests;
