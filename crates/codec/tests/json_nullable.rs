//! Avro's own JSON encoding of a nullable: what is taken for it, and what stays a bare value.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::sync::Arc;

use apache_avro::Schema;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use support::{Rng, logical, parse, record_value, schema};
use tidefold_codec::json_in::{JsonEncoder, JsonLimits};
use tidefold_codec::schema::record_type;
use tidefold_codec::{ColumnType, Field, RecordType, Type, json_out};

/// What `{"a": value}` of a nullable `ty` is read as, or what is said about it.
fn of(ty: Json, value: &str) -> Result<Json, String> {
    let schema = json!({"type": "record", "name": "M", "fields": [{"name": "a", "type": ["null", ty]}]});
    let record = record_type(&Schema::parse(&schema).unwrap()).unwrap();
    read(&record, &format!("{{\"a\": {value}}}")).map(|mut read| read["a"].take())
}

fn read(record: &Arc<RecordType>, json: &str) -> Result<Json, String> {
    let mut datum = Vec::new();
    let encoder = JsonEncoder::new(record.clone(), Vec::new(), JsonLimits::default());
    let encoded = encoder.encode(json.as_bytes(), &mut datum, &mut Vec::new());
    encoded.map_err(|told| told.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let mut out = Vec::new();
    json_out::record_to_json(record, &datum, &mut out).unwrap();
    Ok(serde_json::from_slice(&out).unwrap())
}

#[test]
fn an_object_with_the_name_of_the_type_is_the_value() {
    let suit = json!({"type": "enum", "name": "a.b.Suit", "symbols": ["X", "Y"]});
    let item = json!({"type": "record", "name": "a.Item", "fields": [{"name": "sku", "type": "string"}]});
    let millis = || logical("long", "timestamp-millis");
    let instant = json!("2026-01-31T12:00:00Z");
    let list = || json!({"type": "array", "items": "int"});
    let table: Vec<(Json, &str, Json)> = vec![
        (json!("string"), r#"{"string":"x"}"#, json!("x")),
        (json!("string"), r#" { "string" : "x" } "#, json!("x")),
        (json!("boolean"), r#"{"boolean":true}"#, json!(true)),
        (json!("int"), r#"{"int":-7}"#, json!(-7)),
        (json!("long"), r#"{"long":7}"#, json!(7)),
        (json!("double"), r#"{"double":0.5}"#, json!(0.5)),
        (millis(), r#"{"long":1769860800000}"#, instant.clone()),
        (millis(), r#"{"timestamp-millis":"2026-01-31T12:00:00Z"}"#, instant.clone()),
        (millis(), r#"{"long.timestamp-millis":1769860800000}"#, instant),
        (logical("int", "date"), r#"{"int":"2026-01-31"}"#, json!("2026-01-31")),
        (suit.clone(), r#"{"a.b.Suit":"X"}"#, json!("X")),
        (suit, r#"{"Suit":"X"}"#, json!("X")),
        (list(), r#"{"array":[1,2]}"#, json!([1, 2])),
        (list(), r#"[1,2]"#, json!([1, 2])),
        (item.clone(), r#"{"a.Item":{"sku":"s"}}"#, json!({"sku": "s"})),
        (item.clone(), r#"{"Item":{"sku":"s"}}"#, json!({"sku": "s"})),
        (item, r#"{"sku":"s"}"#, json!({"sku": "s"})),
    ];
    for (ty, value, expected) in table {
        assert_eq!(of(ty.clone(), value), Ok(expected), "{ty} {value}");
        assert_eq!(of(ty, "null"), Ok(Json::Null));
    }
}

#[test]
fn where_an_object_could_be_the_bare_value_it_is() {
    let maps = |values: Json| json!({"type": "map", "values": values});
    let named = json!({"type": "record", "name": "Item", "fields": [{"name": "Item", "type": "string"}]});
    assert_eq!(of(named, r#"{"Item":"x"}"#), Ok(json!({"Item": "x"})));
    assert_eq!(of(maps(json!("string")), r#"{"map":"x"}"#), Ok(json!({"map": "x"})));
    assert_eq!(of(maps(json!("string")), r#"{"map":{"k":"x"}}"#), Ok(json!({"k": "x"})));
    assert_eq!(of(maps(json!("string")), r#"{"map":"x","k":"y"}"#), Ok(json!({"map": "x", "k": "y"})));
    let nested = of(maps(maps(json!("string"))), r#"{"map":{"k":"x"}}"#);
    assert_eq!(nested, Ok(json!({"map": {"k": "x"}})), "a map of maps is bare");
    let maybe = of(maps(json!(["null", "string"])), r#"{"map":{"string":"x"}}"#);
    assert_eq!(maybe, Ok(json!({"map": "x"})), "the value of the key `map`");
}

#[test]
fn what_is_no_such_object_is_told_to_be_written_alone() {
    let fixed = json!({"type": "fixed", "name": "F", "size": 3});
    let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2});
    let cases = [
        (json!("string"), r#"{"long":"x"}"#),
        (json!("string"), r#"{"string":"x","more":1}"#),
        (json!("string"), r#"{"string":"x","string":"y"}"#),
        (json!("string"), "{}"),
        (json!("bytes"), r#"{"bytes":"AQID"}"#),
        (fixed, r#"{"F":"AQID"}"#),
        (decimal, r#"{"bytes":"12"}"#),
    ];
    for (ty, value) in cases {
        let told = of(ty.clone(), value).unwrap_err();
        assert!(
            told.starts_with("#/a: found an object") && told.contains("write the value alone"),
            "{ty}: {told}"
        );
    }
    let told = of(json!("string"), r#"{"string":7}"#).unwrap_err();
    assert!(told.starts_with("#/a/string: found a number"), "{told}");
    assert!(of(json!("string"), r#"{"string":null}"#).unwrap_err().contains("null"));
    assert!(of(json!("string"), r#"{"string":{"string":"x"}}"#).is_err());
}

#[test]
fn a_byte_order_mark_is_passed_over_and_other_encodings_are_named() {
    let record = record_type(
        &Schema::parse(&json!({"type": "record", "name": "M", "fields": [{"name": "a", "type": "int"}]}))
            .unwrap(),
    );
    let encoder = JsonEncoder::new(record.unwrap(), Vec::new(), JsonLimits::default());
    let told = |bytes: &[u8]| match encoder.encode(bytes, &mut Vec::new(), &mut Vec::new()) {
        Ok(()) => String::new(),
        Err(told) => told.iter().map(ToString::to_string).collect(),
    };
    let text = r#"{"a":1}"#;
    assert_eq!(told(format!("\u{feff}{text}").as_bytes()), "");
    for (bytes, named) in [
        (text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>(), "UTF-16"),
        (format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_be_bytes).collect(), "UTF-16"),
        (b"\x1f\x8b\x08\0\0\0\0\0".to_vec(), "gzip"),
        (b"\x28\xb5\x2f\xfd\0\0".to_vec(), "zstd"),
        (b"{\"a\":\"\xe9\"}".to_vec(), "UTF-8"),
    ] {
        let told = told(&bytes);
        assert!(told.contains(named) && told.contains("first"), "{named}: {told}");
    }
}

/// A value's JSON with every nullable written as Avro's own JSON writes it.
fn tagged(column: &ColumnType, value: &Json) -> Json {
    if value.is_null() {
        return Json::Null;
    }
    let inner = match (&column.ty, value) {
        (Type::Array(of), Json::Array(items)) => items.iter().map(|item| tagged(of, item)).collect(),
        (Type::Map(of), Json::Object(members)) => {
            members.iter().map(|(key, value)| (key.clone(), tagged(of, value))).collect()
        }
        (Type::Record(of), Json::Object(_)) => tagged_record(of, value),
        _ => value.clone(),
    };
    let name = match &column.ty {
        _ if !column.nullable => return inner,
        Type::Bytes | Type::Fixed(_) | Type::Decimal { .. } | Type::Map(_) | Type::Union(_) => return inner,
        Type::Record(record) if record.field(&record.full_name).is_some() => return inner,
        Type::Record(record) => record.full_name.clone(),
        Type::Enum(symbols) => symbols.full_name.clone(),
        Type::Array(_) => "array".to_owned(),
        Type::Boolean => "boolean".to_owned(),
        Type::Int | Type::Date | Type::TimeMillis => "int".to_owned(),
        Type::Float => "float".to_owned(),
        Type::Double => "double".to_owned(),
        Type::String | Type::Uuid => "string".to_owned(),
        _ => "long".to_owned(),
    };
    json!({ name: inner })
}

fn tagged_record(record: &RecordType, value: &Json) -> Json {
    let field = |field: &Field| (field.name.to_string(), tagged(&field.column, &value[&*field.name]));
    record.fields.iter().map(field).collect::<serde_json::Map<_, _>>().into()
}

proptest! {
    /// Random schemas and values: tagged and bare are the same datum.
    #[test]
    fn a_tagged_value_is_the_bare_one(seed in any::<u64>()) {
        let mut rng = Rng(seed);
        let (_, record) = parse(&schema(&mut rng));
        let (bare, _) = record_value(&mut rng, &record);
        let encoder = JsonEncoder::new(record.clone(), Vec::new(), JsonLimits::default());
        let datum = |json: &Json| {
            let mut datum = Vec::new();
            encoder.encode(json.to_string().as_bytes(), &mut datum, &mut Vec::new()).map(|()| datum)
        };
        let tagged = tagged_record(&record, &bare);
        prop_assert_eq!(datum(&tagged), datum(&bare), "{} and {}", tagged, bare);
    }
}
