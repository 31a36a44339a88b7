//! What a folder means, as named lines of text: the same for every layout, comment and order of sections. The hash of a
//! definition is taken over all of them, that of a projection over those that it depends on, and two definitions are
//! compared by them.

use tidefold_codec::Type;

use super::avro::Schemas;
use super::spec::{ClauseSpec, EntitySpec, Spec, TopicSpec, ViewSpec};
use super::text::Text;
use super::words::{canonical, words};
use crate::model::{DefinitionHash, When};

/// One thing that a definition says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fact {
    /// What it is about, in words: "the column `status` of the entity `orders`".
    pub subject: String,
    /// What it says.
    pub value: String,
    /// The subject that it is a part of.
    pub part_of: Option<String>,
}

/// How the subject starts that tells the order of an entity's columns.
pub(crate) const COLUMN_ORDER: &str = "the order of the columns";

/// 64 hex digits over all facts.
pub(crate) fn definition_hash(spec: &Spec, schemas: &Schemas<'_>) -> String {
    hash(facts(spec, schemas))
}

/// What one projection is made from.
pub(crate) struct Parts<'s> {
    pub topic: &'s TopicSpec,
    pub entity: Option<&'s EntitySpec>,
    pub views: Vec<&'s ViewSpec>,
}

/// A hash over what a projection depends on: its sections, and the types that they name. Nothing else of the app, not even
/// its name, which no fold looks at.
pub(crate) fn projection_hash(parts: &Parts<'_>, schemas: &Schemas<'_>) -> DefinitionHash {
    let mut facts = Facts { list: Vec::new(), schemas };
    facts.topic(parts.topic);
    if let Some(entity) = parts.entity {
        facts.entity(entity);
    }
    for view in &parts.views {
        facts.view(view);
    }
    DefinitionHash(hash(facts.sorted()).into())
}

