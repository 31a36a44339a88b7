//! Topics: their messages found among the schemas, and their key fields in every message.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidefold_codec::nearest::nearest;
use tidefold_codec::schema::type_text;
use tidefold_codec::text::is_key_type;
use tidefold_codec::{ColumnType, RecordType};

use super::avro::Schemas;
use super::avro::definition::short;
use super::names::{self, NAME_MAX, is_pascal_case, to_pascal_case};
use super::report::Report;
use super::spec::{Spec, TopicSpec};
use super::text::Text;
use crate::model::{KeyField, MessageKind};
use crate::rules;

/// A topic with what is right of it.
pub(crate) struct TopicDraft<'s> {
    pub spec: &'s TopicSpec,
    pub messages: Vec<MessageDraft<'s>>,
    /// One for each key field; `None` where no message says its type.
    pub key: Vec<Option<KeyField>>,
}

/// A message with what is right of it.
pub(crate) struct MessageDraft<'s> {
    pub name: &'s Text,
    pub kind: MessageKind,
    /// The schema's full name, where there is one.
    pub full_name: Option<String>,
    /// Its fields, where its schema is right.
    pub record: Option<Arc<RecordType>>,
}

/// Finds every topic's messages and key types.
pub(crate) fn draft<'s>(spec: &'s Spec, schemas: &Schemas<'_>, report: &mut Report) -> Vec<TopicDraft<'s>> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let mut topics = Vec::new();
    for topic in &spec.topics {
        topic_name_length(spec, topic, report);
        let mut messages = Vec::new();
        let commands = topic.commands.iter().map(|name| (name, MessageKind::Command));
        for (name, kind) in commands.chain(topic.events.iter().map(|name| (name, MessageKind::Event))) {
            if let Some(other) = seen.insert(&name.value, &topic.name.value) {
                let message = format!("the message `{}` already stands in [topics.{other}]", name.value);
                let help = "a message belongs to one topic, as a command or as an event";
                report.toml(rules::DUPLICATE_MESSAGE, &name.span, message, help);
                continue;
            }
            messages.push(message(name, kind, schemas, report));
        }
        let key = topic.key.iter().map(|field| key_field(field, &messages, schemas, report)).collect();
        repeated_key_fields(topic, report);
        topics.push(TopicDraft { spec: topic, messages, key });
    }
    topics
}

/// Kafka's longest topic name, with the app before it and `.feed` behind it.
fn topic_name_length(spec: &Spec, topic: &TopicSpec, report: &mut Report) {
    const KAFKA_MAX: usize = 249;
    let app = spec.app.as_ref().map_or(0, |app| app.value.len());
    if app + 1 + topic.name.value.len() + ".feed".len() > KAFKA_MAX {
        let message = format!("`<app>.{}.feed` has more than {KAFKA_MAX} characters", topic.name.value);
        report.toml(rules::BAD_NAME, &topic.name.span, message, "choose a shorter name");
    }
}

fn repeated_key_fields(topic: &TopicSpec, report: &mut Report) {
    for (at, field) in topic.key.iter().enumerate() {
        if topic.key.iter().take(at).any(|other| other.value == field.value) {
            let message = format!("the key field `{}` stands twice", field.value);
            report.toml(rules::REPEATED_KEY_COLUMN, &field.span, message, "remove one of them");
        }
    }
}

fn message<'s>(
    name: &'s Text,
    kind: MessageKind,
    schemas: &Schemas<'_>,
    report: &mut Report,
) -> MessageDraft<'s> {
    let mut draft = MessageDraft { name, kind, full_name: None, record: None };
    let declared = schemas.declared(&name.value);
    if !is_pascal_case(&name.value) || name.value.len() > NAME_MAX {
        let help = match to_pascal_case(&name.value) {
            Some(better) => {
                format!("write `{better}`; the Avro record has the same name, at most {NAME_MAX} characters")
            }
            None => {
                format!("use letters and digits, an upper-case letter first, at most {NAME_MAX} characters")
            }
        };
        report.toml(rules::BAD_NAME, &name.span, format!("`{}` is no name for a message", name.value), help);
        return draft;
    }
    match declared.as_slice() {
        [] if schemas.lost.contains(&name.value) => {}
        [] => {
            let records = schemas.definitions.keys().map(|full| short(full));
            let help = match nearest(&name.value, records) {
                Some(nearest) => format!("there is a record with a similar name: `{nearest}`"),
                None => format!(
                    "declare it in {0}.avsc: {{\"type\": \"record\", \"name\": \"{0}\", \"fields\": […]}}",
                    name.value
                ),
            };
            let message = format!("no .avsc file declares the message `{}`", name.value);
            report.toml(rules::UNKNOWN_MESSAGE, &name.span, message, help);
        }
        [only] => {
            draft.full_name = Some(only.full_name.clone());
            match schemas.record(&only.full_name) {
                Some((_, record)) => draft.record = Some(Arc::clone(record)),
                None if schemas.right.contains_key(&only.full_name) => {
                    let message = format!("`{}` is no record", name.value);
                    let help = format!("{} declares it as another type; a message is a record", only.file);
                    report.toml(rules::MESSAGE_NOT_RECORD, &name.span, message, help);
                }
                None => {}
            }
        }
        several => {
            let list: Vec<&str> = several.iter().map(|definition| definition.full_name.as_str()).collect();
            let message = format!("`{}` could mean {}", name.value, list.join(" or "));
            let help = "messages of an app have different names, whatever their namespace";
            report.toml(rules::UNKNOWN_MESSAGE, &name.span, message, help);
        }
    }
    draft
}

