//! Whether topics are what they have to be: the ones that were opened, with all their records, and the ones that tables
//! were built from.
//!
//! * [`manifest`]: what a generation was built from, against what is there.
//! * `identity`: whether a topic is the one that was opened, and is whole.
//! * `watch`: that, looked at now and then.
//! * `trust`: whether what was folded or built is of the log that is there.

mod identity;
pub mod manifest;
mod trust;
pub(crate) mod watch;
