//! What is said of flags and sources that nothing is sent for.

use std::io::ErrorKind;
use tidefold_codec::nearest::nearest;

use serde_json::Value;
use tidefold_publisher::SourceError;

use crate::failure::{Code, Failure};

/// A source that was refused before anything of it was sent.
pub(super) fn source(error: SourceError) -> Failure {
    let code = self::code(&error);
    match error {
        SourceError::Shape { .. } => Failure::new(
            code,
            format!(
                "{error}\nnothing was sent; mend the file, or give --lenient: rows that are whole are sent, the others named"
            ),
        ),
        other => Failure::from_error(code, &other),
    }
}

/// What kind of trouble a source is that nothing was accepted of.
pub(super) fn code(error: &SourceError) -> Code {
    match error {
        SourceError::Mapping(_) | SourceError::Shape { .. } | SourceError::Line { .. } => Code::Usage,
        SourceError::Read { source, .. } => match source.kind() {
            ErrorKind::NotFound => Code::NotFound,
            ErrorKind::IsADirectory
            | ErrorKind::InvalidData
            | ErrorKind::InvalidInput
            | ErrorKind::UnexpectedEof => Code::Usage,
            _ => Code::Failed,
        },
    }
}

/// Why CSV cannot be read without a message type, or with one that the app does not have.
pub(super) fn no_type(given: Option<&str>, known: &[&str]) -> String {
    let list = known.join(", ");
    let Some(given) = given else { return format!("CSV needs --type, one of: {list}") };
    match nearest(given, known.iter().copied()) {
        Some(near) => {
            format!("there is no message type `{given}`; did you mean `{near}`? there are: {list}")
        }
        None => format!("there is no message type `{given}`; there are: {list}"),
    }
}

/// In words, how the flags that say how a source is read differ from those a run was begun with. Both are the JSON of its
/// format, type, columns, separator and whether it is lenient, as a ledger keeps them.
pub(super) fn differences(was: &str, is: &str) -> String {
    let read = |text: &str| serde_json::from_str::<Vec<Value>>(text).ok().filter(|reads| reads.len() == 5);
    let (Some(was), Some(is)) = (read(was), read(is)) else {
        return format!("they were {was}, and are {is}");
    };
    let names = ["--format", "--type", "--column", "--separator", "--lenient"];
    let mut told = Vec::new();
    for ((name, was), is) in names.into_iter().zip(&was).zip(&is).filter(|((_, was), is)| was != is) {
        match (was, is) {
            (Value::Array(was), Value::Array(is)) => {
                let only = |these: &[Value], those: &[Value]| -> Vec<String> {
                    these.iter().filter(|one| !those.contains(one)).map(text).collect()
                };
                let (missing, added) = (only(was, is), only(is, was));
                let is_ordered = missing.is_empty() && added.is_empty();
                told.extend(missing.iter().map(|pair| format!("{name} {pair} is missing")));
                told.extend(added.iter().map(|pair| format!("{name} {pair} was not given")));
                told.extend(is_ordered.then(|| format!("{name} was given in another order")));
            }
            (Value::Bool(true), _) => told.push(format!("{name} is missing")),
            (Value::Bool(false), _) => told.push(format!("{name} was not given")),
            (was, Value::Null) => told.push(format!("{name} {} is missing", text(was))),
            (Value::Null, is) => told.push(format!("{name} {} was not given", text(is))),
            (was, is) => told.push(format!("{name} was {} and is {}", text(was), text(is))),
        }
    }
    told.join("; ")
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| text.escape_debug().to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn flags_that_differ_are_named_in_words() {
        let begun = json!(["csv", "Seen", ["a=b", "c=d"], ";", true]);
        for (place, now, told) in [
            (0, json!("ndjson"), "--format was csv and is ndjson"),
            (1, json!(null), "--type Seen is missing"),
            (1, json!("Gone"), "--type was Seen and is Gone"),
            (2, json!(["a=b"]), "--column c=d is missing"),
            (2, json!(["a=b", "c=e"]), "--column c=d is missing; --column c=e was not given"),
            (2, json!(["c=d", "a=b"]), "--column was given in another order"),
            (3, json!(null), "--separator ; is missing"),
            (3, json!("\t"), "--separator was ; and is \\t"),
            (4, json!(false), "--lenient is missing"),
        ] {
            let mut other = begun.clone();
            other[place] = now;
            assert_eq!(differences(&begun.to_string(), &other.to_string()), told);
        }
        let plain = json!(["ndjson", null, [], null, false]).to_string();
        let told = "--type A was not given; --lenient was not given";
        assert_eq!(differences(&plain, &json!(["ndjson", "A", [], null, true]).to_string()), told);
        let none = json!(["csv", "Seen", [], null, true]).to_string();
        assert_eq!(differences(&none, &none.replace("true", "false")), "--lenient is missing");
    }

    #[test]
    fn a_mistyped_type_is_told_from_one_that_is_missing() {
        let known = ["PlaceOrder", "PayOrder"];
        assert_eq!(no_type(None, &known), "CSV needs --type, one of: PlaceOrder, PayOrder");
        let told = "there is no message type `placeorder`; did you mean `PlaceOrder`? there are: PlaceOrder, PayOrder";
        assert_eq!(no_type(Some("placeorder"), &known), told);
        assert_eq!(
            no_type(Some("Zebra"), &known),
            "there is no message type `Zebra`; there are: PlaceOrder, PayOrder"
        );
    }
}
