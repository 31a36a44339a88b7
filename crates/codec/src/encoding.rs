//! What bytes are that should be JSON or CSV in UTF-8 and are not, told by how they begin, so that a refusal can say what
//! to do.

use std::fmt;

/// UTF-8's byte order mark, which Windows tools write in front of a text.
pub const MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Something other than JSON or CSV in UTF-8. Its `Display` says what it is and what to do: "this is gzip: decompress it first".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// Compressed in another way, by its name.
    Packed(&'static str),
    /// An archive or a spreadsheet.
    Zip,
    /// A file format with its own reader, by its name.
    File(&'static str),
    /// UTF-16.
    Utf16 {
        /// Whether the high byte comes first.
        big_endian: bool,
        /// Whether a byte order mark says so.
        marked: bool,
    },
    /// UTF-32.
    Utf32,
}

/// How JSON is laid out that is not one value a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// An array, whose elements are the values.
    Array,
    /// An object that ends on a later line.
    Object,
}

/// How a text is laid out that begins with this line and should have one JSON object a line: lines of a layout look like
/// objects of their own and are parts of one. A line that is merely broken is no layout.
#[must_use]
pub fn layout(first_line: &[u8]) -> Option<Layout> {
    let text = without_mark(first_line).trim_ascii();
    match (text.first()?, text.last()?) {
        (b'[', _) => Some(Layout::Array),
        // It breaks off where a printer breaks lines, and would be JSON up to there.
        (b'{', b'{' | b'[' | b',') if !ends_in_string(text) => {
            serde_json::from_slice::<serde::de::IgnoredAny>(text)
                .is_err_and(|error| error.is_eof())
                .then_some(Layout::Object)
        }
        _ => None,
    }
}

fn ends_in_string(text: &[u8]) -> bool {
    let mut bytes = text.iter();
    let mut within = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => within = !within,
            b'\\' if within => drop(bytes.next()),
            _ => {}
        }
    }
    within
}

/// The text without the byte order mark in front of it, if it has one.
#[must_use]
#[inline]
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(&MARK).unwrap_or(text)
}

/// What these first bytes begin, if it is known and neither JSON nor CSV in UTF-8. Eight bytes are enough.
#[must_use]
pub fn foreign(first: &[u8]) -> Option<Foreign> {
    let found = match first {
        [0x1f, 0x8b, ..] => Foreign::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Foreign::Zstd,
        // A frame to be skipped (RFC 8878, section 3.1.2), as pzstd and seekable zstd write in front.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Foreign::Zstd,
        [0x78, flags, ..] if is_zlib(*flags) && !may_be_text(first) => Foreign::Packed("zlib"),
        [0x1f, 0x9d, ..] => Foreign::Packed("a `.Z` file of compress"),
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Foreign::Packed("7z"),
        [b'R', b'a', b'r', b'!', 0x1a, 7, ..] => Foreign::Packed("RAR"),
        [b'L', b'Z', b'I', b'P', 1, ..] => Foreign::Packed("lzip"),
        [0x89, b'L', b'Z', b'O', ..] => Foreign::Packed("lzop"),
        [0xff, 6, 0, 0, b's', b'N', ..] => Foreign::Packed("Snappy"),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] => Foreign::Packed("bzip2"),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Foreign::Packed("xz"),
        [0x04, 0x22, 0x4d, 0x18, ..] => Foreign::Packed("LZ4"),
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Foreign::Zip,
        [b'O', b'b', b'j', 1, ..] => Foreign::File("an Avro data file"),
        [b'P', b'A', b'R', b'1', ..] => Foreign::File("a Parquet file"),
        [b'A', b'R', b'R', b'O', b'W', b'1', 0, ..] => Foreign::File("an Arrow file"),
        [b'S', b'Q', b'L', b'i', b't', b'e', b' ', b'f', ..] => Foreign::File("an SQLite database"),
        [0xd0, 0xcf, 0x11, 0xe0, ..] => Foreign::File("a document of an old office program"),
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Foreign::Utf32,
        [0xff, 0xfe, ..] => Foreign::Utf16 { big_endian: false, marked: true },
        [0xfe, 0xff, ..] => Foreign::Utf16 { big_endian: true, marked: true },
        [1..=255, 0, 0, 0, ..] | [0, 0, 0, 1..=255, ..] => Foreign::Utf32,
        [1..=255, 0, 1..=255, 0, ..] => Foreign::Utf16 { big_endian: false, marked: false },
        [0, 1..=255, 0, 1..=255, ..] => Foreign::Utf16 { big_endian: true, marked: false },
        _ => return markup(without_mark(first)),
    };
    Some(found)
}

