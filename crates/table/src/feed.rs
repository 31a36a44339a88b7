//! An entry of a change feed: what one record came to.
//!
//! A feed is a topic beside its source, `<app>.<topic>.feed`, with as many partitions. It has one entry for every record
//! that was folded, in the same partition, in the order of offsets, at least once: whoever reads it drops entries whose
//! source offset it has seen. The entry's key and headers are the source record's own.
//!
//! Value, format 0: the source's offset (8 bytes big-endian, the first of which is the format), the generation that was
//! folded (4), a mark (bit 0: there is a message; bit 1: an old state; bit 2: a new one), the verdict as its row has it
//! ([`crate::verdict`]) behind its length, then, each where the mark says so: the message behind its length, as it stands
//! in the source; the old state, which is its version (8) and its columns as canonical Avro behind their length; the new
//! state in the same form. Lengths are LEB128. The columns are those of the generation's definition.

use tidefold_record::Offset;

use crate::damage::Broken;
use crate::verdict::Verdict;
use crate::wire::{self, put_chunk};

const MESSAGE: u8 = 1;
const OLD: u8 = 2;
const NEW: u8 = 4;

/// What one record came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEntry<'a> {
    /// Where the record stands in the source's partition.
    pub offset: Offset,
    /// The generation that was folded: its definition says what the columns are.
    pub generation: u32,
    /// What became of it.
    pub verdict: Verdict,
    /// The record's value as it stands in the source; none where it has none.
    pub message: Option<&'a [u8]>,
    /// The entity before it; none where there was no entity, or the topic has none.
    pub old: Option<FeedState<'a>>,
    /// The entity behind it; the same as before where the record was not applied.
    pub new: Option<FeedState<'a>>,
}

/// An entity's state in a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedState<'a> {
    /// How many messages were applied to the entity by then.
    pub version: u64,
    /// Its columns, encoded.
    pub columns: &'a [u8],
}

// === impl FeedEntry ===

impl<'a> FeedEntry<'a> {
    /// Appends the entry's value.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let bit = |there: bool, bit: u8| if there { bit } else { 0 };
        let mark = bit(self.message.is_some(), MESSAGE)
            | bit(self.old.is_some(), OLD)
            | bit(self.new.is_some(), NEW);
        out.extend_from_slice(&wire::stamped(self.offset));
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.push(mark);
        let mut verdict = Vec::new();
        self.verdict.encode(&mut verdict);
        put_chunk(&verdict, out);
        if let Some(message) = self.message {
            put_chunk(message, out);
        }
        for state in self.old.iter().chain(&self.new) {
            out.extend_from_slice(&state.version.to_be_bytes());
            put_chunk(state.columns, out);
        }
    }

    /// Takes an entry's value apart.
    ///
    /// # Errors
    /// When the bytes are no entry.
    pub fn decode(bytes: &'a [u8]) -> Result<FeedEntry<'a>, Broken> {
        let (offset, mut reader) = wire::head(bytes)?;
        let generation = reader.part("generation", wire::Reader::array)?;
        let mark = reader.part("mark", wire::Reader::byte)?;
        let verdict = Verdict::decode(reader.part("verdict", wire::Reader::chunk)?)?;
        let message =
            if mark & MESSAGE == 0 { None } else { Some(reader.part("message", wire::Reader::chunk)?) };
        let mut state = |bit: u8| -> Result<Option<FeedState<'a>>, Broken> {
            if mark & bit == 0 {
                return Ok(None);
            }
            let version = reader.part("version", wire::Reader::u64)?;
            Ok(Some(FeedState { version, columns: reader.part("columns", wire::Reader::chunk)? }))
        };
        let (old, new) = (state(OLD)?, state(NEW)?);
        if mark & !(MESSAGE | OLD | NEW) != 0 {
            return Err(reader.broken("mark"));
        }
        reader.end()?;
        let generation = u32::from_be_bytes(generation);
        Ok(FeedEntry { offset, generation, verdict, message, old, new })
    }
}
