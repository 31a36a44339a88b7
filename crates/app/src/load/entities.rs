//! Entities: their topic, their columns, and one clause for each message.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidefold_codec::ColumnType;
use tidefold_codec::nearest::nearest;
use tidefold_codec::schema::{TypeProblem, parse_type};
use tidefold_table::{Column, TableKind, TableLayout};

use super::avro::Schemas;
use super::avro::definition::PRIMITIVES;
use super::clauses;
use super::names::{self, NAME_MAX, TABLE_NAME_MAX, snake_case};
use super::report::Report;
use super::spec::{EntitySpec, Spec};
use super::text::Text;
use super::topics::{TopicDraft, reserved_column};
use crate::model::{Entity, MessageKind, When};
use crate::rules;

/// An entity with what is right of it.
pub(crate) struct EntityDraft<'s> {
    pub spec: &'s EntitySpec,
    /// Its topic's place.
    pub topic: Option<usize>,
    /// All of it that is right; columns with mistakes are left out.
    pub entity: Entity,
    /// Columns that are declared but have no type.
    pub broken: BTreeSet<String>,
}

/// Builds every entity.
pub(crate) fn build<'s>(
    spec: &'s Spec,
    topics: &[TopicDraft<'_>],
    schemas: &Schemas<'_>,
    report: &mut Report,
) -> Vec<EntityDraft<'s>> {
    let mut drafts: Vec<EntityDraft<'s>> = Vec::new();
    for entity in &spec.entities {
        table_name(report, "an entity", &entity.name);
        let topic = topic_of(entity, spec, topics, report);
        let taken = drafts.iter().find(|draft| topic.is_some() && draft.topic == topic);
        if let (Some(first), Some(at)) = (taken, &entity.topic) {
            let message =
                format!("the topic `{}` already has the entity `{}`", at.value, first.spec.name.value);
            let help =
                "one entity is folded from one topic: give this one a topic of its own, or make it a view";
            report.toml(rules::SECOND_ENTITY, &at.span, message, help);
        }
        drafts.push(draft(entity, topic, topics, schemas, report));
    }
    commands_without_entity(topics, &drafts, spec, report);
    drafts
}

/// Reports a table's name that is no name or taken by Tidefold itself.
pub(crate) fn table_name(report: &mut Report, what: &str, name: &Text) {
    snake_case(report, what, &name.value, &name.span, TABLE_NAME_MAX);
    if name.value == "outcomes" {
        let message = "`outcomes` is where the HTTP API says what became of a message";
        report.toml(rules::RESERVED_NAME, &name.span, message, "choose another name");
    }
    if name.value == "outcome" {
        let message = "`outcome` is what a scenario calls the outcome of a message";
        report.toml(rules::RESERVED_NAME, &name.span, message, "choose another name");
    }
    if let Some((_, digits)) = name.value.rsplit_once("_g")
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        let message = format!("`{}` ends like the stored name of a generation", name.value);
        report.toml(
            rules::RESERVED_NAME,
            &name.span,
            message,
            "choose a name that does not end in `_g` and digits",
        );
    }
}

