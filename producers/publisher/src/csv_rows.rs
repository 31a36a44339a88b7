//! Cuts CSV into rows by RFC 4180 and names what is none of its rows. Cells within a row are left to the `csv` crate, which
//! reads anything as something: behind a quote that is never closed it takes the rest of the file for one cell.

use std::io::{self, BufRead};

/// The longest row.
const ROW_BYTES: usize = 16 << 20;

/// The rows of a source.
pub(crate) struct Rows<R> {
    input: R,
    separator: u8,
    /// Cells of the header, once there is one: what a whole row looks like.
    width: Option<usize>,
    /// Whether a cell that looks like swallowed rows is taken as it stands.
    lenient: bool,
    /// The line that the next row begins on, from 1.
    line: u64,
    /// What is to be read again before the input, the last first: what stood behind the first line of a row that is none.
    again: Vec<io::Cursor<Vec<u8>>>,
}

/// A row, whole or not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The line that it begins on.
    pub(crate) line: u64,
    /// Its text without the line end; of one that is none, its first line.
    pub(crate) text: Vec<u8>,
    /// What is wrong with it.
    pub(crate) wrong: Option<String>,
}

/// Where in a row a byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    CellStart,
    Bare,
    Quoted,
    AfterQuote,
}

/// Why a row ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// At its line end.
    Line,
    /// At the end of the source, within quotes or not.
    Source { is_open: bool },
    /// Text follows a closing quote.
    Text,
    /// It is longer than a row may be.
    TooLong,
}

/// A row as it is read.
struct Scan {
    text: Vec<u8>,
    end: End,
    /// The column, from 1, in which the last quote was opened, and the line end after line 1 of the row that was passed then.
    column: usize,
    opened: usize,
    /// Line ends within the row.
    breaks: usize,
}

// === impl Rows ===

impl<R: BufRead> Rows<R> {
    pub(crate) fn new(input: R, separator: u8, lenient: bool) -> Rows<R> {
        Rows { input, separator, width: None, lenient, line: 1, again: Vec::new() }
    }

    pub(crate) fn separator(&self) -> u8 {
        self.separator
    }

    pub(crate) fn set_separator(&mut self, separator: u8) {
        self.separator = separator;
    }

    /// Says how many cells a row has.
    pub(crate) fn set_width(&mut self, width: usize) {
        self.width = Some(width);
    }

    /// The next row that is not blank.
    ///
    /// # Errors
    /// When the source cannot be read.
    pub(crate) fn next(&mut self) -> io::Result<Option<Row>> {
        loop {
            let line = self.line;
            let Some(scan) = self.scan()? else { return Ok(None) };
            let wrong = self.judge(&scan, line);
            if wrong.is_none() {
                self.line += scan.breaks as u64 + u64::from(scan.end == End::Line);
                if scan.text.is_empty() {
                    continue;
                }
                return Ok(Some(Row { line, text: scan.text, wrong: None }));
            }
            // Only the first line is given up: those behind it may be rows.
            return self.give_up(scan, line, wrong).map(Some);
        }
    }

    /// Reads up to the next line end outside of quotes; `None` at the end of the source.
    fn scan(&mut self) -> io::Result<Option<Scan>> {
        let mut scan = Scan { text: Vec::new(), end: End::Line, column: 1, opened: 0, breaks: 0 };
        let (mut place, mut column) = (Place::CellStart, 1);
        loop {
            let Some(byte) = self.byte()? else {
                if scan.text.is_empty() {
                    return Ok(None);
                }
                scan.end = End::Source { is_open: place == Place::Quoted };
                return Ok(Some(scan));
            };
            if matches!(byte, b'\n' | b'\r') && place != Place::Quoted {
                self.pass_line_feed(byte)?;
                return Ok(Some(scan));
            }
            scan.text.push(byte);
            scan.breaks += usize::from(byte == b'\n');
            place = match (place, byte) {
                (Place::CellStart, b'"') => {
                    (scan.column, scan.opened) = (column, scan.breaks);
                    Place::Quoted
                }
                (Place::Quoted, b'"') => Place::AfterQuote,
                (Place::AfterQuote, b'"') | (Place::Quoted, _) => Place::Quoted,
                (_, byte) if byte == self.separator => {
                    column += 1;
                    Place::CellStart
                }
                (Place::AfterQuote, _) => {
                    scan.end = End::Text;
                    return Ok(Some(scan));
                }
                (Place::CellStart | Place::Bare, _) => Place::Bare,
            };
            if scan.text.len() > ROW_BYTES {
                scan.end = End::TooLong;
                return Ok(Some(scan));
            }
        }
    }

