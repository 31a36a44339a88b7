//! Logical types, judged as the Avro specification does: one that is unknown, or invalid where it stands, is ignored, and the
//! value has its base type. A near miss of a known one is a mistake all the same: nobody means `timestamp-milis`.

use super::super::json::{Json, Node};
use tidefold_codec::nearest::{distance, nearest};

/// Avro's logical types and what they stand on; those this program has no type for too, since a schema may name them.
const LOGICAL: [(&str, &[&str]); 13] = [
    ("decimal", &["bytes", "fixed"]),
    ("uuid", &["string", "fixed"]),
    ("date", &["int"]),
    ("time-millis", &["int"]),
    ("time-micros", &["long"]),
    ("timestamp-millis", &["long"]),
    ("timestamp-micros", &["long"]),
    ("local-timestamp-millis", &["long"]),
    ("local-timestamp-micros", &["long"]),
    ("timestamp-nanos", &["long"]),
    ("local-timestamp-nanos", &["long"]),
    ("big-decimal", &["bytes"]),
    ("duration", &["fixed"]),
];

/// How many of them are types here.
const TYPES: usize = 9;

/// What a schema's `logicalType` is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Logical {
    /// It has none, or a valid one.
    Valid,
    /// A name that Avro does not know; and the one that it is most like.
    Unknown(Option<&'static str>),
    /// A name that is almost this one.
    NearMiss(&'static str),
    /// It is ignored: why, and what to do.
    Invalid(String, String),
}

/// The base type of a logical type, to say how to write it.
pub(super) fn base_of(name: &str) -> Option<&'static str> {
    LOGICAL.iter().find(|(known, _)| *known == name).and_then(|(_, bases)| bases.first().copied())
}

/// The logical types that are types here, for a message.
pub(super) fn usable() -> String {
    let names: Vec<String> = LOGICAL.iter().take(TYPES).map(|(name, _)| format!("`{name}`")).collect();
    names.join(", ")
}

/// Judges the logical type of a schema.
pub(super) fn judge(node: &Node) -> Logical {
    let Some(logical) = node.get("logicalType") else { return Logical::Valid };
    let base = node.get("type").and_then(Node::text).unwrap_or("");
    let Some(name) = logical.text() else {
        return Logical::Invalid("a logical type is a name".to_owned(), "write it as a text".to_owned());
    };
    match LOGICAL.iter().find(|(known, _)| *known == name) {
        None => match near_miss(name) {
            // No logical type stands on one of these, so none was meant.
            Some(near) if !matches!(base, "record" | "error" | "enum") => Logical::NearMiss(near),
            _ => Logical::Unknown(nearest(name, LOGICAL.iter().take(TYPES).map(|(known, _)| *known))),
        },
        Some((_, bases)) if !bases.contains(&base) => Logical::Invalid(
            format!("the logical type `{name}` cannot stand on `{base}`"),
            format!("it stands on {}", bases.join(" or ")),
        ),
        Some(_) => match (name, base) {
            ("decimal", _) => decimal(node, base),
            ("uuid", "fixed") => sized(node, name, 16),
            ("duration", "fixed") => sized(node, name, 12),
            _ => Logical::Valid,
        },
    }
}

/// Whether the attribute stays in the schema that is registered. Ignored ones are left out like all that Avro does not know;
/// but for decimals, whose schemas would otherwise be other ones than those registered before.
pub(super) fn is_kept(node: &Node) -> bool {
    match judge(node) {
        Logical::Valid => true,
        Logical::Invalid(..) => {
            let is = |key: &str, value: &str| node.get(key).and_then(Node::text) == Some(value);
            is("logicalType", "decimal") && (is("type", "bytes") || is("type", "fixed"))
        }
        Logical::Unknown(_) | Logical::NearMiss(_) => false,
    }
}

/// A known name in another spelling, or one with a letter or two wrong. Short names are like too many words for that.
fn near_miss(name: &str) -> Option<&'static str> {
    const LONG: usize = 8;
    let spelled = name.to_ascii_lowercase().replace(['_', ' '], "-");
    let near = |known: &str| {
        spelled == known || (name.len() >= LONG && known.len() >= LONG && distance(&spelled, known) <= 2)
    };
    let exact = LOGICAL.iter().find(|(known, _)| spelled == *known);
    exact.or_else(|| LOGICAL.iter().find(|(known, _)| near(known))).map(|(known, _)| *known)
}

fn sized(node: &Node, name: &str, bytes: u64) -> Logical {
    match node.get("size").map(whole) {
        Some(Some(size)) if size == bytes => Logical::Valid,
        // A fixed without a size is a mistake of its own.
        None | Some(None) => Logical::Valid,
        Some(Some(size)) => Logical::Invalid(
            format!("the logical type `{name}` cannot stand on a fixed of {size} bytes"),
            format!("it stands on {bytes}"),
        ),
    }
}

