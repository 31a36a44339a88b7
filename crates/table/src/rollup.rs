//! A rollup's row: the offset last applied to it, the hidden count, and what it keeps of each aggregate. A reader adds up
//! the shards of a group and finishes the aggregates.
//!
//! The value: offset (8 bytes big-endian), hidden count (8), then each component of each aggregate of the view
//! ([`crate::component`]). The group's columns are all in the key.

use bumpalo::Bump;
use tidefold_codec::Datum;
use tidefold_codec::decode::DecodeError;
use tidefold_record::Offset;

use crate::aggregate::Kept;
use crate::component::AggregateState;
use crate::layout::TableLayout;
use crate::wire::Reader;

/// A group's row, decoded; or several shards of one group, added up.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The last offset applied (of merged shards: the largest).
    pub offset: Offset,
    /// Rows in the group; it exists iff above 0.
    pub count: i64,
    /// The components' states, in the layout's order.
    pub aggregates: Vec<AggregateState>,
}

/// Appends a row's value.
pub fn encode_group(offset: Offset, count: i64, aggregates: &[AggregateState], out: &mut Vec<u8>) {
    out.extend_from_slice(&offset.0.to_be_bytes());
    out.extend_from_slice(&count.to_be_bytes());
    aggregates.iter().for_each(|state| state.encode(out));
}

// === impl Group ===

impl Group {
    /// A group that nothing was added to.
    #[must_use]
    pub fn empty(layout: &TableLayout) -> Group {
        Group { offset: Offset::ZERO, count: 0, aggregates: layout.empty_states().collect() }
    }

    /// Decodes a row's value.
    ///
    /// # Errors
    /// When the bytes are not a row of this table.
    pub fn decode(layout: &TableLayout, value: &[u8]) -> Result<Group, DecodeError> {
        let mut reader = Reader::new(value);
        let group = Group::read(layout, &mut reader);
        let at = value.len() - reader.rest().len();
        match group {
            Some(group) if reader.rest().is_empty() => Ok(group),
            Some(_) => Err(DecodeError::Trailing(reader.rest().len())),
            None => Err(DecodeError::Malformed { at, what: "an aggregate's state" }),
        }
    }

    fn read(layout: &TableLayout, reader: &mut Reader<'_>) -> Option<Group> {
        let (offset, count) = (Offset(reader.u64()?), reader.i64()?);
        let mut aggregates: Vec<AggregateState> = layout.empty_states().collect();
        aggregates.iter_mut().try_for_each(|state| state.read(reader))?;
        Some(Group { offset, count, aggregates })
    }

    /// Appends the row's value.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode_group(self.offset, self.count, &self.aggregates, out);
    }

    /// Adds another shard of the same group.
    pub fn merge(&mut self, other: &Group) {
        self.offset = self.offset.max(other.offset);
        self.count = self.count.wrapping_add(other.count);
        for (state, other) in self.aggregates.iter_mut().zip(&other.aggregates) {
            state.merge(other);
        }
    }

    /// The columns of the layout, in order. `key` has the values of the layout's key columns, in key order.
    ///
    /// What an aggregate makes of its components is in its row ([`crate::aggregate`]).
    pub fn finish<'a>(&self, layout: &'a TableLayout, key: &[Datum<'a>], arena: &'a Bump) -> Vec<Datum<'a>> {
        let mut columns = vec![Datum::Null; layout.columns.len()];
        for ((at, _), datum) in layout.key_columns().zip(key) {
            columns[at] = *datum;
        }
        let mut states = self.aggregates.as_slice();
        for ((at, column), aggregate) in layout.value_columns().zip(&layout.aggregates) {
            let (own, rest) = states.split_at(aggregate.function.keeps.len().min(states.len()));
            let kept =
                Kept { states: own, argument: aggregate.argument.as_ref(), to: &column.column.ty, arena };
            columns[at] = (aggregate.function.finish)(&kept).unwrap_or(Datum::Null);
            states = rest;
        }
        columns
    }
}
