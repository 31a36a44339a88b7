//! A dead letter as it is told: where and when, of which type, why; one that is looked at alone with its whole record.

use serde::Serialize;
use serde_json::Value;
use tidefold_codec::json_out;
use tidefold_codec::text::hex;
use tidefold_control::{Control, SchemaRecord};
use tidefold_record::headers::Known;
use tidefold_record::{Position, RecordRef, unframe};
use tidefold_table::verdict::DeadReason;

/// A dead letter.
#[derive(Clone, Debug, Serialize)]
pub struct DeadLetter {
    /// Where it stands.
    pub position: String,
    /// When it was appended, else the time that its publisher gave it.
    pub time: Option<String>,
    /// Its message type, as its headers say; where they do not, as the schema is called that its value names.
    #[serde(rename = "type")]
    pub message_type: Option<String>,
    /// Its message id.
    pub id: Option<String>,
    /// Who sent it.
    pub source: Option<String>,
    /// Its key, as text; what is no UTF-8 in it is replaced.
    pub key: Option<String>,
    /// Why it is dead, a constant.
    pub code: String,
    /// Why, in words.
    pub detail: String,
}

/// A dead letter with its record.
#[derive(Clone, Debug, Serialize)]
pub struct DeadLetterRecord {
    /// What the list has of it.
    #[serde(flatten)]
    pub letter: DeadLetter,
    /// Its headers, in their order; values as text.
    pub headers: Vec<(String, String)>,
    /// The schema id its value names.
    pub schema_id: Option<u32>,
    /// Its value as JSON, where it is a datum of that schema, or JSON itself.
    pub payload: Value,
    /// Why there is no `payload`.
    pub payload_error: Option<String>,
    /// Its key in hex, where it is no UTF-8.
    pub key_hex: Option<String>,
    /// The first bytes of its value, in hex.
    pub value: Option<String>,
    /// How many bytes its value has.
    pub value_bytes: Option<usize>,
}

/// Bytes of a value that are shown in hex.
const VALUE_BYTES: usize = 4_096;

// === impl DeadLetter ===

impl DeadLetter {
    /// `record` is none where the log does not have it any more.
    pub(super) fn new(
        position: &Position,
        reason: &DeadReason,
        record: Option<&RecordRef<'_>>,
        control: &Control,
    ) -> DeadLetter {
        let of_schema = || schema_name(record?.value?, control);
        let header = |name: Known| record.and_then(|record| record.headers.get(name)).map(text);
        DeadLetter {
            position: position.to_string(),
            time: header(Known::AppendTime).or_else(|| header(Known::CeTime)),
            message_type: header(Known::CeType).or_else(of_schema),
            id: header(Known::CeId),
            source: header(Known::CeSource),
            key: record.and_then(|record| record.key).map(text),
            code: reason.code.clone(),
            detail: reason.detail.clone(),
        }
    }
}

// === impl DeadLetterRecord ===

impl DeadLetterRecord {
    /// Decoded with the schemas that control knows.
    pub(super) fn new(
        letter: DeadLetter,
        record: Option<&RecordRef<'_>>,
        control: &Control,
    ) -> DeadLetterRecord {
        let (key, value) = (record.and_then(|record| record.key), record.and_then(|record| record.value));
        let decoded = match (record, value) {
            (None, _) => Err("the log does not have the record any more".to_owned()),
            (_, None) => Err("the record has no value".to_owned()),
            (_, Some(value)) => payload(value, control),
        };
        let headers = record.map(|record| {
            record.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
        });
        DeadLetterRecord {
            letter,
            headers: headers.unwrap_or_default(),
            schema_id: value.and_then(|value| unframe(value).ok()).map(|(id, _)| id.0),
            payload_error: decoded.as_ref().err().cloned(),
            payload: decoded.unwrap_or_default(),
            key_hex: key.filter(|key| std::str::from_utf8(key).is_err()).map(hex),
            value: value.map(|value| hex(value.get(..VALUE_BYTES).unwrap_or(value))),
            value_bytes: value.map(<[u8]>::len),
        }
    }
}

/// A record's value as JSON, or why not.
fn payload(value: &[u8], control: &Control) -> Result<Value, String> {
    let Ok((id, datum)) = unframe(value) else {
        return serde_json::from_slice(value)
            .map_err(|_| "the value is neither framed with a schema id nor JSON".to_owned());
    };
    let schema = match control.schema(id) {
        Some(SchemaRecord::Registered(schema)) => schema,
        Some(SchemaRecord::Refused(reason)) => {
            return Err(format!("schema id {} is refused: {reason}", id.0));
        }
        None => return Err(format!("schema id {} is not known", id.0)),
    };
    let json = json_out::datum(schema, datum).map_err(|error| error.to_string())?;
    serde_json::from_slice(&json).map_err(|error| error.to_string())
}

/// The name of the record that a value's schema is of, as messages are named: without its namespace.
fn schema_name(value: &[u8], control: &Control) -> Option<String> {
    let (id, _) = unframe(value).ok()?;
    let Some(SchemaRecord::Registered(schema)) = control.schema(id) else { return None };
    let schema: Value = serde_json::from_str(schema).ok()?;
    Some(schema.get("name")?.as_str()?.rsplit('.').next()?.to_owned())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use tidefold_control::{Entry, Envelope};
    use tidefold_record::{
        BatchBuilder, Headers, HeadersBuilder, Offset, Partition, SchemaId, TopicName, frame,
    };

    use super::*;

    fn told(schema: u32, headers: Headers<'_>) -> DeadLetter {
        let record = r#"{ "type": "record", "name": "com.example.Moved", "fields": [] }"#;
        let entry = Entry::SchemaRegistered { id: SchemaId(7), schema: record.to_owned() };
        let mut control = Control::default();
        let taken = control.apply(Offset(0), &Envelope { expects: 0, entry }.to_json().unwrap());
        assert_eq!(taken, tidefold_control::Outcome::Taken);
        let (mut value, mut batch) = (Vec::new(), BatchBuilder::new());
        frame(SchemaId(schema), &mut value);
        batch.push(Some(b"d-1"), Some(&value), headers);
        let batch = batch.build(Partition(0), Offset(5));
        let position = Position::new(TopicName::new("doors"), Partition(0), Offset(5));
        let reason = DeadReason { code: "undecodable".to_owned(), detail: String::new() };
        DeadLetter::new(&position, &reason, batch.get(Offset(5)).as_ref(), &control)
    }

    #[test]
    fn a_letter_is_of_the_type_its_headers_say_else_of_its_schemas_where_that_is_known() {
        assert_eq!(told(7, Headers::default()).message_type.as_deref(), Some("Moved"));
        assert_eq!(told(8, Headers::default()).message_type, None);
        let mut headers = HeadersBuilder::new();
        headers.push(Known::CeType, b"Made");
        assert_eq!(told(7, headers.as_headers()).message_type.as_deref(), Some("Made"));
    }
}
