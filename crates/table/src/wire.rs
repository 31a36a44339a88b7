//! Numbers and lengths as rows have them: fixed-width numbers big-endian, lengths as LEB128. And the front that most rows
//! share: an offset, whose first byte is the row's format.

use tidefold_record::Offset;

use crate::damage::Broken;

/// Reads from the front of a row; every method is `None` at a broken end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    /// How many there were.
    size: usize,
}

/// The only format there is so far of rows that start with an offset: no offset has anything in its first byte
/// ([`Offset::MAX`]), so that byte says which format a row has.
const FORMAT: u8 = 0;

/// The bytes of an offset at the front of a row.
pub(crate) fn stamped(offset: Offset) -> [u8; 8] {
    debug_assert!(offset <= Offset::MAX.next(), "a lane reads no such offset");
    offset.0.to_be_bytes()
}

/// Reads the offset at the front of a row, and what follows.
pub(crate) fn head(bytes: &[u8]) -> Result<(Offset, Reader<'_>), Broken> {
    let mut reader = Reader::new(bytes);
    match bytes.first() {
        Some(&format) if format != FORMAT => return Err(Broken::Newer { format, newest: FORMAT }),
        _ => {}
    }
    let offset = reader.part("offset", Reader::u64)?;
    Ok((Offset(offset), reader))
}

/// Appends a length.
pub(crate) fn put_length(mut len: usize, out: &mut Vec<u8>) {
    while len >= 0x80 {
        out.push((len as u8) | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
}

/// Appends bytes behind their length.
pub(crate) fn put_chunk(chunk: &[u8], out: &mut Vec<u8>) {
    put_length(chunk.len(), out);
    out.extend_from_slice(chunk);
}

// === impl Reader ===

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, size: bytes.len() }
    }

    /// Reads a part of the row, which has to be there.
    pub(crate) fn part<T>(
        &mut self,
        part: &'static str,
        read: impl FnOnce(&mut Reader<'a>) -> Option<T>,
    ) -> Result<T, Broken> {
        read(self).ok_or_else(|| self.broken(part))
    }

    /// What is wrong where the reader stands.
    pub(crate) fn broken(&self, part: &'static str) -> Broken {
        Broken::Part { part, at: self.size - self.bytes.len(), size: self.size }
    }

    /// The row ends here.
    pub(crate) fn end(&self) -> Result<(), Broken> {
        if self.bytes.is_empty() { Ok(()) } else { Err(Broken::Trailing(self.bytes.len())) }
    }

    /// What was not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        Some(front)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = rest;
        Some(*front)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    pub(crate) fn i128(&mut self) -> Option<i128> {
        self.array().map(i128::from_be_bytes)
    }

    pub(crate) fn length(&mut self) -> Option<usize> {
        let mut len: u64 = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            len |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(len).ok();
            }
        }
        None
    }

    pub(crate) fn chunk(&mut self) -> Option<&'a [u8]> {
        let len = self.length()?;
        self.take(len)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.chunk()?).ok()
    }
}
