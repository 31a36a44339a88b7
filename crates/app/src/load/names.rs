//! What names may look like, and what to say of one that is none.

use std::ops::Range;

use tidefold_codec::nearest::nearest;

use super::report::{Help, Report};
use crate::rules;

/// The longest name of an app or a table: Cassandra's table names end at 48 characters, and `_g<generation>` follows.
pub(crate) const TABLE_NAME_MAX: usize = 40;
/// The longest name of a topic: `_<topic>_checkpoints_g<generation>` is a table as well.
pub(crate) const TOPIC_NAME_MAX: usize = 27;
/// The longest name of a column or guard.
pub(crate) const NAME_MAX: usize = 64;

/// `[a-z][a-z0-9_]*`.
pub(crate) fn is_snake_case(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// `[A-Za-z][A-Za-z0-9_]*`: a column that has the name of a message's field, which others chose.
pub(crate) fn is_field_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Reports the name of a field that can be no column's.
pub(crate) fn field_name(report: &mut Report, name: &str, span: &Range<usize>) {
    if !is_field_name(name) {
        let help = "a key is letters, digits and `_`, a letter first";
        report.toml(rules::BAD_NAME, span, format!("`{name}` is no name for a key field"), help);
    } else if name.len() > NAME_MAX {
        let message =
            format!("the name of a key field has {} characters; {NAME_MAX} is the most", name.len());
        report.toml(rules::BAD_NAME, span, message, "choose a shorter name");
    }
}

/// `[A-Z][A-Za-z0-9]*`.
pub(crate) fn is_pascal_case(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_uppercase())
        && bytes.all(|byte| byte.is_ascii_alphanumeric())
}

/// Reports a name that is not snake_case or too long. `what`: "a table", "a column".
pub(crate) fn snake_case(report: &mut Report, what: &str, name: &str, span: &Range<usize>, longest: usize) {
    if !is_snake_case(name) {
        let help = match to_snake_case(name) {
            Some(better) => format!("write `{better}`: lower-case letters, digits and `_`, a letter first"),
            None => "use lower-case letters, digits and `_`, a letter first".to_owned(),
        };
        report.toml(rules::BAD_NAME, span, format!("`{name}` is no name for {what}"), help);
    } else if name.len() > longest {
        let message = format!("the name of {what} has {} characters; {longest} is the most", name.len());
        report.toml(rules::BAD_NAME, span, message, "choose a shorter name");
    }
}

fn to_snake_case(name: &str) -> Option<String> {
    let mut out = String::new();
    let mut before_lower = false;
    for c in name.chars() {
        match c {
            'A'..='Z' => {
                if before_lower {
                    out.push('_');
                }
                out.push(c.to_ascii_lowercase());
            }
            'a'..='z' | '0'..='9' => out.push(c),
            '_' | '-' | ' ' | '.' => out.push('_'),
            _ => return None,
        }
        before_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
    }
    is_snake_case(&out).then_some(out)
}

/// PascalCase of a name, where that is plain.
pub(crate) fn to_pascal_case(name: &str) -> Option<String> {
    let mut out = String::new();
    for word in name.split(['_', '-', ' ']) {
        let mut chars = word.chars();
        if let Some(first) = chars.next() {
            out.push(first.to_ascii_uppercase());
            out.push_str(chars.as_str());
        }
    }
    is_pascal_case(&out).then_some(out)
}

/// Help that names the nearest candidate, or all of them where they are few.
pub(crate) fn nearest_or_all<'c>(
    name: &str,
    candidates: impl Iterator<Item = &'c str> + Clone,
    what: &str,
) -> Help {
    if let Some(nearest) = nearest(name, candidates.clone()) {
        return Help(Some(format!("there is a {what} with a similar name: `{nearest}`")));
    }
    let mut all: Vec<&str> = candidates.collect();
    all.dedup();
    match all.as_slice() {
        [] => Help(None),
        [only] => Help(Some(format!("the only {what} is `{only}`"))),
        _ if all.len() <= 12 => {
            let list: Vec<String> = all.iter().map(|name| format!("`{name}`")).collect();
            Help(Some(format!("the {what}s are {}", list.join(", "))))
        }
        _ => Help(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_better_name_is_found() {
        assert_eq!(to_snake_case("orderID2"), Some("order_id2".into()));
        assert_eq!(to_snake_case("Orders-By-Day"), Some("orders_by_day".into()));
        assert_eq!(to_snake_case("größe"), None);
        assert_eq!(to_pascal_case("place_order"), Some("PlaceOrder".into()));
    }
}