    /// What is wrong with a row, if anything is.
    fn judge(&self, scan: &Scan, line: u64) -> Option<String> {
        let Scan { column, opened, breaks, .. } = scan;
        let place = if *opened == 0 {
            format!("column {column}")
        } else {
            format!("column {column}, line {}", line + *opened as u64)
        };
        let now = line + *breaks as u64;
        match scan.end {
            End::Source { is_open: true } => {
                Some(format!("{place}: the quote that opens this cell is never closed"))
            }
            End::Text if breaks == opened => Some(format!(
                "{place}: text follows the closing quote; a quote within a cell is written twice"
            )),
            End::Text => Some(format!(
                "{place}: the quote that opens this cell is closed on line {now}, where text follows: a quote is missing or \
                 too much"
            )),
            End::TooLong if breaks > opened => Some(format!(
                "{place}: the quote that opens this cell is not closed within {ROW_BYTES} bytes"
            )),
            End::TooLong => Some(format!("the row is longer than {ROW_BYTES} bytes")),
            End::Line | End::Source { .. } if !self.lenient && self.swallows_rows(scan) => Some(format!(
                "{place}: this cell goes on to line {now}, and each line of it looks like a row, as if a quote were missing \
                 or too much; if it is meant so, --lenient takes it"
            )),
            End::Line | End::Source { .. } => None,
        }
    }

    /// Whether every line of a row has as many separators as a row: a stray quote that another one closes reads like this,
    /// a text of several lines hardly. Of a quote in the first column one line more is asked, since the last line of such a
    /// row always has them.
    fn swallows_rows(&self, scan: &Scan) -> bool {
        let Some(width @ 2..) = self.width else { return false };
        if scan.breaks < if scan.column == 1 { 2 } else { 1 } {
            return false;
        }
        let separators = |line: &[u8]| line.iter().filter(|byte| **byte == self.separator).count();
        scan.text.split(|byte| *byte == b'\n').all(|line| separators(line) + 1 == width)
    }

