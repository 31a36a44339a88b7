//! What is Avro and probably meant otherwise: attributes where they are ignored, defaults that are not what they seem. All of it
//! is warned of, none of it refused: the schema may be somebody else's.

use super::super::json::{Json, Node};
use super::super::report::Report;
use crate::rules;

/// Attributes of a type that are often written beside it.
const OF_TYPE: [&str; 7] = ["logicalType", "precision", "scale", "items", "values", "symbols", "size"];

/// Warns of a field's attributes and default.
pub(super) fn field(file: &str, field: &Node, report: &mut Report) {
    for member in field.members().iter().filter(|member| OF_TYPE.contains(&member.key.as_str())) {
        let message = format!("`{}` stands beside the field's type, where Avro ignores it", member.key);
        let help = match (member.key.as_str(), field.get("type").and_then(Node::text), member.node.text()) {
            ("logicalType", Some(base), Some(logical)) => format!(
                "write it within the type: \"type\": {{\"type\": \"{base}\", \"logicalType\": \"{logical}\"}}"
            ),
            _ => "write it within the type: \"type\": {\"type\": …, …}".to_owned(),
        };
        report.warn(rules::MISPLACED_ATTRIBUTE, file, member.key_span.clone(), message, help);
    }
    let Some(ty) = field.get("type") else { return };
    let inner = ty.members().iter().find(|member| member.key == "default");
    if let Some(member) = inner.filter(|_| ty.get("type").and_then(Node::text) != Some("enum")) {
        let message = "`default` stands within the type, where Avro ignores it";
        let help = "write it beside the field's type";
        report.warn(rules::MISPLACED_ATTRIBUTE, file, member.key_span.clone(), message, help);
    }
    if let Some(default) = field.get("default") {
        of_union(file, ty, default, report);
    }
}

/// Warns of a schema object whose type is a schema itself: what stands beside that is ignored.
pub(super) fn wrapper(file: &str, node: &Node, report: &mut Report) {
    let Some(ty) = node.get("type").filter(|ty| !matches!(ty.value, Json::Text(_))) else { return };
    let what = if matches!(ty.value, Json::Array(_)) { "a union" } else { "another type" };
    for member in node.members().iter().filter(|member| OF_TYPE.contains(&member.key.as_str())) {
        let message = format!("`{}` stands around {what}, where Avro ignores it", member.key);
        let help = "write it within the type that it is of, as in [\"null\", {\"type\": \"long\", \"logicalType\": …}]";
        report.warn(rules::MISPLACED_ATTRIBUTE, file, member.key_span.clone(), message, help);
    }
}

fn of_union(file: &str, ty: &Node, default: &Node, report: &mut Report) {
    let branches = ty.elements();
    let is_null = |branch: &Node| branch.text() == Some("null");
    let Some(first) = branches.first() else { return };
    let (message, help) = if default.text() == Some("null") && branches.iter().any(is_null) {
        let message = "the default is the text \"null\", not no value";
        (message, "write null without quotes, and \"null\" first in the union")
    } else if is_null(first) && !matches!(default.value, Json::Null) {
        let message = "the default is no value of the union's first type, which is null";
        (message, "put the default's type first: readers of before Avro 1.12 refuse the schema otherwise")
    } else if !is_null(first) && matches!(default.value, Json::Null) {
        let message = "the default is null, which is not the union's first type";
        (message, "put \"null\" first: readers of before Avro 1.12 refuse the schema otherwise")
    } else {
        return;
    };
    report.warn(rules::DOUBTFUL_DEFAULT, file, default.span.clone(), message, help);
}
