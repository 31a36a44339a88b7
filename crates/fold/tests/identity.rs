//! Which messages with one id are the same: payloads are compared as values.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use tidefold_app::{App, SourceFile};
use tidefold_fold::whole::WholeFold;
use tidefold_fold::{FoldSettings, SchemaFate, TableSlot};
use tidefold_record::headers::{HeadersBuilder, Known};
use tidefold_record::{BatchBuilder, Offset, Partition, SchemaId, frame};
use tidefold_table::Verdict;

const SETTINGS: FoldSettings = FoldSettings { window: 10_000 };

fn verdicts(whole: &WholeFold) -> BTreeMap<u64, Verdict> {
    let rows = whole.rows(TableSlot::Verdicts).into_iter();
    rows.map(|(key, row)| (u64::from_be_bytes(key[4..].try_into().unwrap()), Verdict::decode(&row).unwrap()))
        .collect()
}

const APP: &str = r#"
app = "tags"
[topics.tags]
key = ["id"]
partitions = 1
commands = ["SetTags", "DropTags"]
[entities.tagged]
topic = "tags"
[entities.tagged.columns]
tags = "map<string>"
[entities.tagged.on.SetTags]
when = "any"
set = "tags = msg.tags"
[entities.tagged.on.DropTags]
when = "any"
set = "tags = state.tags"
"#;

const FIELDS: &str = r#"{"name": "id", "type": "string"}, {"name": "tags", "type": {"type": "map", "values": "string"}},
    {"name": "deep", "type": ["null", {"type": "array", "items": {"type": "record", "name": "Deep", "fields": [
        {"name": "maps", "type": {"type": "map", "values": {"type": "map", "values": "int"}}}]}}], "default": null},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, "default": "\u0000"},
    {"name": "score", "type": "double", "default": 0.0},
    {"name": "uid", "type": {"type": "string", "logicalType": "uuid"}, "default": "0190163d-8694-739b-aea5-966c26f8ad91"}"#;

