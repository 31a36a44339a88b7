//! Files, standard input and made-up load, sent to the write API.
//!
//! Every line counts: two that read the same are two messages, in one source or in two. An id is what a line brings, what
//! the caller says makes it, or the id of the run and the line's number, never a guess from what the line says. A run that
//! was cut is gone on with by its ledger.
//!
//! It deliberately knows the write API only: no log, no store, no Avro. What a message looks like it takes from the
//! checked app, for CSV columns and made-up messages.
//!
//! A walk through it:
//! * [`line`]: [`Line`], one message as an NDJSON envelope.
//! * [`input`]: opens a source as text, whatever encoding and compression it has.
//! * [`ndjson`], [`csv_source`], [`synthetic`]: where lines come from; `csv_rows` cuts CSV into rows, strictly.
//! * [`client`]: one POST of many lines, and what became of each.
//! * [`ledger`]: what was settled of a source, on disk.
//! * [`publish`]: batches, pace, retries, the report.
//! * [`judged`]: what became of the lines, asked once they are sent.

pub mod client;
mod csv_rows;
pub mod csv_source;
pub mod input;
pub mod judged;
pub mod ledger;
pub mod line;
pub mod ndjson;
pub mod publish;
pub mod synthetic;
mod utf16;

pub use client::{Client, ClientError};
pub use judged::{Judged, Uncounted, judged};
pub use ledger::{Ledger, LedgerError, Pin, RunId, Subject};
pub use line::{Fault, Line, SourceError};
pub use publish::{Event, Options, Progress, Refusal, Report, publish, publish_by};
