//! Opens a source as UTF-8 text: a file or standard input, whatever tool wrote it. What it is says its beginning, not its
//! name.
//!
//! gzip and zstd are decompressed as they are read, UTF-16 is read as such, a byte order mark is passed over. What else is
//! no text ([`Foreign`]) is refused before anything is sent.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use tidefold_codec::encoding::{Foreign, foreign, without_mark};

use crate::line::{Fault, SourceError};
use crate::utf16::Utf16;

/// A source that is open.
pub type Input = Box<dyn BufRead + Send>;

/// How many of the first bytes say what a source is.
const HEAD_BYTES: usize = 8;

/// Compressed twice is as deep as anybody has it.
const LAYERS: usize = 2;

/// Opens a file, or standard input for `-`.
///
/// # Errors
/// When it cannot be opened, or is nothing that can be read as text.
pub fn open(path: &Path) -> Result<Input, SourceError> {
    let unreadable = |source| SourceError::Read { path: path.to_owned(), source };
    let raw: Input = if path.as_os_str() == "-" {
        Box::new(BufReader::with_capacity(1 << 20, io::stdin()))
    } else {
        Box::new(BufReader::with_capacity(1 << 20, std::fs::File::open(path).map_err(unreadable)?))
    };
    match text(raw).map_err(unreadable)? {
        Ok(input) => Ok(input),
        Err(foreign) => Err(SourceError::shape(path, Fault { line: 1, detail: foreign.to_string() })),
    }
}

/// Whether a source can be read twice: a file can, a pipe cannot.
#[must_use]
pub fn is_file(path: &Path) -> bool {
    path.as_os_str() != "-" && std::fs::metadata(path).is_ok_and(|found| found.is_file())
}

fn text(mut input: Input) -> io::Result<Result<Input, Foreign>> {
    for _ in 0..=LAYERS {
        let head = head(&mut input)?;
        let found = foreign(&head);
        let plain = without_mark(&head);
        let whole: Input = match found {
            None => return Ok(Ok(Box::new(Cursor::new(plain.to_vec()).chain(input)))),
            Some(_) => Box::new(Cursor::new(head).chain(input)),
        };
        input = match found {
            Some(Foreign::Gzip) => buffered(flate2::bufread::MultiGzDecoder::new(whole)),
            Some(Foreign::Zstd) => buffered(zstd::stream::read::Decoder::with_buffer(whole)?),
            Some(Foreign::Utf16 { big_endian, .. }) => {
                return Ok(Ok(buffered(Utf16::new(whole, big_endian))));
            }
            Some(other) => return Ok(Err(other)),
            None => whole,
        };
    }
    let head = head(&mut input)?;
    Ok(Err(foreign(&head).unwrap_or(Foreign::Packed("compressed more than twice"))))
}

fn buffered(reader: impl Read + Send + 'static) -> Input {
    Box::new(BufReader::with_capacity(1 << 20, reader))
}

