//! Lines of JSON.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::path::Path;

use serde_json::Value;
use serde_json::value::RawValue;
use tidefold_codec::encoding::{Layout, layout, without_mark};

use crate::input::Input;
use crate::ledger::RunId;
use crate::line::{Fault, Line, SourceError, envelope, joined};

/// What each line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The data of a message of a type.
    Data {
        /// The type.
        message_type: String,
        /// Members whose texts, joined by `:`, are the id; none: the run's id and the line's number.
        id: Vec<String>,
    },
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
    run: &RunId,
) -> impl Iterator<Item = Result<Line, SourceError>> + Send {
    let path = path.to_owned();
    let run = run.clone();
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
            return Some(line(number, text, &shape, &run));
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

fn line(number: u64, bytes: &[u8], shape: &Shape, run: &RunId) -> Result<Line, SourceError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| SourceError::Line { number, detail: "not UTF-8 text".to_owned() })?;
    match shape {
        Shape::Data { message_type, id } => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(|error| {
                SourceError::Line { number, detail: format!("not a JSON object ({error})") }
            })?;
            let is_runs = id.is_empty();
            let id = match id.as_slice() {
                [] => run.id(number),
                names => id_of(&members, names).map_err(|detail| SourceError::Line { number, detail })?,
            };
            Ok(Line { number, text: envelope(message_type, &id, text), is_runs })
        }
        Shape::Envelope => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(|error| {
                let detail = format!("not a JSON object ({error}); give --type if lines are the data alone");
                SourceError::Line { number, detail }
            })?;
            if members.contains_key("id") {
                return Ok(Line { number, text: text.to_owned(), is_runs: false });
            }
            let id = run.id(number);
            let rest = text.trim_start().trim_start_matches('{').trim_start();
            let comma = if rest.starts_with('}') { "" } else { "," };
            Ok(Line { number, text: format!("{{\"id\":\"{id}\"{comma}{rest}"), is_runs: true })
        }
    }
}

/// The id that members of a line make.
fn id_of(members: &BTreeMap<String, &RawValue>, names: &[String]) -> Result<String, String> {
    let text = |name: &String| {
        let value = members.get(name).ok_or_else(|| format!("there is no field `{name}` to be the id"))?;
        match serde_json::from_str(value.get()) {
            Ok(Value::String(text)) if !text.is_empty() => Ok(text),
            Ok(Value::Number(_) | Value::Bool(_)) => Ok(value.get().to_owned()),
            _ => Err(format!("field `{name}` cannot be the id: it is no text and no number")),
        }
    };
    let texts = names.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    Ok(joined(&texts.iter().map(String::as_str).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str, shape: Shape) -> Vec<Result<Line, String>> {
        read_in(&RunId::fresh(), text, shape)
    }

    fn read_in(run: &RunId, text: &'static str, shape: Shape) -> Vec<Result<Line, String>> {
        let reader: Input = Box::new(text.as_bytes());
        lines(reader, Path::new("-"), shape, run).map(|line| line.map_err(|e| e.to_string())).collect()
    }

    fn data(id: &[&str]) -> Shape {
        Shape::Data { message_type: "A".into(), id: id.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn a_line_keeps_its_id_and_one_without_gets_the_runs() {
        let text = "{\"type\":\"A\",\"id\":\"x\",\"data\":{}}\n\n{\"type\":\"A\",\"data\":{}}\n";
        let run = RunId::fresh();
        let first = read_in(&run, text, Shape::Envelope);
        assert_eq!(first, read_in(&run, text, Shape::Envelope));
        let other = read(text, Shape::Envelope);
        assert!(first[0] == other[0] && first[1] != other[1]);
        assert_eq!(first.len(), 2);
        assert_eq!(first[0].as_ref().unwrap().text, "{\"type\":\"A\",\"id\":\"x\",\"data\":{}}");
        let second = first[1].as_ref().unwrap();
        assert_eq!(second.number, 3);
        let value: serde_json::Value = serde_json::from_str(&second.text).unwrap();
        assert_eq!(value["id"], run.id(3));
    }

    #[test]
    fn fields_make_the_id_where_the_caller_says_so() {
        let id = |text: &'static str, names: &[&str]| match &read(text, data(names))[0] {
            Ok(line) => serde_json::from_str::<Value>(&line.text).unwrap()["id"].as_str().unwrap().to_owned(),
            Err(told) => told.clone(),
        };
        for (text, names, expected) in [
            ("{\"n\":7,\"s\":\"a:b\"}", &["n"][..], "7"),
            ("{\"n\":7,\"s\":\"a:b\"}", &["s"][..], "a:b"),
            ("{\"n\":7,\"s\":\"a:b\"}", &["s", "n"][..], "a%3Ab:7"),
            ("{\"n\":true}", &["n"][..], "true"),
            ("{\"n\":7}", &["m"][..], "line 1: there is no field `m` to be the id"),
            ("{\"n\":null}", &["n"][..], "line 1: field `n` cannot be the id: it is no text and no number"),
            ("{\"n\":\"\"}", &["n"][..], "line 1: field `n` cannot be the id: it is no text and no number"),
            ("{\"n\":[1]}", &["n"][..], "line 1: field `n` cannot be the id: it is no text and no number"),
        ] {
            assert_eq!(id(text, names), expected, "{text}");
        }
    }

    #[test]
    fn equal_lines_at_two_places_are_two_messages() {
        let lines = read("{\"n\":1}\n{\"n\":1}\n", data(&[]));
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
            let lines = read(text, data(&[]));
            let told = lines[0].as_ref().unwrap_err();
            assert!(told.contains("jq -c") && told.starts_with("line "), "{told}");
        }
        let marked = read("\u{feff}{\"n\":1}\n\u{feff}{\"n\":2}\n", data(&[]));
        assert!(marked.iter().all(Result::is_ok), "{marked:?}");
    }

    #[test]
    fn behind_a_line_that_is_too_long_the_next_one_is_read() {
        let mut text = vec![b'x'; LINE_BYTES as usize + 5];
        text.extend_from_slice(b"\n{\"type\":\"A\",\"id\":\"1\",\"data\":{}}\n");
        let reader: Input = Box::new(std::io::Cursor::new(text));
        let read: Vec<_> = lines(reader, Path::new("-"), Shape::Envelope, &RunId::fresh()).collect();
        assert!(matches!(&read[0], Err(SourceError::Line { number: 1, .. })));
        assert_eq!((read.len(), read[1].as_ref().unwrap().number), (2, 2));
    }
}