/// The key field's type, the same in all messages.
fn key_field(
    field: &Text,
    messages: &[MessageDraft<'_>],
    schemas: &Schemas<'_>,
    report: &mut Report,
) -> Option<KeyField> {
    names::field_name(report, &field.value, &field.span);
    reserved_column(report, &field.value, &field.span);
    let mut first: Option<(&str, &ColumnType)> = None;
    let mut right = true;
    let mut without = Vec::new();
    for message in messages {
        let (Some(record), Some(full_name)) = (&message.record, &message.full_name) else { continue };
        let Some(found) = record.field(&field.value).and_then(|at| record.fields.get(at)) else {
            without.push(message);
            continue;
        };
        match key_field_problem(field, message, &found.column, first) {
            None => first = first.or(Some((&message.name.value, &found.column))),
            Some((rule, text, help)) => {
                right = false;
                if let Some((file, span)) = schemas.field_place(full_name, &field.value) {
                    report.add(rule, file, span, text, help);
                }
            }
        }
    }
    key_field_missing(field, &without, report);
    let (_, column) = first.filter(|_| right)?;
    Some(KeyField { name: field.value.clone(), column: column.clone() })
}

/// What is wrong with a message's key field. `first`: the first message that has it, and its type there.
fn key_field_problem(
    field: &Text,
    message: &MessageDraft<'_>,
    column: &ColumnType,
    first: Option<(&str, &ColumnType)>,
) -> Option<(&'static str, String, String)> {
    if column.nullable {
        let text = format!("the key field `{}` of `{}` may be null", field.value, message.name.value);
        return Some((rules::KEY_FIELD_NULL, text, format!("write \"type\": \"{}\"", plain(column))));
    }
    if !is_key_type(&column.ty) {
        let help = "use a string, uuid, enum, integer, boolean, decimal, date or time".to_owned();
        return Some((rules::KEY_FIELD_TYPE, format!("`{}` cannot stand in a key", type_text(column)), help));
    }
    let (other, expected) = first.filter(|(_, expected)| *expected != column)?;
    let text = format!("the key field `{}` is {} here", field.value, type_text(column));
    let help = format!("in `{other}` it is {}; one type for all messages", type_text(expected));
    Some((rules::KEY_FIELD_TYPE, text, help))
}

/// Messages that lack a key field: one mistake, since the key is misspelled or the messages are.
fn key_field_missing(field: &Text, without: &[&MessageDraft<'_>], report: &mut Report) {
    let Some(record) = without.first().and_then(|message| message.record.as_ref()) else { return };
    let names: Vec<String> = without.iter().map(|message| format!("`{}`", message.name.value)).collect();
    let (noun, verb) = if names.len() == 1 { ("message", "has") } else { ("messages", "have") };
    let help = match nearest(&field.value, record.fields.iter().map(|field| &*field.name)) {
        Some(nearest) => format!("there is a field with a similar name: `{nearest}`"),
        None => "every message of the topic carries its key: add the field to its schema".to_owned(),
    };
    let text = format!("the {noun} {} {verb} no key field `{}`", names.join(", "), field.value);
    report.toml(rules::KEY_FIELD_MISSING, &field.span, text, help);
}

fn plain(column: &ColumnType) -> String {
    type_text(&ColumnType { ty: column.ty.clone(), nullable: false })
}

/// Query parameters of the HTTP API.
pub(crate) fn reserved_column(report: &mut Report, name: &str, span: &std::ops::Range<usize>) {
    if matches!(name, "limit" | "cursor") {
        let message = format!("`{name}` is a parameter of every query");
        report.toml(rules::RESERVED_NAME, span, message, "choose another name for the column");
    }
}
