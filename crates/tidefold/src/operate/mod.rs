//! What operators ask of a running node, and the API on the admin port through which the command line asks it.
//!
//! An embedded log and store belong to one process, so the command line never opens them beside a running node: it asks
//! the node. Long work answers as NDJSON: progress lines, then one line with the result.

mod acts;
mod audit;
mod dead_letters;
mod inspect;
mod letter;
mod ndjson;
mod operator;
mod parameters;
mod replay;
mod routes;
mod rows;
mod schemas;
mod status;
mod unfolded;
mod verify;
mod watch;

pub use operator::Operator;
pub use routes::router;
pub use watch::watch;
