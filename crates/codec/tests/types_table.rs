//! Every type in each of its places, and the page that says so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

use apache_avro::Schema;
use bumpalo::Bump;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use tidefold_codec::decode::Plan;
use tidefold_codec::json_in::{JsonEncoder, JsonLimits};
use tidefold_codec::schema::{TypeProblem, named_types, parse_type, record_type, type_text};
use tidefold_codec::{Datum, Type, columns, json_out, text};

const PAGE: &str = include_str!("../../../docs/types.md");

fn logical(base: &str, name: &str) -> Json {
    json!({"type": base, "logicalType": name})
}

/// The name in the page, the Avro type, a value in JSON.
fn all() -> Vec<(&'static str, Json, Json)> {
    let fixed = json!({"type": "fixed", "name": "F", "size": 3});
    let color = json!({"type": "enum", "name": "E", "symbols": ["RED", "GREEN"]});
    let item = json!({"type": "record", "name": "R", "fields": [{"name": "x", "type": "int"}]});
    let amount = json!({"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2});
    vec![
        ("boolean", json!("boolean"), json!(true)),
        ("int", json!("int"), json!(42)),
        ("long", json!("long"), json!(42)),
        ("float", json!("float"), json!(0.5)),
        ("double", json!("double"), json!(0.5)),
        ("bytes", json!("bytes"), json!("AQID")),
        ("string", json!("string"), json!("text")),
        ("fixed", fixed, json!("AQID")),
        ("enum", color, json!("GREEN")),
        ("decimal(p,s)", amount, json!("19.90")),
        ("uuid", logical("string", "uuid"), json!("0190163d-8694-739b-aea5-966c26f8ad91")),
        ("date", logical("int", "date"), json!("2026-01-31")),
        ("time-millis", logical("int", "time-millis"), json!("12:00:00.250")),
        ("time-micros", logical("long", "time-micros"), json!("12:00:00.000250")),
        ("timestamp-millis", logical("long", "timestamp-millis"), json!("2026-01-31T12:00:00Z")),
        ("timestamp-micros", logical("long", "timestamp-micros"), json!("2026-01-31T12:00:00.000250Z")),
        ("local-timestamp-millis", logical("long", "local-timestamp-millis"), json!("2026-01-31T12:00:00")),
        (
            "local-timestamp-micros",
            logical("long", "local-timestamp-micros"),
            json!("2026-01-31T12:00:00.000250"),
        ),
        ("array<T>", json!({"type": "array", "items": "int"}), json!([1, 2])),
        ("map<T>", json!({"type": "map", "values": "int"}), json!({"a": 1})),
        ("record", item, json!({"x": 1})),
        ("union<A,B>", json!(["long", "string"]), json!("text")),
        ("T?", json!(["null", "int"]), Json::Null),
    ]
}

/// Breaks when a type is added: then it needs a row above, and one in the page.
fn name(ty: &Type) -> &'static str {
    match ty {
        Type::Boolean => "boolean",
        Type::Int => "int",
        Type::Long => "long",
        Type::Float => "float",
        Type::Double => "double",
        Type::Bytes => "bytes",
        Type::String => "string",
        Type::Fixed(_) => "fixed",
        Type::Enum(_) => "enum",
        Type::Decimal { .. } => "decimal(p,s)",
        Type::Uuid => "uuid",
        Type::Date => "date",
        Type::TimeMillis => "time-millis",
        Type::TimeMicros => "time-micros",
        Type::TimestampMillis => "timestamp-millis",
        Type::TimestampMicros => "timestamp-micros",
        Type::LocalTimestampMillis => "local-timestamp-millis",
        Type::LocalTimestampMicros => "local-timestamp-micros",
        Type::Array(_) => "array<T>",
        Type::Map(_) => "map<T>",
        Type::Record(_) => "record",
        Type::Union(_) => "union<A,B>",
    }
}

fn message(ty: &Json) -> Schema {
    Schema::parse(&json!({"type": "record", "name": "M", "fields": [{"name": "a", "type": ty}]})).unwrap()
}

#[test]
fn every_type_goes_through_each_of_its_places() {
    for (row, avro, value) in all() {
        let schema = message(&avro);
        let record = record_type(&schema).unwrap();
        let column = &record.fields[0].column;
        assert!(row == "T?" || name(&column.ty) == row, "{row}");
        let mut datum = Vec::new();
        let encoder = JsonEncoder::new(record.clone(), Vec::new(), JsonLimits::default());
        encoder.encode(json!({ "a": value }).to_string().as_bytes(), &mut datum, &mut Vec::new()).unwrap();
        let plan = Plan::new(&schema, &record, &[true]).unwrap();
        let arena = Bump::new();
        let mut slots = [Datum::Null];
        plan.read(&datum, &mut slots, &arena).unwrap();
        let mut state = Vec::new();
        columns::encode([column], &slots, &mut state);
        let mut loaded = [Datum::Null];
        columns::decode([column], &state, &mut loaded).unwrap();
        let mut json = Vec::new();
        json_out::write(column, loaded[0], &mut json);
        assert_eq!(serde_json::from_slice::<Json>(&json).unwrap(), value, "{row}");
        let named = named_types(&schema).unwrap();
        assert_eq!(parse_type(&type_text(column), &named).as_ref(), Ok(column), "{row}");
    }
}

#[test]
fn the_page_has_a_row_for_every_type_and_says_whether_it_can_stand_in_a_key() {
    let rows: BTreeMap<&str, &str> = PAGE
        .lines()
        .filter_map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let name = cells.first()?.strip_prefix('`')?.split('`').next()?;
            Some((name, *cells.get(6)?))
        })
        .collect();
    assert_eq!(rows.len(), all().len());
    for (row, avro, _) in all() {
        let record = record_type(&message(&avro)).unwrap();
        let column = &record.fields[0].column;
        let can = !column.nullable && text::is_key_type(&column.ty);
        assert_eq!(rows.get(row).map(|cell| *cell == "yes"), Some(can), "{row}");
    }
}

