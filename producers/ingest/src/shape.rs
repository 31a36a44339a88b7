//! What a body looks like that is not what its `Content-Type` promises: asked once it was refused, so that the refusal
//! says what to send instead. Nothing here decides what is taken, but for the first line of a stream.

use serde::de::IgnoredAny;
use tidefold_codec::encoding::{Layout, layout, without_mark};

const LINES: &str = "to send several messages, send one a line as application/x-ndjson";

/// What to send instead of a body that should be one JSON object and is something else of known shape.
pub(crate) fn of_message(body: &[u8]) -> Option<String> {
    let text = without_mark(body);
    let first = text.trim_ascii_start().first()?;
    if *first == b'[' {
        return Some(format!("this is a JSON array; {LINES}"));
    }
    several(text).then(|| format!("more than one JSON object stands here; {LINES}"))
}

/// What to send instead of a line that should be one JSON object and is something else of known shape.
pub(crate) fn of_line(line: &[u8]) -> Option<String> {
    several(line).then(|| {
        "several JSON objects stand on this line; send one a line (curl keeps line breaks with --data-binary only)".to_owned()
    })
}

/// Why no line of a stream can be taken that begins with this one: a value that is laid out over lines has lines that look
/// like messages and are parts of it.
pub(crate) fn of_first_line(line: &[u8]) -> Option<&'static str> {
    Some(match layout(line)? {
        Layout::Array => "the body is a JSON array; send its elements as they are, one JSON object a line",
        Layout::Object => {
            "the first line ends within its JSON object, so the body is laid out over several lines; send each JSON object \
             on one line"
        }
    })
}

/// Whether one JSON object is followed by another.
fn several(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    if text.first() != Some(&b'{') || !matches!(values.next(), Some(Ok(_))) {
        return false;
    }
    let rest = text.get(values.byte_offset()..).unwrap_or_default().trim_ascii_start();
    let rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
    rest.first() == Some(&b'{')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_several_messages_is_told_from_what_is_broken() {
        for (body, is_several) in [
            ("{\"a\":1}\n{\"a\":2}", true),
            ("{\"a\":1}{\"a\":2}", true),
            ("{\"a\":1},\r\n{\"a\":2}\r\n", true),
            ("[{\"a\":1}]", true),
            ("\u{feff}[]", true),
            ("{\"a\":1} x", false),
            ("{\"a\":1}", false),
            ("{\"a\":", false),
            ("", false),
            ("1\n2", false),
        ] {
            let told = of_message(body.as_bytes());
            assert_eq!(told.is_some(), is_several, "{body}: {told:?}");
            assert!(told.is_none_or(|told| told.contains("application/x-ndjson")));
        }
        assert!(of_line(b"{}{}").is_some() && of_line(b"{}").is_none() && of_line(b"[{}]").is_none());
    }
}
