//! Mistakes in schemas that have an exact place: what a schema lacks, names nobody declares, misspelled attributes.

use std::collections::{BTreeMap, BTreeSet};
use tidefold_codec::nearest::distance;

use super::super::json::{Json, Node};
use super::super::names;
use super::super::report::{Help, Report};
use super::definition::{AvroFile, Definition, PRIMITIVES, declared_kind, full_name, referred, roots, short};
use super::doubts;
use super::logical::{self, Logical};
use crate::rules;

/// Attributes that Avro knows, of schemas and fields.
const SCHEMA_ATTRIBUTES: [&str; 14] = [
    "type",
    "name",
    "namespace",
    "aliases",
    "doc",
    "fields",
    "symbols",
    "default",
    "size",
    "items",
    "values",
    "logicalType",
    "precision",
    "scale",
];
const FIELD_ATTRIBUTES: [&str; 6] = ["name", "type", "default", "doc", "order", "aliases"];

/// Reports members that stand twice in one object, anywhere in a file.
pub(super) fn repeated_members(file: &str, node: &Node, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for member in node.members() {
        if !seen.insert(&member.key) {
            let message = format!("the member `{}` stands twice in this object", member.key);
            report.add(rules::JSON_SYNTAX, file, member.key_span.clone(), message, "remove one of them");
        }
        repeated_members(file, &member.node, report);
    }
    for element in node.elements() {
        repeated_members(file, element, report);
    }
}

/// Checks every schema, and marks the definitions in which a mistake stands.
pub(super) fn definitions(
    files: &[AvroFile],
    lost: &BTreeSet<String>,
    definitions: &mut BTreeMap<String, Definition<'_>>,
    report: &mut Report,
) {
    let known: BTreeSet<String> = definitions.keys().cloned().collect();
    let mut found = BTreeMap::new();
    for file in files {
        let mut walk = Walk {
            file: &file.path,
            known: &known,
            lost,
            report: &mut *report,
            found: &mut found,
            owner: None,
        };
        for root in roots(&file.root) {
            walk.schema(root, "");
        }
    }
    for definition in definitions.values_mut() {
        if let Some(facts) = found.remove(&definition.full_name) {
            definition.uses = facts.uses;
            definition.broken = facts.broken;
        }
    }
}

#[derive(Default)]
struct Facts {
    uses: BTreeSet<String>,
    broken: bool,
}

struct Walk<'w> {
    file: &'w str,
    known: &'w BTreeSet<String>,
    lost: &'w BTreeSet<String>,
    report: &'w mut Report,
    found: &'w mut BTreeMap<String, Facts>,
    /// The definition around the place where the walk is.
    owner: Option<String>,
}

