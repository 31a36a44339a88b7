//! A line sent to `/v1/{app}`: a CloudEvent in JSON whose `specversion` and `source` may be left out.
//!
//! Only the outer object is read here. `data` is cut out by counting brackets, which takes any depth without
//! recursion, and goes to the encoder as it is: the encoder judges it.

use std::borrow::Cow;

use tidefold_codec::encoding::{foreign, without_mark};
use tidefold_codec::text::parse_rfc3339_micros;
use tidefold_http::FieldError;

use crate::attributes::{ID_BYTES, digits};
use crate::{media, shape};

/// The longest `source`, `subject`, `dataschema` or extension value, in bytes.
pub(crate) const ATTRIBUTE_BYTES: usize = 1_024;

/// How many extension attributes a line may have.
pub(crate) const EXTENSIONS: usize = 32;

/// A line, taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Envelope<'a> {
    /// The message type; empty where it is missing, which is among the errors.
    pub(crate) kind: Cow<'a, str>,
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) source: Option<Cow<'a, str>>,
    /// Microseconds since 1970.
    pub(crate) time: Option<i64>,
    pub(crate) if_match: Option<u64>,
    /// `subject`, `dataschema` and extension attributes.
    pub(crate) others: Vec<(Cow<'a, str>, Cow<'a, str>)>,
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
    let mut seen: Vec<Cow<'_, str>> = Vec::with_capacity(8);
    let mut cursor = Cursor { text: without_mark(line), at: 0 };
    if let Err(detail) = cursor.members(|name, value| {
        if seen.contains(&name) {
            errors.push(FieldError::at(pointer(&name), "duplicate_key", "stands more than once"));
            return;
        }
        if let Err((code, detail)) = envelope.take(&name, value) {
            errors.push(FieldError::at(pointer(&name), code, detail));
        }
        seen.push(name);
    }) {
        let detail = match foreign(line) {
            Some(foreign) => foreign.to_string(),
            None => shape::of_line(line).unwrap_or(detail),
        };
        errors.push(FieldError::at("#", "invalid_json", detail));
        return (envelope, errors);
    }
    for required in ["type", "data"] {
        if !seen.iter().any(|name| name == required) {
            errors.push(FieldError::at(pointer(required), "missing_field", "is missing"));
        }
    }
    (envelope, errors)
}

// === impl Envelope ===

impl<'a> Envelope<'a> {
    fn take(&mut self, name: &str, value: &'a [u8]) -> Result<(), (&'static str, String)> {
        if name == "data" {
            self.data = Some(value);
            return Ok(());
        }
        if value == b"null" && name != "type" {
            return Ok(());
        }
        match name {
            "type" => self.kind = text(value, 255)?,
            "id" => self.id = Some(text(value, ID_BYTES)?),
            "source" => self.source = Some(text(value, ATTRIBUTE_BYTES)?),
            "time" => {
                let time = text(value, 64)?;
                let micros = parse_rfc3339_micros(time.as_bytes()).ok_or((
                    "bad_format",
                    "is not an RFC 3339 time such as 2026-01-31T12:00:00Z".to_owned(),
                ))?;
                self.time = Some(micros);
            }
            "specversion" if text(value, 16)? != "1.0" => {
                return Err(("unknown_symbol", "is not 1.0, the only version supported".to_owned()));
            }
            "specversion" => {}
            "datacontenttype" => match media::is_json(&text(value, 255)?) {
                Some(true) => {}
                Some(false) => {
                    let detail =
                        "is no media type of JSON (application/json, …+json), which is what `data` is";
                    return Err(("unknown_symbol", detail.to_owned()));
                }
                None => return Err(("bad_format", "is no media type such as application/json".to_owned())),
            },
            "data_base64" => {
                return Err(("not_allowed", "is binary data; a message is JSON, in `data`".to_owned()));
            }
            "ifmatch" => self.if_match = Some(if_match(value)?),
            "subject" | "dataschema" => {
                self.others.push((Cow::Owned(name.to_owned()), text(value, ATTRIBUTE_BYTES)?));
            }
            extension => self.take_extension(extension, value)?,
        }
        Ok(())
    }

    fn take_extension(&mut self, name: &str, value: &'a [u8]) -> Result<(), (&'static str, String)> {
        if !is_attribute_name(name) {
            let detail = "is no attribute; the message's own fields stand in `data`, extension attributes are \
                          lower-case letters and digits";
            return Err(("unknown_field", detail.to_owned()));
        }
        if self.others.len() >= EXTENSIONS {
            return Err(("out_of_range", format!("is one attribute too many; {EXTENSIONS} are allowed")));
        }
        let value = match value {
            [b'"', ..] => text(value, ATTRIBUTE_BYTES)?,
            b"true" | b"false" => Cow::Borrowed(std::str::from_utf8(value).unwrap_or_default()),
            number => match serde_json::from_slice::<i32>(number) {
                Ok(number) => Cow::Owned(number.to_string()),
                Err(_) => {
                    return Err((
                        "wrong_type",
                        "is neither a string, a boolean nor a 32-bit integer".to_owned(),
                    ));
                }
            },
        };
        self.others.push((Cow::Owned(name.to_owned()), value));
        Ok(())
    }
}

/// Whether an extension attribute may be called so.
pub(crate) fn is_attribute_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !name.is_empty() && name.len() <= 64 && name.bytes().all(legal)
}

/// A string of 1 to `most` bytes without control characters.
fn text(value: &[u8], most: usize) -> Result<Cow<'_, str>, (&'static str, String)> {
    let Some(inner) = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
        return Err(("wrong_type", "is not a string".to_owned()));
    };
    let text = unescape(value, inner).ok_or(("invalid_json", "is not a well-formed string".to_owned()))?;
    if text.is_empty() || text.len() > most {
        return Err(("out_of_range", format!("has {} bytes; it may have 1 to {most}", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err(("bad_format", "has control characters".to_owned()));
    }
    Ok(text)
}

fn if_match(value: &[u8]) -> Result<u64, (&'static str, String)> {
    let refuse = || ("wrong_type", "is not a version such as 7".to_owned());
    match value {
        [b'"', ..] => {
            let tag = text(value, 64)?;
            let tag = tag.trim_matches('"');
            digits(tag.split_once(".g").map_or(tag, |(version, _)| version)).ok_or_else(refuse)
        }
        number => std::str::from_utf8(number).ok().and_then(digits).ok_or_else(refuse),
    }
}

/// The text of a JSON string, given with and without its quotes.
fn unescape<'a>(quoted: &'a [u8], inner: &'a [u8]) -> Option<Cow<'a, str>> {
    if inner.iter().any(|byte| *byte == b'\\' || *byte < 0x20) {
        return serde_json::from_slice::<String>(quoted).ok().map(Cow::Owned);
    }
    std::str::from_utf8(inner).ok().map(Cow::Borrowed)
}

/// An RFC 6901 pointer to a member, as a URI fragment.
fn pointer(name: &str) -> String {
    let mut pointer = String::from("#/");
    for char in name.chars().take(80) {
        match char {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            plain if plain.is_ascii_alphanumeric() || matches!(plain, '-' | '_' | '.') => pointer.push(plain),
            other => {
                for byte in other.encode_utf8(&mut [0; 4]).bytes() {
                    pointer.push_str(&format!("%{byte:02X}"));
                }
            }
        }
    }
    pointer
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