/// The first bytes: fewer than [`HEAD_BYTES`] where the source or its first line is shorter, so that nothing waits for a
/// second line of a pipe.
fn head(input: &mut Input) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let mut byte = [0];
    while head.len() < HEAD_BYTES && !head.ends_with(b"\n") {
        match input.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => head.extend_from_slice(&byte),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn read(bytes: Vec<u8>) -> Result<String, String> {
        let input: Input = Box::new(Cursor::new(bytes));
        let mut all = String::new();
        match text(input).map_err(|error| error.to_string())? {
            Ok(mut input) => input.read_to_string(&mut all).map_err(|error| error.to_string())?,
            Err(foreign) => return Err(foreign.to_string()),
        };
        Ok(all)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn wide(text: &str, big_endian: bool, marked: bool) -> Vec<u8> {
        let mark = if marked { "\u{feff}" } else { "" };
        let units: Vec<u16> = mark.encode_utf16().chain(text.encode_utf16()).collect();
        units
            .iter()
            .flat_map(|unit| if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect()
    }

    proptest! {
        /// Every encoding, compressed or not, once, twice or in several members, is the same text.
        #[test]
        fn a_text_is_the_same_however_it_is_stored(
            rest in "[a-z\u{e9}\u{20ac}\u{1f600}\n\"]{0,200}", encoding in 0..6, layers in prop::collection::vec(any::<bool>(), 0..3),
        ) {
            let text = format!("{{\"a\":1}}\n{rest}");
            let mut bytes = match encoding {
                0 => text.clone().into_bytes(),
                1 => format!("\u{feff}{text}").into_bytes(),
                n => wide(&text, n % 2 == 0, n < 4),
            };
            for is_gzip in layers {
                bytes = if is_gzip { gzip(&bytes) } else { zstd::encode_all(&bytes[..], 1).unwrap() };
            }
            prop_assert_eq!(read(bytes), Ok(text));
        }
    }

    #[test]
    fn members_and_frames_behind_one_another_are_one_text() {
        assert_eq!(read([gzip(b"{}\n"), gzip(b"{}\n")].concat()).as_deref(), Ok("{}\n{}\n"));
        let frame = |text: &[u8]| zstd::encode_all(text, 1).unwrap();
        assert_eq!(read([frame(b"{}\n"), frame(b"{}\n")].concat()).as_deref(), Ok("{}\n{}\n"));
        for text in ["", "\n", "a", "{}\n", "\u{feff}", "\u{feff}a\n"] {
            assert_eq!(read(text.into()).as_deref(), Ok(text.trim_start_matches('\u{feff}')));
        }
    }

    #[test]
    fn frames_to_be_skipped_are_skipped_wherever_they_stand() {
        let frame = |text: &[u8]| zstd::encode_all(text, 1).unwrap();
        for last in 0x50..=0x5f_u8 {
            for content in [&b""[..], b"table", &[b'{'; 5_000]] {
                let skipped =
                    [&[last, 0x2a, 0x4d, 0x18], &(content.len() as u32).to_le_bytes()[..], content].concat();
                for stored in [
                    [&skipped[..], &frame(b"{}\n"), &frame(b"{}\n")].concat(),
                    [&skipped[..], &skipped, &frame(b"{}\n{}\n")].concat(),
                    [&skipped[..], &frame(b"{}\n"), &skipped, &frame(b"{}\n"), &skipped].concat(),
                ] {
                    assert_eq!(read(stored.clone()).as_deref(), Ok("{}\n{}\n"));
                    assert_eq!(read(gzip(&stored)).as_deref(), Ok("{}\n{}\n"));
                }
            }
        }
    }

    #[test]
    fn what_is_no_text_is_named() {
        let wide_32: Vec<u8> = "{\"a\"".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        for (bytes, named) in [
            (b"PK\x03\x04\x14\0\0\0".to_vec(), "zip"),
            (b"\xfd7zXZ\0\0\0".to_vec(), "xz"),
            (b"BZh91AY&SY".to_vec(), "bzip2"),
            (b"Obj\x01\x02".to_vec(), "Avro data file"),
            (wide_32, "UTF-32"),
            (gzip(&gzip(&gzip(&gzip(b"{}")))), "gzip"),
        ] {
            let told = read(bytes).unwrap_err();
            assert!(told.contains(named), "{named}: {told}");
        }
        for level in 0..=9 {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(level));
            encoder.write_all(b"{\"a\":1}\n{\"a\":2}\n").unwrap();
            let told = read(encoder.finish().unwrap()).unwrap_err();
            assert!(told.contains("zlib"), "{level}: {told}");
        }
        for (text, named) in [("%PDF-1.7\n%x", "PDF"), ("<?xml version='1.0'?>\n<a/>", "XML")] {
            let told = read(text.into()).unwrap_err();
            assert!(told.contains(named), "{named}: {told}");
            assert_eq!(read(gzip(text.as_bytes())).unwrap_err(), told);
        }
        let mut cut = gzip(&b"{\"a\":1}\n".repeat(1000));
        cut.truncate(cut.len() - 12);
        assert!(read(cut).is_err());
        let alone = [&wide("{\"a\":1}", false, true)[..], &[0, 0xd8, 0x20, 0]].concat();
        assert!(read(alone).unwrap_err().contains("surrogate"));
        let odd = [&wide("{\"a\":1}", true, false)[..], &[0]].concat();
        assert!(read(odd).unwrap_err().contains("half"));
    }
}
