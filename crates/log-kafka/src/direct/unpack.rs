//! The compressions of a Kafka batch. Values only.

use std::borrow::Cow;
use std::io::Read;

use super::records::Odd;

/// The largest batch, once it is not compressed any more.
pub(crate) const LARGEST: u64 = 64 << 20;
/// What the Java client writes before blocks of snappy, each behind its length: a mark and two versions of four bytes.
const BLOCKS: &[u8] = b"\x82SNAPPY\0";
const BLOCKS_HEAD: usize = BLOCKS.len() + 8;

/// The records of a batch, by the compression that its attributes name.
pub(crate) fn unpack(compression: i16, packed: &[u8]) -> Result<Cow<'_, [u8]>, Odd> {
    let damaged = |_| Odd("damaged compression");
    Ok(match compression {
        0 => Cow::Borrowed(packed),
        1 => Cow::Owned(all(flate2::read::MultiGzDecoder::new(packed))?),
        2 => Cow::Owned(snappy(packed)?),
        3 => Cow::Owned(all(lz4_flex::frame::FrameDecoder::new(packed))?),
        4 => Cow::Owned(all(zstd::stream::read::Decoder::new(packed).map_err(damaged)?)?),
        _ => return Err(Odd("a compression that nobody has defined yet")),
    })
}

fn all(decoder: impl Read) -> Result<Vec<u8>, Odd> {
    let mut bytes = Vec::new();
    decoder.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|_| Odd("damaged compression"))?;
    bounded(bytes.len())?;
    Ok(bytes)
}

fn bounded(size: usize) -> Result<(), Odd> {
    if size as u64 > LARGEST { Err(Odd("a batch of more than 64 MiB")) } else { Ok(()) }
}

/// One block, or the Java client's blocks.
fn snappy(packed: &[u8]) -> Result<Vec<u8>, Odd> {
    let Some(mut blocks) = packed.strip_prefix(BLOCKS).and_then(|_| packed.get(BLOCKS_HEAD..)) else {
        let mut bytes = Vec::new();
        snappy_block(packed, &mut bytes)?;
        return Ok(bytes);
    };
    let mut bytes = Vec::new();
    while let Some((size, rest)) = blocks.split_first_chunk() {
        let size = u32::from_be_bytes(*size) as usize;
        let (block, rest) = rest.split_at_checked(size).ok_or(Odd("damaged compression"))?;
        snappy_block(block, &mut bytes)?;
        blocks = rest;
    }
    if blocks.is_empty() { Ok(bytes) } else { Err(Odd("damaged compression")) }
}

fn snappy_block(block: &[u8], bytes: &mut Vec<u8>) -> Result<(), Odd> {
    let damaged = |_| Odd("damaged compression");
    let (before, size) = (bytes.len(), snap::raw::decompress_len(block).map_err(damaged)?);
    bounded(before.saturating_add(size))?;
    bytes.resize(before + size, 0);
    let place = bytes.get_mut(before..).unwrap_or_default();
    let written = snap::raw::Decoder::new().decompress(block, place).map_err(damaged)?;
    bytes.truncate(before + written);
    Ok(())
}
