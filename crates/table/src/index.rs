//! An index's row.
//!
//! Key: the key columns in order ([`tidefold_codec::ordered`]), with a hidden bucket behind the partition key where the
//! table has one ([`crate::bucket`]). Value, format 0: the offset that last touched it (8 bytes big-endian, the first of
//! which is the format), then the columns that are not in the key as canonical Avro ([`tidefold_codec::columns`]).

use bumpalo::Bump;
use tidefold_codec::{ColumnType, Datum, columns, ordered};
use tidefold_record::Offset;

use crate::damage::Broken;
use crate::layout::TableLayout;
use crate::wire;

/// A row's value, taken apart but not copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexRef<'a> {
    /// The record that last touched it.
    pub offset: Offset,
    /// The columns that are not in the key, encoded.
    pub columns: &'a [u8],
}

/// The columns of a table's key, with their places in the layout.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyColumns(Vec<(usize, ordered::KeyColumn)>);

// === impl IndexRef ===

impl<'a> IndexRef<'a> {
    /// Takes a stored value apart.
    ///
    /// # Errors
    /// When the bytes are no value of an index.
    pub fn parse(value: &'a [u8]) -> Result<IndexRef<'a>, Broken> {
        let (offset, reader) = wire::head(value)?;
        Ok(IndexRef { offset, columns: reader.rest() })
    }

    /// The values of the columns that are not in the key, each to its place in `slots`, which has one for each column.
    ///
    /// # Errors
    /// When the bytes are not columns of this table.
    pub fn slots(&self, layout: &'a TableLayout, slots: &mut [Datum<'a>]) -> Result<(), Broken> {
        let types: Vec<&ColumnType> = layout.value_columns().map(|(_, column)| &column.column).collect();
        let mut values = vec![Datum::Null; types.len()];
        columns::decode(types, self.columns, &mut values)?;
        for ((place, _), datum) in layout.value_columns().zip(values) {
            if let Some(slot) = slots.get_mut(place) {
                *slot = datum;
            }
        }
        Ok(())
    }
}

/// How many bytes stand before the columns.
pub const HEAD_BYTES: usize = 8;

/// The value's first bytes; the columns follow.
#[must_use]
pub fn head(offset: Offset) -> [u8; HEAD_BYTES] {
    wire::stamped(offset)
}

// === impl KeyColumns ===

impl KeyColumns {
    /// Those of a table.
    #[must_use]
    pub fn of(layout: &TableLayout) -> KeyColumns {
        KeyColumns(layout.key_columns().collect())
    }

    /// The values of the key's columns, in key order, and the bytes behind them. `key` is a stored key without its bucket
    /// (of a rollup, with or without its shard).
    ///
    /// # Errors
    /// When the bytes are no key of this table.
    pub fn values<'a>(
        &'a self,
        key: &'a [u8],
        arena: &'a Bump,
    ) -> Result<(Vec<Datum<'a>>, &'a [u8]), Broken> {
        let mut rest = key;
        let mut datums = Vec::with_capacity(self.0.len());
        for (_, column) in &self.0 {
            let (datum, behind) = ordered::decode(column, rest, arena)?;
            datums.push(datum);
            rest = behind;
        }
        Ok((datums, rest))
    }

    /// The values of a whole key, each to its place in `slots`, which has one for each column of the table.
    ///
    /// # Errors
    /// When the bytes are no key of this table.
    pub fn slots<'a>(
        &'a self,
        key: &'a [u8],
        arena: &'a Bump,
        slots: &mut [Datum<'a>],
    ) -> Result<(), Broken> {
        let (datums, rest) = self.values(key, arena)?;
        if !rest.is_empty() {
            return Err(Broken::Trailing(rest.len()));
        }
        for ((place, _), datum) in self.0.iter().zip(datums) {
            if let Some(slot) = slots.get_mut(*place) {
                *slot = datum;
            }
        }
        Ok(())
    }
}
