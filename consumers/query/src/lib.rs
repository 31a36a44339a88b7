//! The HTTP read API: rows by key, ranges, cursors, and reading one's own write on any node.
//!
//! It deliberately knows the store only: it never reads the log to answer (a log, where the node has one, just tells how
//! old an answer is, and whether the tables are of it), keeps nothing between requests that an answer depends on, and pages by key, so that any replica answers
//! any request.
//!
//! A walk through it:
//! * [`generations`]: which generation of each projection is read, and when a query node flips to the next.
//!   `served`: the generation of one projection, and what callers saw of it.
//! * [`table`]: a table to be read, and what is answered where it is damaged.
//! * [`request`]: a query string, judged against a table's key: every mistake named, what the key allows said (`allowed`; [`advice`]: what to write instead).
//! * `pairs`: a query string's names and values.
//! * [`cursor`]: where the next page goes on.
//! * [`recent`]: checkpoints read a moment ago.
//! * [`position`]: what is visible, how old it is, and waiting for `Tidefold-Min-Position`; [`proof`]: whether the checkpoints
//!   are of the log that is there.
//! * `read`: one row under its key, a page of a range.
//! * `scan`: rows in key order, whatever buckets they are stored in.
//! * [`rows`]: stored rows to JSON.
//! * [`index`]: what `/` and `/v1/{app}` say.
//! * `serving`: what every request is served with; `api`: the routes.

pub mod advice;
mod allowed;
mod api;
pub mod cursor;
pub mod generations;
pub mod index;
mod pairs;
pub mod position;
pub mod proof;
mod read;
pub mod recent;
pub mod request;
pub mod rows;
mod scan;
mod served;
mod serving;
pub mod table;

pub use api::router;
pub use serving::{Components, Halts, Settings};
