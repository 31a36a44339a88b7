//! What stores take and give: tables by name, rows as bytes, writes with their stamps.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tidefold_record::Offset;

/// A table of one generation of a projection, as a store knows it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(Arc<str>);

/// The order of writes to one row, from the position of the record that caused them: `2*(offset+1)+kind`, kind 0 for a
/// delete and 1 for a put. A store keeps, of two writes to a row, the one with the larger stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(pub u64);

/// A put or a delete of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowWrite {
    /// The row's key.
    pub key: Bytes,
    /// The row's value; `None` deletes it (index rows only).
    pub value: Option<Bytes>,
    /// When, in the order of the log.
    pub stamp: Stamp,
}

/// A row as a store returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The row's key.
    pub key: Bytes,
    /// The row's value.
    pub value: Bytes,
}

// === impl TableId ===

impl TableId {
    /// `<app>.<table>_g<generation>`.
    #[must_use]
    pub fn new(app: &str, table: &str, generation: u32) -> TableId {
        TableId(format!("{app}.{table}_g{generation}").into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Stamp ===

impl Stamp {
    /// A put caused by the record at `offset`.
    #[must_use]
    pub fn put(offset: Offset) -> Stamp {
        Stamp(2 * (offset.0 + 1) + 1)
    }

    /// A delete caused by the record at `offset`.
    #[must_use]
    pub fn delete(offset: Offset) -> Stamp {
        Stamp(2 * (offset.0 + 1))
    }

    /// The offset of the record that caused the write.
    #[must_use]
    pub fn offset(self) -> Offset {
        Offset((self.0 / 2).saturating_sub(1))
    }
}
