//! Metrics read as strictly as the formats are specified: Prometheus' text format 0.0.4 and OpenMetrics 1.0, as far as they
//! are written here (no time stamps, no exemplars, no units).

use std::collections::{BTreeMap, BTreeSet};

/// A sample's labels, in their order.
type Labels = Vec<(String, String)>;

/// A family: its type, and its samples with their labels in order.
#[derive(Debug, Default)]
pub struct Family {
    pub kind: String,
    pub samples: Vec<(String, Labels, f64)>,
}

/// Every family of an exposition by its name; panics at the first thing that is not as specified.
pub fn read(text: &str, open: bool) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n') && !text.contains('\r'), "lines end in a line feed");
    let text = match open {
        true => text.strip_suffix("# EOF\n").expect("OpenMetrics ends in # EOF"),
        false => text,
    };
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let (mut current, mut seen) = (String::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").map(|rest| rest.split_once(' ').expect(line))
        {
            assert!(is_name(name) && !help.trim().is_empty() && !help.contains(['\\', '"']), "{line}");
            assert!(families.insert(name.to_owned(), Family::default()).is_none(), "twice: {line}");
            current = name.to_owned();
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").map(|rest| rest.split_once(' ').expect(line))
        {
            let family = families.get_mut(name).expect("HELP stands before TYPE");
            assert!(name == current && family.kind.is_empty() && family.samples.is_empty(), "{line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            family.kind = kind.to_owned();
        } else {
            let (name, labels, value) = sample(line);
            let family = families.get_mut(&current).unwrap_or_else(|| panic!("no family: {line}"));
            let endings: &[&str] =
                if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(
                endings.iter().any(|ending| name == format!("{current}{ending}")),
                "not of {current}: {line}"
            );
            assert!(seen.insert((name.clone(), labels.clone())), "twice: {line}");
            family.samples.push((name, labels, value));
        }
    }
    for (name, family) in &families {
        judge(name, family, open);
    }
    families
}

/// What `promtool check metrics` and the naming guide say of a family.
fn judge(name: &str, family: &Family, open: bool) {
    let is_counter = family.kind == "counter" || open && family.kind.is_empty();
    assert_eq!(name.ends_with("_total"), is_counter, "{name} is a {}", family.kind);
    assert!(open || !family.kind.is_empty(), "{name} has no type");
    for unit in ["_ms", "_millis", "_milliseconds", "_micros", "_minutes", "_kb", "_mib", "_percent"] {
        assert!(!name.contains(unit), "{name} is in no base unit");
    }
    for ending in ["_bucket", "_count", "_sum", "_gauge", "_counter", "_histogram"] {
        assert!(!name.ends_with(ending), "{name} ends in a reserved word");
    }
    if is_counter {
        assert!(family.samples.iter().all(|(_, _, value)| *value >= 0.0), "{name} fell below 0");
    }
    if family.kind == "histogram" {
        buckets(name, family);
    }
}

/// Buckets rise to `+Inf`, which is the count.
fn buckets(name: &str, family: &Family) {
    let mut series: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    let mut counts = BTreeMap::new();
    for (sample, labels, value) in &family.samples {
        let others: Vec<_> = labels.iter().filter(|(label, _)| label != "le").cloned().collect();
        if sample.ends_with("_bucket") {
            let bound = labels.iter().find(|(label, _)| label == "le").expect("a bucket has a bound");
            series.entry(others).or_default().push((number(&bound.1), *value));
        } else {
            assert_eq!(&others, labels, "only buckets have bounds");
            if sample.ends_with("_count") {
                counts.insert(others, *value);
            }
        }
    }
    for (labels, buckets) in &series {
        assert!(
            buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1),
            "{name}: {buckets:?}"
        );
        let last = buckets.last().unwrap();
        assert_eq!((last.0, Some(&last.1)), (f64::INFINITY, counts.get(labels)), "{name}");
    }
    assert_eq!(series.len(), counts.len(), "{name}");
}

/// `name{label="value"} 1`.
fn sample(line: &str) -> (String, Labels, f64) {
    let name_ends = line.find(['{', ' ']).unwrap_or_else(|| panic!("no sample: {line:?}"));
    let (name, mut rest) = line.split_at(name_ends);
    assert!(is_name(name), "{line}");
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("a label: {line}"));
            assert!(is_name(label) && !label.contains(':'), "{line}");
            let (value, after) = quoted(value);
            labels.push((label.to_owned(), value));
            if let Some(next) = after.strip_prefix(',') {
                rest = next;
            } else {
                rest = after.strip_prefix('}').unwrap_or_else(|| panic!("a brace: {line}"));
                break;
            }
        }
    }
    let names: BTreeSet<_> = labels.iter().map(|(label, _)| label.as_str()).collect();
    assert_eq!(names.len(), labels.len(), "a label twice: {line}");
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("a space: {line}"));
    (name.to_owned(), labels, number(value))
}

/// A text up to its closing quote, and what follows.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match letters.next().map(|(_, letter)| letter) {
                Some('n') => '\n',
                Some(letter @ ('"' | '\\')) => letter,
                other => panic!("no such escape: {other:?} in {text}"),
            }),
            letter => value.push(letter),
        }
    }
    panic!("no closing quote: {text}")
}

fn number(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        text => text.parse().unwrap_or_else(|_| panic!("no number: {text:?}")),
    }
}

fn is_name(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
}
