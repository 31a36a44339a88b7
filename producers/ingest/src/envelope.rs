//! A line sent to `/v1/{app}`: a CloudEvent in JSON whose `specversion`, `id` and `source` may be left out.
//!
//! Only the outer object is read here. `data` is cut out by counting brackets, which takes any depth without
//! recursion, and goes to the encoder as it is: the encoder judges it.

use std::borrow::Cow;

use tidefold_codec::encoding::{foreign, without_mark};
use tidefold_codec::json_in::pointer_to_member;
use tidefold_http::FieldError;

use crate::attributes::{Attributes, Known, Mistake, REPEATED, Value};
use crate::shape;

/// A line, taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Envelope<'a> {
    pub(crate) attributes: Attributes<'a>,
    /// The message, as JSON text that was not looked into.
    pub(crate) data: Option<&'a [u8]>,
}

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

/// Takes a line apart. What could be read is returned along with every mistake, so that mistakes in `data` can be
/// told together with those around it.
pub(crate) fn parse(line: &[u8]) -> (Envelope<'_>, Vec<FieldError>) {
    let mut envelope = Envelope::default();
    let mut errors = Vec::new();
    let mut cursor = Cursor { text: without_mark(line), at: 0 };
    if let Err(detail) = cursor.members(|name, value| {
        if let Err((code, detail)) = envelope.take(name.clone(), value) {
            // What this is called in JSON.
            let code = if code == REPEATED { "duplicate_key" } else { code };
            errors.push(FieldError::at(pointer_to_member(&name), code, detail));
        }
    }) {
        let detail = match foreign(line) {
            Some(foreign) => foreign.to_string(),
            None => shape::of_line(line).unwrap_or(detail),
        };
        errors.push(FieldError::at("#", "invalid_json", detail));
        return (envelope, errors);
    }
    for required in [Known::Type, Known::Data] {
        if !envelope.attributes.has(required) {
            errors.push(FieldError::at(pointer_to_member(required.name()), "missing_field", "is missing"));
        }
    }
    (envelope, errors)
}

// === impl Envelope ===

impl<'a> Envelope<'a> {
    fn take(&mut self, name: Cow<'a, str>, json: &'a [u8]) -> Result<(), Mistake> {
        if name == Known::Data.name() {
            self.attributes.note(Known::Data)?;
            self.data = Some(json);
            return Ok(());
        }
        let value = match json {
            b"null" => Value::Null,
            [b'"', inner @ .., b'"'] => match unescape(json, inner) {
                Some(text) => Value::Text(text),
                None => Value::Broken(("invalid_json", "is not a well-formed string".into())),
            },
            bare => Value::Bare(bare),
        };
        self.attributes.take(name, value)
    }
}

/// The text of a JSON string, given with and without its quotes.
fn unescape<'a>(quoted: &'a [u8], inner: &'a [u8]) -> Option<Cow<'a, str>> {
    if inner.iter().any(|byte| *byte == b'\\' || *byte < 0x20) {
        return serde_json::from_slice::<String>(quoted).ok().map(Cow::Owned);
    }
    std::str::from_utf8(inner).ok().map(Cow::Borrowed)
}

// === impl Cursor ===

impl<'a> Cursor<'a> {
    /// Calls `take` with the name and the raw value of every member of the one object in the text.
    fn members(&mut self, mut take: impl FnMut(Cow<'a, str>, &'a [u8])) -> Result<(), String> {
        self.expect(b'{', "a line is one JSON object")?;
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                self.blanks();
                let quoted = self.string()?;
                let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
                let name =
                    unescape(quoted, inner).ok_or_else(|| self.broken("a member's name is no string"))?;
                self.expect(b':', "a member's name is followed by `:`")?;
                self.blanks();
                let value = self.value()?;
                take(name, value);
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b'}') => break self.at += 1,
                    _ => return Err(self.broken("a member is followed by `,` or `}`")),
                }
            }
        }
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.broken("nothing may follow the object")),
        }
    }

    fn value(&mut self) -> Result<&'a [u8], String> {
        let start = self.at;
        match self.text.get(start) {
            Some(b'"') => return self.string(),
            Some(b'{' | b'[') => self.skip_nested()?,
            Some(_) => {
                let rest = self.text.get(start..).unwrap_or_default();
                let end = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n');
                self.at += rest.iter().position(end).unwrap_or(rest.len());
            }
            None => {}
        }
        if self.at == start {
            return Err(self.broken("a value is missing"));
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    /// Moves past an object or array by counting brackets.
    fn skip_nested(&mut self) -> Result<(), String> {
        let mut depth = 0_usize;
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
        Err(self.broken("a bracket is not closed"))
    }

    /// Moves past a string and returns it with its quotes.
    fn string(&mut self) -> Result<&'a [u8], String> {
        let start = self.at;
        if self.text.get(start) != Some(&b'"') {
            return Err(self.broken("a member's name is a string"));
        }
        let mut at = start + 1;
        loop {
            let rest = self.text.get(at..).unwrap_or_default();
            match memchr::memchr2(b'"', b'\\', rest) {
                Some(found) if rest.get(found) == Some(&b'"') => {
                    self.at = at + found + 1;
                    return Ok(self.text.get(start..self.at).unwrap_or_default());
                }
                Some(found) => at += found + 2,
                None => return Err(self.broken("a string is not closed")),
            }
        }
    }

    fn expect(&mut self, byte: u8, rule: &str) -> Result<(), String> {
        if self.peek() != Some(byte) {
            return Err(self.broken(rule));
        }
        self.at += 1;
        Ok(())
    }

    fn peek(&mut self) -> Option<u8> {
        self.blanks();
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    fn broken(&self, rule: &str) -> String {
        format!("{rule} (at byte {})", self.at)
    }
}

#[cfg(test)]
mod tests;
