//! JSON with places: Avro schemas are read through it, since a parser that forgets where a name stood cannot point at it.

use std::ops::Range;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub value: Json,
    pub span: Range<usize>,
}

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Boolean(bool),
    /// As written.
    Number(String),
    Text(String),
    Array(Vec<Node>),
    Object(Vec<Member>),
}

/// A member of an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub key: String,
    pub key_span: Range<usize>,
    pub node: Node,
}

/// Why a text is not JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonError {
    pub span: Range<usize>,
    pub message: String,
}

// === impl Node ===

impl Node {
    /// Reads a text. Nesting is bounded by `serde_json`, which reads it first and words the mistakes.
    pub fn parse(text: &str) -> Result<Node, JsonError> {
        if let Err(error) = serde_json::from_str::<serde_json::Value>(text) {
            let at = offset(text, error.line(), error.column());
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
            return Err(JsonError { span: at..at, message });
        }
        let mut scanner = Scanner { text, at: 0 };
        scanner.value().ok_or_else(|| {
            let at = scanner.at;
            JsonError { span: at..at, message: "this is not JSON".to_owned() }
        })
    }

    /// The member of an object.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.members().iter().find(|member| member.key == key).map(|member| &member.node)
    }

    /// The members of an object, none of anything else.
    pub fn members(&self) -> &[Member] {
        match &self.value {
            Json::Object(members) => members,
            _ => &[],
        }
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of an array, none of anything else.
    pub fn elements(&self) -> &[Node] {
        match &self.value {
            Json::Array(elements) => elements,
            _ => &[],
        }
    }

    /// The value as JSON text without white space.
    pub fn write(&self, out: &mut String) {
        match &self.value {
            Json::Null => out.push_str("null"),
            Json::Boolean(boolean) => out.push_str(if *boolean { "true" } else { "false" }),
            Json::Number(number) => out.push_str(number),
            Json::Text(text) => write_text(text, out),
            Json::Array(elements) => {
                out.push('[');
                for (at, element) in elements.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    element.write(out);
                }
                out.push(']');
            }
            Json::Object(members) => {
                out.push('{');
                for (at, member) in members.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    write_text(&member.key, out);
                    out.push(':');
                    member.node.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// Appends a JSON string.
pub(crate) fn write_text(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// The byte of a line and column as `serde_json` counts them: from 1, columns in bytes, 0 for the line break before.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (start + column.saturating_sub(1)).min(text.len())
}

/// Walks over text that is known to be JSON.
struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl Scanner<'_> {
    fn value(&mut self) -> Option<Node> {
        let start = self.peek_at()?;
        let value = match self.text.as_bytes().get(start)? {
            b'{' => self.object()?,
            b'[' => self.array()?,
            b'"' => Json::Text(self.string()?),
            b't' => self.word("true", Json::Boolean(true))?,
            b'f' => self.word("false", Json::Boolean(false))?,
            b'n' => self.word("null", Json::Null)?,
            _ => {
                let rest = self.text.get(start..)?;
                let number = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
                let length = rest.find(|c| !number(c)).unwrap_or(rest.len());
                self.at = start + length;
                Json::Number(rest.get(..length).filter(|text| !text.is_empty())?.to_owned())
            }
        };
        Some(Node { value, span: start..self.at })
    }

    /// The place of the next byte that is not white space.
    fn peek_at(&mut self) -> Option<usize> {
        let rest = self.text.get(self.at..)?;
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        Some(self.at)
    }

    fn take(&mut self, byte: u8) -> Option<bool> {
        let at = self.peek_at()?;
        let found = self.text.as_bytes().get(at) == Some(&byte);
        self.at += usize::from(found);
        Some(found)
    }

    fn word(&mut self, word: &str, value: Json) -> Option<Json> {
        self.text.get(self.at..)?.starts_with(word).then(|| self.at += word.len())?;
        Some(value)
    }

    fn string(&mut self) -> Option<String> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut at = start + 1;
        while *bytes.get(at)? != b'"' {
            at += if bytes.get(at) == Some(&b'\\') { 2 } else { 1 };
        }
        self.at = at + 1;
        serde_json::from_str(self.text.get(start..self.at)?).ok()
    }

    fn array(&mut self) -> Option<Json> {
        self.at += 1;
        let mut elements = Vec::new();
        if self.take(b']')? {
            return Some(Json::Array(elements));
        }
        loop {
            elements.push(self.value()?);
            if self.take(b']')? {
                return Some(Json::Array(elements));
            }
            self.take(b',')?.then_some(())?;
        }
    }

    fn object(&mut self) -> Option<Json> {
        self.at += 1;
        let mut members = Vec::new();
        if self.take(b'}')? {
            return Some(Json::Object(members));
        }
        loop {
            let start = self.peek_at()?;
            let key = self.string()?;
            let key_span = start..self.at;
            self.take(b':')?.then_some(())?;
            members.push(Member { key, key_span, node: self.value()? });
            if self.take(b'}')? {
                return Some(Json::Object(members));
            }
            self.take(b',')?.then_some(())?;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mistake_has_its_place() {
        let text = "{\n  \"a\": 1,\n  \"b\" 2\n}";
        let error = Node::parse(text).unwrap_err();
        assert_eq!(&text[error.span.start..error.span.start + 1], "2");
        assert_eq!(error.message, "expected `:`");
    }

    #[test]
    fn values_have_their_places() {
        let text = " {\"n\\u0061me\" : [ 1.5e3, \"x\" , {} ,null] } ";
        let node = Node::parse(text).unwrap();
        let elements = node.get("name").unwrap().elements();
        let pieces: Vec<&str> = elements.iter().map(|element| &text[element.span.clone()]).collect();
        assert_eq!(pieces, ["1.5e3", "\"x\"", "{}", "null"]);
        assert_eq!(&text[node.members()[0].key_span.clone()], "\"n\\u0061me\"");
    }

    proptest! {
        #[test]
        fn what_serde_json_reads_is_read_alike(text in "[\\[\\]{}\",:0-9.\\\\ntruefalse\\- ]{0,24}") {
            let oracle = serde_json::from_str::<serde_json::Value>(&text);
            match Node::parse(&text) {
                Ok(node) => {
                    let mut written = String::new();
                    node.write(&mut written);
                    prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), oracle.unwrap());
                }
                Err(_) => prop_assert!(oracle.is_err()),
            }
        }
    }
}
