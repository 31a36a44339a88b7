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
//! * [`input`]: opens a source as text, whatever encoding and compression it has.
//! * [`ndjson`], [`csv_source`], [`synthetic`]: where lines come from; `csv_rows` cuts CSV into rows, strictly.
//! * [`client`]: one POST of many lines, and what became of each.
//! * [`publish`]: batches, pace, retries, the report.

pub mod client;
mod csv_rows;
pub mod csv_source;
pub mod input;
pub mod line;
pub mod ndjson;
pub mod publish;
pub mod synthetic;
mod utf16;

pub use client::{Client, ClientError};
pub use line::{Fault, Line, SourceError};
pub use publish::{Event, Options, Progress, Refusal, Report, publish};
