//! Reading with another schema than the writer's: against `apache-avro` for what both allow, by example for the rest.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use bumpalo::Bump;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use support::{Rng, Schemas, parse, record_value};
use tidefold_codec::decode::{DecodeError, Plan};
use tidefold_codec::{Datum, RecordType, json_out};

/// An older form of a reader's schema: narrower numbers, values where the reader allows null, fields in another order,
/// some that the reader does not have, some missing that it has a default for.
fn older(rng: &mut Rng, schema: &mut Json) {
    match schema {
        Json::String(name) => {
            let narrower: &[&str] = match name.as_str() {
                "long" => &["int"],
                "float" => &["int", "long"],
                "double" => &["int", "long", "float"],
                "bytes" => &["string"],
                _ => &[],
            };
            if !narrower.is_empty() && rng.chance(2) {
                *name = narrower[rng.below(narrower.len() as u64) as usize].to_owned();
            }
        }
        Json::Array(branches) => {
            let values: Vec<_> = branches.iter().filter(|branch| **branch != "null").cloned().collect();
            match values.as_slice() {
                [value] if rng.chance(2) => {
                    *schema = value.clone();
                    older(rng, schema);
                }
                [_] => branches.reverse(),
                // apache-avro takes the first branch that the value can become, so unions stay as they are.
                _ => {}
            }
        }
        Json::Object(object) => {
            for inner in ["items", "values"] {
                if let Some(inner) = object.get_mut(inner) {
                    older(rng, inner);
                }
            }
            if let Some(Json::Array(fields)) = object.get_mut("fields") {
                older_fields(rng, fields);
            }
        }
        _ => {}
    }
}

fn older_fields(rng: &mut Rng, fields: &mut Vec<Json>) {
    fields.retain(|field| field.get("default").is_none() || rng.chance(2));
    for field in fields.iter_mut() {
        field.as_object_mut().unwrap().remove("default");
        older(rng, field.get_mut("type").unwrap());
    }
    if rng.chance(2) {
        fields.push(json!({"name": "dropped", "type": {"type": "map", "values": ["null", "string"]}}));
    }
    if !fields.is_empty() && rng.chance(2) {
        let at = rng.below(fields.len() as u64) as usize;
        fields.rotate_left(at);
    }
}

/// Gives fields of some types a default.
fn with_defaults(rng: &mut Rng, schema: &mut Json) {
    match schema {
        Json::Array(values) => values.iter_mut().for_each(|value| with_defaults(rng, value)),
        Json::Object(object) => {
            let default = match object.get("type") {
                Some(Json::String(name)) => default_of(name),
                Some(Json::Array(branches)) if branches[0] == "null" => Some(Json::Null),
                _ => None,
            };
            if let (Some(default), true, true) = (default, object.contains_key("name"), rng.chance(2)) {
                object.insert("default".to_owned(), default);
            }
            object.values_mut().for_each(|value| with_defaults(rng, value));
        }
        _ => {}
    }
}

fn default_of(name: &str) -> Option<Json> {
    match name {
        "long" | "int" => Some(json!(-7)),
        "string" => Some(json!("seven")),
        "double" | "float" => Some(json!(0.5)),
        "boolean" => Some(json!(true)),
        _ => None,
    }
}

