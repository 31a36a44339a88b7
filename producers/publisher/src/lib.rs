//! Files, standard input and made-up load, sent to the write API.
//!
//! Every message gets an id that depends only on what is sent and where it stands in its source, so sending a source
//! twice, or again after half of it failed, folds each message once.
//!
//! It deliberately knows the write API only: no log, no store, no Avro. What a message looks like it takes from the
//! checked app, for CSV columns and made-up messages.
//!
//! A walk through it:
//! * [`line`]: [`Line`], one message as an NDJSON envelope.
//! * [`ndjson`], [`csv_source`], [`synthetic`]: where lines come from.
//! * [`client`]: one POST of many lines, and what became of each.
//! * [`publish`]: batches, pace, retries, the report.

pub mod client;
pub mod csv_source;
pub mod line;
pub mod ndjson;
pub mod publish;
pub mod synthetic;

pub use client::{Client, ClientError};
pub use line::{Line, SourceError};
pub use publish::{Event, Options, Progress, Refusal, Report, publish};
