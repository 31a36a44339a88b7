//! One value in each of its places: Avro datum, SQL slot, JSON, key text, ordered key bytes, stored columns.
//!
//! A publisher writes a value as JSON or Avro, SQL sees it as a [`Datum`], a table keeps it, a caller reads it as JSON
//! again. This crate owns all of these mappings, so that there is one place to look when two of them disagree.
//!
//! It deliberately does not know apps, tables, SQL or logs; it takes a type and bytes and gives back bytes or slots.
//! The `apache-avro` crate parses schemas and judges them; its value decoder is the oracle in tests and is not on the
//! hot path.
//!
//! A walk through it:
//! * [`types`]: [`Type`], the closed set of types, and [`ColumnType`], a type that may be null.
//! * [`datum`]: [`Datum`], what a slot holds while SQL looks at it; borrowed, copied freely, 32 bytes.
//! * [`schema`]: an Avro schema to a [`RecordType`]; a column's type text (`array<OrderItem>`, `date?`) to a [`ColumnType`].
//! * [`decode`]: a plan for (writer schema, reader type) that reads just the wanted fields into slots.
//! * [`columns`]: slots to the canonical Avro bytes a table keeps, and back; walking into arrays and records.
//! * [`json_in`]: JSON to Avro with every mistake named; [`json_out`]: slots to JSON.
//! * [`encoding`]: what bytes are that should be UTF-8 text and are not.
//! * [`text`]: one value as text: key texts, URL parameters, literals.
//! * [`ordered`]: key columns to bytes that sort as the columns do.
//! * [`nearest`]: the valid name that a wrong one was most likely meant to be.
//! * [`truncate`]: the start of the day, month or other unit that a time lies in.

mod base64;
pub mod calendar;
pub mod columns;
pub mod datum;
pub mod decode;
mod defaults;
pub mod encoding;
pub mod json_in;
pub mod json_out;
pub mod nearest;
mod number;
pub mod ordered;
pub mod schema;
pub mod text;
pub mod truncate;
pub mod types;
mod wire;

pub use datum::Datum;
pub use types::{ColumnType, EnumType, Field, FixedType, KeyForm, RecordType, Type};