fn read(plan: &Plan, record: &RecordType, datum: &[u8]) -> Result<Vec<Json>, DecodeError> {
    let arena = Bump::new();
    let mut slots = vec![Datum::Null; record.fields.len()];
    plan.read(datum, &mut slots, &arena)?;
    Ok(record
        .fields
        .iter()
        .zip(&slots)
        .map(|(field, slot)| {
            let mut out = Vec::new();
            json_out::write(&field.column, *slot, &mut out);
            serde_json::from_slice(&out).unwrap()
        })
        .collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn an_older_writer_is_read_as_apache_avro_resolves_it(seed in any::<u64>()) {
        let mut rng = Rng(seed);
        let mut reader = Schemas { names: 0, bytes_decimals: false, union_records: 1 }.record(&mut rng, 3);
        with_defaults(&mut rng, &mut reader);
        let mut writer = reader.clone();
        older(&mut rng, &mut writer);
        let (writer_schema, writer_record) = {
            let schema = Schema::parse(&writer).unwrap();
            // A writer may put null second where this crate's own schemas may not.
            let Ok(record) = tidefold_codec::schema::record_type(&schema) else { return Ok(()) };
            (schema, record)
        };
        let (reader_schema, reader_record) = parse(&reader);
        let (_, value) = record_value(&mut rng, &writer_record);
        let datum = GenericDatumWriter::builder(&writer_schema).build().unwrap().write_value_to_vec(value).unwrap();
        let resolved = GenericDatumReader::builder(&writer_schema).reader_schema(&reader_schema).build().unwrap()
            .read_value(&mut datum.as_slice());
        let Ok(resolved) = resolved else { return Err(TestCaseError::fail(format!("{resolved:?} {reader} {writer}"))) };
        let resolved = GenericDatumWriter::builder(&reader_schema).build().unwrap().write_value_to_vec(resolved).unwrap();

        let all = vec![true; reader_record.fields.len()];
        let plan = Plan::new(&writer_schema, &reader_record, &all);
        let plan = plan.map_err(|errors| TestCaseError::fail(format!("{errors:?} {reader} {writer}")))?;
        let same = Plan::new(&reader_schema, &reader_record, &all).unwrap();
        prop_assert_eq!(read(&plan, &reader_record, &datum), read(&same, &reader_record, &resolved));
    }
}

fn record(fields: Json) -> Json {
    json!({"type": "record", "name": "M", "fields": fields})
}

/// The reader's JSON of what a writer's datum says.
fn resolve(writer: Json, reader: Json, datum: &[u8]) -> Result<Vec<Json>, String> {
    let writer = Schema::parse(&record(writer)).unwrap();
    let (_, reader) = parse(&record(reader));
    let plan = Plan::new(&writer, &reader, &vec![true; reader.fields.len()])
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    read(&plan, &reader, datum).map_err(|error| error.to_string())
}

#[test]
fn a_renamed_field_is_found_by_its_alias() {
    let writer = json!([{"name": "customer", "type": "string"}]);
    let reader = json!([{"name": "customer_id", "aliases": ["customer"], "type": "string"}]);
    assert_eq!(resolve(writer, reader, b"\x02a"), Ok(vec![json!("a")]));
}

#[test]
fn an_enum_symbol_that_the_reader_does_not_know_becomes_its_default() {
    let symbols = |symbols: Json| json!([{"name": "e", "type": symbols}]);
    let writer = symbols(json!({"type": "enum", "name": "E", "symbols": ["A", "B", "C"]}));
    let reader = symbols(json!({"type": "enum", "name": "E", "symbols": ["C", "A"], "default": "A"}));
    let strict = symbols(json!({"type": "enum", "name": "E", "symbols": ["C", "A"]}));
    assert_eq!(resolve(writer.clone(), reader.clone(), &[2]), Ok(vec![json!("A")]));
    assert_eq!(resolve(writer.clone(), reader, &[4]), Ok(vec![json!("C")]));
    assert!(resolve(writer, strict, &[2]).unwrap_err().contains("does not have the symbol"));
}

#[test]
fn nested_defaults_fill_records_that_lack_a_field() {
    let item = |fields: Json| {
        json!([{"name": "items", "type": {"type": "array", "items":
        {"type": "record", "name": "Item", "fields": fields}}}])
    };
    let writer = item(json!([{"name": "qty", "type": "int"}]));
    let reader =
        item(json!([{"name": "sku", "type": "string", "default": "?"}, {"name": "qty", "type": "long"},
        {"name": "tags", "type": {"type": "map", "values": "int"}, "default": {"a": 1}}]));
    let expected =
        json!([{"sku": "?", "qty": 3, "tags": {"a": 1}}, {"sku": "?", "qty": 4, "tags": {"a": 1}}]);
    assert_eq!(resolve(writer, reader, &[4, 6, 8, 0]), Ok(vec![expected]));
}

#[test]
fn a_null_or_branch_without_a_place_is_an_error_of_the_record_only() {
    let writer = json!([{"name": "a", "type": ["null", "string", "long"]}]);
    let reader = json!([{"name": "a", "type": "string"}]);
    assert_eq!(resolve(writer.clone(), reader.clone(), b"\x02\x02x"), Ok(vec![json!("x")]));
    assert!(resolve(writer.clone(), reader.clone(), &[0]).unwrap_err().contains("no place"));
    assert!(resolve(writer, reader, &[4, 4]).unwrap_err().contains("no place"));
}

#[test]
fn a_value_moves_into_the_readers_union() {
    let writer = json!([{"name": "a", "type": "int"}]);
    let reader = json!([{"name": "a", "type": ["null", "string", "double", "long"]}]);
    assert_eq!(resolve(writer, reader, &[6]), Ok(vec![json!({"double": 3.0})]));
}

#[test]
fn units_and_other_meanings_are_never_mixed_up() {
    let millis = json!([{"name": "t", "type": {"type": "long", "logicalType": "timestamp-millis"}}]);
    let micros = json!([{"name": "t", "type": {"type": "long", "logicalType": "timestamp-micros"}}]);
    let long = json!([{"name": "t", "type": "long"}]);
    let told = resolve(millis.clone(), micros, &[2]).unwrap_err();
    assert_eq!(told, "t: timestamp-millis cannot be read as timestamp-micros");
    assert_eq!(resolve(millis.clone(), long.clone(), &[2]), Ok(vec![json!(1)]));
    assert_eq!(resolve(long, millis, &[2]), Ok(vec![json!("1970-01-01T00:00:00.001Z")]));
}

#[test]
fn what_does_not_resolve_is_told_all_at_once() {
    let writer = json!([{"name": "a", "type": "long"}, {"name": "b", "type": {"type": "record", "name": "B", "fields": [
        {"name": "c", "type": "string"}]}}]);
    let reader = json!([{"name": "a", "type": "int"}, {"name": "b", "type": {"type": "record", "name": "B", "fields": [
        {"name": "c", "type": "long"}]}}, {"name": "d", "type": "string"}]);
    let told = resolve(writer, reader, &[]).unwrap_err();
    assert_eq!(
        told,
        "a: long cannot be read as int; b.c: string cannot be read as long; \
         d: the writer's schema has no such field, and it has no default"
    );
}

#[test]
fn dropped_fields_of_types_without_a_place_are_walked_over() {
    let writer = json!([
        {"name": "skip", "type": {"type": "fixed", "name": "D", "size": 12, "logicalType": "duration"}},
        {"name": "nanos", "type": ["null", {"type": "long", "logicalType": "timestamp-nanos"}]},
        {"name": "a", "type": "int"}]);
    let reader = json!([{"name": "a", "type": "int"}]);
    let datum = [&[0; 12][..], &[2, 8, 10]].concat();
    assert_eq!(resolve(writer.clone(), reader.clone(), &datum), Ok(vec![json!(5)]));
    assert!(resolve(writer, reader, &datum[..13]).unwrap_err().contains("ends early"));
}

#[test]
fn another_encoding_of_the_same_array_becomes_the_same_bytes() {
    let fields = json!([{"name": "a", "type": {"type": "array", "items": ["null", "string"]}}]);
    let second = json!([{"name": "a", "type": {"type": "array", "items": ["string", "null"]}}]);
    let (schema, reader) = parse(&record(fields));
    let second = Schema::parse(&record(second)).unwrap();
    let canonical: &[u8] = b"\x04\x02\x02x\x00\x00";
    let encodings: [(&Schema, &[u8]); 4] = [
        (&schema, canonical),
        (&schema, b"\x02\x02\x02x\x02\x00\x00"),
        (&schema, b"\x01\x06\x02\x02x\x02\x80\x00\x00"),
        (&second, b"\x04\x00\x02x\x02\x00"),
    ];
    for (writer, datum) in encodings {
        let plan = Plan::new(writer, &reader, &[true]).unwrap();
        let arena = Bump::new();
        let mut slots = [Datum::Null];
        plan.read(datum, &mut slots, &arena).unwrap();
        assert_eq!(slots, [Datum::Encoded(canonical)], "{datum:?}");
    }
}

/// Records match by their form, so only the branch tells these two apart.
#[test]
fn a_branch_stays_itself_beside_another_of_its_form_however_it_was_written() {
    let named = |name: &str| json!({"type": "record", "name": name, "fields": [{"name": "tags", "type": {"type": "map", "values": "int"}}]});
    for (union, null) in [(json!([named("A"), named("B")]), 0), (json!(["null", named("A"), named("B")]), 2)]
    {
        let (schema, reader) = parse(&record(json!([{"name": "a", "type": union}])));
        let plan = Plan::new(&schema, &reader, &[true]).unwrap();
        for branch in [null, 2 + null] {
            let canonical = [&[branch][..], b"\x04\x02x\x02\x02y\x04\x00"].concat();
            let turned = [&[branch][..], b"\x04\x02y\x04\x02x\x02\x00"].concat();
            for datum in [&canonical, &turned] {
                let arena = Bump::new();
                let mut slots = [Datum::Null];
                let is_canonical = plan.read(datum, &mut slots, &arena).unwrap();
                assert_eq!(slots, [Datum::Encoded(&canonical)], "{datum:?}");
                assert_eq!(plan.value_bytes(datum, is_canonical, &arena), canonical, "{datum:?}");
            }
        }
    }
}

#[test]
fn absurd_counts_are_refused() {
    let none = json!({"type": "record", "name": "None", "fields": []});
    let writer = json!([{"name": "a", "type": {"type": "array", "items": none}}]);
    let many = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0];
    assert!(resolve(writer.clone(), writer.clone(), &many).unwrap_err().contains("1,000,000"));
    let wide = json!([{"name": "a", "type": {"type": "array", "items": "string"}}]);
    assert!(resolve(wide.clone(), wide, &many).unwrap_err().contains("ends early"));
    let mut longer = none;
    longer["fields"] = json!([{"name": "f", "type": "string", "default": "x".repeat(1000)}]);
    let reader = json!([{"name": "a", "type": {"type": "array", "items": longer}}]);
    assert!(resolve(writer, reader, &[0x80, 0xb5, 0x18, 0]).unwrap_err().contains("64 MiB"));
}
