//! An entity's row: one blob with the offset that last touched it, the version, a deleted mark, the last eight message
//! ids and the columns as canonical Avro.
//!
//! Key: the record key as it is, which is the key fields' text ([`tidefold_codec::text`]). Value, format 0: offset (8 bytes
//! big-endian, the first of which is the format), version (8), a mark (bit 7: deleted; bits 0 to 3: how many ids), the ids
//! oldest first (each: 16 bytes of id, 8 of payload digest, 8 of offset), then the columns.

use tidefold_codec::{Datum, columns};
use tidefold_record::Offset;

use crate::damage::Broken;
use crate::layout::Column;
use crate::wire::{self, Reader};

/// How many ids an entity remembers.
pub const RING_IDS: usize = 8;

const ID_BYTES: usize = 32;
const DELETED: u8 = 0x80;

/// A message that was applied or rejected, and so counts when another with its id comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// A hash of source, id and key.
    pub id: u128,
    /// A digest of type and value: the same id with another payload is a conflict.
    pub payload: u64,
    /// Where it stands.
    pub offset: Offset,
}

/// An entity's row, taken apart but not copied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StateRef<'a> {
    /// The record that last touched it.
    pub offset: Offset,
    /// How many messages were applied to it since it was created, over all its lives: rises with every applied message.
    pub version: u64,
    /// Whether it is deleted: the row stays, so that its position is not forgotten.
    pub deleted: bool,
    /// The ids of the last messages applied to it, encoded, oldest first. A rejection is not among them: it writes no
    /// entity row.
    pub ring: &'a [u8],
    /// The columns, encoded; empty when deleted.
    pub columns: &'a [u8],
}

// === impl StateRef ===

impl<'a> StateRef<'a> {
    /// Takes a stored blob apart.
    ///
    /// # Errors
    /// When the bytes are not a state.
    pub fn parse(blob: &'a [u8]) -> Result<StateRef<'a>, Broken> {
        let (offset, mut reader) = wire::head(blob)?;
        let version = reader.part("version", Reader::u64)?;
        let mark = reader.part("mark", Reader::byte)?;
        let ring = reader.part("list of ids", |reader| reader.take(usize::from(mark & 0x0f) * ID_BYTES))?;
        let deleted = mark & DELETED != 0;
        if deleted {
            reader.end()?;
        }
        Ok(StateRef { offset, version, deleted, ring, columns: reader.rest() })
    }

    /// The columns' values, one slot for each column of the entity; all NULL when deleted.
    ///
    /// # Errors
    /// When the bytes are not columns of this entity.
    pub fn slots(&self, columns: &'a [Column], slots: &mut [Datum<'a>]) -> Result<(), Broken> {
        if self.deleted {
            slots.fill(Datum::Null);
            return Ok(());
        }
        Ok(columns::decode(columns.iter().map(|column| &column.column), self.columns, slots)?)
    }

    /// The ids, oldest first.
    pub fn ids(&self) -> impl Iterator<Item = Seen> + 'a {
        self.ring.chunks_exact(ID_BYTES).filter_map(|bytes| {
            let mut reader = Reader::new(bytes);
            let id = u128::from_be_bytes(reader.array()?);
            Some(Seen { id, payload: reader.u64()?, offset: Offset(reader.u64()?) })
        })
    }

    /// The remembered message of an id.
    #[must_use]
    pub fn find(&self, id: u128) -> Option<Seen> {
        let wanted = id.to_be_bytes();
        let at = self.ring.chunks_exact(ID_BYTES).position(|bytes| bytes.starts_with(&wanted))?;
        self.ids().nth(at)
    }
}

/// Appends everything of a blob but the columns. The new id takes the oldest one's place when the ring is full.
pub fn put_head(
    offset: Offset,
    version: u64,
    deleted: bool,
    ring: &[u8],
    new: Option<Seen>,
    out: &mut Vec<u8>,
) {
    let full = ring.len() >= RING_IDS * ID_BYTES && new.is_some();
    let kept = if full { ring.get(ID_BYTES..).unwrap_or_default() } else { ring };
    let count = kept.len() / ID_BYTES + usize::from(new.is_some());
    out.extend_from_slice(&wire::stamped(offset));
    out.extend_from_slice(&version.to_be_bytes());
    out.push(count as u8 | if deleted { DELETED } else { 0 });
    out.extend_from_slice(kept);
    if let Some(seen) = new {
        out.extend_from_slice(&seen.id.to_be_bytes());
        out.extend_from_slice(&seen.payload.to_be_bytes());
        out.extend_from_slice(&seen.offset.0.to_be_bytes());
    }
}
