//! What the keys of a range start with.

use bytes::Bytes;

use crate::layout::TableLayout;

/// The bytes that all keys of a range start with: a whole partition key at least, so that one table partition has all
/// the rows. Only the rooms of the rows make one: [`crate::verdict::prefix`], [`crate::control_copy::prefix`],
/// [`TableLayout::prefix`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(Bytes);

// === impl Prefix ===

impl Prefix {
    pub(crate) fn new(bytes: Bytes) -> Prefix {
        Prefix(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

// === impl TableLayout ===

impl TableLayout {
    /// The keys of an index or rollup that start with these bytes of a stored key; `None` where they do not have the whole
    /// partition key (and bucket), or where the table is of another kind: its rows lie in no order, or have a room that
    /// makes their prefixes.
    #[must_use]
    pub fn prefix(&self, bytes: Bytes) -> Option<Prefix> {
        self.after_partition(&bytes)?;
        Some(Prefix(bytes))
    }
}