fn schema(name: &str, fields: &str) -> String {
    format!(r#"{{"type": "record", "name": "{name}", "fields": [{fields}]}}"#)
}

fn chunk(text: &str) -> Vec<u8> {
    [&[text.len() as u8 * 2], text.as_bytes()].concat()
}

/// A map in one block, its entries as they come.
fn map(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = vec![entries.len() as u8 * 2];
    entries.iter().for_each(|(key, value)| out.extend([&chunk(key)[..], value].concat()));
    out.push(0);
    out
}

fn text(value: &str) -> Vec<u8> {
    chunk(value)
}

/// The parts of a message of `FIELDS`.
struct Parts {
    tags: Vec<u8>,
    deep: Vec<u8>,
    price: Vec<u8>,
    score: f64,
    uid: &'static str,
}

impl Parts {
    fn plain() -> Parts {
        Parts {
            tags: map(&[("x", &text("1")), ("y", &text("2"))]),
            deep: vec![0],
            price: vec![2, 0],
            score: 0.0,
            uid: "0190163d-8694-739b-aea5-966c26f8ad91",
        }
    }

    fn datum(&self) -> Vec<u8> {
        let parts = [
            &chunk("a")[..],
            &self.tags,
            &self.deep,
            &self.price,
            &self.score.to_le_bytes(),
            &chunk(self.uid),
        ];
        parts.concat()
    }
}

fn one_deep(maps: &[u8]) -> Vec<u8> {
    [&[2, 2][..], maps, &[0]].concat()
}

const CONFLICT: &str = "idempotency_conflict";

/// Folds two messages with one id and tells what became of the second; the schema ids are places in `schemas`.
fn second(app: &Arc<App>, schemas: &[String], sent: [(u32, Option<&str>, Vec<u8>); 2]) -> String {
    let mut batch = BatchBuilder::new();
    for (schema, ce_type, datum) in sent {
        let mut value = Vec::new();
        frame(SchemaId(schema), &mut value);
        value.extend(datum);
        let mut headers = HeadersBuilder::new();
        headers.push(Known::CeId, b"k");
        ce_type.iter().for_each(|name| headers.push(Known::CeType, name.as_bytes()));
        batch.push(Some(b"a"), Some(&value), headers.as_headers());
    }
    let mut whole = WholeFold::new(Arc::clone(&app.projections[0]), Partition(0), SETTINGS);
    let fate = |id: SchemaId| SchemaFate::Registered(schemas[id.0 as usize].as_str().into());
    whole.fold(&batch.build(Partition(0), Offset(0)), None, fate).unwrap();
    let found = verdicts(&whole);
    assert_eq!(found.get(&0), None, "the first is applied");
    match found.get(&1) {
        None => "applied".to_owned(),
        Some(Verdict::Duplicate(Offset(0))) => "duplicate".to_owned(),
        Some(Verdict::Rejected(codes)) => codes.join(","),
        other => format!("{other:?}"),
    }
}

fn tags_app() -> Arc<App> {
    let file = |path: &str, text: String| SourceFile { path: path.into(), text };
    let drop = schema("DropTags", &FIELDS.replace("\"Deep\"", "\"DeepDropped\""));
    let files = vec![
        file("app.toml", APP.into()),
        file("SetTags.avsc", schema("SetTags", FIELDS)),
        file("DropTags.avsc", drop),
    ];
    Arc::new(tidefold_app::load(files).unwrap_or_else(|mistakes| panic!("{mistakes}")))
}

type Case = (&'static str, Parts, Parts, &'static str);

fn collections() -> Vec<Case> {
    let plain = Parts::plain;
    let number = |n: u8| vec![n * 2];
    let inner = |first: &str, second: &str| map(&[(first, &number(1)), (second, &number(1))]);
    vec![
        ("the same bytes", plain(), plain(), "duplicate"),
        (
            "a map in another order",
            plain(),
            Parts { tags: map(&[("y", &text("2")), ("x", &text("1"))]), ..plain() },
            "duplicate",
        ),
        (
            "a map in two blocks, one with its size",
            plain(),
            Parts {
                tags: [&[2][..], &chunk("y"), &text("2"), &[1, 8], &chunk("x"), &text("1"), &[0]].concat(),
                ..plain()
            },
            "duplicate",
        ),
        (
            "a map's key twice: the last one counts",
            plain(),
            Parts { tags: map(&[("x", &text("9")), ("y", &text("2")), ("x", &text("1"))]), ..plain() },
            "duplicate",
        ),
        (
            "a map with its values exchanged",
            plain(),
            Parts { tags: map(&[("x", &text("2")), ("y", &text("1"))]), ..plain() },
            CONFLICT,
        ),
        ("a map with less", plain(), Parts { tags: map(&[("x", &text("1"))]), ..plain() }, CONFLICT),
        (
            "maps of maps in records in arrays",
            Parts { deep: one_deep(&map(&[("a", &inner("m", "n")), ("b", &inner("o", "p"))])), ..plain() },
            Parts { deep: one_deep(&map(&[("b", &inner("p", "o")), ("a", &inner("n", "m"))])), ..plain() },
            "duplicate",
        ),
        (
            "maps of maps, one key exchanged",
            Parts { deep: one_deep(&map(&[("a", &inner("m", "n")), ("b", &inner("o", "p"))])), ..plain() },
            Parts { deep: one_deep(&map(&[("b", &inner("m", "n")), ("a", &inner("o", "p"))])), ..plain() },
            CONFLICT,
        ),
    ]
}

fn scalars() -> Vec<Case> {
    let plain = Parts::plain;
    vec![
        ("an array's order", deep_two("m", "n"), deep_two("n", "m"), CONFLICT),
        ("a decimal in more bytes", plain(), Parts { price: vec![6, 0, 0, 0], ..plain() }, "duplicate"),
        (
            "a negative decimal in more bytes",
            Parts { price: vec![2, 0xfb], ..plain() },
            Parts { price: vec![4, 0xff, 0xfb], ..plain() },
            "duplicate",
        ),
        ("another decimal", plain(), Parts { price: vec![2, 1], ..plain() }, CONFLICT),
        ("negative zero", plain(), Parts { score: -0.0, ..plain() }, "duplicate"),
        ("another double", plain(), Parts { score: f64::MIN_POSITIVE, ..plain() }, CONFLICT),
        (
            "a uuid in upper case",
            plain(),
            Parts { uid: "0190163D-8694-739B-AEA5-966C26F8AD91", ..plain() },
            "duplicate",
        ),
    ]
}

#[test]
fn payloads_are_compared_as_values() {
    let app = tags_app();
    let schemas = [schema("SetTags", FIELDS)];
    for (what, first, other, expected) in collections().into_iter().chain(scalars()) {
        for (a, b) in [(&first, &other), (&other, &first)] {
            let sent = [(0, Some("SetTags"), a.datum()), (0, Some("SetTags"), b.datum())];
            assert_eq!(second(&app, &schemas, sent), expected, "{what}");
        }
    }
}

fn deep_two(first: &str, last: &str) -> Parts {
    let element = |key: &str| map(&[(key, &[0])]);
    Parts { deep: [&[2, 4][..], &element(first), &element(last), &[0]].concat(), ..Parts::plain() }
}

#[test]
fn a_payload_is_what_the_apps_schema_sees_in_it_whoever_wrote_it() {
    let app = tags_app();
    let base =
        r#"{"name": "id", "type": "string"}, {"name": "tags", "type": {"type": "map", "values": "string"}}"#;
    let schemas = [
        schema("SetTags", FIELDS),
        schema("SetTags", base),
        schema("SetTags", &format!(r#"{base}, {{"name": "note", "type": "string"}}"#)),
        schema(
            "SetTags",
            r#"{"name": "tags", "type": {"type": "map", "values": "string"}}, {"name": "id", "type": "string"}"#,
        ),
        schema("SetTags", &format!(r#"{base}, {{"name": "score", "type": "int"}}"#)),
        schema("DropTags", base),
    ];
    let full = Parts::plain().datum();
    let tags = Parts::plain().tags;
    let short = [&chunk("a")[..], &tags].concat();
    let noted = |note: &str| [&short[..], &chunk(note)].concat();
    let turned = [&tags[..], &chunk("a")].concat();
    let scored = |score: u8| [&short[..], &[score * 2]].concat();
    let set = Some("SetTags");
    let cases = [
        ("defaults fill in", (0, set, full.clone()), (1, set, short.clone()), "duplicate"),
        ("fields in another order", (1, set, short.clone()), (3, set, turned), "duplicate"),
        ("a field the app does not know", (1, set, short.clone()), (2, set, noted("x")), "duplicate"),
        ("two values of it", (2, set, noted("x")), (2, set, noted("y")), "duplicate"),
        ("a narrower number", (0, set, full.clone()), (4, set, scored(0)), "duplicate"),
        ("another narrower number", (0, set, full.clone()), (4, set, scored(1)), CONFLICT),
        ("no ce_type", (0, set, full.clone()), (0, None, full), "duplicate"),
        ("another message type", (1, set, short.clone()), (5, Some("DropTags"), short.clone()), CONFLICT),
    ];
    for (what, first, other, expected) in cases {
        for sent in [[first.clone(), other.clone()], [other, first]] {
            if sent[0].0 == 5 {
                continue; // There is nothing to drop yet.
            }
            assert_eq!(second(&app, &schemas, sent), expected, "{what}");
        }
    }
}

#[test]
fn equal_maps_are_kept_as_equal_bytes() {
    let app = tags_app();
    let tags = [[("x", text("1")), ("y", text("2"))], [("y", text("2")), ("x", text("1"))]];
    let rows = tags.map(|[(a, one), (b, two)]| {
        let parts = Parts { tags: map(&[(a, &one), (b, &two)]), ..Parts::plain() };
        let mut batch = BatchBuilder::new();
        let mut value = Vec::new();
        frame(SchemaId(0), &mut value);
        value.extend(parts.datum());
        batch.push(Some(b"a"), Some(&value), HeadersBuilder::new().as_headers());
        let mut whole = WholeFold::new(Arc::clone(&app.projections[0]), Partition(0), SETTINGS);
        let fate = |_| SchemaFate::Registered(schema("SetTags", FIELDS).as_str().into());
        whole.fold(&batch.build(Partition(0), Offset(0)), None, fate).unwrap();
        whole.row(TableSlot::Entity, b"a").unwrap()
    });
    assert_eq!(rows[0], rows[1]);
}
