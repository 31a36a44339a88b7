//! An entity's row: one blob with the offset that last touched it, the version, a deleted mark, the last eight message
//! ids and the columns as canonical Avro.

use tidefold_app::model::Entity;
use tidefold_codec::Datum;
use tidefold_codec::decode::DecodeError;
use tidefold_record::Offset;

/// An entity's row, taken apart but not copied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StateRef<'a> {
    /// The record that last touched it.
    pub offset: Offset,
    /// How many messages were applied to it since it was created, over all its lives: rises with every applied message.
    pub version: u64,
    /// Whether it is deleted: the row stays, so that its position is not forgotten.
    pub deleted: bool,
    /// The ring of ids, encoded.
    pub ring: &'a [u8],
    /// The columns, encoded; empty when deleted.
    pub columns: &'a [u8],
}

impl<'a> StateRef<'a> {
    /// Takes a stored blob apart.
    ///
    /// # Errors
    /// When the bytes are not a state.
    pub fn parse(blob: &'a [u8]) -> Result<StateRef<'a>, DecodeError> {
        let _ = blob;
        unimplemented!()
    }

    /// The columns' values, one slot for each column of the entity.
    ///
    /// # Errors
    /// When the bytes are not columns of this entity.
    pub fn slots(&self, entity: &'a Entity, slots: &mut [Datum<'a>]) -> Result<(), DecodeError> {
        let _ = (entity, slots);
        unimplemented!()
    }
}
