//! UTF-16 as UTF-8, while it is read.

use std::io::{self, Read};

/// Reads UTF-16 and gives UTF-8, without a byte order mark. What is no UTF-16 is an error, not another character.
pub(crate) struct Utf16<R> {
    inner: R,
    big_endian: bool,
    /// Text that was read and not given yet.
    text: Vec<u8>,
    given: usize,
    /// The first byte of a unit whose second has not come.
    half: Option<u8>,
    /// A unit that needs the next one.
    high: Option<u16>,
    /// Units read so far.
    units: u64,
}

fn broken(units: u64, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not UTF-16: {what}, at byte {}", units * 2))
}

// === impl Utf16 ===

impl<R: Read> Utf16<R> {
    pub(crate) fn new(inner: R, big_endian: bool) -> Utf16<R> {
        Utf16 { inner, big_endian, text: Vec::new(), given: 0, half: None, high: None, units: 0 }
    }

    /// Reads on; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        self.text.clear();
        self.given = 0;
        let mut bytes = [0; 8 << 10];
        while self.text.is_empty() {
            let read = self.inner.read(&mut bytes)?;
            if read == 0 {
                return match (self.half, self.high) {
                    (None, None) => Ok(false),
                    (Some(_), _) => Err(broken(self.units, "half a unit is left")),
                    (None, Some(_)) => Err(broken(self.units, "a surrogate stands alone")),
                };
            }
            for byte in bytes.iter().take(read) {
                match self.half.take() {
                    None => self.half = Some(*byte),
                    Some(first) if self.big_endian => self.unit(u16::from_be_bytes([first, *byte]))?,
                    Some(first) => self.unit(u16::from_le_bytes([first, *byte]))?,
                }
            }
        }
        Ok(true)
    }

    fn unit(&mut self, unit: u16) -> io::Result<()> {
        self.units += 1;
        if self.units == 1 && unit == 0xfeff {
            return Ok(());
        }
        let pair = match self.high.take() {
            None if (0xd800..0xdc00).contains(&unit) => {
                self.high = Some(unit);
                return Ok(());
            }
            None => char::decode_utf16([unit, unit]).next(),
            Some(high) => char::decode_utf16([high, unit]).next(),
        };
        let Some(Ok(char)) = pair else {
            return Err(broken(self.units - 1, "a surrogate stands alone"));
        };
        self.text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.given == self.text.len() && !self.fill()? {
            return Ok(0);
        }
        let rest = self.text.get(self.given..).unwrap_or_default();
        let size = rest.len().min(out.len());
        for (place, byte) in out.iter_mut().zip(rest) {
            *place = *byte;
        }
        self.given += size;
        Ok(size)
    }
}