fn hash(facts: Vec<Fact>) -> String {
    let mut hasher = blake3::Hasher::new();
    for fact in facts {
        for part in [&fact.subject, &fact.value] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// All that a definition says, sorted by subject.
pub(crate) fn facts(spec: &Spec, schemas: &Schemas<'_>) -> Vec<Fact> {
    let mut facts = Facts { list: Vec::new(), schemas };
    facts.add("the app's name", spec.app.as_ref().map_or("", |app| &app.value));
    for topic in &spec.topics {
        facts.topic(topic);
    }
    for entity in &spec.entities {
        facts.entity(entity);
    }
    for view in &spec.views {
        facts.view(view);
    }
    facts.sorted()
}

struct Facts<'f> {
    list: Vec<Fact>,
    schemas: &'f Schemas<'f>,
}

impl Facts<'_> {
    fn sorted(mut self) -> Vec<Fact> {
        self.list.sort();
        // A type may be named more than once.
        self.list.dedup();
        self.list
    }

    fn add(&mut self, subject: impl Into<String>, value: impl Into<String>) {
        self.list.push(Fact { subject: subject.into(), value: value.into(), part_of: None });
    }

    fn part(&mut self, whole: &str, part: &str, value: impl Into<String>) {
        let subject = format!("{part} of {whole}");
        self.list.push(Fact { subject, value: value.into(), part_of: Some(whole.to_owned()) });
    }

    fn topic(&mut self, topic: &TopicSpec) {
        let whole = format!("the topic `{}`", topic.name.value);
        self.add(&whole, "");
        self.part(&whole, "the key", list(topic.key.iter()));
        self.part(&whole, "the partitions", topic.partitions.to_string());
        // Which messages a topic has means something; which of them stands first does not.
        self.part(&whole, "the commands", sorted(&topic.commands));
        self.part(&whole, "the events", sorted(&topic.events));
        self.part(&whole, "max_message_bytes", topic.max_message_bytes.to_string());
        for message in topic.commands.iter().chain(&topic.events) {
            let schema = self.schema(&message.value);
            self.part(&whole, &format!("the schema of `{}`", message.value), schema);
        }
    }

    fn entity(&mut self, entity: &EntitySpec) {
        let whole = format!("the entity `{}`", entity.name.value);
        self.add(&whole, "");
        self.part(&whole, "the topic", entity.topic.as_ref().map_or("", |topic| &topic.value));
        self.part(&whole, "max_state_bytes", entity.max_state_bytes.to_string());
        self.part(&whole, COLUMN_ORDER, list(entity.columns.iter().map(|(name, _)| name)));
        for (name, ty) in &entity.columns {
            let mut value: String = ty.value.split_whitespace().collect();
            for name in words(&ty.value).iter().filter(|word| word.name) {
                let schema = self.schema(name.text);
                if !schema.is_empty() {
                    value.push_str(&format!(" {schema}"));
                }
            }
            self.part(&whole, &format!("the column `{}`", name.value), value);
        }
        for on in &entity.on {
            self.clause(on, &whole);
            let texts = on.requires.iter().chain(&on.lets).map(|(_, text)| text).chain(&on.set);
            texts.for_each(|text| self.named_types(text, &whole));
        }
    }

    fn clause(&mut self, on: &ClauseSpec, entity: &str) {
        let whole = format!("`on.{}` of {entity}", on.message.value);
        self.part(entity, &format!("`on.{}`", on.message.value), "");
        let when = match on.when {
            Some(When::Absent) => "absent",
            Some(When::Any) => "any",
            _ => "present",
        };
        self.part(&whole, "`when`", when);
        for (kind, list) in [("require", &on.requires), ("let", &on.lets)] {
            for (place, (name, text)) in list.iter().enumerate() {
                let value = format!("{place}: {}", canonical(&text.value));
                self.part(&whole, &format!("`{kind}.{}`", name.value), value);
            }
        }
        if let Some(set) = &on.set {
            self.part(&whole, "`set`", canonical(&set.value));
        }
        if on.delete.is_some() {
            self.part(&whole, "`delete`", "true");
        }
    }

    fn view(&mut self, view: &ViewSpec) {
        let whole = format!("the view `{}`", view.name.value);
        self.add(&whole, "");
        self.part(&whole, "the SELECT", view.sql.as_ref().map_or(String::new(), |sql| canonical(&sql.value)));
        view.sql.iter().for_each(|sql| self.named_types(sql, &whole));
        self.part(&whole, "the partition key", list(view.partition_key.iter()));
        let clustering = view.clustering.iter().map(|column| {
            let direction = if column.descending { "DESC" } else { "ASC" };
            format!("{} {direction}", column.column)
        });
        self.part(&whole, "the clustering", clustering.collect::<Vec<_>>().join(", "));
        if let Some((buckets, _)) = &view.buckets {
            self.part(&whole, "`buckets`", buckets.to_string());
        }
        if let Some(unit) = &view.bucket_by {
            self.part(&whole, "`bucket_by`", &unit.value);
        }
    }

    /// The types that a SQL text may name, in a CAST: enums. A name that means something else there does no harm.
    fn named_types(&mut self, sql: &Text, whole: &str) {
        let is_enum = |full_name: &String| matches!(self.schemas.types.get(full_name), Some(Type::Enum(_)));
        for name in words(&sql.value).iter().map(|word| word.text.trim_matches('"')) {
            if self.schemas.declared(name).iter().any(|declared| is_enum(&declared.full_name)) {
                self.part(whole, &format!("the type `{name}`"), self.schema(name));
            }
        }
    }

    /// The canonical schema of a declared type, empty where there is none.
    fn schema(&self, name: &str) -> String {
        let declared = self.schemas.declared(name);
        let right = declared.iter().filter_map(|definition| self.schemas.right.get(&definition.full_name));
        right.map(|named| named.json.as_str()).collect::<Vec<_>>().join(" ")
    }
}

fn sorted(names: &[Text]) -> String {
    let mut names: Vec<&Text> = names.iter().collect();
    names.sort_by(|a, b| a.value.cmp(&b.value));
    list(names.into_iter())
}

fn list<'t>(texts: impl Iterator<Item = &'t Text>) -> String {
    texts.map(|text| text.value.as_str()).collect::<Vec<_>>().join(", ")
}