#[test]
fn what_has_no_place_is_refused_with_the_reason() {
    let uuid = json!({"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"});
    let duration = json!({"type": "fixed", "name": "D", "size": 12, "logicalType": "duration"});
    let wide = json!({"type": "bytes", "logicalType": "decimal", "precision": 39, "scale": 2});
    let cases = [
        (json!("null"), "has no value"),
        (duration, "no fixed length"),
        (logical("long", "timestamp-nanos"), "timestamp-micros"),
        (logical("long", "local-timestamp-nanos"), "timestamp-micros"),
        (logical("bytes", "big-decimal"), "use decimal"),
        (wide, "1 to 38"),
        (uuid, "stands on string only"),
        (json!({"type": "array", "items": ["int", "null"]}), "null has to stand first"),
        (json!(["int", "null", "string"]), "null has to stand first"),
    ];
    for (avro, reason) in cases {
        let problems = record_type(&message(&avro)).unwrap_err();
        let [TypeProblem::Unsupported { path, detail }] = problems.as_slice() else { panic!("{problems:?}") };
        assert_eq!(path, &["a"]);
        assert!(detail.contains(reason), "{detail}");
    }
    let tree =
        json!({"type": "record", "name": "n.Tree", "fields": [{"name": "left", "type": ["null", "n.Tree"]}]});
    let problems = record_type(&message(&tree)).unwrap_err();
    assert_eq!(problems, [TypeProblem::Recursive { name: "n.Tree".into() }]);
    assert!(record_type(&message(&logical("long", "furlongs"))).is_ok());
    assert!(record_type(&Schema::Long).is_err());
}

