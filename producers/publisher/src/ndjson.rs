//! Lines of JSON.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::path::Path;

use serde_json::value::RawValue;
use tidefold_codec::encoding::{Layout, layout, without_mark};

use crate::input::Input;
use crate::line::{Fault, Line, SourceError, envelope, stable_id};

/// What each line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The data of a message of this type.
    Data(String),
    /// An envelope with `type` and `data`; `id` where there is one.
    Envelope,
}

/// The longest line that is read.
const LINE_BYTES: u64 = 16 << 20;

/// The lines of a reader, as envelopes with ids. Blank lines are passed over, but count for the number.
/// A source whose first line shows that it is laid out otherwise is refused there: later lines would look like messages and
/// be parts of one.
pub fn lines(
    mut reader: Input,
    path: &Path,
    shape: Shape,
) -> impl Iterator<Item = Result<Line, SourceError>> + Send {
    let path = path.to_owned();
    let mut number = 0;
    let mut is_first = true;
    let mut buffer = Vec::new();
    std::iter::from_fn(move || {
        loop {
            buffer.clear();
            let read = (&mut reader).take(LINE_BYTES).read_until(b'\n', &mut buffer);
            match read {
                Ok(0) => return None,
                Ok(_) => number += 1,
                Err(source) => return Some(Err(SourceError::Read { path: path.clone(), source })),
            }
            if buffer.len() as u64 == LINE_BYTES && buffer.last() != Some(&b'\n') {
                let detail = format!("longer than {LINE_BYTES} bytes");
                if let Err(source) = skip_line(&mut reader) {
                    return Some(Err(SourceError::Read { path: path.clone(), source }));
                }
                return Some(Err(SourceError::Line { number, detail }));
            }
            let text = without_mark(buffer.trim_ascii()).trim_ascii();
            if text.is_empty() {
                continue;
            }
            if std::mem::take(&mut is_first)
                && let Some(layout) = layout(text)
            {
                let detail = laid_out(layout, &path);
                return Some(Err(SourceError::shape(&path, Fault { line: number, detail })));
            }
            return Some(line(number, text, &shape));
        }
    })
}

fn laid_out(layout: Layout, path: &Path) -> String {
    let (what, program) = match layout {
        Layout::Array => ("a JSON array; write its elements as they are, one JSON object a line", ".[]"),
        Layout::Object => ("a JSON object over several lines; write each object on one line", "."),
    };
    format!("{what}: `jq -c '{program}' {} | tidefold publish … -`", path.display())
}

/// Reads up to and with the next line break, keeping nothing.
fn skip_line(reader: &mut dyn BufRead) -> std::io::Result<()> {
    loop {
        let chunk = reader.fill_buf()?;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let read = end.map_or(chunk.len(), |end| end + 1);
        let is_done = end.is_some() || chunk.is_empty();
        reader.consume(read);
        if is_done {
            return Ok(());
        }
    }
}

fn line(number: u64, bytes: &[u8], shape: &Shape) -> Result<Line, SourceError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| SourceError::Line { number, detail: "not UTF-8 text".to_owned() })?;
    match shape {
        Shape::Data(message_type) => {
            let _: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(|error| {
                SourceError::Line { number, detail: format!("not a JSON object ({error})") }
            })?;
            let id = stable_id(number, bytes);
            Ok(Line { number, text: envelope(message_type, &id, text) })
        }
        Shape::Envelope => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(|error| {
                let detail = format!("not a JSON object ({error}); give --type if lines are the data alone");
                SourceError::Line { number, detail }
            })?;
            if members.contains_key("id") {
                return Ok(Line { number, text: text.to_owned() });
            }
            let id = stable_id(number, bytes);
            let rest = text.trim_start().trim_start_matches('{').trim_start();
            let comma = if rest.starts_with('}') { "" } else { "," };
            Ok(Line { number, text: format!("{{\"id\":\"{id}\"{comma}{rest}") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str, shape: Shape) -> Vec<Result<Line, String>> {
        let reader: Input = Box::new(text.as_bytes());
        lines(reader, Path::new("-"), shape).map(|line| line.map_err(|e| e.to_string())).collect()
    }

    #[test]
    fn a_line_keeps_its_id_and_one_without_gets_the_same_id_every_time() {
        let text = "{\"type\":\"A\",\"id\":\"x\",\"data\":{}}\n\n{\"type\":\"A\",\"data\":{}}\n";
        let first = read(text, Shape::Envelope);
        assert_eq!(first, read(text, Shape::Envelope));
        assert_eq!(first.len(), 2);
        assert_eq!(first[0].as_ref().unwrap().text, "{\"type\":\"A\",\"id\":\"x\",\"data\":{}}");
        let second = first[1].as_ref().unwrap();
        assert_eq!(second.number, 3);
        let value: serde_json::Value = serde_json::from_str(&second.text).unwrap();
        assert_eq!(value["id"].as_str().map(str::len), Some(32));
    }

    #[test]
    fn equal_lines_at_two_places_are_two_messages() {
        let lines = read("{\"n\":1}\n{\"n\":1}\n", Shape::Data("A".into()));
        assert_ne!(lines[0], lines[1]);
        assert!(lines[0].as_ref().unwrap().text.starts_with("{\"type\":\"A\",\"id\":\""));
    }

    #[test]
    fn a_line_that_is_no_object_is_named() {
        let lines = read("{}\nnonsense\n", Shape::Envelope);
        assert!(lines[1].as_ref().unwrap_err().starts_with("line 2: not a JSON object"));
    }

    #[test]
    fn a_layout_is_refused_at_its_first_line() {
        for text in ["[{\"n\":1},\n{\"n\":2}]\n", "\n[\n{\"n\":2}\n]", "[]", "{\n\"n\":\n{\"n\":1}\n}"] {
            let lines = read(text, Shape::Data("A".into()));
            let told = lines[0].as_ref().unwrap_err();
            assert!(told.contains("jq -c") && told.starts_with("line "), "{told}");
        }
        let marked = read("\u{feff}{\"n\":1}\n\u{feff}{\"n\":2}\n", Shape::Data("A".into()));
        assert!(marked.iter().all(Result::is_ok), "{marked:?}");
    }

    #[test]
    fn behind_a_line_that_is_too_long_the_next_one_is_read() {
        let mut text = vec![b'x'; LINE_BYTES as usize + 5];
        text.extend_from_slice(b"\n{\"type\":\"A\",\"id\":\"1\",\"data\":{}}\n");
        let reader: Input = Box::new(std::io::Cursor::new(text));
        let read: Vec<_> = lines(reader, Path::new("-"), Shape::Envelope).collect();
        assert!(matches!(&read[0], Err(SourceError::Line { number: 1, .. })));
        assert_eq!((read.len(), read[1].as_ref().unwrap().number), (2, 2));
    }
}
