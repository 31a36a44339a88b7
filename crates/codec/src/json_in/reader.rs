//! RFC 8259, strictly: the tokens of a JSON text.

use std::borrow::Cow;

/// A text and a place in it.
#[derive(Clone, Debug)]
pub(super) struct Reader<'j> {
    text: &'j str,
    at: usize,
}

/// What is wrong with the text, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Syntax {
    pub(super) at: usize,
    pub(super) what: &'static str,
}

/// A number as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number<'j> {
    pub(super) text: &'j str,
    /// Its value, when it has no fraction and no exponent and is not long.
    pub(super) integer: Option<i64>,
}

/// How many of the first bytes surely are plain, found eight at a time: the end, a quote, a backslash or a control
/// character comes within the eight bytes after them.
#[inline]
fn plain_bytes(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGHS;
    let mut plain = 0;
    for eight in bytes.as_chunks::<8>().0 {
        let word = u64::from_le_bytes(*eight);
        let marks = below(word ^ (ONES * u64::from(b'"')), 1)
            | below(word ^ (ONES * u64::from(b'\\')), 1)
            | below(word, 0x20);
        if marks != 0 {
            return plain + (marks.trailing_zeros() / 8) as usize;
        }
        plain += 8;
    }
    plain
}

const NOT_A_VALUE: &str = "a value is missing here";
const NOT_A_NUMBER: &str = "this is not a number";

// === impl Reader ===

impl<'j> Reader<'j> {
    pub(super) fn new(text: &'j str) -> Reader<'j> {
        Reader { text, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn seek(&mut self, at: usize) {
        self.at = at;
    }

    pub(super) fn error(&self, what: &'static str) -> Syntax {
        Syntax { at: self.at, what }
    }

    #[inline]
    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// The next byte that is not white space; 0 at the end.
    #[inline]
    pub(super) fn peek(&mut self) -> u8 {
        loop {
            match self.byte() {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return byte,
            }
        }
    }

    /// Moves over the mark if it comes next.
    #[inline]
    pub(super) fn eat(&mut self, mark: u8) -> bool {
        let eaten = self.peek() == mark;
        self.at += usize::from(eaten);
        eaten
    }

    #[inline]
    pub(super) fn expect(&mut self, mark: u8, what: &'static str) -> Result<(), Syntax> {
        if self.eat(mark) { Ok(()) } else { Err(self.error(what)) }
    }

    /// Only white space may be left.
    pub(super) fn end(&mut self) -> Result<(), Syntax> {
        self.peek();
        if self.at == self.text.len() { Ok(()) } else { Err(self.error("text follows the value")) }
    }

    /// Whether the object that starts here has a member of this name first, spelled without escapes.
    pub(super) fn starts_with_member(&self, name: &str) -> bool {
        let mut look = self.clone();
        if !look.eat(b'{') || look.peek() != b'"' {
            return false;
        }
        let rest = look.text.as_bytes().get(look.at + 1..).unwrap_or_default();
        rest.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'"'))
    }

    pub(super) fn literal(&mut self) -> Result<(), Syntax> {
        self.peek();
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        for word in ["null", "true", "false"] {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(());
            }
        }
        Err(self.error(NOT_A_VALUE))
    }

    /// A string; borrowed where nothing in it is escaped.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Cow<'j, str>, Syntax> {
        self.expect(b'"', "a string is missing here")?;
        let start = self.at;
        let bytes = self.text.as_bytes();
        loop {
            self.at += plain_bytes(bytes.get(self.at..).unwrap_or_default());
            match bytes.get(self.at) {
                Some(b'"') => {
                    let plain = self.text.get(start..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(Cow::Borrowed(plain));
                }
                Some(b'\\') => return self.escaped(start).map(Cow::Owned),
                Some(0x20..) => self.at += 1,
                Some(_) => return Err(self.error("a control character stands in a string")),
                None => return Err(self.error("a string is not closed")),
            }
        }
    }

    fn escaped(&mut self, start: usize) -> Result<String, Syntax> {
        let mut plain = self.text.get(start..self.at).unwrap_or_default().to_owned();
        loop {
            let from = self.at;
            while matches!(self.byte(), 0x20..) && !matches!(self.byte(), b'"' | b'\\') {
                self.at += 1;
            }
            plain.push_str(self.text.get(from..self.at).unwrap_or_default());
            match self.byte() {
                b'"' => {
                    self.at += 1;
                    return Ok(plain);
                }
                b'\\' => {
                    self.at += 1;
                    plain.push(self.escape()?);
                }
                0 if self.at >= self.text.len() => return Err(self.error("a string is not closed")),
                _ => return Err(self.error("a control character stands in a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Syntax> {
        let mark = self.byte();
        let c = match mark {
            b'"' | b'\\' | b'/' => char::from(mark),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.code_point(),
            _ => return Err(self.error("there is no such escape")),
        };
        self.at += 1;
        Ok(c)
    }

    fn code_point(&mut self) -> Result<char, Syntax> {
        let lone = self.error("a surrogate stands alone");
        let first = self.hex()?;
        let code = if (0xd800..0xdc00).contains(&first) {
            if self.byte() != b'\\' {
                return Err(lone);
            }
            self.at += 1;
            match self.hex()? {
                second @ 0xdc00..0xe000 => 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                _ => return Err(lone),
            }
        } else {
            first
        };
        char::from_u32(code).ok_or(lone)
    }

    /// `u` and four hex digits.
    fn hex(&mut self) -> Result<u32, Syntax> {
        let digits = match self.text.as_bytes().get(self.at..self.at + 5) {
            Some([b'u', digits @ ..]) if digits.iter().all(u8::is_ascii_hexdigit) => digits,
            _ => return Err(self.error("`\\u` stands before four hexadecimal digits")),
        };
        self.at += 5;
        Ok(digits.iter().fold(0, |sum, digit| sum << 4 | char::from(*digit).to_digit(16).unwrap_or(0)))
    }

    pub(super) fn number(&mut self) -> Result<Number<'j>, Syntax> {
        self.peek();
        let start = self.at;
        let negative = self.byte() == b'-';
        self.at += usize::from(negative);
        let first = self.at;
        let mut value = 0i64;
        while let digit @ b'0'..=b'9' = self.byte() {
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.at - first;
        if digits == 0 || (digits > 1 && self.text.as_bytes().get(first) == Some(&b'0')) {
            return Err(Syntax { at: start, what: NOT_A_NUMBER });
        }
        let mut whole = digits <= 18;
        if self.byte() == b'.' {
            whole = false;
            self.at += 1;
            self.digits(start)?;
        }
        if matches!(self.byte(), b'e' | b'E') {
            whole = false;
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), b'+' | b'-'));
            self.digits(start)?;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        Ok(Number { text, integer: whole.then_some(if negative { value.wrapping_neg() } else { value }) })
    }

    fn digits(&mut self, start: usize) -> Result<(), Syntax> {
        let first = self.at;
        while self.byte().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == first { Err(Syntax { at: start, what: NOT_A_NUMBER }) } else { Ok(()) }
    }
}
