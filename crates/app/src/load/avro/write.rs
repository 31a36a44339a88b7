//! A named type as one self-contained schema: full names, each type written out where it first stands, members in one
//! order, documentation and attributes that Avro does not know left out. Equal types give equal texts.

use std::collections::{BTreeMap, BTreeSet};

use super::super::json::{Json, Node, write_text};
use super::definition::{Definition, PRIMITIVES, declared_kind, full_name, referred};
use super::logical;

/// The schema text of a declaration without mistakes.
pub(super) fn self_contained(definitions: &BTreeMap<String, Definition<'_>>, name: &str) -> String {
    let mut writer = Writer { definitions, written: BTreeSet::new(), only_field: None, out: String::new() };
    writer.named(name, "");
    writer.out
}

/// A record with one of its fields only, to find out which one is wrong.
pub(super) fn with_one_field(
    definitions: &BTreeMap<String, Definition<'_>>,
    name: &str,
    field: usize,
) -> String {
    let only_field = Some((name.to_owned(), field));
    let mut writer = Writer { definitions, written: BTreeSet::new(), only_field, out: String::new() };
    writer.named(name, "");
    writer.out
}

struct Writer<'w, 'f> {
    definitions: &'w BTreeMap<String, Definition<'f>>,
    written: BTreeSet<String>,
    /// A record, and the one of its fields that is written.
    only_field: Option<(String, usize)>,
    out: String,
}

impl<'f> Writer<'_, 'f> {
    fn schema(&mut self, node: &'f Node, namespace: &str) {
        match &node.value {
            Json::Text(name) if PRIMITIVES.contains(&name.as_str()) => write_text(name, &mut self.out),
            Json::Text(name) => self.named(&referred(name, namespace), namespace),
            Json::Array(branches) => {
                self.out.push('[');
                for (at, branch) in branches.iter().enumerate() {
                    self.out.push_str(if at > 0 { "," } else { "" });
                    self.schema(branch, namespace);
                }
                self.out.push(']');
            }
            Json::Object(_) if declared_kind(node).is_some() => {
                if let Some((full, _)) = full_name(node, namespace) {
                    self.named(&full, namespace);
                }
            }
            Json::Object(_) => self.unnamed(node, namespace),
            Json::Null | Json::Boolean(_) | Json::Number(_) => {}
        }
    }

    /// An array, a map, a primitive with or without a logical type, or a schema wrapped in `{"type": …}`.
    fn unnamed(&mut self, node: &'f Node, namespace: &str) {
        let Some(ty) = node.get("type") else { return };
        let part = match ty.text() {
            Some("array") => "items",
            Some("map") => "values",
            Some(primitive)
                if PRIMITIVES.contains(&primitive)
                    && node.get("logicalType").is_some()
                    && logical::is_kept(node) =>
            {
                self.out.push_str("{\"type\":");
                write_text(primitive, &mut self.out);
                self.attributes(node, &["logicalType", "precision", "scale"]);
                self.out.push('}');
                return;
            }
            _ => return self.schema(ty, namespace),
        };
        self.out.push_str("{\"type\":");
        ty.write(&mut self.out);
        self.out.push_str(&format!(",\"{part}\":"));
        if let Some(inner) = node.get(part) {
            self.schema(inner, namespace);
        }
        self.out.push('}');
    }

    /// A named type: written out the first time, then by its name. `enclosing`: the namespace it stands in.
    fn named(&mut self, name: &str, enclosing: &str) {
        let Some(definition) = self.definitions.get(name).filter(|_| !self.written.contains(name)) else {
            return write_text(name, &mut self.out);
        };
        self.written.insert(name.to_owned());
        let node = definition.node;
        self.out.push_str("{\"type\":");
        if let Some(kind) = node.get("type") {
            kind.write(&mut self.out);
        }
        self.out.push_str(",\"name\":");
        write_text(name, &mut self.out);
        let namespace = name.rsplit_once('.').map_or("", |(namespace, _)| namespace);
        if namespace.is_empty() && !enclosing.is_empty() {
            self.out.push_str(",\"namespace\":\"\"");
        }
        self.attributes(node, &["aliases", "symbols", "default", "size"]);
        if logical::is_kept(node) {
            self.attributes(node, &["logicalType", "precision", "scale"]);
        }
        if let Some(fields) = node.get("fields") {
            self.out.push_str(",\"fields\":[");
            self.fields(fields.elements(), name, namespace);
            self.out.push(']');
        }
        self.out.push('}');
    }

    fn fields(&mut self, fields: &'f [Node], record: &str, namespace: &str) {
        let only = self.only_field.as_ref().filter(|(name, _)| name == record).map(|(_, at)| *at);
        let written = fields.iter().enumerate().filter(|(at, _)| only.is_none_or(|only| only == *at));
        for (count, (_, field)) in written.enumerate() {
            self.out.push_str(if count > 0 { ",{\"name\":" } else { "{\"name\":" });
            if let Some(name) = field.get("name") {
                name.write(&mut self.out);
            }
            self.out.push_str(",\"type\":");
            if let Some(ty) = field.get("type") {
                self.schema(ty, namespace);
            }
            self.attributes(field, &["default", "aliases"]);
            self.out.push('}');
        }
    }

    fn attributes(&mut self, node: &Node, names: &[&str]) {
        for name in names {
            if let Some(value) = node.get(name) {
                self.out.push_str(&format!(",\"{name}\":"));
                value.write(&mut self.out);
            }
        }
    }
}
