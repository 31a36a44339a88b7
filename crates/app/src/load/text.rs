//! A string of `app.toml`, decoded, and where each of its bytes stands in the file: SQL is checked in the decoded text,
//! mistakes are shown in the file.

use std::ops::Range;

/// A TOML string value or key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    /// The decoded text.
    pub value: String,
    /// Where it stands in the file, quotes included.
    pub span: Range<usize>,
    pieces: Vec<Piece>,
}

/// A run of decoded bytes and the file's bytes they come from: as many where nothing was escaped, else an escape.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    decoded: Range<usize>,
    raw: Range<usize>,
}

// === impl Text ===

impl Text {
    /// A string that the TOML parser decoded to `value`, standing in `file` at `span`.
    pub fn new(value: &str, span: Range<usize>, file: &str) -> Text {
        let raw = file.get(span.clone()).unwrap_or("");
        let pieces = match pieces(raw) {
            Some((decoded, pieces)) if decoded == value => pieces,
            // Our own reading of the quotes differs from the parser's: point at the whole string.
            _ => Vec::new(),
        };
        Text { value: value.to_owned(), span, pieces }
    }

    /// The place in the file of a range of the decoded text.
    pub fn place(&self, range: &Range<usize>) -> Range<usize> {
        let Some(start) = self.raw(range.start) else { return self.span.clone() };
        if range.end <= range.start {
            return start.start..start.start;
        }
        let end = self.raw(range.end - 1).map_or(self.span.end, |last| last.end);
        start.start..end.max(start.start)
    }

    /// The bytes of the file that make the decoded byte at `at`; behind the last: the empty range there.
    fn raw(&self, at: usize) -> Option<Range<usize>> {
        let last = self.pieces.last()?;
        if at >= last.decoded.end {
            let end = self.span.start + last.raw.end;
            return Some(end..end);
        }
        let piece = self.pieces.iter().find(|piece| piece.decoded.contains(&at))?;
        let raw = if piece.decoded.len() == piece.raw.len() {
            let from = piece.raw.start + (at - piece.decoded.start);
            from..from + 1
        } else {
            piece.raw.clone()
        };
        Some(self.span.start + raw.start..self.span.start + raw.end)
    }
}

/// Decodes a TOML string token, with the places of its pieces.
fn pieces(raw: &str) -> Option<(String, Vec<Piece>)> {
    let (open, escapes) = if raw.starts_with("\"\"\"") {
        (3, true)
    } else if raw.starts_with("'''") {
        (3, false)
    } else if raw.starts_with('"') {
        (1, true)
    } else if raw.starts_with('\'') {
        (1, false)
    } else {
        let all = Piece { decoded: 0..raw.len(), raw: 0..raw.len() };
        return Some((raw.to_owned(), vec![all]));
    };
    let close = raw.len().checked_sub(open).filter(|close| *close >= open)?;
    let mut at = open;
    if open == 3 {
        let body = raw.get(open..close)?;
        at += if body.starts_with("\r\n") { 2 } else { usize::from(body.starts_with('\n')) };
    }
    let mut decoded = String::new();
    let mut pieces: Vec<Piece> = Vec::new();
    while at < close {
        let rest = raw.get(at..close)?;
        let (length, text) = match rest.chars().next()? {
            '\\' if escapes => escape(rest)?,
            other => (other.len_utf8(), other.to_string()),
        };
        let piece = Piece { decoded: decoded.len()..decoded.len() + text.len(), raw: at..at + length };
        decoded.push_str(&text);
        at += length;
        push(&mut pieces, piece);
    }
    Some((decoded, pieces))
}

/// Adds a piece, joined to the last one where both are plain runs.
fn push(pieces: &mut Vec<Piece>, piece: Piece) {
    let plain = |piece: &Piece| piece.decoded.len() == piece.raw.len();
    match pieces.last_mut() {
        Some(last) if plain(last) && plain(&piece) && last.raw.end == piece.raw.start => {
            last.decoded.end = piece.decoded.end;
            last.raw.end = piece.raw.end;
        }
        _ => pieces.push(piece),
    }
}

/// The length and meaning of the escape that `rest` starts with.
fn escape(rest: &str) -> Option<(usize, String)> {
    let kind = rest.chars().nth(1)?;
    let plain = |text: &str| Some((2, text.to_owned()));
    let hex = |digits: usize| {
        let code = u32::from_str_radix(rest.get(2..2 + digits)?, 16).ok()?;
        Some((2 + digits, char::from_u32(code)?.to_string()))
    };
    match kind {
        'b' => plain("\u{8}"),
        't' => plain("\t"),
        'n' => plain("\n"),
        'f' => plain("\u{c}"),
        'r' => plain("\r"),
        'e' => plain("\u{1b}"),
        '"' => plain("\""),
        '\\' => plain("\\"),
        'x' => hex(2),
        'u' => hex(4),
        'U' => hex(8),
        ' ' | '\t' | '\r' | '\n' => {
            let blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
            let length =
                rest.char_indices().skip(1).find(|(_, c)| !blank(*c)).map_or(rest.len(), |(at, _)| at);
            Some((length, String::new()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(file: &str) -> Text {
        let table = toml::de::DeTable::parse(file).unwrap();
        let (_, value) = table.get_ref().iter().next().unwrap();
        Text::new(value.get_ref().as_str().unwrap(), value.span(), file)
    }

    #[test]
    fn a_place_in_a_string_is_a_place_in_the_file() {
        for file in [
            "a = \"x needle y\"",
            "a = 'x needle y'",
            "a = \"\"\"\n\tx \\\"q\\\" \\\n   needle y\"\"\"",
            "a = \"\"\"\r\nx\r\n needle\r\n\"\"\"",
            "a = '''\nx\nneedle'''",
            "a = \"\\u00e4\\x20 \\U0001F600 needle\"",
        ] {
            let text = text(file);
            let at = text.value.find("needle").unwrap();
            assert_eq!(&file[text.place(&(at..at + 6))], "needle", "{file:?}");
        }
    }

    #[test]
    fn an_escape_is_underlined_whole_and_the_end_is_a_place_too() {
        let file = "a = \"x\\u0041y\"";
        let text = text(file);
        assert_eq!(text.value, "xAy");
        assert_eq!(&file[text.place(&(1..2))], "\\u0041");
        assert_eq!(text.place(&(3..3)), 13..13);
    }
}
