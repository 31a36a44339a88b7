//! The bounds of rows, judged by the fold before anything is written: a record that would make a row beyond them is dead,
//! with the table and the bound named. Every store takes what is within them.
//!
//! Where they come from: the embedded store writes a key's length in two bytes; a CQL server takes 65,535 bytes of
//! partition key and as many of clustering columns, each column with a length of its own, and a change of half a segment
//! of its commit log, which is 8 MiB on the smallest that is supported. There an index's row stands twice, as its bytes and
//! as typed columns, and so do the extremes of a rollup's.

use crate::layout::{TableKind, TableLayout};

/// The longest record key, and so the longest key of an entity, in bytes of its text.
pub const RECORD_KEY_BYTES: usize = 1_024;

/// The longest key of a view's row as a CQL server stores it: zero bytes in texts count twice, and each key column counts
/// [`KEY_COLUMN_BYTES`] more. What is left of it for the key as the fold writes it, and as a verdict names it, says
/// [`row_key_bytes`].
pub const ROW_KEY_BYTES: usize = 65_535;

/// What each key column adds to the length of its row's key: a CQL server's form of a value may be that much longer.
pub const KEY_COLUMN_BYTES: usize = 8;

/// The largest row: key and value.
pub const ROW_BYTES: usize = 4_000_000;

/// The largest value of a `min` or `max` in a rollup's row, all of the row's together.
pub const EXTREMES_BYTES: usize = 2_000_000;

/// The most bytes of rows that one record may make in all views together.
pub const RECORD_ROWS_BYTES: usize = 64_000_000;

/// The largest state that an app may allow its entity (`max_state_bytes`).
pub const STATE_BYTES: usize = 1_000_000;

/// The longest detail of a dead letter, in characters.
pub const DETAIL_CHARACTERS: usize = 500;

/// Every bound with its line in `docs/app-language.md`.
pub const BOUNDS: &[(&str, usize)] = &[
    ("a record key, and so an entity's key", RECORD_KEY_BYTES),
    ("the key of a view's row, encoded, with eight for each of its columns", ROW_KEY_BYTES),
    ("a row, key and value", ROW_BYTES),
    ("the values of `min` and `max` in one row", EXTREMES_BYTES),
    ("all rows that one record makes in views", RECORD_ROWS_BYTES),
    ("an entity's state (`max_state_bytes`)", STATE_BYTES),
    ("the detail of a dead letter, in characters", DETAIL_CHARACTERS),
];

/// The longest key of this view's rows as the fold writes it.
#[must_use]
pub fn row_key_bytes(layout: &TableLayout) -> usize {
    let columns = layout.stored_key_columns().count() + usize::from(layout.kind == TableKind::Rollup);
    ROW_KEY_BYTES.saturating_sub(columns * KEY_COLUMN_BYTES)
}
