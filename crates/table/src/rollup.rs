//! A rollup's row: the offset last applied to it, the hidden count, and what it keeps of each aggregate. A reader adds up
//! the shards of a group and finishes the aggregates.
//!
//! Key: the group's columns in order ([`tidefold_codec::ordered`]), with a hidden bucket behind the partition key where the
//! table has one ([`crate::bucket`]), then the shard, which is the source partition (4 bytes big-endian). Value, format 0:
//! offset (8 bytes big-endian, the first of which is the format), hidden count (8), then each component of each aggregate of
//! the view ([`crate::component`]). The group's columns are all in the key.

use bumpalo::Bump;
use tidefold_codec::Datum;
use tidefold_record::{Offset, Partition};

use crate::aggregate::Kept;
use crate::component::AggregateState;
use crate::damage::{Broken, Damaged};
use crate::id::{Row, TableId};
use crate::layout::TableLayout;
use crate::wire::{self, Reader};

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
    out.extend_from_slice(&wire::stamped(offset));
    out.extend_from_slice(&count.to_be_bytes());
    aggregates.iter().for_each(|state| state.encode(out));
}

/// The bytes that a shard's key ends with.
#[must_use]
pub fn shard(partition: Partition) -> [u8; 4] {
    partition.0.to_be_bytes()
}

/// A shard's key without the shard.
///
/// # Errors
/// When the bytes are no key of a shard.
pub fn group_key(key: &[u8]) -> Result<&[u8], Broken> {
    let broken = Broken::Part { part: "shard", at: 0, size: key.len() };
    key.split_last_chunk::<4>().map(|(group, _)| group).ok_or(broken)
}

/// Adds up neighbouring shards of one group. `rows` are in the order of their keys, which are
/// without their buckets. With `whole`, the last group's shards
/// are all among them; else that group is left out, unless it is the only one: its shards may go on behind the rows.
///
/// # Errors
/// When a row is none of this table.
pub fn add_up<'r>(
    layout: &TableLayout,
    table: &TableId,
    rows: &'r [Row],
    whole: bool,
) -> Result<Vec<(&'r [u8], Group)>, Damaged> {
    let mut groups: Vec<(&[u8], Group)> = Vec::new();
    for row in rows {
        let broken = |broken: Broken| broken.of(table, layout.logical_key_text(&row.key));
        let key = group_key(&row.key).map_err(broken)?;
        let shard = Group::decode(layout, &row.value).map_err(broken)?;
        match groups.last_mut() {
            Some((last, group)) if *last == key => group.merge(&shard),
            _ => groups.push((key, shard)),
        }
    }
    if !whole && groups.len() > 1 {
        groups.pop();
    }
    Ok(groups)
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
    pub fn decode(layout: &TableLayout, value: &[u8]) -> Result<Group, Broken> {
        let (offset, mut reader) = wire::head(value)?;
        let count = reader.part("hidden count", Reader::i64)?;
        let mut aggregates: Vec<AggregateState> = layout.empty_states().collect();
        for state in &mut aggregates {
            reader.part("component of an aggregate", |reader| state.read(reader))?;
        }
        reader.end()?;
        Ok(Group { offset, count, aggregates })
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