fn decimal(node: &Node, base: &str) -> Logical {
    let ignored = |why: String| {
        let help = "write a precision from 1 to 38 and a scale from 0 to the precision, as numbers; for a number without a fixed \
                    scale a string may be better";
        Logical::Invalid(format!("the logical type `decimal` is invalid: {why}"), help.to_owned())
    };
    let shown = |node: &Node| {
        let mut text = String::new();
        node.write(&mut text);
        text.chars().take(40).collect::<String>()
    };
    let precision = match node.get("precision") {
        None => return ignored("it has no precision".to_owned()),
        Some(given) => match whole(given) {
            Some(precision @ 1..) => precision,
            _ => return ignored(format!("its precision is {}", shown(given))),
        },
    };
    match node.get("scale") {
        None => {}
        Some(given) => match whole(given) {
            Some(scale) if scale <= precision => {}
            Some(scale) => {
                return ignored(format!("its scale, {scale}, is above its precision, {precision}"));
            }
            None => return ignored(format!("its scale is {}", shown(given))),
        },
    }
    if base == "fixed"
        && let Some(size) = node.get("size").and_then(whole)
    {
        // 10^p has to lie below 2^(8n-1).
        let digits =
            ((size.min(1 << 20) * 8).saturating_sub(1) as f64 * std::f64::consts::LOG10_2).floor() as u64;
        if precision > digits {
            return ignored(format!("{size} bytes hold {digits} digits, its precision is {precision}"));
        }
    }
    Logical::Valid
}

/// A number without sign, point or exponent.
fn whole(node: &Node) -> Option<u64> {
    match &node.value {
        Json::Number(number) => number.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(attributes: &str) -> Logical {
        judge(&Node::parse(&format!("{{{attributes}}}")).unwrap())
    }

    #[test]
    fn what_avro_knows_is_valid_on_its_base_and_ignored_elsewhere() {
        for (name, bases) in LOGICAL {
            for base in ["bytes", "string", "int", "long", "double", "boolean", "array", "enum", "record"] {
                let judged = of(&format!(r#""type":"{base}","logicalType":"{name}","precision":4"#));
                assert_eq!(judged == Logical::Valid, bases.contains(&base), "{name} on {base}: {judged:?}");
                assert!(
                    matches!(judged, Logical::Valid | Logical::Invalid(..)),
                    "{name} on {base}: {judged:?}"
                );
            }
        }
        for (name, size, valid) in
            [("uuid", 16, true), ("uuid", 15, false), ("duration", 12, true), ("duration", 16, false)]
        {
            let judged = of(&format!(r#""type":"fixed","name":"F","size":{size},"logicalType":"{name}""#));
            assert_eq!(judged == Logical::Valid, valid, "{name} on {size}");
        }
    }

    #[test]
    fn a_decimal_is_valid_as_the_specification_says() {
        for (attributes, why) in [
            (r#""precision":64,"scale":127"#, "scale, 127, is above its precision, 64"),
            (r#""precision":10,"scale":11"#, "above"),
            (r#""precision":0,"scale":0"#, "precision is 0"),
            (r#""precision":-1"#, "precision is -1"),
            (r#""precision":10,"scale":-2"#, "scale is -2"),
            (r#""scale":2"#, "no precision"),
            (r#""precision":"10","scale":2"#, "precision is \"10\""),
            (r#""precision":10,"scale":"2""#, "scale is \"2\""),
            (r#""precision":10.5"#, "precision is 10.5"),
            (r#""precision":1e1"#, "precision is 1e1"),
            (r#""precision":null"#, "precision is null"),
        ] {
            let judged = of(&format!(r#""type":"bytes","logicalType":"decimal",{attributes}"#));
            let Logical::Invalid(message, _) = judged else { panic!("{attributes}: {judged:?}") };
            assert!(message.contains(why), "{attributes}: {message}");
        }
        for (attributes, valid) in [
            (r#""type":"bytes","precision":64,"scale":2"#, true),
            (r#""type":"bytes","precision":4,"scale":4"#, true),
            (r#""type":"fixed","size":1,"precision":2"#, true),
            (r#""type":"fixed","size":1,"precision":3"#, false),
            (r#""type":"fixed","size":4,"precision":9"#, true),
            (r#""type":"fixed","size":4,"precision":10"#, false),
            (r#""type":"fixed","size":8,"precision":18"#, true),
            (r#""type":"fixed","size":8,"precision":19"#, false),
            (r#""type":"fixed","size":16,"precision":38"#, true),
        ] {
            let judged = of(&format!(r#""logicalType":"decimal",{attributes}"#));
            assert_eq!(judged == Logical::Valid, valid, "{attributes}: {judged:?}");
        }
    }

    #[test]
    fn a_near_miss_is_told_from_a_name_of_somebody_elses() {
        for (name, near) in [
            ("timestamp-milis", "timestamp-millis"),
            ("timestamp_millis", "timestamp-millis"),
            ("Timestamp-Millis", "timestamp-millis"),
            ("local-timestamp-mcros", "local-timestamp-micros"),
            ("UUID", "uuid"),
            ("Date", "date"),
            ("Decimal", "decimal"),
            ("durations", "duration"),
        ] {
            assert_eq!(
                of(&format!(r#""type":"long","logicalType":"{name}""#)),
                Logical::NearMiss(near),
                "{name}"
            );
        }
        for name in
            ["email", "string", "iso-datetime", "guid", "data", "url", "json", "datetime", "money", "time"]
        {
            let judged = of(&format!(r#""type":"string","logicalType":"{name}""#));
            assert!(matches!(judged, Logical::Unknown(_)), "{name}: {judged:?}");
        }
        assert!(matches!(of(r#""type":"string","logicalType":7"#), Logical::Invalid(..)));
        assert_eq!(of(r#""type":"string""#), Logical::Valid);
    }
}