/// Texts that no line of JSON and no CSV header begins like.
fn markup(first: &[u8]) -> Option<Foreign> {
    let begins =
        |text: &str| first.get(..text.len()).is_some_and(|b| b.eq_ignore_ascii_case(text.as_bytes()));
    let name = match first {
        [b'%', b'P', b'D', b'F', b'-', ..] => "a PDF document",
        _ if begins("<?xml") => "an XML document",
        _ if begins("<html") || begins("<!doc") => "an HTML page",
        _ => return None,
    };
    Some(Foreign::File(name))
}

/// Whether this is how zlib's second byte is made behind the usual first (RFC 1950, section 2.2).
fn is_zlib(flags: u8) -> bool {
    (0x7800 | u16::from(flags)).is_multiple_of(31)
}

/// Whether bytes, perhaps cut within a character, are UTF-8 that has no control characters but white space.
fn may_be_text(bytes: &[u8]) -> bool {
    let is_utf_8 = std::str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true);
    is_utf_8 && bytes.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace())
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let convert = "convert it to UTF-8 first, for example with `iconv -t UTF-8 -f";
        match self {
            Foreign::Gzip => f.write_str("this is gzip: decompress it first"),
            Foreign::Zstd => f.write_str("this is zstd: decompress it first"),
            Foreign::Packed(name) => write!(f, "this is {name}: decompress it first"),
            Foreign::Zip => f.write_str(
                "this is a zip archive, as spreadsheets are too: unpack it, or save it as CSV, first",
            ),
            Foreign::File(name) => write!(f, "this is {name}: write its records as JSON, one a line, first"),
            Foreign::Utf16 { big_endian, .. } => {
                write!(f, "this is UTF-16 text: {convert} UTF-16{}`", if *big_endian { "BE" } else { "LE" })
            }
            Foreign::Utf32 => write!(f, "this is UTF-32 text: {convert} UTF-32`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str, big_endian: bool) -> Vec<u8> {
        text.encode_utf16()
            .flat_map(|unit| if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect()
    }

    #[test]
    fn utf_16_is_told_with_its_mark_and_without() {
        for big_endian in [false, true] {
            for (text, marked) in
                [("{\"a\":1}", false), ("id,name\n", false), ("\u{feff}{\"a\":1}", true), ("\u{feff}", true)]
            {
                let found = foreign(&units(text, big_endian));
                assert_eq!(found, Some(Foreign::Utf16 { big_endian, marked }), "{text}");
            }
        }
        let wide: Vec<u8> = "{\"a\"".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        assert_eq!(foreign(&wide), Some(Foreign::Utf32));
        assert_eq!(foreign(&[&[0xff, 0xfe, 0, 0], &wide[..]].concat()), Some(Foreign::Utf32));
    }

    #[test]
    fn a_first_line_that_begins_a_layout_is_told_from_one_that_is_torn() {
        let array = ["[", "[{\"a\":1},", "\u{feff} [ ", "[]", "[1"];
        let object = ["{", "  {\r", "{\"items\": [", "{\"a\": 1,", "{\"a\":[{"];
        let torn =
            ["{\"a\":", "{\"a\"", "{oops", "{oops,", "{\"a\":1}", "\"a\",", "", " ", "1", "{\"a\":\"x,"];
        for (lines, layout_of) in
            [(&array[..], Some(Layout::Array)), (&object, Some(Layout::Object)), (&torn, None)]
        {
            for line in lines {
                assert_eq!(layout(line.as_bytes()), layout_of, "{line}");
            }
        }
    }

    #[test]
    fn markup_is_named_with_a_byte_order_mark_and_without() {
        for (text, named) in [
            ("%PDF-1.7\n", "PDF"),
            ("<?xml version=\"1.0\"?>", "XML"),
            ("<!DOCTYPE html>", "HTML"),
            ("<html>\n", "HTML"),
            ("<HTML lang", "HTML"),
        ] {
            for text in [text.to_owned(), format!("\u{feff}{text}")] {
                // As much as is looked at.
                let told = foreign(&text.as_bytes()[..8.min(text.len())]).unwrap().to_string();
                assert!(told.contains(named) && told.contains("write its records as JSON"), "{told}");
            }
        }
    }

    #[test]
    fn utf_8_text_is_nothing_else() {
        for text in [
            "",
            "{",
            "{}",
            "[1]",
            "a",
            "B",
            "BZhou,1",
            "PK,name",
            "Object",
            "PAR",
            "\u{feff}{}",
            "\u{e9}t\u{e9}",
            "\0",
            "\0\0\0\0",
            "x^2,x^3\n",
            "x\u{680},y",
            "P*M,N",
            "%PDF",
            "<id>,name",
            "7z,RAR",
            "LZIP,1",
            "SQLite,1",
        ] {
            assert_eq!(foreign(text.as_bytes()), None, "{text:?}");
            assert_eq!(without_mark(text.as_bytes()), text.trim_start_matches('\u{feff}').as_bytes());
        }
    }
}
