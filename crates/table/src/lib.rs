//! Stored rows: what tables there are, and of every kind of row its key, its value, and how both are bytes.
//!
//! A row's bytes are made and read here and nowhere else, each kind in a file of its own with its layout described, so
//! that there is one place to look, and one answer to damage. The first byte of every value says its format. A value is written in
//! the newest format and read in every one that ever was; one that is not known is of a later version, and is refused.
//!
//! This crate deliberately knows no app, no SQL, no store and no log: it takes values and gives back bytes.
//!
//! A walk through it:
//! * [`layout`]: what a table is, its columns and its key; [`bucket`]: the hidden column that splits a huge partition.
//! * [`id`]: what stores take and give: names of tables, rows, writes, stamps.
//! * [`tables`]: the tables of one generation of a projection.
//! * [`limits`]: how large keys and rows may be.
//! * [`prefix`]: what the keys of a range start with.
//! * [`damage`]: what is said of a row that is not what its table holds.
//! * The rows: [`entity`]; [`index`]; [`rollup`], a shard of a group, and shards added up ([`aggregate`]: the registry of aggregates; [`component`]: what a row
//!   keeps of them; [`exact`]: sums that cannot
//!   overflow; [`distinct`]: the sketch behind `approx_count_distinct`); [`verdict`], what became of a record;
//!   [`checkpoint`], where a partition's fold stands; [`control_copy`], the control topic in the store; [`feed`], what one
//!   record came to.
//! * [`shown`]: what of an index's or rollup's row a store with typed columns shows to tools.
//! * [`proof`]: whether a checkpoint says anything of a log's records.

pub mod aggregate;
pub mod bucket;
pub mod checkpoint;
pub mod component;
pub mod control_copy;
pub mod damage;
pub mod distinct;
pub mod entity;
pub mod exact;
pub mod feed;
pub mod id;
pub mod index;
mod key_text;
pub mod layout;
pub mod limits;
pub mod prefix;
pub mod proof;
pub mod rollup;
pub mod shown;
pub mod tables;
pub mod verdict;
mod wire;

pub use checkpoint::Checkpoint;
pub use damage::{Broken, Damaged};
pub use id::{Row, RowWrite, Stamp, TableId};
pub use layout::{Bucket, Clustering, Column, TableKind, TableLayout};
pub use prefix::Prefix;
pub use tables::{GenerationTable, GenerationTables};
pub use verdict::{Verdict, VerdictKind};
