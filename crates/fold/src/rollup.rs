//! A rollup's row: the offset last applied to it, the hidden count, and each aggregate's state. A reader adds up the
//! shards of a group and finishes the aggregates.

use bumpalo::Bump;
use tidefold_app::model::View;
use tidefold_codec::Datum;
use tidefold_codec::decode::DecodeError;
use tidefold_record::Offset;

/// A group's row, decoded; or several shards of one group, added up.
#[derive(Clone, Debug)]
pub struct Group {
    /// The last offset applied (of merged shards: the largest).
    pub offset: Offset,
    /// Rows in the group; it exists iff above 0.
    pub count: i64,
}

impl Group {
    /// Decodes a row's value.
    ///
    /// # Errors
    /// When the bytes are not a row of this view.
    pub fn decode(view: &View, value: &[u8]) -> Result<Group, DecodeError> {
        let _ = (view, value);
        unimplemented!()
    }

    /// Adds another shard of the same group.
    pub fn merge(&mut self, other: &Group) {
        let _ = other;
        unimplemented!()
    }

    /// The columns of the layout, in order. `key` has the values of the layout's key columns, in key order.
    pub fn finish<'a>(&self, view: &'a View, key: &[Datum<'a>], arena: &'a Bump) -> Vec<Datum<'a>> {
        let _ = (view, key, arena);
        unimplemented!()
    }
}