/// The topic of an entity. One that there is not is a mistake; the one that was probably meant stands for it, so that the
/// entity's other mistakes are told in the same go.
fn topic_of(
    entity: &EntitySpec,
    spec: &Spec,
    topics: &[TopicDraft<'_>],
    report: &mut Report,
) -> Option<usize> {
    let name = entity.topic.as_ref()?;
    let found = place(topics, &name.value);
    if found.is_some() {
        return found;
    }
    let known = topics.iter().map(|topic| topic.spec.name.value.as_str());
    let help = names::nearest_or_all(&name.value, known.clone(), "topic");
    report.toml(rules::UNKNOWN_TOPIC, &name.span, format!("there is no topic `{}`", name.value), help);
    let is_taken = |topic: &str| {
        spec.entities.iter().any(|other| other.topic.as_ref().is_some_and(|other| other.value == topic))
    };
    let near = |entity: &EntitySpec| nearest(&entity.topic.as_ref()?.value, known.clone());
    let meant = near(entity).filter(|topic| !is_taken(topic))?;
    let others = spec.entities.iter().filter(|other| place(topics, topic_name(other)).is_none());
    (others.filter(|other| near(other) == Some(meant)).count() == 1).then(|| place(topics, meant))?
}

fn topic_name(entity: &EntitySpec) -> &str {
    entity.topic.as_ref().map_or("", |topic| topic.value.as_str())
}

fn place(topics: &[TopicDraft<'_>], name: &str) -> Option<usize> {
    topics.iter().position(|topic| topic.spec.name.value == name)
}

fn commands_without_entity(
    topics: &[TopicDraft<'_>],
    drafts: &[EntityDraft<'_>],
    spec: &Spec,
    report: &mut Report,
) {
    for topic in topics {
        let name = &topic.spec.name.value;
        let named = |entity: &EntitySpec| entity.topic.as_ref().is_none_or(|topic| topic.value == *name);
        let misspelled = drafts.iter().any(|draft| place(topics, topic_name(draft.spec)).is_none());
        if misspelled || spec.entities.iter().any(named) {
            continue;
        }
        if let Some(command) = topic.messages.iter().find(|message| message.kind == MessageKind::Command) {
            let message =
                format!("`{}` is a command, but no entity of its topic can judge it", command.name.value);
            let help = format!("add an entity with topic = \"{name}\", or list the message under `events`");
            report.toml(rules::COMMAND_WITHOUT_ENTITY, &command.name.span, message, help);
        }
    }
}

fn draft<'s>(
    spec: &'s EntitySpec,
    at: Option<usize>,
    topics: &[TopicDraft<'_>],
    schemas: &Schemas<'_>,
    report: &mut Report,
) -> EntityDraft<'s> {
    let topic = at.and_then(|at| topics.get(at));
    let (columns, key_columns, broken) = columns(spec, topic, schemas, report);
    let mut entity = Entity {
        name: spec.name.value.clone(),
        layout: Arc::new(TableLayout {
            name: spec.name.value.clone(),
            kind: TableKind::Entity,
            columns: columns.clone(),
            partition_key: (0..key_columns).collect(),
            clustering: Vec::new(),
            bucket: None,
            aggregates: vec![],
        }),
        columns,
        key_columns,
        clauses: Vec::new(),
        max_state_bytes: spec.max_state_bytes,
    };
    if let Some(topic) = topic {
        unhandled(spec, topic, topics, report);
        let places = topic.messages.iter().map(|message| {
            let on = spec.on.iter().find(|on| on.message.value == message.name.value)?;
            clauses::compile(on, message, (&entity, &schemas.enums), &broken, report)
        });
        let clauses = places.collect();
        never_created(spec, report);
        entity.clauses = clauses;
    }
    EntityDraft { spec, topic: at, entity, broken }
}

/// The entity's columns: the topic's key first. Those without a type are named apart.
fn columns(
    spec: &EntitySpec,
    topic: Option<&TopicDraft<'_>>,
    schemas: &Schemas<'_>,
    report: &mut Report,
) -> (Vec<Column>, usize, BTreeSet<String>) {
    let mut columns = Vec::new();
    let mut broken = BTreeSet::new();
    let key: &[Text] = topic.map_or(&[], |topic| &topic.spec.key);
    for (at, field) in key.iter().enumerate() {
        match topic.and_then(|topic| topic.key.get(at)) {
            Some(Some(field)) => {
                columns.push(Column { name: field.name.clone(), column: field.column.clone() })
            }
            _ => {
                broken.insert(field.value.clone());
            }
        }
    }
    let key_columns = columns.len();
    for (name, ty) in &spec.columns {
        snake_case(report, "a column", &name.value, &name.span, NAME_MAX);
        reserved_column(report, &name.value, &name.span);
        if key.iter().any(|field| field.value == name.value) {
            let message = format!("`{}` is a key field of the topic", name.value);
            let help = "the entity has it without being told, typed as in the messages: remove this line";
            report.toml(rules::KEY_COLUMN_DECLARED, &name.span, message, help);
            continue;
        }
        match parse_type(&ty.value, &schemas.types) {
            Ok(column) => columns.push(Column { name: name.value.clone(), column }),
            Err(problem) => match type_problem(ty, &problem, schemas, report) {
                Some(column) => columns.push(Column { name: name.value.clone(), column }),
                None => {
                    broken.insert(name.value.clone());
                }
            },
        }
    }
    (columns, key_columns, broken)
}

/// Names that a type text may use without declaring them.
const LOGICAL_NAMES: [&str; 9] = [
    "uuid",
    "date",
    "time-millis",
    "time-micros",
    "timestamp-millis",
    "timestamp-micros",
    "local-timestamp-millis",
    "local-timestamp-micros",
    "decimal",
];

/// Reports a text that is no type; returns the type that seems to be meant, so that what uses the column is judged too.
fn type_problem(
    text: &Text,
    problem: &TypeProblem,
    schemas: &Schemas<'_>,
    report: &mut Report,
) -> Option<ColumnType> {
    match problem {
        TypeProblem::UnknownName { name } => {
            let declared = schemas.declared(name);
            if !declared.is_empty() || schemas.lost.contains(name) {
                // Declared with a mistake that is reported there, or in several namespaces.
                if declared.len() > 1 {
                    let list: Vec<&str> = declared.iter().map(|d| d.full_name.as_str()).collect();
                    let message = format!("`{name}` could mean {}", list.join(" or "));
                    report.toml(
                        rules::UNKNOWN_TYPE,
                        &name_place(text, name),
                        message,
                        "write it with its namespace",
                    );
                }
                return None;
            }
            let declared = schemas.types.keys().map(String::as_str);
            let known =
                declared.chain(PRIMITIVES.into_iter().skip(1)).chain(LOGICAL_NAMES).chain(["array", "map"]);
            let known: Vec<&str> = known.collect();
            let help = names::nearest_or_all(name, known.iter().copied(), "type");
            report.toml(rules::UNKNOWN_TYPE, &name_place(text, name), problem.to_string(), help);
            let meant = nearest(name, known.into_iter())?;
            parse_type(&text.value.replacen(name.as_str(), meant, 1), &schemas.types).ok()
        }
        other => {
            let message = other.to_string();
            let examples =
                "write a type such as string, long?, decimal(12,2), array<OrderItem> or map<string>";
            let help = (!message.contains(": write ")).then(|| examples.to_owned());
            report.toml(rules::UNKNOWN_TYPE, &text.span, message, help);
            None
        }
    }
}

fn name_place(text: &Text, name: &str) -> std::ops::Range<usize> {
    text.value.find(name).map_or(text.span.clone(), |at| text.place(&(at..at + name.len())))
}

/// Messages without a clause, and clauses without a message.
fn unhandled(spec: &EntitySpec, topic: &TopicDraft<'_>, topics: &[TopicDraft<'_>], report: &mut Report) {
    let mut unknown = BTreeSet::new();
    for on in &spec.on {
        let name = &on.message.value;
        if topic.messages.iter().any(|message| message.name.value == *name) {
            continue;
        }
        let of_topic =
            |topic: &&TopicDraft<'_>| topic.messages.iter().any(|message| message.name.value == *name);
        if let Some(other) = topics.iter().find(of_topic) {
            let message = format!("`{name}` is a message of the topic `{}`", other.spec.name.value);
            let help =
                format!("the entity `{}` handles messages of `{}`", spec.name.value, topic.spec.name.value);
            report.toml(rules::MESSAGE_OF_OTHER_TOPIC, &on.message.span, message, help);
            continue;
        }
        let undeclared = topic.messages.iter().filter(|message| message.full_name.is_none());
        if nearest(name, undeclared.map(|message| message.name.value.as_str())).is_some() {
            // The topic names it misspelled.
            continue;
        }
        let known = topic.messages.iter().map(|message| message.name.value.as_str());
        let nearest = nearest(name, known.clone()).map(str::to_owned);
        let help = names::nearest_or_all(name, known, "message");
        let message = format!("the topic `{}` has no message `{name}`", topic.spec.name.value);
        report.toml(rules::UNKNOWN_MESSAGE, &on.message.span, message, help);
        unknown.extend(nearest);
    }
    for message in &topic.messages {
        let name = &message.name.value;
        let misspelled = message.full_name.is_none()
            && nearest(name, spec.on.iter().map(|on| on.message.value.as_str())).is_some();
        if spec.on.iter().any(|on| on.message.value == *name) || unknown.contains(name) || misspelled {
            continue;
        }
        let text = format!("the entity `{}` does not say what `{name}` does", spec.name.value);
        let help = format!(
            "add [entities.{}.on.{name}] with `set` or `delete = true`; left empty, the message changes nothing",
            spec.name.value
        );
        report.toml(rules::MESSAGE_NOT_HANDLED, &message.name.span, text, help);
    }
}

fn never_created(spec: &EntitySpec, report: &mut Report) {
    let creates = |on: &super::spec::ClauseSpec| on.when.is_none_or(|when| when != When::Present);
    if !spec.on.is_empty() && !spec.on.iter().any(creates) {
        let message = format!("no message creates `{}`: every one asks that it is there", spec.name.value);
        let help = "give the creating message when = \"absent\" (or \"any\")";
        report.toml(rules::NEVER_CREATED, &spec.name.span, message, help);
    }
}