#[test]
fn all_problems_of_a_schema_are_told() {
    let inner = json!({"type": "record", "name": "I", "fields": [
        {"name": "x", "type": "null"}, {"name": "y", "type": logical("long", "timestamp-nanos")}]});
    let problems = record_type(&message(&json!({"type": "array", "items": inner}))).unwrap_err();
    let paths = problems.iter().map(|problem| match problem {
        TypeProblem::Unsupported { path, .. } => path.join("."),
        other => panic!("{other}"),
    });
    assert_eq!(paths.collect::<Vec<_>>(), ["a.x", "a.y"]);
}

#[test]
fn type_texts_are_read_or_told_what_to_write() {
    let schema = message(&json!({"type": "record", "name": "shop.OrderItem", "fields": []}));
    let named = named_types(&schema).unwrap();
    for text in [
        "long",
        "timestamp-millis?",
        "decimal(10,2)",
        "array<shop.OrderItem>",
        "map<long?>",
        "array<string?>?",
        "union<long,string>?",
    ] {
        assert_eq!(type_text(&parse_type(text, &named).unwrap()), text);
    }
    assert_eq!(parse_type(" array < OrderItem > ", &named), parse_type("array<shop.OrderItem>", &named));
    assert_eq!(type_text(&parse_type("decimal(5)", &named).unwrap()), "decimal(5,0)");
    let wrong = [
        ("Nothing", "there is no type `Nothing`"),
        ("varchar", "`varchar` is not a type: write string"),
        ("array", "`array` is not a type: write the type of its values: array<string>"),
        ("array<long", "`array<long` is not a type: `>` is missing"),
        ("long??", "`long??` is not a type: `?` is left over"),
        ("", "`` is not a type: a type name is missing"),
        ("decimal(x)", "`decimal(x)` is not a type: write decimal(precision,scale), such as decimal(10,2)"),
        ("null", "`null` is not a type: write `?` behind a type where null is a value"),
    ];
    for (text, told) in wrong {
        assert_eq!(parse_type(text, &named).unwrap_err().to_string(), told);
    }
    let deep = format!("{}long{}", "array<".repeat(5000), ">".repeat(5000));
    assert!(parse_type(&deep, &named).unwrap_err().to_string().contains("nests deeper"));
}

#[test]
fn parts_of_encoded_values_are_reached() {
    let item = json!({"type": "record", "name": "Item", "fields": [
        {"name": "sku", "type": "string"}, {"name": "note", "type": ["string", "null"]}, {"name": "qty", "type": "int"}]});
    let schema = message(&json!({"type": "array", "items": item}));
    let record = record_type(&schema).unwrap();
    let encoder = JsonEncoder::new(record.clone(), Vec::new(), JsonLimits::default());
    let json = br#"{"a": [{"sku": "x", "note": null, "qty": 2}, {"qty": 3, "note": "n", "sku": "y"}]}"#;
    let mut datum = Vec::new();
    encoder.encode(json, &mut datum, &mut Vec::new()).unwrap();
    let Type::Array(element) = &record.fields[0].column.ty else { panic!() };
    let Type::Record(item) = &element.ty else { panic!() };
    assert_eq!(columns::count(element, false, &datum), Ok(2));
    let mut seen = Vec::new();
    for element in columns::elements(element, &datum) {
        let Datum::Encoded(bytes) = element.unwrap() else { panic!() };
        seen.push([0, 1, 2].map(|at| columns::field(item, bytes, at).unwrap()));
    }
    assert_eq!(
        seen,
        [
            [Datum::Text("x"), Datum::Null, Datum::Long(2)],
            [Datum::Text("y"), Datum::Text("n"), Datum::Long(3)],
        ]
    );
    assert!(columns::elements(element, &datum[..4]).any(|element| element.is_err()));
    let long = Type::Long.required();
    let map = b"\x04\x02a\x02\x02b\x04\x00";
    assert_eq!(columns::entry(&long, map, "b"), Ok(Datum::Long(2)));
    assert_eq!(columns::entry(&long, map, "c"), Ok(Datum::Null));
    assert_eq!(columns::entries(&long, map).count(), 2);
    assert_eq!(columns::count(&long, true, b"\x01\x06\x02a\x02\x02\x02b\x04\x00"), Ok(2));
}
