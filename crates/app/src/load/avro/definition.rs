//! A file of schemas, a named type where it is declared, and the names that it goes by.

use std::collections::BTreeSet;
use std::ops::Range;

use super::super::json::{Json, Node};

/// Avro's own types without parts.
pub(crate) const PRIMITIVES: [&str; 8] =
    ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// A file and its JSON.
pub(crate) struct AvroFile {
    pub path: String,
    /// Null where the text is not JSON.
    pub root: Node,
    /// Names that a text which is not JSON seems to declare.
    pub(super) lost: BTreeSet<String>,
}

/// A named type where it is declared.
pub(crate) struct Definition<'f> {
    pub full_name: String,
    pub file: &'f str,
    pub node: &'f Node,
    pub name_span: Range<usize>,
    /// The named types it uses.
    pub(super) uses: BTreeSet<String>,
    /// Whether a mistake stands in it, or in one it uses.
    pub(super) broken: bool,
}

/// The schemas of a file: one, or an array of several; none where it is not JSON.
pub(super) fn roots(root: &Node) -> &[Node] {
    match &root.value {
        Json::Array(elements) => elements,
        Json::Null => &[],
        Json::Boolean(_) | Json::Number(_) | Json::Text(_) | Json::Object(_) => std::slice::from_ref(root),
    }
}

/// The kind of a named type's declaration.
pub(super) fn declared_kind(node: &Node) -> Option<&str> {
    node.get("type")?.text().filter(|kind| matches!(*kind, "record" | "error" | "enum" | "fixed"))
}

/// The full name of a declaration, and the namespace that names in it are read in.
pub(super) fn full_name(node: &Node, enclosing: &str) -> Option<(String, String)> {
    let name = node.get("name")?.text()?;
    if let Some((namespace, _)) = name.rsplit_once('.') {
        return Some((name.to_owned(), namespace.to_owned()));
    }
    let namespace = node.get("namespace").and_then(Node::text).unwrap_or(enclosing);
    let full = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") };
    Some((full, namespace.to_owned()))
}

/// The full name that a reference means.
pub(super) fn referred(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

/// The last part of a full name.
pub(crate) fn short(full_name: &str) -> &str {
    full_name.rsplit('.').next().unwrap_or(full_name)
}