impl Walk<'_> {
    fn mistake(
        &mut self,
        rule: &'static str,
        node: &Node,
        message: impl Into<String>,
        help: impl Into<Help>,
    ) {
        self.report.add(rule, self.file, node.span.clone(), message, help);
        if let Some(owner) = &self.owner {
            self.found.entry(owner.clone()).or_default().broken = true;
        }
    }

    fn uses(&mut self, name: String) {
        if let Some(owner) = &self.owner {
            self.found.entry(owner.clone()).or_default().uses.insert(name);
        }
    }

    fn schema(&mut self, node: &Node, namespace: &str) {
        match &node.value {
            Json::Text(name) => self.reference(node, name, namespace),
            Json::Array(branches) => {
                if branches.is_empty() {
                    self.mistake(rules::AVRO_SCHEMA, node, "a union needs at least one type", None);
                }
                for branch in branches {
                    if matches!(branch.value, Json::Array(_)) {
                        self.mistake(rules::AVRO_SCHEMA, branch, "a union cannot stand in a union", None);
                    } else {
                        self.schema(branch, namespace);
                    }
                }
            }
            Json::Object(_) => self.object(node, namespace),
            Json::Null | Json::Boolean(_) | Json::Number(_) => {
                let help = "write a type's name, an object with `type`, or an array of types";
                self.mistake(rules::AVRO_SCHEMA, node, "this is no Avro schema", help);
            }
        }
    }

    fn reference(&mut self, node: &Node, name: &str, namespace: &str) {
        if PRIMITIVES.contains(&name) {
            return;
        }
        let full = referred(name, namespace);
        if self.known.contains(&full) {
            return self.uses(full);
        }
        if self.lost.contains(short(name)) {
            if let Some(owner) = &self.owner {
                self.found.entry(owner.clone()).or_default().broken = true;
            }
            return;
        }
        let help = if let Some(base) = logical::base_of(name) {
            Help(Some(format!(
                "`{name}` is a logical type: {{\"type\": \"{base}\", \"logicalType\": \"{name}\"}}"
            )))
        } else if let Some(elsewhere) = self.known.iter().find(|known| short(known) == name) {
            Help(Some(format!("it is declared in another namespace: write `{elsewhere}`")))
        } else if matches!(name, "record" | "enum" | "fixed" | "array" | "map") {
            Help(Some(format!("a {name} is written as an object: {{\"type\": \"{name}\", …}}")))
        } else {
            let known: Vec<&str> = self.known.iter().map(String::as_str).chain(PRIMITIVES).collect();
            names::nearest_or_all(name, known.into_iter(), "type")
        };
        self.mistake(rules::UNKNOWN_AVRO_TYPE, node, format!("there is no type `{name}`"), help);
    }

    fn object(&mut self, node: &Node, namespace: &str) {
        let Some(ty) = node.get("type") else {
            let help = "add `type`: record, enum, fixed, array, map or a type's name";
            return self.mistake(rules::AVRO_SCHEMA, node, "this schema has no `type`", help);
        };
        if declared_kind(node).is_some() {
            return self.declaration(node, namespace);
        }
        self.attributes(node, &SCHEMA_ATTRIBUTES);
        if ty.text().is_none() {
            doubts::wrapper(self.file, node, self.report);
            return self.schema(ty, namespace);
        }
        self.logical(node);
        let part = match ty.text() {
            Some("array") => "items",
            Some("map") => "values",
            _ => return self.schema(ty, namespace),
        };
        match node.get(part) {
            Some(inner) => self.schema(inner, namespace),
            None => {
                let message = format!("this {} has no `{part}`", ty.text().unwrap_or_default());
                self.mistake(
                    rules::AVRO_SCHEMA,
                    node,
                    message,
                    format!("add `{part}`, the type of what is in it"),
                );
            }
        }
    }

    fn declaration(&mut self, node: &Node, namespace: &str) {
        let kind = declared_kind(node).unwrap_or("record");
        let Some((full, within)) = full_name(node, namespace) else {
            let at = node.get("name").or(node.get("type")).unwrap_or(node);
            return self.mistake(rules::AVRO_SCHEMA, at, format!("this {kind} has no `name`"), None);
        };
        self.uses(full.clone());
        let outer = self.owner.replace(full.clone());
        if let Some(name) = node.get("name")
            && !full.split('.').all(is_avro_name)
        {
            let help = "use letters, digits and `_`, no digit first";
            self.mistake(rules::AVRO_SCHEMA, name, format!("`{full}` is no name"), help);
        }
        self.attributes(node, &SCHEMA_ATTRIBUTES);
        match kind {
            "enum" => self.symbols(node),
            "fixed" => self.fixed(node),
            _ => self.fields(node, &within),
        }
        self.logical(node);
        self.owner = outer;
    }

    fn fields(&mut self, node: &Node, namespace: &str) {
        let at = node.get("fields").or(node.get("name")).unwrap_or(node);
        let Some(Json::Array(fields)) = node.get("fields").map(|fields| &fields.value) else {
            let help = "add `fields`: an array of {\"name\": …, \"type\": …}";
            return self.mistake(rules::AVRO_SCHEMA, at, "this record has no array `fields`", help);
        };
        let mut seen = BTreeSet::new();
        for field in fields {
            self.attributes(field, &FIELD_ATTRIBUTES);
            match field.get("name").map(|name| (name, name.text())) {
                Some((name, Some(text))) => {
                    if !is_avro_name(text) {
                        let help = "use letters, digits and `_`, no digit first";
                        self.mistake(
                            rules::AVRO_SCHEMA,
                            name,
                            format!("`{text}` is no name for a field"),
                            help,
                        );
                    }
                    if !seen.insert(text) {
                        self.mistake(
                            rules::AVRO_SCHEMA,
                            name,
                            format!("the field `{text}` stands twice"),
                            None,
                        );
                    }
                }
                _ => self.mistake(rules::AVRO_SCHEMA, field, "this field has no `name`", None),
            }
            let before = self.report.list.len();
            match field.get("type") {
                Some(ty) => self.schema(ty, namespace),
                None => self.mistake(rules::AVRO_SCHEMA, field, "this field has no `type`", None),
            }
            if self.report.is_right_since(before) {
                doubts::field(self.file, field, self.report);
            }
        }
    }

    fn symbols(&mut self, node: &Node) {
        let at = node.get("symbols").or(node.get("name")).unwrap_or(node);
        let Some(Json::Array(symbols)) = node.get("symbols").map(|symbols| &symbols.value) else {
            return self.mistake(rules::AVRO_SCHEMA, at, "this enum has no array `symbols`", None);
        };
        if symbols.is_empty() {
            self.mistake(rules::AVRO_SCHEMA, at, "an enum needs at least one symbol", None);
        }
        let mut seen = BTreeSet::new();
        for symbol in symbols {
            match symbol.text() {
                Some(text) if !is_avro_name(text) => {
                    let help = "use letters, digits and `_`, no digit first";
                    self.mistake(rules::AVRO_SCHEMA, symbol, format!("`{text}` is no symbol"), help);
                }
                Some(text) if !seen.insert(text) => {
                    self.mistake(
                        rules::AVRO_SCHEMA,
                        symbol,
                        format!("the symbol `{text}` stands twice"),
                        None,
                    );
                }
                Some(_) => {}
                None => self.mistake(rules::AVRO_SCHEMA, symbol, "a symbol is a string", None),
            }
        }
        if let Some(default) = node.get("default")
            && !default.text().is_some_and(|text| seen.contains(text))
        {
            let help = names::nearest_or_all(default.text().unwrap_or(""), seen.iter().copied(), "symbol");
            self.mistake(rules::AVRO_SCHEMA, default, "the default is not one of the symbols", help);
        }
    }

    fn fixed(&mut self, node: &Node) {
        let size = node.get("size");
        let number = size.and_then(|size| match &size.value {
            Json::Number(number) => number.parse::<u32>().ok(),
            _ => None,
        });
        if number.is_none_or(|size| size == 0) {
            let at = size.or(node.get("name")).unwrap_or(node);
            self.mistake(
                rules::AVRO_SCHEMA,
                at,
                "this fixed has no `size` in bytes",
                "add `size`: a number above 0",
            );
        }
    }

    /// A misspelled attribute would be ignored in silence.
    fn attributes(&mut self, node: &Node, known: &[&str]) {
        for member in node.members() {
            let key = member.key.as_str();
            let near = |known: &&&str| distance(key, known) <= 1;
            if known.contains(&key) || key.len() < 4 {
                continue;
            }
            if let Some(meant) = known.iter().find(near) {
                let at = Node { value: Json::Null, span: member.key_span.clone() };
                let message = format!("Avro has no attribute `{key}`");
                self.mistake(rules::UNKNOWN_AVRO_ATTRIBUTE, &at, message, format!("did you mean `{meant}`?"));
            }
        }
    }

    /// What Avro ignores is warned of; a name that is almost one of Avro's is a mistake.
    fn logical(&mut self, node: &Node) {
        let Some(logical) = node.get("logicalType") else { return };
        let name = logical.text().unwrap_or_default();
        let base = node.get("type").and_then(Node::text).unwrap_or("what it stands on");
        let file = self.file;
        match logical::judge(node) {
            Logical::Valid => {}
            Logical::NearMiss(near) => {
                let help = format!("there is a logical type with a similar name: `{near}`");
                let message = format!("there is no logical type `{name}`");
                self.mistake(rules::UNKNOWN_LOGICAL_TYPE, logical, message, help);
            }
            Logical::Unknown(near) => {
                let message =
                    format!("Avro has no logical type `{name}`; it is ignored, the type is `{base}`");
                let help = match near {
                    Some(near) => format!("there is a logical type with a similar name: `{near}`"),
                    None => format!("those that are types here are {}", logical::usable()),
                };
                self.report.warn(rules::UNKNOWN_LOGICAL_TYPE, file, logical.span.clone(), message, help);
            }
            Logical::Invalid(why, help) => {
                let message = format!("{why}; it is ignored, the type is `{base}`");
                self.report.warn(rules::INVALID_LOGICAL_TYPE, file, logical.span.clone(), message, help);
            }
        }
    }
}

fn is_avro_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