    /// Gives up the first line of a scan; the rest is read again.
    fn give_up(&mut self, mut scan: Scan, line: u64, wrong: Option<String>) -> io::Result<Row> {
        self.line += 1;
        let ended = matches!(scan.end, End::Line);
        match scan.text.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                let mut again = scan.text.split_off(end + 1);
                if ended {
                    again.push(b'\n');
                }
                self.again.push(io::Cursor::new(again));
                while matches!(scan.text.last(), Some(b'\n' | b'\r')) {
                    scan.text.pop();
                }
            }
            None if ended => {}
            None => self.skip_line()?,
        }
        scan.text.truncate(200);
        Ok(Row { line, text: scan.text, wrong })
    }

    fn skip_line(&mut self) -> io::Result<()> {
        while let Some(byte) = self.byte()? {
            if matches!(byte, b'\n' | b'\r') {
                return self.pass_line_feed(byte);
            }
        }
        Ok(())
    }

    /// A carriage return, a line feed or both end a line.
    fn pass_line_feed(&mut self, end: u8) -> io::Result<()> {
        if end == b'\r' && self.peek()? == Some(b'\n') {
            self.byte()?;
        }
        Ok(())
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        while let Some(again) = self.again.last_mut() {
            if let Some(byte) = again.fill_buf()?.first() {
                return Ok(Some(*byte));
            }
            self.again.pop();
        }
        loop {
            match self.input.fill_buf() {
                Ok(bytes) => return Ok(bytes.first().copied()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        let byte = self.peek()?;
        if byte.is_some() {
            match self.again.last_mut() {
                Some(again) => again.consume(1),
                None => self.input.consume(1),
            }
        }
        Ok(byte)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each row's line and text, and of one that is none the line alone.
    fn cut(text: &str, lenient: bool) -> Vec<(u64, Option<String>)> {
        let mut rows = Rows::new(text.as_bytes(), b',', lenient);
        rows.set_width(2);
        let mut found = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let whole = row.wrong.is_none().then(|| String::from_utf8(row.text).unwrap());
            found.push((row.line, whole));
        }
        found
    }

    fn wrong_lines(text: &str) -> Vec<u64> {
        cut(text, false).into_iter().filter(|(_, text)| text.is_none()).map(|(line, _)| line).collect()
    }

    #[test]
    fn a_stray_quote_costs_its_own_row_alone() {
        for (text, wrong) in [
            ("p1,A\np2,\"B\np3,C\np4,D\n", &[2_u64][..]),
            ("p1,A\np2,\"B\np3,C\np4,D", &[2]),
            ("p1,A\n\"p2,B\np3,C\np4,D\n", &[2]),
            ("p1,A\np2,\"B\"x\np3,C\n", &[2]),
            ("p1,A\np2,\"B\np3,\"C\"\np4,D\n", &[2]),
            ("p1,A\np2,\"B\np3,C\np4,D\"\np5,E\n", &[2]),
            ("p1,A\n\"p2,B\np3,C\np4,D\"\n", &[2]),
            ("p1,A\r\np2,\"B\r\np3,C\r\np4,\"D\r\n", &[2, 4]),
            ("p1,A\rp2,\"B\"x\rp3,C\r", &[2]),
            ("\"", &[1]),
            ("p1,\"\"\"\np2,B\n", &[1]),
        ] {
            assert_eq!(wrong_lines(text), wrong, "{text:?}");
            let lines = text.split(['\n', '\r']).filter(|line| !line.is_empty()).count();
            let closed = text.contains("D\"\n");
            assert!(closed || cut(text, false).len() >= lines - 1, "{text:?}");
        }
    }

    #[test]
    fn cells_of_several_lines_are_cells() {
        for text in [
            "p1,\"A\nB\"\n",
            "\"p\n1\",A\n",
            "p1,\"one, two\nthree\"\n",
            "p1,\"A\r\n\"\"B\"\"\"\r\n",
            "p1,\"\n\n\"\n",
        ] {
            assert_eq!(wrong_lines(text), [0; 0], "{text:?}");
            assert_eq!(cut(text, false).len(), 1, "{text:?}");
        }
        let closed = "p2,\"B\np3,C\np4,D\"\np5,E\n";
        assert_eq!(cut(closed, true), [(1, Some("p2,\"B\np3,C\np4,D\"".into())), (4, Some("p5,E".into()))]);
        assert_eq!(cut("a,b\n\n\r\n\nc,d", false), [(1, Some("a,b".into())), (5, Some("c,d".into()))]);
    }

    proptest! {
        /// What a CSV writer writes is cut into its rows; with one quote more, only rows from there on are named, and those
        /// before it stay as they are.
        #[test]
        fn rows_that_were_written_are_read_and_a_quote_more_is_noticed(
            cells in prop::collection::vec(("[a-z,\"\n\r ;\u{e9}]{0,9}", "[a-z0-9,\" ]{0,9}"), 1..12), at in any::<prop::sample::Index>(), crlf: bool,
        ) {
            let mut writer = csv::WriterBuilder::new()
                .terminator(if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') })
                .quote_style(csv::QuoteStyle::Necessary)
                .from_writer(Vec::new());
            for (a, b) in &cells {
                writer.write_record([&format!("x{a}"), b]).unwrap();
            }
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            let rows = cut(&text, true);
            prop_assert_eq!(rows.len(), cells.len());
            for ((_, row), (a, b)) in rows.iter().zip(&cells) {
                let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(row.as_ref().unwrap().as_bytes());
                let read = reader.records().next().unwrap().unwrap();
                let first = format!("x{a}");
                prop_assert_eq!(read.iter().collect::<Vec<_>>(), vec![first.as_str(), b.as_str()]);
            }
            let plain: Vec<_> = cells.iter().filter(|(a, b)| !format!("{a}{b}").contains(['"', '\n', '\r', ','])).collect();
            if plain.len() == cells.len() {
                let place = at.index(cells.len());
                let lines: Vec<_> = cells.iter().enumerate()
                    .map(|(n, (a, b))| format!("x{a},{}{b}", if n == place { "\"" } else { "" }))
                    .collect();
                let broken = cut(&format!("{}\n", lines.join("\n")), false);
                prop_assert_eq!(broken.len(), cells.len());
                for (n, (line, row)) in broken.iter().enumerate() {
                    prop_assert_eq!(*line, n as u64 + 1);
                    prop_assert_eq!(row.is_none(), n == place);
                }
            }
        }
    }
}
